"""Connecting: where to, what it leaves in the process, and that all of it is taken back."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import subprocess
import sys
import time

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.tracking._tracking_service.utils import _tracking_store_registry

from mlflow_magics.tracking.azure import plugin
from mlflow_magics.tracking.calls.patience.limits import LIMITS
from mlflow_magics.tracking.connecting.connected import use_experiment
from mlflow_magics.tracking.connecting.connection import connect, disconnect
from mlflow_magics.tracking.location import localstore, process_state
from mlflow_magics.vocabulary.errors import ConnectionFailedError, MlflowMagicsError
from tests.rig.servers import SilentServer, StatusServer, TlsServer, refused_port

pytestmark = pytest.mark.usefixtures("mlflow_as_found")


@pytest.fixture(autouse=True)
def notebook(tmp_path, monkeypatch):
    """The notebook's folder is the working directory."""
    folder = tmp_path / "notebook"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def failure(uri, **options):
    """The error of a connect that must fail, and must leave everything as it was."""
    here, roots, builders = process_state.take(), localstore.roots(), dict(_tracking_store_registry._registry)
    with pytest.raises(ConnectionFailedError) as caught:
        connect(uri, **options)
    assert process_state.take() == here
    assert localstore.roots() == roots
    assert _tracking_store_registry._registry == builders
    assert "\n" not in str(caught.value)
    return caught.value


