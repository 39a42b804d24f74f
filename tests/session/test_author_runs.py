"""The runs that a cell's author opens himself, beside what ``tests/styles`` compares with the bare cell."""

from __future__ import annotations

import os

import mlflow
import pytest
from mlflow import MlflowClient

from tests.rig.children import prepare, spawn
from tests.rig.runs import artifacts, only_run, runs
from tests.rig.shells import cell
from tests.shell.test_kernel import start, store_in

__all__ = ["start"]  # a fixture


def by_name():
    return {run.info.run_name: run for run in runs()}


def parent(run):
    return run.data.tags.get("mlflow.parentRunId", "")


TRAIN = cell("""
    import mlflow
    def train(name, value):
        with mlflow.start_run(run_name=name):
            mlflow.log_metric("score", value)
        return value
""")


class TestTheBlock:
    def test_names_every_run_that_the_cell_opened(self, tracked, capsys):
        tracked.run_cell(TRAIN)
        tracked.run_cell("%%mlflow_run both\nbest = max(train('north', 1.0), train('south', 2.0))\n")
        shown = " ".join(capsys.readouterr().out.split())
        assert "✓ both" in shown
        assert "opened 2 more runs: north, south" in shown
        assert {name for name, run in by_name().items() if parent(run) == by_name()["both"].info.run_id} == {
            "north",
            "south",
        }
        assert by_name()["both"].data.metrics == {"best": 2.0}

    def test_an_only_run_is_the_cells_under_the_authors_name(self, tracked, capsys):
        tracked.run_cell(TRAIN)
        tracked.run_cell("%%mlflow_run typed\nbest = train('north', 1.0) + 1\n")
        run = only_run()
        assert (run.info.run_name, run.info.status) == ("north", "FINISHED")
        assert run.data.metrics == {"score": 1.0, "best": 2.0}
        assert "cell.py" in artifacts(run)
        assert "✓ north" in capsys.readouterr().out

    def test_a_run_without_a_name_of_its_own_has_the_cells(self, tracked):
        tracked.run_cell("import mlflow\ndef train():\n    with mlflow.start_run():\n        mlflow.log_metric('a', 1)")
        tracked.run_cell("%%mlflow_run typed\ntrain()\n")
        assert only_run().info.run_name == "typed"
        tracked.run_cell("%%mlflow_run again\ntrain(); train()\n")
        (again,) = (run for name, run in by_name().items() if name == "again")
        children = [run for run in runs() if parent(run) == again.info.run_id]
        assert len(children) == 2
        assert "again" not in {run.info.run_name for run in children}

    def test_the_end_is_the_cells_where_it_fails_and_the_authors_where_he_ended_it(self, tracked):
        tracked.run_cell(TRAIN)
        tracked.run_cell("%%mlflow_run\ntrain('north', 1.0)\n1 / 0\n")
        run = only_run()
        assert run.info.status == "FINISHED"  # as in the bare cell
        assert "traceback.txt" in artifacts(run)


class TestRunsWithoutAStart:
    """MLflow opens a run for whoever logs outside one; who ends it gets another one for what he logs next."""

    def test_each_that_he_ends_is_a_run_of_its_own(self, tracked):
        tracked.run_cell("import mlflow\ndef one(i):\n    mlflow.log_param('i', i)\n    mlflow.end_run()")
        tracked.run_cell("%%mlflow_run turns\nlr = 0.5\nfor i in range(3):\n    one(i)\n")
        found = by_name()
        whole = found.pop("turns")
        assert whole.data.params == {"lr": "0.5"}
        assert sorted(run.data.params["i"] for run in found.values()) == ["0", "1", "2"]
        assert {parent(run) for run in found.values()} == {whole.info.run_id}
        assert {run.info.status for run in found.values()} == {"FINISHED"}

    def test_also_before_one_that_he_starts(self, tracked):
        tracked.run_cell(
            cell("""
            %%mlflow_run whole
            import mlflow
            mlflow.log_param("top", 1); mlflow.end_run()
            mlflow.log_param("top", 2); mlflow.end_run("FAILED")
            with mlflow.start_run(run_name="second"):
                mlflow.log_param("top", 3)
            """)
        )
        found = {run.data.params.get("top", ""): run for run in runs()}
        assert sorted(found) == ["", "1", "2", "3"]
        assert (found[""].info.run_name, found["3"].info.run_name) == ("whole", "second")
        assert found["2"].info.status == "FAILED"

    def test_the_only_one_is_the_cells_and_ends_as_he_says(self, tracked):
        tracked.run_cell(
            "%%mlflow_run typed\nimport mlflow\nmlflow.log_param('x', 1)\nmlflow.end_run('FAILED')\nz = 3\n"
        )
        run = only_run()
        assert (run.info.run_name, run.info.status) == ("typed", "FAILED")
        assert run.data.params == {"x": "1", "z": "3"}


