"""What a child process of the rig runs: cells in a real InteractiveShell, and a trail that survives ``kill -9``.

Started as a file by :mod:`tests.rig.children`; it imports nothing of the package, so that the child is a fresh kernel.
With ``--zygote`` it imports IPython and MLflow once, then forks a child for each line that it reads.
"""

import contextlib
import importlib
import json
import mmap
import os
import signal
import sys
import time
from pathlib import Path

# Python puts this file's own folder here; a kernel has the current one.
sys.path[0] = ""

real_time = time.time


class Trail:
    """An array of doubles in a mapped file: what is written is in the file at once, whatever becomes of the process."""

    def __init__(self, path, places):
        with open(path, "r+b") as file:
            self.mapped = mmap.mmap(file.fileno(), 8 * places)
        self.marks = memoryview(self.mapped).cast("d")


class Clock:
    """``time.time`` of a machine whose clock jumps; the one thing here that is not real."""

    def __init__(self):
        self.offset = 0.0

    def __call__(self):
        return real_time() + self.offset


def gate(folder):
    """A function that waits until its name is a file in the folder (the test opens it), at most a minute."""

    def wait(name):
        (folder / f"{name}.waiting").touch()
        deadline = time.monotonic() + 60
        while not (folder / f"{name}.open").exists():
            if time.monotonic() > deadline:
                raise TimeoutError(name)
            time.sleep(0.005)

    return wait


def new_shell(folder):
    """A real shell whose history touches no disk."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.hist_file = ":memory:"
    # A closed list of words until IPython 9.
    config.InteractiveShell.colors = "NoColor" if hasattr(InteractiveShell.colors, "values") else "nocolor"
    os.environ["IPYTHONDIR"] = str(folder / ".ipython")
    return InteractiveShell.instance(config=config)


def run_cell(shell, cell):
    """Run one cell as a front end does; an interrupt that comes between cells is for nobody."""
    begun = time.perf_counter()
    try:
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            result = shell.run_cell(cell, store_history=True)
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        error = result.error_before_exec or result.error_in_exec
        told = {"ok": result.success, "error": repr(error) if error else "", "value": repr(result.result)}
    except KeyboardInterrupt:
        told = {"ok": False, "error": "KeyboardInterrupt()", "value": "None"}
    return told | {"seconds": time.perf_counter() - begun}


def rss():
    """The most memory that this process ever held, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def work(spec):
    """Run the cells of one child; a line of results for each."""
    folder = Path(spec["folder"])
    os.chdir(folder)
    os.environ.update(spec["environment"])
    limit = spec["file_limit"]
    if limit:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    if spec["jumping_clock"]:
        time.time = clock = Clock()
    trail = Trail(folder / "trail", spec["places"])
    shell = new_shell(folder)
    # Private names: no run cell takes them for a param or a metric.
    shell.user_ns |= {"_marks": trail.marks, "_now": real_time, "_gate": gate(folder), "_rss": rss}
    if spec["jumping_clock"]:
        shell.user_ns["_clock"] = clock
    (folder / "begun").touch()
    results = os.open(folder / "results", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for cell in spec["cells"]:
        told = json.dumps(run_cell(shell, cell))
        sys.stdout.flush()
        # Through a limit on file sizes the results still pass: the file is far below any that a test sets.
        os.write(results, told.encode() + b"\n")
    if spec["linger"]:
        # A kernel is idle between cells: its threads go on, and it ends when it is killed.
        parent = os.getppid()
        while os.getppid() == parent:  # whoever started it and died without ending it
            time.sleep(0.5)


def redirect(folder):
    """Send all output to a file of the child's folder."""
    out = os.open(folder / "output", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)


def fork(spec):
    """Start a child; it never returns from here."""
    pid = os.fork()
    if pid:
        return pid
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        os.setsid()
        redirect(Path(spec["folder"]))
        work(spec)
        sys.exit(0)  # as a kernel ends: exit handlers run
    except SystemExit:
        raise
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(70)


def zygote():
    """Fork a child for each line of standard input: a spec. Answers its pid; leaves its exit status in its folder."""
    # What takes seconds to import. None of it starts a thread, so a fork is a whole process;
    # none of it is the package, so a fork is a fresh kernel.
    importlib.import_module("IPython.core.interactiveshell")
    for kind in ("rest", "sqlalchemy"):
        importlib.import_module(f"mlflow.store.tracking.{kind}_store")
    for name in ("git", "detect_secrets.core.scan", "filelock", "platformdirs"):
        with contextlib.suppress(ImportError):  # GitPython wants a git
            importlib.import_module(name)

    folders = {}

    def reap(*_):
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                (Path(folders.pop(pid)) / "exit").write_text(str(os.waitstatus_to_exitcode(status)))

    signal.signal(signal.SIGCHLD, reap)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("ready", flush=True)
    while line := sys.stdin.readline():
        spec = json.loads(line)
        # A child that ends before it is noted would be reaped without a folder.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        pid = fork(spec)
        folders[pid] = spec["folder"]
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        print(pid, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "--zygote":
        zygote()
    else:
        work(json.loads(Path(sys.argv[1]).read_text()))
