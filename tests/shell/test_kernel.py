"""A cell's life in a real kernel, as Jupyter, nbclient and papermill drive it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from dataclasses import dataclass, field

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
from mlflow import MlflowClient
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.rig.runs import artifacts, only_run, runs
from tests.rig.servers import CountingProxy, _every_method, _forward

pytestmark = pytest.mark.slow

PATIENCE = 60.0


@dataclass
class Replied:
    """What a cell came to: the reply and everything it published."""

    reply: dict
    published: list[tuple[str, dict]] = field(default_factory=list)

    @property
    def status(self):
        return self.reply["status"]

    @property
    def text(self):
        """All that was printed."""
        return "".join(content["text"] for kind, content in self.published if kind == "stream")

    @property
    def value(self):
        """The text of the cell's value; None where it has none."""
        values = [content["data"]["text/plain"] for kind, content in self.published if kind == "execute_result"]
        return values[0] if values else None

    @property
    def displayed(self):
        return [content["data"] for kind, content in self.published if kind == "display_data"]

    @property
    def block(self):
        """The text of the run's block; empty where there is none."""
        return "\n".join(data["text/plain"] for data in self.displayed if "image/png" not in data)


class Kernel:
    """A real ipykernel in a folder of its own, and a client that waits for what it asked."""

    def __init__(self, folder, **environment):
        self.folder = folder
        # No kernel spec that happens to be installed on the machine: this Python's own ipykernel.
        self.manager = KernelManager(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
        self.manager.start_kernel(cwd=str(folder), env=kernel_environment(folder) | environment)
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)

    def send(self, code, *, silent=False, metadata=None, stop_on_error=True):
        """Send a cell as a front end does, and return the message's id."""
        content = {"code": code, "silent": silent, "store_history": not silent, "user_expressions": {}}
        content |= {"allow_stdin": False, "stop_on_error": stop_on_error}
        message = self.client.session.msg("execute_request", content, metadata=metadata or {})
        self.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def wait(self, identity, *, when="", then=None):
        """Collect what a cell publishes until it is idle; once `when` has been printed, call `then`."""
        published = []
        while True:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") != identity:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                break
            published.append((kind, content))
            if then is not None and kind == "stream" and when in content["text"]:
                then()
                then = None
        while True:
            message = self.client.get_shell_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") == identity:
                return Replied(message["content"], published)

    def run(self, code, *, when="", then=None, **how):
        return self.wait(self.send(code, **how), when=when, then=then)

    def interrupt(self):
        self.manager.interrupt_kernel()

    def restart(self):
        self.manager.restart_kernel(now=False)
        self.client.wait_for_ready(timeout=PATIENCE)

    def stop(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def runs(self, experiment="Default"):
        return runs(experiment, f"sqlite:///{self.folder}/mlflow.db")

    def only_run(self, experiment="Default"):
        return only_run(experiment, f"sqlite:///{self.folder}/mlflow.db")

    def artifacts(self, run, path=None):
        return artifacts(run, path, f"sqlite:///{self.folder}/mlflow.db")


def kernel_environment(folder):
    """The environment of a kernel on a fresh machine: nothing says where to track, no startup files."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_") and k not in ("JPY_SESSION_NAME",)}
    # The backend is ipykernel's choice there, not that of this process.
    kept.pop("MPLBACKEND", None)
    return kept | {"MLFLOW_DISABLE_TELEMETRY": "true", "IPYTHONDIR": str(folder / ".ipython")}


def store_in(folder, template):
    """Put a fresh store into a folder; MLflow itself takes over a second to make one."""
    shutil.copy(template, folder / "mlflow.db")
    with sqlite3.connect(folder / "mlflow.db") as database:
        database.execute("UPDATE experiments SET artifact_location = ?", ((folder / "mlartifacts" / "0").as_uri(),))
    database.close()


@pytest.fixture(scope="module")
def kernel(tmp_path_factory, _store):
    """One connected kernel for the module; tests keep apart by their experiments' names."""
    folder = tmp_path_factory.mktemp("kernel")
    store_in(folder, _store)
    kernel = Kernel(folder)
    try:
        loaded = kernel.run("%load_ext mlflow_magics\n%mlflow_connect local")
        assert loaded.status == "ok", loaded
        yield kernel
    finally:
        kernel.stop()


@pytest.fixture
def start(tmp_path, _store):
    """Start kernels of the test's own in its folder, where a store lies; they end with the test."""
    store_in(tmp_path, _store)
    started = []

    def start_kernel(**environment):
        started.append(Kernel(tmp_path, **environment))
        return started[-1]

    yield start_kernel
    for one in started:
        one.stop()


def usable(kernel, experiment):
    """Whether the kernel still takes cells and tracks them."""
    after = kernel.run(f"%%mlflow_run after -e {experiment}\nrate = 0.5\nrate")
    newest = {run.info.run_name: run for run in kernel.runs(experiment)}["after"]
    return after.value == "0.5" and newest.info.status == "FINISHED" and newest.data.params == {"rate": "0.5"}


class TestACell:
    def test_loading_the_extension_imports_no_mlflow(self, start):
        heavy = "sorted({m.split('.')[0] for m in sys.modules} & {'mlflow', 'pandas', 'ipywidgets', 'numpy'})"
        kernel = start()
        assert kernel.run(f"%load_ext mlflow_magics\nimport sys\n{heavy}").value == "[]"
        assert kernel.run(heavy).value == "[]"

    def test_the_value_and_then_the_block(self, kernel):
        replied = kernel.run("%%mlflow_run shown -e shown\nreg = 2\nreg * 21")
        assert replied.status == "ok"
        assert replied.value == "42"
        kinds = [kind for kind, _ in replied.published if kind in ("execute_result", "display_data", "stream")]
        assert kinds == ["execute_result", "display_data"]
        (block,) = replied.displayed
        assert set(block) == {"text/plain", "text/html"}
        assert "shown" in block["text/plain"]
        assert "reg" in block["text/plain"]
        assert "<table" in block["text/html"]
        assert kernel.only_run("shown").data.params == {"reg": "2"}

    def test_top_level_await(self, kernel):
        replied = kernel.run(
            "%%mlflow_run -e awaited\nimport asyncio\nrate = 0.5\nawait asyncio.sleep(0.01)\n"
            "for _ in range(2):\n    result = await asyncio.sleep(0, result=len([rate]) / 4)\nresult"
        )
        assert replied.value == "0.25"
        run = kernel.only_run("awaited")
        assert run.info.status == "FINISHED"
        assert run.data.params == {"rate": "0.5"}
        assert run.data.metrics == {"result": 0.25}

    def test_two_tasks_log_into_the_cells_run(self, kernel):
        replied = kernel.run(
            "%%mlflow_run -e tasks\nimport asyncio, mlflow\nasync def work(name):\n    for step in range(3):\n"
            "        mlflow.log_metric(name, step, step=step)\n        await asyncio.sleep(0)\n"
            "await asyncio.gather(work('a'), work('b'));"
        )
        assert replied.status == "ok", replied
        assert kernel.only_run("tasks").data.metrics == {"a": 2.0, "b": 2.0}

    def test_an_error_is_that_of_the_bare_cell(self, kernel):
        body = "def f():\n    return 1 / 0\n\nf()"
        bare = kernel.run(f"# bare\n{body}")
        run = kernel.run(f"%%mlflow_run -e failed\n{body}")
        assert bare.status == run.status == "error"
        assert (run.reply["ename"], run.reply["evalue"]) == (bare.reply["ename"], bare.reply["evalue"])
        assert "mlflow_magics" not in "".join(run.reply["traceback"])
        # The same frames with the same line numbers: the traceback differs by the quoted first line alone.
        assert len(run.reply["traceback"]) == len(bare.reply["traceback"])
        tracked = kernel.only_run("failed")
        assert tracked.info.status == "FAILED"
        assert "traceback.txt" in kernel.artifacts(tracked)

    def test_the_cells_queued_behind_a_failure_do_not_run(self, kernel):
        failing = kernel.send("%%mlflow_run -e queue\n1 / 0")
        queued = kernel.send("%%mlflow_run -e queue\nran = True")
        assert kernel.wait(failing).status == "error"
        assert kernel.wait(queued).status == "aborted"
        assert [run.info.status for run in kernel.runs("queue")] == ["FAILED"]

    def test_the_cells_id_is_a_tag_and_finds_the_previous_run(self, kernel):
        metadata = {"cellId": "0a1b2c3d-cell"}
        kernel.run("import statistics")
        cell = "%%mlflow_run -e identity\nscore = statistics.mean([{}])"
        kernel.run(cell.format("1, 2"), metadata=metadata)
        again = kernel.run(cell.format("1, 4"), metadata=metadata)
        runs = kernel.runs("identity")
        assert [run.data.tags["mlflow_magics.cell_id"] for run in runs] == ["0a1b2c3d-cell"] * 2
        counts = [int(run.data.tags["mlflow_magics.execution_count"]) for run in runs]
        assert counts[0] == counts[1] + 1
        assert "▲ +1" in again.block, again.block

    def test_a_silent_cell_leaves_no_run_open(self, kernel):
        silent = kernel.run("%%mlflow_run quiet -e silent\nrate = 0.5", silent=True)
        assert silent.status == "ok"
        assert kernel.run("import mlflow\nmlflow.active_run() is None").value == "True"
        run = kernel.only_run("silent")
        assert (run.info.status, run.info.run_name) == ("FINISHED", "quiet")
        assert usable(kernel, "silent")

    def test_the_notebooks_name(self, start, tmp_path):
        kernel = start(JPY_SESSION_NAME=str(tmp_path / "ridge.ipynb"))
        kernel.run("%load_ext mlflow_magics")
        kernel.run("%%mlflow_run\na = 1")
        tags = kernel.only_run().data.tags
        assert (tags["mlflow.source.name"], tags["mlflow.source.type"]) == ("ridge.ipynb", "NOTEBOOK")


class TestFigures:
    @pytest.mark.parametrize(
        ("experiment", "ending"),
        [
            ("figure-shown", "plt.show()"),
            ("figure-implicit", "'a value'"),
            ("figure-twice", "plt.show()\nplt.show()"),
            ("figure-value", "plt.gcf()"),
        ],
    )
    def test_inline_it_is_shown_as_ever_and_logged_once(self, kernel, experiment, ending):
        kernel.run("%matplotlib inline\nimport matplotlib.pyplot as plt")
        body = f"plt.plot([1, 2, 3]);\n{ending}"
        bare = pictures(kernel.run(body))
        run = pictures(kernel.run(f"%%mlflow_run -e {experiment}\n{body}"))
        assert bare
        assert run == bare
        assert kernel.artifacts(kernel.only_run(experiment), "figures") == ["figures/figure_1.png"]

    def test_a_figure_with_a_name_is_logged_under_it(self, kernel):
        kernel.run("%matplotlib inline\nimport matplotlib.pyplot as plt")
        replied = kernel.run("%%mlflow_run -e figure-named\nroc, ax = plt.subplots()\nax.plot([1, 2])\nplt.show()")
        assert pictures(replied) == 1
        assert kernel.artifacts(kernel.only_run("figure-named"), "figures") == ["figures/roc.png"]

    def test_a_figure_of_the_cell_before_is_not_this_ones(self, kernel):
        kernel.run("%matplotlib inline\nimport matplotlib.pyplot as plt")
        kernel.run("plt.plot([1, 2]);")
        kernel.run("%%mlflow_run -e figure-none\na = 1")
        run = kernel.only_run("figure-none")
        assert kernel.artifacts(run) == ["cell.py"]


def pictures(replied):
    """How many pictures a cell showed, as a value or otherwise."""
    shown = [content["data"] for kind, content in replied.published if kind in ("display_data", "execute_result")]
    return sum("image/png" in data for data in shown)


class TestInterrupt:
    @pytest.mark.parametrize(
        ("experiment", "waiting"),
        [
            ("interrupt-loop", "import time\nfor _ in range(600):\n    time.sleep(0.1)"),
            # ipykernel cancels an awaiting cell, bare or not, when its loop next wakes up.
            ("interrupt-await", "import asyncio\nawait asyncio.sleep(2)"),
            ("interrupt-await-beats", "import asyncio\nfor _ in range(600):\n    await asyncio.sleep(0.1)"),
            (
                "interrupt-await-loop",
                "import asyncio, time\nfor _ in range(600):\n    await asyncio.sleep(0)\n    time.sleep(0.1)",
            ),
            ("interrupt-shell", "!sleep 60\nraise KeyboardInterrupt"),
        ],
    )
    def test_the_run_is_killed_and_the_kernel_lives(self, kernel, experiment, waiting):
        began = time.monotonic()
        replied = kernel.run(
            f"%%mlflow_run stopped -e {experiment}\nlr = 0.1\nprint('ready', flush=True)\n{waiting}",
            when="ready",
            # A moment later the cell is in its wait; before that an interrupt would be as good, but another case.
            then=lambda: threading.Timer(0.3, kernel.interrupt).start(),
        )
        assert time.monotonic() - began < 30
        assert replied.status in ("error", "aborted"), replied
        run = kernel.only_run(experiment)
        assert run.info.status == "KILLED"
        assert run.data.params == {"lr": "0.1"}
        assert "killed" in replied.block
        assert usable(kernel, experiment)

    def test_while_the_end_is_being_sent(self, start, mlflow_server):
        """The server takes long over the cell's data, and the user loses patience."""
        kernel = start()
        with SlowProxy(mlflow_server.url) as proxy:
            kernel.run(f"%load_ext mlflow_magics\n%mlflow_connect {proxy.url} -e impatient")
            proxy.then = kernel.interrupt
            replied = kernel.run("%%mlflow_run stopped\nlr = 0.1\n'value'")
            assert replied.value == "'value'"
            assert proxy.then is None, "nothing was interrupted"
            assert "wait: being sent" in " ".join(replied.block.split())
            assert replied.text == ""
            after = kernel.run("%%mlflow_run after\nlr = 0.2\nlr")
            assert after.value == "0.2"
            assert kernel.run("import mlflow\nmlflow.active_run() is None").value == "True"
        statuses = {run.info.run_name: run.info.status for run in runs("impatient", mlflow_server.url)}
        # The cell had finished; only the sending was cut short.
        assert statuses == {"stopped": "FINISHED", "after": "FINISHED"}


def _slowly(self):
    proxy = self.server.rig
    if self.path.endswith("runs/log-batch") and proxy.then is not None:
        then, proxy.then = proxy.then, None
        threading.Timer(0.3, then).start()
        time.sleep(2)
    _forward(self)


class SlowProxy(CountingProxy):
    """Takes two seconds over one batch of data; meanwhile it calls `then`, once."""

    handler = _every_method(_slowly)
    then = None


class TestRestart:
    def test_a_graceful_restart_finishes_the_open_run(self, start):
        kernel = start()
        kernel.run("%load_ext mlflow_magics\n%mlflow_connect local")
        kernel.run("%mlflow_start whole\nimport mlflow\nmlflow.log_metric('a', 1)")
        assert kernel.only_run().info.status == "RUNNING"
        kernel.restart()
        run = kernel.only_run()
        assert (run.info.status, run.data.metrics) == ("FINISHED", {"a": 1.0})
        assert kernel.run("%load_ext mlflow_magics\n%mlflow_connect local").status == "ok"
        assert usable(kernel, "Default")

    def test_in_the_middle_of_a_cell(self, start):
        """Jupyter interrupts a busy kernel before it restarts it; the run is not left running."""
        kernel = start()
        kernel.run("%load_ext mlflow_magics\n%mlflow_connect local")
        kernel.run(
            "%%mlflow_run busy\nimport time\nprint('ready', flush=True)\nfor _ in range(600):\n    time.sleep(0.1)",
            when="ready",
            then=lambda: threading.Timer(0.3, kernel.interrupt).start(),
        )
        kernel.restart()
        assert kernel.only_run().info.status == "KILLED"

    def test_reloading_while_a_run_is_open(self, kernel):
        kernel.run("%mlflow_start open -e reloaded")
        kernel.run("%reload_ext mlflow_magics")
        assert [run.info.status for run in kernel.runs("reloaded")] == ["FINISHED"]
        assert kernel.run("%mlflow_connect local").status == "ok"
        assert usable(kernel, "reloaded")


def notebook(*sources):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])