@pytest.mark.parametrize("pool", [False, True], ids=["one after the other", "in threads"])
def test_runs_that_were_made_offline_know_their_parent_by_the_stores_id(shell, folder, pool):
    shell.run_cell("%mlflow_connect local --offline")
    shell.run_cell(TRAIN)
    several = "from concurrent.futures import ThreadPoolExecutor as Pool\nlist(Pool(2).map(train, 'abc', range(3)))\n"
    shell.run_cell("%%mlflow_run whole\n" + (several if pool else "train('a', 1), train('b', 2), train('c', 3)\n"))
    shell.run_cell("%mlflow_sync")
    found = by_name()
    assert {parent(found[name]) for name in "abc"} == {found["whole"].info.run_id}


class TestALibraryThatNobodySees:
    """A run of which nothing in the notebook tells beforehand is given the cell's run, or stands below it."""

    @pytest.fixture
    def library(self, tracked, folder, monkeypatch):
        (folder / "trainer.py").write_text(
            "import mlflow\n\ndef fit(name=None):\n    with mlflow.start_run(run_name=name) as run:\n"
            "        mlflow.log_metric('score', 1.0)\n    return run.info.run_id\n"
        )
        monkeypatch.syspath_prepend(str(folder))
        tracked.run_cell("import trainer")
        yield tracked
        import sys

        sys.modules.pop("trainer", None)

    def test_one_is_the_cells(self, library):
        library.run_cell("%%mlflow_run typed --tags a=b\ndepth = 3\nrun_id = trainer.fit('inner')\n")
        run = only_run()
        assert (run.info.run_id, run.info.run_name) == (library.user_ns["run_id"], "inner")
        assert (run.data.params, run.data.metrics, run.data.tags["a"]) == ({"depth": "3"}, {"score": 1.0}, "b")

    def test_several_are_its_children_and_hold_nothing_of_it(self, library):
        library.run_cell(
            "%%mlflow_run typed --tags a=b\ndepth = 3\nfor name in ('one', 'two', None):\n    trainer.fit(name)\n"
        )
        found = by_name()
        assert found["typed"].data.params == {"depth": "3"}
        assert found["typed"].data.tags["a"] == "b"
        children = [run for run in runs() if parent(run) == found["typed"].info.run_id]
        assert len(children) == 3
        for run in children:
            assert run.data.params == {}
            assert run.data.metrics == {"score": 1.0}
            assert "a" not in run.data.tags
            assert artifacts(run) == []

    def test_the_cells_own_curve_is_not_in_one_of_them(self, library):
        library.run_cell(
            "%%mlflow_run typed\nimport math\n"
            "for i in range(5):\n    loss = math.exp(-i)\n    trainer.fit(f'turn {i}')\n"
        )
        found = by_name()
        client = MlflowClient()
        assert [p.step for p in client.get_metric_history(found["typed"].info.run_id, "loss")] == [0, 1, 2, 3, 4]
        assert all("loss" not in found[f"turn {i}"].data.metrics for i in range(5))

    def test_what_the_cell_logs_itself_and_ends_is_a_run_beside_it(self, library):
        library.run_cell("%%mlflow_run typed\nimport mlflow\nmlflow.log_param('mine', 1)\ntrainer.fit.__globals__\n")
        library.run_cell(
            "%%mlflow_run other\nimport mlflow\nmlflow.log_param('mine', 1)\nmlflow.end_run()\ntrainer.fit('below')\n"
        )
        found = by_name()
        (mine,) = (run for name, run in found.items() if name != "typed" and run.data.params == {"mine": "1"})
        assert found["typed"].data.params == {"mine": "1"}
        assert parent(mine) == parent(found["below"]) == found["other"].info.run_id

    def test_a_loop_that_ends_every_active_run_comes_to_its_end(self, library):
        assert library.run_cell(
            "%%mlflow_run\nimport mlflow\nwhile mlflow.active_run():\n    mlflow.end_run()\n"
        ).success
        assert only_run().info.status == "FINISHED"


def test_curves_of_a_cell_that_opens_runs_are_its_own(tracked):
    tracked.run_cell(TRAIN)
    tracked.run_cell(
        "%%mlflow_run curves\nimport math\n"
        "for i in range(4):\n    gap = math.exp(-i)\n    train(f'turn {i}', i + 0.5)\n"
    )
    found = by_name()
    history = MlflowClient().get_metric_history(found["curves"].info.run_id, "gap")
    assert [point.step for point in history] == [0, 1, 2, 3]
    assert all(found[f"turn {i}"].data.metrics == {"score": i + 0.5} for i in range(4))


def test_a_cell_that_looks_as_if_it_opened_a_run_and_does_not_has_one(tracked):
    tracked.run_cell("%%mlflow_run quiet\nimport mlflow\ndepth = 3\nif depth > 5:\n    mlflow.start_run()\n")
    run = only_run()
    assert (run.info.run_name, run.data.params, run.info.status) == ("quiet", {"depth": "3"}, "FINISHED")


def test_a_log_magic_in_such_a_cell_opens_its_run(tracked):
    tracked.run_cell(TRAIN)
    tracked.run_cell("%%mlflow_run both\n%mlflow_log metric before=1\ntrain('inner', 2.0)\n")
    found = by_name()
    assert found["both"].data.metrics == {"before": 1.0, "value": 2.0}  # the cell's last value
    assert parent(found["inner"]) == found["both"].info.run_id


