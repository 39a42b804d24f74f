"""The backend of the panel over a real session: what it tells, what a click does, in a real shell and a local store."""

from __future__ import annotations

import threading
import time
from functools import partial

import mlflow
import pytest
from mlflow import MlflowClient

from mlflow_magics.session.panel_backend import SessionBackend
from mlflow_magics.vocabulary.errors import MlflowMagicsError
from tests.rig.shells import run_cell


@pytest.fixture
def magics(home):
    home.reset(new_session=True)
    magics = home.magics_manager.registry["MlflowMagics"]
    magics.session.last = None
    yield magics
    while magics.session.open_runs:
        magics.session.close(magics.session.open_runs[-1], "FINISHED")


@pytest.fixture
def run(home, magics):
    return partial(run_cell, home)


@pytest.fixture
def backend(home, magics):
    return SessionBackend(
        magics.session, magics.cells.busy, lambda: list(home.history_manager.input_hist_parsed), lambda job: job()
    )


def stored(run_id):
    return MlflowClient().get_run(run_id)


class TestHeader:
    def test_where_we_are(self, backend):
        header = backend.header()
        assert (header.state, header.said, header.experiment_name) == ("connected", "connected", "home")
        assert header.where.endswith("mlflow.db")
        assert not header.busy

    def test_a_cell_is_running(self, backend, home, run):
        home.user_ns["header"] = backend.header
        run("seen = header()")
        assert home.user_ns["seen"].busy


class TestRun:
    def test_none_before_the_first(self, backend):
        assert backend.run() is None

    def test_a_cell_that_ended(self, backend, run):
        run("%%mlflow_run first --tags stage=dev\nlr = 0.1\nfor i in range(50):\n    loss = 1 / (i + lr)")
        view = backend.run()
        assert (view.name, view.status, view.open_here) == ("first", "FINISHED", False)
        assert view.params == {"lr": "0.1"}
        assert view.metrics["loss"] == pytest.approx(1 / 49.1)
        assert view.tags["stage"] == "dev"
        assert 0 <= view.ended - view.began < 60
        assert abs(view.ended - time.time()) < 60

    def test_live_while_the_cell_runs(self, backend, home, run):
        home.user_ns["backend"] = backend
        backend.run()
        run(
            "%%mlflow_run live\nimport mlflow\nfor i in range(300):\n    loss = 1 / (i + 1)\n"
            "    mlflow.log_metric('own', i, step=i)\nseen = backend.run()"
        )
        view = home.user_ns["seen"]
        assert (view.name, view.status, view.of_cell, view.ended) == ("live", "RUNNING", True, None)
        curves = {curve.name: curve for curve in view.curves}
        assert curves["loss"].count == curves["own"].count == 300
        assert curves["own"].values == tuple(range(300))
        assert (curves["loss"].last, curves["loss"].max) == (1 / 300, 1.0)

    def test_the_curves_stay_when_the_run_is_over(self, backend, run):
        backend.run()
        run("%%mlflow_run kept\nfor i in range(40):\n    loss = 1 / (i + 1)")
        (curve,) = backend.run().curves
        assert (curve.name, curve.count, curve.last) == ("loss", 40, 1 / 40)

    def test_the_curves_of_a_run_before_the_panel_are_asked_for(self, backend, run):
        run("%%mlflow_run before\nfor i in range(40):\n    loss = 1 / (i + 1)")
        told = threading.Event()
        backend.observe(told.set)
        assert mlflow.get_run(backend.session.last[1].run_id).info.status == "FINISHED"  # all is sent
        while not backend.run().curves:
            assert told.wait(20)
        (curve,) = backend.run().curves
        assert (curve.name, curve.count) == ("loss", 40)

    def test_observers(self, backend, run):
        calls = []
        stop = backend.observe(lambda: calls.append(threading.current_thread()))
        run("%%mlflow_run\npass")
        assert len(calls) == 2
        assert set(calls) == {threading.main_thread()}
        stop()
        run("%%mlflow_run\npass")
        assert len(calls) == 2


class TestSteering:
    def test_start_and_end(self, backend):
        backend.start("by click")
        view = backend.run()
        assert (view.name, view.status, view.of_cell) == ("by click", "RUNNING", False)
        assert mlflow.active_run().info.run_id == view.run_id
        backend.end()
        assert backend.run().status == "FINISHED"
        assert mlflow.active_run() is None
        assert stored(view.run_id).info.status == "FINISHED"
        with pytest.raises(MlflowMagicsError, match="no run is open"):
            backend.end()

    @pytest.mark.parametrize("ended", [False, True])
    def test_name_note_and_tag(self, backend, ended):
        backend.start("before")
        run_id = backend.run().run_id
        if ended:
            backend.end()
        backend.rename(run_id, "after")
        backend.describe(run_id, "a **note**")
        backend.tag(run_id, "stage", "prod")
        view = backend.run()
        assert (view.name, view.note, view.tags) == ("after", "a **note**", {"stage": "prod"})
        run = stored(run_id)
        assert run.info.run_name == "after"
        assert run.data.tags["mlflow.note.content"] == "a **note**"
        assert run.data.tags["stage"] == "prod"

    def test_mistakes_are_one_line(self, backend):
        backend.start("x")
        run_id = backend.run().run_id
        for wrong in (
            lambda: backend.rename(run_id, "  "),
            lambda: backend.tag(run_id, " ", "x"),
            lambda: backend.tag(run_id, "api_key", "sk-abcdefghijklmnopqrstuvwxyz123456"),
            lambda: backend.rename("0" * 32, "another's"),
            lambda: backend.use_experiment(" "),
        ):
            with pytest.raises(MlflowMagicsError) as caught:
                wrong()
            assert "\n" not in str(caught.value)

    def test_another_experiment(self, backend, run):
        backend.use_experiment("elsewhere")
        try:
            assert backend.header().experiment_name == "elsewhere"
            run("%%mlflow_run there\npass")
            found = MlflowClient().get_experiment_by_name("elsewhere").experiment_id
            assert stored(backend.run().run_id).info.experiment_id == found
            assert "elsewhere" in backend.experiments()
            with mlflow.start_run() as own:
                assert own.info.experiment_id == found
        finally:
            backend.use_experiment("home")


