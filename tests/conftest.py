"""What every test stands on: a real shell, an empty folder, and MLflow left as it was found."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings

from tests.rig.shells import shown

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.setdefault("MPLBACKEND", "agg")
# Outboxes are the user's own: tests keep theirs elsewhere.
_STATE = tempfile.TemporaryDirectory(prefix="mlflow_magics-state-")
os.environ["XDG_STATE_HOME"] = _STATE.name

# A shell starts what it leaves in the background with Ctrl-C ignored, and then no test could press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The machine's speed is no property of the code; and CI tries the same examples each time.
settings.register_profile("house", deadline=None, derandomize="MLFLOW_MAGICS_CI" in os.environ)
settings.load_profile("house")


def pytest_xdist_auto_num_workers(config):
    """One worker more than cores: half of the time a test waits for a server or a kernel of its own."""
    return (os.cpu_count() or 1) + 1


# Whole files that start servers, kernels or browsers, or log models, for seconds each; others mark single tests, and
# whatever asks for the session's server is slow too, as each worker would start one of its own.
_SLOW = (
    *("browser/", "faults/", "rig/", "repository/test_notebooks.py"),
    *("session/test_authored.py", "session/test_outbox.py"),
    *(f"shell/test_{name}.py" for name in ("autolog_magic", "connect_words", "process_state")),
    *(f"tracking/test_{name}.py" for name in ("artifacts", "autolog", "browse", "check", "connection")),
    *(f"tracking/test_{name}.py" for name in ("logged_models", "models", "recovery")),
    "tracking/azure/",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        whole = item.path.relative_to(Path(__file__).parent).as_posix().startswith(_SLOW)
        if whole or "mlflow_server" in item.fixturenames:
            item.add_marker(pytest.mark.slow)


pytest_plugins = ["tests.rig.fixtures", "tests.rig.azure.fixtures", "tests.rig.azure.notebook"]


def _tracking_variables():
    kept = ("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_MAGICS_CI")
    return [name for name in os.environ if name.startswith("MLFLOW_") and name not in kept]


@pytest.fixture(autouse=True)
def state(tmp_path_factory, monkeypatch):
    """The folder of this test's outboxes: what one test leaves unsent, the next must not send."""
    place = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(place))
    return place


@pytest.fixture(autouse=True)
def ctrl_c():
    """A Ctrl-C is put off while a run is opened or closed; no test must leave it so."""
    before = signal.getsignal(signal.SIGINT)
    yield
    after = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)
    assert after is before


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current folder, with nothing in the environment that says where to track."""
    monkeypatch.chdir(tmp_path)
    for name in _tracking_variables():
        monkeypatch.delenv(name)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    before = dict(os.environ)
    yield tmp_path
    # A cell may set what it likes; the next test must not see it.
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session")
def _shell():
    from IPython.testing.globalipapp import start_ipython

    shell = start_ipython()
    if shell is None:
        from IPython import get_ipython

        shell = get_ipython()
    return shell


def _reset_mlflow():
    if "mlflow" in sys.modules:
        while sys.modules["mlflow"].active_run():
            sys.modules["mlflow"].end_run()
        sys.modules["mlflow"].set_tracking_uri(None)
        sys.modules["mlflow.tracking.fluent"]._active_experiment_id = None


@pytest.fixture
def bare_shell(_shell, folder):
    """A real InteractiveShell, emptied, without the extension."""
    _shell.reset(new_session=True)
    _reset_mlflow()  # also from tests without a shell, which have set where MLflow tracks to
    sys.__dict__.pop("last_value", None)
    yield _shell
    _shell.extension_manager.unload_extension("mlflow_magics")
    _shell.reset(new_session=True)
    _reset_mlflow()
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")
    # What is alive now stays. Each reset collects garbage, and would look at every module that was ever imported.
    gc.freeze()


@pytest.fixture
def shell(bare_shell):
    """A real InteractiveShell with the extension loaded, in an empty folder."""
    bare_shell.extension_manager.load_extension("mlflow_magics")
    return bare_shell


@pytest.fixture
def run(shell, capsys):
    """Run a cell in the test's shell, which must work; return what it shows, on one line."""
    return partial(shown, shell, capsys)


@pytest.fixture(scope="session", autouse=True)
def _tables(tmp_path_factory):
    """MLflow makes the tables of the first new SQLite file of a worker; those of the others are copied from it.

    Its sixty migrations keep a core busy for over a second, and say the same each time. Kernels, servers and other
    processes know nothing of it; `own_tables` is for a test of this process that is about how they are made.
    """
    from mlflow.store.db import utils

    made, template = utils._initialize_tables, tmp_path_factory.mktemp("tables") / "tables.db"

    def copied(engine):
        path = engine.url.database if engine.dialect.name == "sqlite" else None
        if not path or path.startswith((":memory:", "file:")):
            made(engine)
            return
        first = not template.exists()
        if first:
            made(engine)
        with closing(sqlite3.connect(path)) as own, closing(sqlite3.connect(template)) as kept:
            own.backup(kept) if first else kept.backup(own)

    copied.made = made
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "_initialize_tables", copied)
        yield template


@pytest.fixture
def own_tables(monkeypatch):
    """MLflow makes the tables of every new store itself."""
    from mlflow.store.db import utils

    monkeypatch.setattr(utils, "_initialize_tables", utils._initialize_tables.made)


@pytest.fixture(scope="session")
def _store(tmp_path_factory):
    """A fresh local store, made once: MLflow takes over a second to create its tables."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    SqlAlchemyStore(f"sqlite:///{path}", str(path.parent / "mlartifacts"))
    return path


@pytest.fixture(scope="module")
def home(_shell, _store, tmp_path_factory):
    """One shell connected to the experiment ``home``, for a whole module: connecting costs more than most tests."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copy(_store, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in _tracking_variables():
            patch.delenv(name)
        _shell.reset(new_session=True)
        for source in ("%load_ext mlflow_magics", "%mlflow_connect local -e home"):
            assert _shell.run_cell(source).success
        yield _shell
        _shell.extension_manager.unload_extension("mlflow_magics")
        _shell.reset(new_session=True)
        for name in _tracking_variables():  # a test with a shell of its own has put them back
            del os.environ[name]


@pytest.fixture
def tracked(shell, _store, folder):
    """Like ``shell``, connected to a local store."""
    shutil.copy(_store, folder / "mlflow.db")
    with sqlite3.connect(folder / "mlflow.db") as database:
        database.execute("UPDATE experiments SET artifact_location = ?", ((folder / "mlartifacts" / "0").as_uri(),))
    database.close()
    result = shell.run_cell("%mlflow_connect local")
    assert result.success
    return shell
