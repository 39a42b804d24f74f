"""The children and the kernel of the rig: what they say survives them, and they end as they are told."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from . import stored
from .children import prepare, spawn
from .kernels import KernelProcess
from .waiting import eventually

LOOP = "for i in range(10_000_000):\n    _marks[i] = _now()\n    _now()"


@pytest.mark.slow
@pytest.mark.parametrize("forked", [True, False])
class TestChild:
    @pytest.fixture
    def begin(self, forked, zygote, tmp_path):
        started = []

        def begin(cells, **how):
            child = prepare(tmp_path / "child", cells, tmp_path / "state", **how)
            started.append(zygote.spawn(child) if forked else spawn(child))
            return child

        yield begin
        for child in started:
            child.kill()

    def test_cells_are_those_of_a_shell(self, begin, tmp_path):
        cells = [
            "%time x = 20",
            "x * 2 + 2",
            "1 / 0",
            "import os\nos.environ['XDG_STATE_HOME'], os.getcwd(), os.environ['A']",
        ]
        child = begin(cells, A="b")
        ran = child.wait()
        assert [(each.ok, each.value) for each in ran[:2]] == [(True, "None"), (True, "42")]
        assert ran[2].error == "ZeroDivisionError('division by zero')"
        assert ran[3].value == repr((str(tmp_path / "state"), str(tmp_path / "child"), "b"))
        assert child.exit_code() == 0
        assert "Wall time" in child.output

    def test_marks_survive_a_kill(self, begin):
        child = begin([LOOP], places=10_000_000)
        child.wait_mark(1000)
        child.kill()
        assert child.exit_code() == -9
        marks = child.marks()
        assert 1000 < len(marks) < 10_000_000
        assert marks == sorted(marks)
        assert time.time() - 60 < marks[0] <= marks[-1] <= time.time()
        assert child.results() == []

    def test_an_interrupt_ends_the_cell_and_not_the_child(self, begin):
        child = begin([LOOP, "'still here'"], places=10_000_000, linger=True)
        child.wait_mark(100)
        child.interrupt()
        ran = child.wait_cells()
        assert (ran[0].error, ran[1].value) == ("KeyboardInterrupt()", "'still here'")
        assert child.exit_code() is None

    def test_a_gate(self, begin):
        child = begin(["_gate('one')", "'through'"])
        child.wait_at("one")
        assert child.results() == []
        child.open("one")
        assert child.wait()[1].value == "'through'"

    def test_a_clock_that_jumps(self, begin):
        cells = [
            "import time\nbefore = time.time()\n_clock.offset = -3600\ntime.time() - before",
            "abs(_now() - before) < 60",
        ]
        child = begin(cells, jumping_clock=True)
        ran = child.wait()
        assert -3600 <= float(ran[0].value) < -3500
        assert ran[1].value == "True"

    def test_a_full_disk(self, begin):
        child = begin(["open('big', 'wb').write(bytes(200_000))", "'goes on'"], file_limit=100_000)
        ran = child.wait()
        assert "File too large" in ran[0].error
        assert ran[1].value == "'goes on'"


@pytest.mark.slow
def test_a_kernel_is_interrupted_killed_and_restarted(tmp_path):
    with KernelProcess(tmp_path, tmp_path / "state") as kernel:
        assert kernel.run("x = 1\nprint('hello')\n'shown'").printed == "hello\n'shown'"
        loop = kernel.start("import time, pathlib\npathlib.Path('on').touch()\nwhile True: time.sleep(0.01)")
        eventually((tmp_path / "on").exists)
        kernel.interrupt()
        assert kernel.wait(loop).error == "KeyboardInterrupt"
        kernel.start("while True: pass")
        kernel.kill()
        assert not kernel.manager.is_alive()
        kernel.restart()
        assert kernel.run("x").error == "NameError"
        assert kernel.run("1 / 0").status == "error"
        env = kernel.run("import os\nprint(os.environ['XDG_STATE_HOME'])")
        assert env.printed.strip() == str(tmp_path / "state")


@pytest.fixture
def database(tmp_path, _store):
    """A fresh local store."""
    return Path(shutil.copy(_store, tmp_path / "mlflow.db"))


def test_what_is_stored(database):
    """Read from the database as MLflow itself wrote it."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client = MlflowClient(f"sqlite:///{database}")
    experiment = client.create_experiment("read")
    run = client.create_run(experiment, run_name="one")
    client.log_batch(run.info.run_id, [Metric("loss", i / 2, 1000 + i, i) for i in range(3)])
    client.log_metric(run.info.run_id, "loss", 9.0, timestamp=5, step=1)
    client.log_param(run.info.run_id, "lr", 0.1)
    client.set_terminated(run.info.run_id, "KILLED", end_time=77)
    (found,) = stored.runs(database, "read")
    assert (found.run_id, found.name, found.status, found.end) == (run.info.run_id, "one", "KILLED", 77)
    assert stored.points(database, found.run_id, "loss") == [
        (0, 1000, 0.0),
        (1, 5, 9.0),
        (1, 1001, 0.5),
        (2, 1002, 1.0),
    ]
    assert stored.params(database, found.run_id) == {"lr": "0.1"}
    assert stored.tags(database, found.run_id)["mlflow.runName"] == "one"
    assert (stored.names(database, found.run_id), stored.count(database, "read")) == (["loss"], 4)
