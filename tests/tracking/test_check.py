"""The check: each step's answer, the hint of the one that fails, and nothing left behind."""

from __future__ import annotations

import time

import mlflow
import pytest
from mlflow import MlflowClient

from mlflow_magics.tracking.connecting.check import check
from mlflow_magics.tracking.connecting.connection import connect
from mlflow_magics.tracking.location import localstore, process_state
from mlflow_magics.vocabulary.errors import ConnectionFailedError
from tests.rig.servers import SilentServer, StatusServer, TlsServer, refused_port

pytestmark = pytest.mark.usefixtures("mlflow_as_found")

STEPS = ["name", "port", "TLS", "authentication", "version", "experiment", "artifact write"]


@pytest.fixture(autouse=True)
def notebook(tmp_path, monkeypatch):
    folder = tmp_path / "notebook"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def results(*arguments, **options):
    here, roots = process_state.take(), localstore.roots()
    steps = check(*arguments, **options)
    assert process_state.take() == here
    assert localstore.roots() == roots
    assert [step.name for step in steps] == STEPS
    for step in steps:
        assert bool(step.hint) == (step.result == "failed"), step
        assert "\n" not in step.detail + step.hint
    return {step.name: step for step in steps}


def words(steps):
    return [step.result for step in steps.values()]


def fails_at(steps, name):
    at = STEPS.index(name)
    assert words(steps)[at:] == ["failed"] + ["not reached"] * (len(STEPS) - at - 1)
    assert {steps[step].result for step in STEPS[:at]} <= {"ok", "not applicable"}
    return steps[name]


class TestLocal:
    def test_all_is_well(self, notebook):
        steps = results("local", "checked")
        na = "not applicable"
        assert words(steps) == ["ok", na, na, na, "ok", "ok", "ok"]
        assert "writable" in steps["name"].detail
        assert mlflow.__version__ in steps["version"].detail
        assert "created" in steps["experiment"].detail
        assert str(notebook / "mlartifacts") in steps["artifact write"].detail
        client = MlflowClient(f"sqlite:///{notebook}/mlflow.db")
        assert client.search_runs([client.get_experiment_by_name("checked").experiment_id]) == []

    def test_without_arguments_it_is_what_connecting_would_take(self):
        connect("./elsewhere", experiment="mine")
        assert results()["name"].detail.startswith("mlflow.db")
        mlflow.set_tracking_uri("sqlite:///theirs.db")
        assert results()["name"].detail.startswith("theirs.db")

    def test_the_connection_is_left_alone(self):
        connection = connect(experiment="mine")
        results("./other")
        with mlflow.start_run() as run:
            pass
        assert run.info.experiment_id == connection.experiment_id
        assert mlflow.get_tracking_uri() == connection.uri

    def test_a_file_that_is_no_database(self, notebook):
        (notebook / "x.db").write_text("no database, but long enough to be read as one\n" * 20)
        fails_at(results("sqlite:///x.db"), "version")

    def test_a_missing_folder(self):
        fails_at(results("sqlite:///no/such/x.db"), "name")

    def test_an_artifact_folder_that_cannot_be_written(self, notebook):
        (notebook / "mlartifacts").mkdir()
        (notebook / "mlartifacts" / "0").write_text("a file in the place of the experiment's folder")
        assert "artifacts" in fails_at(results("local"), "artifact write").hint
        client = MlflowClient(f"sqlite:///{notebook}/mlflow.db")
        assert client.search_runs(["0"]) == []

    def test_a_deleted_experiment(self):
        connection = connect(experiment="gone")
        MlflowClient().delete_experiment(connection.experiment_id)
        assert "restore_experiment" in fails_at(results("local", "gone"), "experiment").hint

    def test_a_typo_is_an_error_and_no_table(self):
        with pytest.raises(ConnectionFailedError, match="did you mean"):
            check("htpp://localhost")


class TestUnreachable:
    def test_a_refused_port(self):
        start = time.monotonic()
        fails_at(results(f"http://127.0.0.1:{refused_port()}"), "port")
        assert time.monotonic() - start < 3

    def test_a_silent_server(self):
        start = time.monotonic()
        with SilentServer() as server:
            fails_at(results(server.url), "version")
        assert time.monotonic() - start < 10

    def test_an_unknown_host(self):
        fails_at(results("http://no-such-host.invalid"), "name")

    def test_a_certificate_nobody_trusts(self, tmp_path, monkeypatch):
        monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
        with TlsServer(tmp_path) as server:
            steps = results(server.url)
        fails_at(steps, "TLS")
        assert steps["port"].result == "ok"

    def test_wrong_credentials(self):
        with StatusServer(401) as server:
            fails_at(results(server.url), "authentication")

    def test_not_an_mlflow_server(self):
        with StatusServer(404) as server:
            fails_at(results(server.url), "version")

    def test_a_server_that_fails_after_its_version(self):
        with StatusServer(200, "3.0.0") as server:
            step = fails_at(results(server.url), "experiment")
        assert "Default" in step.detail


@pytest.mark.slow
def test_a_server_where_all_is_well(mlflow_server):
    steps = results(mlflow_server.url, "checked")
    assert words(steps) == ["ok", "ok", "not applicable", "ok", "ok", "ok", "ok"]
    assert steps["port"].detail == str(mlflow_server.port)
    assert f"{mlflow.__version__} on both sides" in steps["version"].detail
    client = MlflowClient(mlflow_server.url)
    assert client.search_runs([client.get_experiment_by_name("checked").experiment_id]) == []
