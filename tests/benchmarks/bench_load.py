"""What ``%load_ext mlflow_magics`` costs over loading an empty extension: ``python -m tests.benchmarks --only load``.

Each in a fresh process, in turn, so that a machine that slows down slows both. The figure is the shortest time that
the thread was computing: whatever else runs on the machine can only lengthen one. The shell is a kernel's or a
terminal's own class, with what that program has imported by its first cell.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .table import Row, at_most

BOUND = 3.0
"""Milliseconds over the empty extension."""

CODE = """
import sys, time
sys.path.insert(0, sys.argv[2])
from {module} import {shell}
shell = {shell}.instance()
before = set(sys.modules)
start = time.thread_time()
shell.run_line_magic("load_ext", sys.argv[1])
took = time.thread_time() - start
ours = [name for name in set(sys.modules) - before if name != sys.argv[1]]
print(took * 1000, len(ours), *sorted(name for name in ours if not name.startswith("mlflow_magics")))
"""

SHELLS = {
    "a kernel": ("ipykernel.kernelapp", "ipykernel.zmqshell", "ZMQInteractiveShell"),
    "a terminal": ("IPython.terminal.ipapp", "IPython.terminal.interactiveshell", "TerminalInteractiveShell"),
}
"""By kind: the program, and its shell."""


def measure(shell: str, extension: str, folder: str) -> tuple[float, list[str]]:
    """The milliseconds that one ``%load_ext`` takes in a fresh process; how many modules it imports, and not ours."""
    program, module, name = SHELLS[shell]
    out = subprocess.run(
        [sys.executable, "-c", f"import {program}" + CODE.format(module=module, shell=name), extension, folder],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        # With compiled caches, as an installed package has them.
        env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    )
    took, *modules = out.stdout.splitlines()[-1].split()
    return float(took), modules


def load(rounds: int = 15) -> Iterator[Row]:
    """A row for each kind of shell."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "empty_extension.py").write_text("def load_ipython_extension(shell):\n    pass\n")
        for shell in SHELLS:
            times: dict[str, list[float]] = {"empty_extension": [], "mlflow_magics": []}
            for extension in times:
                measure(shell, extension, folder)  # compile
            for _ in range(rounds):
                for extension, measured in times.items():
                    took, modules = measure(shell, extension, folder)
                    measured.append(took)
            many, *others = modules
            over = min(times["mlflow_magics"]) - min(times["empty_extension"])
            imported = f"{many} modules imported, {', '.join(others) or 'all ours'}"
            yield at_most(f"%load_ext in {shell}, over an empty extension ({imported})", over, BOUND, "ms")