class TestLocal:
    def test_the_default_store_lies_beside_the_notebook(self, notebook, own_tables):
        connection = connect()
        assert connection.uri == f"sqlite:///{notebook}/mlflow.db"
        assert connection.where == "mlflow.db"
        assert connection.origin == "the local default"
        assert (connection.experiment_id, connection.experiment_name) == ("0", "Default")
        assert connection.experiment_url == ""
        assert connection.mlflow_version == mlflow.__version__
        assert connection.notes == ()
        assert (notebook / "mlflow.db").is_file()

    def test_the_folder_may_be_another_than_the_working_directory(self, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        assert connect(folder=str(tmp_path / "elsewhere")).uri == f"sqlite:///{tmp_path}/elsewhere/mlflow.db"

    @pytest.mark.parametrize("uri", [None, "local", "./store", "sqlite:///mine/x.db"])
    def test_every_experiment_keeps_its_artifacts_beside_the_database(self, uri, notebook):
        (notebook / "mine").mkdir()
        connection = connect(uri, experiment="ours")
        mlflow.set_experiment("theirs")
        with mlflow.start_run() as run:
            mlflow.log_text("hello", "hello.txt")
        folder = (notebook / connection.where).parent / "mlartifacts"
        for name in ("Default", "ours", "theirs"):
            assert mlflow.get_experiment_by_name(name).artifact_location.startswith(str(folder))
        assert next(folder.rglob("hello.txt")).parent.parent.name == run.info.run_id
        assert not (notebook / "mlruns").exists()

    def test_the_same_file_by_another_name_is_the_same_store(self, notebook):
        connect()
        mlflow.set_tracking_uri("sqlite:///mlflow.db")
        mlflow.set_experiment("by its relative name")
        location = mlflow.get_experiment_by_name("by its relative name").artifact_location
        assert location.startswith(str(notebook / "mlartifacts"))

    def test_the_users_runs_go_there_even_after_a_change_of_folder(self, notebook, tmp_path):
        connection = connect(experiment="e")
        os.chdir(tmp_path)
        with mlflow.start_run() as run:
            mlflow.log_param("a", 1)
        assert run.info.experiment_id == connection.experiment_id
        assert not (tmp_path / "mlflow.db").exists()
        assert MlflowClient(connection.uri).get_run(run.info.run_id).data.params == {"a": "1"}

    def test_child_processes_inherit_the_place(self):
        connection = connect(experiment="e")
        code = "import mlflow; r = mlflow.start_run(); mlflow.end_run(); print('id', r.info.experiment_id)"
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert f"id {connection.experiment_id}" in child.stdout
        assert len(MlflowClient(connection.uri).search_runs([connection.experiment_id])) == 1

    def test_nothing_is_printed_or_logged_and_the_users_logging_survives(self, capfd, own_tables):
        root = logging.getLogger()
        mine = logging.NullHandler()
        root.addHandler(mine)
        handlers, level = list(root.handlers), root.level
        try:
            connect()
            assert root.handlers == handlers
            assert root.level == level
        finally:
            root.removeHandler(mine)
        assert capfd.readouterr() == ("", "")

    def test_only_the_last_folder_of_a_path_is_made(self, notebook):
        connect("./new")
        assert (notebook / "new" / "mlflow.db").exists()
        assert "there is no folder" in failure("./no/such/place").reason

    def test_a_file_that_is_no_database(self, notebook):
        (notebook / "x.db").write_text("just text, and long enough to be taken for a header of a page\n" * 20)
        start = time.monotonic()
        assert "SQLite" in failure("sqlite:///x.db").reason
        assert time.monotonic() - start < 3

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
    def test_a_folder_that_cannot_be_written(self, notebook):
        (notebook / "ro").mkdir(mode=0o500)
        assert "cannot be written" in failure("./ro").reason

    def test_a_schema_of_another_mlflow_is_explained(self, notebook):
        connect("sqlite:///x.db")
        disconnect()
        database = sqlite3.connect(notebook / "x.db")
        first_known_revision = "451aebb31d03"  # "add metric step", in every MLflow since 1.0
        for revision, hint in (
            ("fffffffffff0", "pip install --upgrade mlflow"),
            (first_known_revision, "mlflow db upgrade"),
        ):
            with database:
                database.execute("UPDATE alembic_version SET version_num = ?", (revision,))
            # MLflow keeps built stores; this one must be read anew.
            _tracking_store_registry._get_store_with_resolved_uri.cache_clear()
            assert hint in failure("sqlite:///x.db").hint
        database.close()


class TestOrder:
    def test_a_proper_call_wins_over_the_environment(self, notebook, monkeypatch):
        mlflow.set_tracking_uri("sqlite:///called.db")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///variable.db")
        connection = connect()
        assert connection.where == "called.db"
        assert connection.origin == "mlflow.set_tracking_uri"

    def test_the_environment(self, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///variable.db")
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "from the environment")
        connection = connect()
        assert (connection.where, connection.origin) == ("variable.db", "MLFLOW_TRACKING_URI")
        assert connection.experiment_name == "from the environment"

    def test_a_bad_variable_is_named(self, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "localhost:5000")
        error = failure(None)
        assert "MLFLOW_TRACKING_URI" in error.reason
        assert "http://localhost:5000" in error.hint

    def test_an_assigned_string_wins_and_the_function_is_put_back(self, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///variable.db")
        genuine = mlflow.tracking.set_tracking_uri
        mlflow.set_tracking_uri = "sqlite:///assigned.db"
        mlflow.set_experiment = "assigned too"
        connection = connect()
        assert connection.where == "assigned.db"
        assert connection.experiment_name == "assigned too"
        assert mlflow.set_tracking_uri is genuine
        assert mlflow.set_experiment is mlflow.tracking.fluent.set_experiment
        assert any("mlflow.set_tracking_uri" in note for note in connection.notes)
        disconnect()
        assert connect().where == "variable.db"

    def test_an_assigned_string_is_fixed_also_when_a_uri_is_given(self):
        mlflow.set_tracking_uri = "sqlite:///assigned.db"
        assert connect("local").where == "mlflow.db"
        assert callable(mlflow.set_tracking_uri)

    def test_our_own_setting_is_not_taken_for_the_users(self, notebook):
        connect("sqlite:///first.db", experiment="first")
        connection = connect()
        assert (connection.where, connection.origin) == ("mlflow.db", "the local default")
        assert connection.experiment_name == "Default"

    def test_a_call_made_after_connecting_is_the_users(self):
        connect("sqlite:///first.db")
        mlflow.set_tracking_uri("sqlite:///second.db")
        connection = connect()
        assert (connection.where, connection.origin) == ("second.db", "mlflow.set_tracking_uri")

    @pytest.mark.skipif(plugin.is_installed(), reason="azureml-mlflow is installed here: see tests/tracking/azure")
    def test_azure_mls_config_is_mentioned(self, notebook):
        keys = dict.fromkeys(("subscription_id", "resource_group", "workspace_name"), "x")
        (notebook.parent / ".azureml").mkdir()
        (notebook.parent / ".azureml" / "config.json").write_text(json.dumps(keys))
        (notebook / "config.json").write_text("{}")
        connection = connect()
        assert connection.origin == "the local default"
        assert len(connection.notes) == 1
        assert ".azureml/config.json" in connection.notes[0]
        assert "azureml-mlflow>=" in connection.notes[0]

    def test_an_old_file_store_gets_a_line_that_says_what_to_do(self, notebook):
        (notebook / "mlruns" / "0").mkdir(parents=True)
        (notebook / "mlruns" / "0" / "meta.yaml").write_text("experiment_id: '0'\nname: Default\n")
        connection = connect()
        assert connection.where == "mlflow.db"
        assert len(connection.notes) == 1
        known = subprocess.run([sys.executable, "-m", "mlflow", "--help"], capture_output=True, text=True, check=True)
        tool = "mlflow migrate-filestore" if "migrate-filestore" in known.stdout else "mlflow ui --backend-store-uri"
        assert tool in connection.notes[0]


class TestExperiment:
    def test_a_new_one_is_created_and_said(self):
        assert connect(experiment="new").notes == ("created the experiment 'new'",)
        again = connect(experiment="new")
        assert again.notes == ()
        assert mlflow.get_experiment(again.experiment_id).name == "new"

    def test_the_users_active_experiment_is_kept(self):
        mlflow.set_tracking_uri("sqlite:///x.db")
        mlflow.set_experiment("active")
        assert connect().experiment_name == "active"

    def test_but_not_in_another_store(self):
        mlflow.set_tracking_uri("sqlite:///x.db")
        mlflow.set_experiment("active")
        assert connect("local").experiment_name == "Default"

    def test_one_set_after_connecting_is_kept_by_connecting_again(self):
        connect()
        mlflow.set_experiment("theirs")
        assert connect().experiment_name == "theirs"

    def test_and_goes_with_the_store_when_disconnecting(self):
        connect("./other")
        mlflow.set_experiment("theirs")
        disconnect()
        assert mlflow.tracking.fluent._active_experiment_id is None
        assert "MLFLOW_EXPERIMENT_ID" not in os.environ

    def test_an_id_from_the_environment(self, monkeypatch):
        made = connect(experiment="by id").experiment_id
        disconnect()
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", made)
        assert connect().experiment_name == "by id"
        disconnect()
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "4711")
        error = failure(None)
        assert "4711" in error.reason
        assert "MLFLOW_EXPERIMENT_ID" in error.hint

    def test_a_child_gets_a_name_that_fits_the_id(self, monkeypatch):
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "of the environment")
        connect(experiment="given")
        assert os.environ["MLFLOW_EXPERIMENT_NAME"] == "given"
        disconnect()
        assert os.environ["MLFLOW_EXPERIMENT_NAME"] == "of the environment"

    def test_a_deleted_one_is_explained_with_a_way_out_that_works(self):
        connection = connect(experiment="gone")
        MlflowClient().delete_experiment(connection.experiment_id)
        disconnect()
        error = failure("local", experiment="gone")
        assert f"(id {connection.experiment_id})" in error.reason
        restore = error.hint.removeprefix("bring it back with ").partition(", or ")[0]
        eval(restore, {"mlflow": mlflow})
        assert connect("local", experiment="gone").experiment_id == connection.experiment_id

    def test_one_more_is_looked_up_once(self):
        with pytest.raises(MlflowMagicsError, match="mlflow_connect"):
            use_experiment("more")
        connect(experiment="main")
        found = use_experiment("more")
        assert found == (mlflow.get_experiment_by_name("more").experiment_id, "")
        assert mlflow.tracking.fluent._active_experiment_id != found[0]
        MlflowClient().rename_experiment(found[0], "renamed")
        assert use_experiment("more") == found