@pytest.fixture
def jupyter(tmp_path, monkeypatch, _store):
    """A folder for notebooks; runners that pick the kernel by name get this Python's."""
    store_in(tmp_path, _store)
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / ".jupyter"))
    for name in list(os.environ):
        if name.startswith("MLFLOW_"):
            monkeypatch.delenv(name)
    for name, value in kernel_environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.delenv("MPLBACKEND", raising=False)
    return tmp_path


LOAD = "%load_ext mlflow_magics\n%mlflow_connect local"


class TestRunners:
    def test_nbclient_stops_at_a_failed_cell(self, jupyter):
        book = notebook(
            LOAD,
            "%%mlflow_run good\nlr = 0.1\nlr * 10",
            "%%mlflow_run bad\nlr = 0.2\nraise ValueError('no such luck')",
            "open('ran-on', 'w').close()",
        )
        client = NotebookClient(book, timeout=PATIENCE, resources={"metadata": {"path": str(jupyter)}})
        with pytest.raises(CellExecutionError, match="no such luck"):
            client.execute()
        assert not (jupyter / "ran-on").exists()
        found = {run.info.run_name: run for run in runs(uri=f"sqlite:///{jupyter}/mlflow.db")}
        assert {name: run.info.status for name, run in found.items()} == {"good": "FINISHED", "bad": "FAILED"}
        store = MlflowClient(f"sqlite:///{jupyter}/mlflow.db")
        assert "traceback.txt" in [file.path for file in store.list_artifacts(found["bad"].info.run_id)]
        value, block = book.cells[1].outputs
        assert (value.output_type, value.data["text/plain"]) == ("execute_result", "1.0")
        assert (block.output_type, set(block.data)) == ("display_data", {"text/plain", "text/html"})
        assert {output.output_type for output in book.cells[2].outputs} == {"error", "display_data"}
        # The saved notebook is valid: what the block holds is what the format takes.
        nbformat.validate(book)

    def test_papermill_stops_too_and_names_the_notebook(self, jupyter):
        import papermill

        book = notebook(
            LOAD,
            "alpha = 0.1",
            "%%mlflow_run good\nhalf = alpha / 2",
            "%%mlflow_run bad\n1 / 0",
            "open('ran-on', 'w').close()",
        )
        book.cells[1].metadata["tags"] = ["parameters"]
        book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        path = jupyter / "training.ipynb"
        nbformat.write(book, path)
        with pytest.raises(papermill.PapermillExecutionError, match="ZeroDivisionError"):
            papermill.execute_notebook(
                str(path),
                str(jupyter / "out.ipynb"),
                # What the command line's --inject-input-path does.
                parameters={"alpha": 0.7, "PAPERMILL_INPUT_PATH": str(path)},
                cwd=str(jupyter),
                progress_bar=False,
            )
        assert not (jupyter / "ran-on").exists()
        found = {run.info.run_name: run for run in runs(uri=f"sqlite:///{jupyter}/mlflow.db")}
        assert {name: run.info.status for name, run in found.items()} == {"good": "FINISHED", "bad": "FAILED"}
        assert found["good"].data.params["alpha"] == "0.7"
        assert found["good"].data.tags["mlflow.source.name"] == "training.ipynb"