class TestLogging:
    def test_the_list(self, backend, run):
        run("lr = 0.1\nname = 'adam'\ncfg = {'a': 1, 'b': 2.5}\nimport math\ndef f(): ...\n_private = 3")
        run("accuracy = math.sqrt(0.3)\npassword = 'hunter2-hunter2'")
        rows = {row.name: row for row in backend.loggables()}
        assert rows.keys() == {"lr", "name", "cfg", "accuracy"}
        assert (rows["lr"].role, rows["lr"].value, rows["lr"].kind) == ("param", "0.1", "float")
        assert (rows["accuracy"].role, rows["accuracy"].roles) == ("metric", ("metric", "param"))
        assert "text" in rows["name"].roles
        assert all(row.why for row in rows.values())

    def test_a_secrets_value_under_another_name_is_not_listed(self, backend, run):
        run("password = 'hunter2-hunter2'\nharmless = password")
        assert not backend.loggables()

    def test_into_the_open_run(self, backend, run):
        run("lr = 0.5\naccuracy = sum([0.5, 0.25])")
        backend.start("open")
        logged = backend.log([("lr", "param"), ("accuracy", "metric")])
        assert logged.command == "%mlflow_log param lr\n%mlflow_log metric accuracy"
        assert [line.split("  ")[0] for line in logged.lines] == ["param lr = 0.5", "metric accuracy = 0.75"]
        data = stored(backend.run().run_id).data
        assert (data.params, data.metrics) == ({"lr": "0.5"}, {"accuracy": 0.75})

    def test_what_was_forgotten_goes_into_the_run_that_ended(self, backend, run):
        run("lr = 0.5")
        run("%%mlflow_run done\npass")
        logged = backend.log([("lr", "param")])
        run_id = backend.run().run_id
        assert stored(run_id).data.params == {"lr": "0.5"}
        assert stored(run_id).info.status == "FINISHED"
        assert logged.command.splitlines() == [
            f"%mlflow_start --run-id {run_id}", "%mlflow_log param lr", "%mlflow_end",
        ]  # fmt: skip
        assert backend.run().params == {"lr": "0.5"}
        # The lines do what the click did.
        for line in logged.command.replace("param lr", "metric lr").splitlines():
            run(line)
        assert stored(run_id).data.metrics == {"lr": 0.5}

    def test_one_that_fails_leaves_the_others(self, backend, run):
        run("lr = 0.5\nname = 'adam'")
        backend.start("open")
        logged = backend.log([("name", "metric"), ("gone", "param"), ("lr", "param")])
        assert [
            line.startswith(start)
            for line, start in zip(logged.lines, ("name was not", "gone was not", "param lr"), strict=True)
        ]
        assert stored(backend.run().run_id).data.params == {"lr": "0.5"}

    def test_before_any_run(self, backend, run):
        run("lr = 0.5")
        with pytest.raises(MlflowMagicsError, match="no run is open"):
            backend.log([("lr", "param")])


class TestOthers:
    def test_integrations_and_their_switches(self, backend):
        rows = backend.integrations()
        assert [row.installed != "" for row in rows] == sorted((row.installed != "" for row in rows), reverse=True)
        backend.switch("sklearn", True)
        assert next(row for row in backend.integrations() if row.name == "sklearn").on
        backend.switch("sklearn", False)
        assert not next(row for row in backend.integrations() if row.name == "sklearn").on

    def test_runs_and_details(self, backend, run):
        run("%%mlflow_run listed\nlr = 0.125\nfor i in range(30):\n    loss = 1 / (i + 1)")
        page = backend.runs("params.lr = '0.125'", "newest", "")
        assert page.runs[0].name == "listed"
        (curve,) = backend.details(page.runs[0].run_id).curves
        assert (curve.name, curve.count) == ("loss", 30)


def test_a_run_of_an_outage_has_a_page_once_it_is_sent(shell, mlflow_server):
    assert shell.run_cell(f"%mlflow_connect {mlflow_server.url} -e backend-offline --offline").success
    assert shell.run_cell("%%mlflow_run\nlr = 0.1\n").success
    magics = shell.magics_manager.registry["MlflowMagics"]
    backend = SessionBackend(magics.session, magics.cells.busy, list, lambda job: job())
    assert backend.run().url == ""
    assert shell.run_cell("%mlflow_sync").success
    client = MlflowClient(mlflow_server.url)
    (run,) = client.search_runs([client.get_experiment_by_name("backend-offline").experiment_id])
    assert backend.run().url == f"{mlflow_server.url}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