class TestTakenBack:
    def test_everything(self, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///theirs.db")
        here, builders = process_state.take(), dict(_tracking_store_registry._registry)
        connect("local", experiment="e", registry_uri="sqlite:///registry.db")
        assert mlflow.get_registry_uri() == "sqlite:///registry.db"
        assert _tracking_store_registry._registry != builders
        disconnect()
        assert process_state.take() == here
        assert _tracking_store_registry._registry == builders
        disconnect()
        assert process_state.take() == here

    def test_the_limits_are_set_only_where_the_user_set_none(self, monkeypatch):
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
        connect()
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == LIMITS["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]
        disconnect()
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
        assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ

    def test_not_what_the_user_changed_since(self, monkeypatch):
        connect()
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
        mlflow.set_tracking_uri("sqlite:///theirs.db")
        disconnect()
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "5"
        assert mlflow.get_tracking_uri() == "sqlite:///theirs.db"

    def test_a_builder_put_over_ours_stays_and_ours_only_passes_on(self, monkeypatch):
        connect("./placed")
        below = _tracking_store_registry._registry["sqlite"]
        monkeypatch.setitem(_tracking_store_registry._registry, "sqlite", lambda **options: below(**options))
        over = _tracking_store_registry._registry["sqlite"]
        disconnect()
        assert _tracking_store_registry._registry["sqlite"] is over
        location = MlflowClient("sqlite:///plain.db").get_experiment("0").artifact_location
        assert "mlartifacts" not in location

    def test_connecting_elsewhere_drops_what_no_longer_applies(self):
        connect("./a", registry_uri="sqlite:///registry.db")
        second = connect("./b")
        assert mlflow.get_registry_uri() == second.uri
        assert list(localstore.roots()) == [second.uri]

    def test_a_failing_connect_leaves_the_previous_one(self):
        first = connect(experiment="first")
        failure(f"http://127.0.0.1:{refused_port()}")
        assert mlflow.get_tracking_uri() == first.uri
        assert use_experiment("first")[0] == first.experiment_id


class TestUnreachable:
    """Each way of being unreachable has a line of its own, and its time limit."""

    def failed_within(self, seconds, uri):
        start = time.monotonic()
        error = failure(uri)
        assert time.monotonic() - start < seconds
        return error

    def test_a_refused_port(self):
        error = self.failed_within(3, f"http://localhost:{refused_port()}")
        assert "nothing listens" in error.reason
        assert "mlflow server --port" in error.hint

    def test_a_silent_server(self):
        with SilentServer() as server:
            assert "does not answer" in self.failed_within(10, server.url).reason

    def test_the_users_own_timeout_is_respected(self, monkeypatch):
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        with SilentServer() as server:
            self.failed_within(4, server.url)

    def test_an_unknown_host(self):
        error = failure("http://no-such-host.invalid:5000")
        assert "no host is called 'no-such-host.invalid'" in error.reason

    def test_a_certificate_nobody_trusts_and_both_hints(self, tmp_path, monkeypatch):
        # The rig's server speaks TLS and is no MLflow: the certificate is accepted when the next complaint comes.
        monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
        with TlsServer(tmp_path, 404) as server:
            error = failure(server.url)
            assert "certificate" in error.reason
            assert "REQUESTS_CA_BUNDLE" in error.hint
            monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(server.certificate))
            assert "not an MLflow server" in failure(server.url).reason
            monkeypatch.delenv("MLFLOW_TRACKING_SERVER_CERT_PATH")
            monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
            with pytest.warns(match="Unverified HTTPS"):
                assert "not an MLflow server" in failure(server.url).reason

    def test_tls_and_plain_confused(self, tmp_path):
        with TlsServer(tmp_path) as server:
            assert f"https://127.0.0.1:{server.port}" in failure(server.url.replace("https", "http")).hint
        with StatusServer(200, "3.0.0") as server:
            assert f"did you mean {server.url}?" in failure(server.url.replace("http", "https")).hint

    @pytest.mark.parametrize("status", [401, 403])
    def test_credentials_are_wanted(self, status):
        with StatusServer(status, "no") as server:
            error = failure(server.url.replace("//", "//bob:hunter22@"))
            assert str(status) in error.reason
            assert "MLFLOW_TRACKING_TOKEN" in error.hint
            assert "hunter22" not in str(error)
            assert server.authorizations == ["Basic Ym9iOmh1bnRlcjIy"]

    def test_the_credentials_are_those_mlflow_uses(self, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "tok-tok-tok")
        with StatusServer(401, "no") as server:
            failure(server.url)
            assert server.authorizations == ["Bearer tok-tok-tok"]

    @pytest.mark.parametrize(("status", "body"), [(404, "<html>"), (200, "<html>"), (200, "{}"), (405, "")])
    def test_not_an_mlflow_server(self, status, body):
        with StatusServer(status, body) as server:
            assert "not an MLflow server" in failure(server.url).reason

    def test_a_broken_server(self):
        with StatusServer(503, "overloaded") as server:
            assert "503" in failure(server.url).reason

    def test_a_database_driver_that_is_missing(self):
        # Neither environment of the tests holds a driver for PostgreSQL.
        error = failure("postgresql://u:hunter22@127.0.0.1/db")
        assert "pip install psycopg" in error.hint
        assert "hunter22" not in str(error)

    def test_databricks_needs_a_name(self):
        assert "-e /Users/" in failure("databricks").hint


@pytest.mark.slow
class TestServer:
    def test_at_most_three_requests_and_a_link(self, counting_proxy):
        connection = connect(counting_proxy.url, experiment="three requests")
        assert len(counting_proxy.requests) == 3
        assert connection.experiment_url == f"{counting_proxy.url}/#/experiments/{connection.experiment_id}"
        counting_proxy.requests.clear()
        connect(counting_proxy.url, experiment="three requests")
        assert len(counting_proxy.requests) == 2
        use_experiment("three requests")
        use_experiment("three requests")
        assert len(counting_proxy.requests) == 3

    def test_the_users_own_calls_go_there(self, mlflow_server):
        connection = connect(mlflow_server.url, experiment="own calls")
        with mlflow.start_run() as run:
            mlflow.log_metric("m", 1)
        assert run.info.experiment_id == connection.experiment_id
        assert MlflowClient(mlflow_server.url).get_run(run.info.run_id).data.metrics == {"m": 1.0}

    def test_credentials_in_the_uri_are_used_and_not_shown(self, mlflow_server):
        connection = connect(mlflow_server.url.replace("//", "//bob:hunter22@"), experiment="masked")
        assert connection.user == "bob"
        assert "hunter22" in connection.uri
        shown = (connection.where, connection.experiment_url, *connection.notes)
        assert not any("hunter22" in text for text in shown)

    def test_a_name_that_mlflow_refuses(self, mlflow_server):
        assert "cannot be used" in failure(mlflow_server.url, experiment="x" * 600).reason