def test_credentials_do_not_reach_the_saved_notebook(jupyter, mlflow_server):
    address = mlflow_server.url.replace("http://", "http://ada:hunter2hunter2@")
    (jupyter / "where.txt").write_text(address)
    book = notebook(
        "%load_ext mlflow_magics\naddress = open('where.txt').read()",
        "%mlflow_connect {address} -e masked-notebook",
        "%%mlflow_run masked\nimport mlflow\nlr = 0.1\nmlflow.log_metric('a', 1)\nlr",
        "with mlflow.start_run():\n    mlflow.log_metric('a', 2)",
        "%mlflow_status",
        "%mlflow_connect --check",
        "%%mlflow_run -e masked-notebook\nraise OSError(f'cannot reach {address}')",
    )
    client = NotebookClient(book, timeout=PATIENCE, allow_errors=True, resources={"metadata": {"path": str(jupyter)}})
    client.execute()
    ours = nbformat.writes(notebook(*(cell.source for cell in book.cells)))
    assert "hunter2" not in ours
    # The last cell's own traceback is the user's: it says what the bare cell would say.
    book.cells[-1].outputs = [output for output in book.cells[-1].outputs if output.output_type != "error"]
    saved = nbformat.writes(book)
    assert "masked" in saved
    assert "hunter2" not in saved
    found = runs("masked-notebook", mlflow_server.url)
    assert len(found) == 3
    for run in found:
        assert "hunter2" not in str(run.data.tags) + str(run.data.params)
    artifacts = mlflow_server.folder / "artifacts"
    written = [path for run in found for path in artifacts.glob(f"*/{run.info.run_id}/artifacts/*")]
    assert sorted(path.name for path in written) == ["cell.py", "cell.py", "traceback.txt"]
    assert not any("hunter2" in path.read_text(encoding="utf-8") for path in written)