@pytest.mark.slow
def test_a_killed_cell_that_opened_no_run_yet_has_one_all_the_same(start):
    kernel = start()
    kernel.run("%load_ext mlflow_magics\n%mlflow_connect local")
    kernel.send(
        "%%mlflow_run killed\nimport mlflow, time, os, signal\nif False:\n    mlflow.start_run()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    kernel.manager.provisioner.process.wait(30)
    again = start()
    again.run("%load_ext mlflow_magics\n%mlflow_connect local\n%mlflow_sync")
    assert {run.info.run_name: run.info.status for run in again.runs()} == {"killed": "KILLED"}


class TestJob:
    """A job's run is the job's in every order of run cells, plain calls, connecting and failures."""

    ORDERS = {
        "a plain call first": ["mlflow.log_metric('plain', 1)", "%%mlflow_run\ndepth = 3\n"],
        "connected after it": ["mlflow.log_metric('plain', 1)", "%mlflow_connect local", "%%mlflow_run\ndepth = 3\n"],
        "between run cells": ["%%mlflow_run\ndepth = 3\n", "mlflow.log_metric('plain', 1)", "%%mlflow_run\nwide = 2\n"],
        "after a failure": ["%%mlflow_run\ndepth = 3\n1 / 0\n", "mlflow.log_metric('plain', 1)"],
        "ended by himself": ["mlflow.log_metric('plain', 1)\nmlflow.end_run()", "%%mlflow_run\ndepth = 3\n"],
        "a run of his": [
            "%%mlflow_run\ndepth = 3\n",
            "mlflow.log_metric('plain', 1)",
            "%%mlflow_run\nwith mlflow.start_run():\n    mlflow.log_param('his', 1)\n",
        ],
    }

    def cells(self, order, loaded):
        cells = self.ORDERS[order]
        if loaded == "first" or cells[0].startswith("%"):
            return ["import mlflow", "%load_ext mlflow_magics", *cells]
        return ["import mlflow", cells[0], "%load_ext mlflow_magics", *cells[1:]]

    @pytest.fixture
    def job(self, tmp_path, _store):
        """The job's run, in a store of its own."""
        store_in(tmp_path, _store)
        return MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").create_run("0", run_name="the job").info.run_id

    def assert_its_own(self, folder, job, cells):
        """After the end of the process too."""
        run = only_run(uri=f"sqlite:///{folder}/mlflow.db")
        assert (run.info.run_id, run.info.run_name) == (job, "the job")
        assert run.data.metrics == {"plain": 1.0}
        assert run.data.params["depth"] == "3"
        if "end_run" not in "".join(cells):  # that was the author's own doing
            assert run.info.status == "RUNNING"

    @pytest.mark.slow
    @pytest.mark.parametrize("order", ORDERS)
    @pytest.mark.parametrize("loaded", ["first", "late"])
    def test_in_every_order_it_stays_open(self, zygote, tmp_path, state, job, order, loaded):
        cells = self.cells(order, loaded)
        uri = f"sqlite:///{tmp_path}/mlflow.db"
        here, known = f"import os\nos.chdir({str(tmp_path)!r})", "_gate('known')"
        variables = {"MLFLOW_RUN_ID": job, "MLFLOW_TRACKING_URI": uri}
        # Once MLflow has taken the variable away, only the environment that the process was started with tells of it:
        # a fork has its zygote's.
        start = zygote.spawn if loaded == "first" else spawn
        child = start(prepare(tmp_path / "job", [here, *cells, known], state, **variables))
        try:
            child.wait_at("known")
            assert len(runs(uri=uri)) == 1
            child.open("known")
            ran = child.wait()  # it ends as a kernel does: exit handlers run
        finally:
            child.kill()
        assert [each.ok for each in ran] == [True, *("1 / 0" not in cell for cell in cells), True], child.output
        self.assert_its_own(tmp_path, job, cells)

    @pytest.mark.slow
    def test_it_outlives_a_real_kernel(self, start, tmp_path, job):
        cells = self.cells("a run of his", "late")
        kernel = start(MLFLOW_RUN_ID=job, MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/mlflow.db")
        for source in cells:
            assert kernel.run(source).status == "ok"
        kernel.restart()
        self.assert_its_own(tmp_path, job, cells)


def test_child_processes_find_the_run_and_mlflows_own_variable_is_untouched(tracked):
    code = "import os; print(sorted(name for name in os.environ if name.startswith('MLFLOW_RUN')))"
    tracked.run_cell(
        f"%%mlflow_run\nimport subprocess, sys\nsaid = subprocess.run([sys.executable, '-c', {code!r}],"
        " capture_output=True, text=True).stdout\n"
    )
    assert tracked.user_ns["said"].strip() == "[]"
    assert not [name for name in os.environ if name.startswith("MLFLOW_MAGICS_RUN")]
    assert mlflow.active_run() is None
