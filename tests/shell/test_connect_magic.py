"""``%mlflow_connect`` through the shell: where to, in which order, and what is shown."""

from __future__ import annotations

import gc
import json
import os
import random
import re
import shutil

import mlflow
import pytest
from mlflow import MlflowClient

from mlflow_magics.tracking.azure import plugin
from mlflow_magics.tracking.location import process_state
from tests.rig.servers import StatusServer, refused_port
from tests.rig.shells import shown
from tests.rig.striking import struck


@pytest.fixture(scope="module", autouse=True)
def _set_aside():
    """Emptying the shell collects garbage: 0.3 s a time, unless what MLflow imported is set aside."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def functions(monkeypatch):
    """MLflow's functions, which some tests overwrite as tutorials do."""
    kept = mlflow.set_tracking_uri, mlflow.set_experiment
    yield kept
    mlflow.set_tracking_uri, mlflow.set_experiment = kept


@pytest.fixture
def stored(shell, folder, _store):
    """A shell in a folder that holds a store: MLflow takes over a second to make one."""
    shutil.copy(_store, folder / "mlflow.db")
    return shell


@pytest.fixture
def connect(shell, capsys):
    """Run ``%mlflow_connect``, which must work; return the block's text on one line, as wrapping may fall anywhere."""
    return lambda words="": shown(shell, capsys, f"%mlflow_connect {words}", store_history=False)


@pytest.fixture
def refused(shell, capsys):
    """Run ``%mlflow_connect``, which must fail; return its one line."""

    def run(words=""):
        capsys.readouterr()
        result = shell.run_cell(f"%mlflow_connect {words}")
        assert type(result.error_in_exec).__name__ == "UsageError", result
        said = str(result.error_in_exec)
        assert "\n" not in said
        shown = capsys.readouterr()
        assert "Traceback" not in shown.out + shown.err
        return said

    return run


def tracks_to():
    return mlflow.get_tracking_uri()


@pytest.fixture
def store_at(folder, _store):
    """Put a fresh store into a folder of that name, and tell its URI."""

    def copy(name):
        (folder / name).mkdir()
        shutil.copy(_store, folder / name / "mlflow.db")
        return f"sqlite:///{folder}/{name}/mlflow.db"

    return copy


class TestTheOrderOfRules:
    def test_first_what_is_given(self, stored, connect, monkeypatch, folder, store_at):
        elsewhere = store_at("elsewhere")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/variable.db")
        mlflow.set_tracking_uri = "http://assigned.invalid"
        shown = connect("elsewhere")
        assert tracks_to() == elsewhere
        assert "elsewhere/mlflow.db (given)" in shown

    def test_then_a_string_that_was_assigned(self, stored, connect, monkeypatch, folder, functions, store_at):
        assigned = store_at("assigned")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/variable.db")
        stored.run_cell(f"import mlflow\nmlflow.set_tracking_uri = {assigned!r}")
        shown = connect()
        assert tracks_to() == assigned
        assert mlflow.set_tracking_uri is functions[0]
        assert shown.count("had been assigned a string instead of called") == 1
        assert stored.run_cell(f"mlflow.set_tracking_uri({assigned!r})").success

    def test_then_what_was_called(self, stored, connect, monkeypatch, folder, store_at):
        called = store_at("called")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/variable.db")
        stored.run_cell(f"import mlflow\nmlflow.set_tracking_uri({called!r})")
        connect()
        assert tracks_to() == called

    def test_then_the_environment(self, stored, connect, monkeypatch, folder, store_at):
        variable = store_at("variable")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", variable)
        assert "(MLFLOW_TRACKING_URI)" in connect()
        assert tracks_to() == variable

    @pytest.mark.skipif(plugin.is_installed(), reason="azureml-mlflow is installed here: see tests/tracking/azure")
    def test_then_azure_mls_config_is_mentioned(self, stored, connect, folder):
        facts = {"subscription_id": "s", "resource_group": "r", "workspace_name": "w"}
        (folder / "config.json").write_text(json.dumps(facts))
        shown = connect()
        assert "config.json names a workspace of Azure ML" in shown
        assert "azureml-mlflow>=" in shown
        assert tracks_to() == f"sqlite:///{folder}/mlflow.db"

    def test_not_where_somebody_says_where_to(self, stored, connect, folder):
        facts = {"subscription_id": "s", "resource_group": "r", "workspace_name": "w"}
        (folder / "config.json").write_text(json.dumps(facts))
        assert "Azure" not in connect("local")

    def test_at_last_a_store_beside_the_notebook(self, stored, connect, folder):
        shown = connect()
        assert tracks_to() == f"sqlite:///{folder}/mlflow.db"
        assert "connected to mlflow.db (the local default)" in shown
        assert f"mlflow {mlflow.__version__}" in shown
        assert "experiment Default" in shown

    def test_beside_the_notebook_and_not_where_the_kernel_stands(self, shell, connect, folder, store_at):
        there = store_at("project")
        shell.user_ns["__vsc_ipynb_file__"] = str(folder / "project" / "train.ipynb")
        connect()
        assert tracks_to() == there

    def test_an_old_file_store_gets_a_line(self, stored, connect, folder):
        (folder / "mlruns" / "0").mkdir(parents=True)
        (folder / "mlruns" / "0" / "meta.yaml").write_text("name: Default\n")
        shown = connect()
        assert "older runs in mlruns" in shown
        assert "mlflow migrate-filestore" in shown or "mlflow ui" in shown

    def test_a_run_without_a_connect_goes_the_same_way_and_says_so(self, stored, capsys, monkeypatch, folder, store_at):
        variable = store_at("variable")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", variable)
        stored.run_cell("%%mlflow_run\na = 1\n")
        assert "connected to variable/mlflow.db (MLFLOW_TRACKING_URI)" in " ".join(capsys.readouterr().out.split())
        (run,) = MlflowClient(variable).search_runs(["0"])
        assert run.data.params == {"a": "1"}


class TestExperiments:
    def test_one_that_is_missing_is_made(self, stored, connect):
        assert "created the experiment 'iris'" in connect("-e iris")
        assert "created" not in connect("-e iris")
        stored.run_cell("%%mlflow_run\na = 1\n")
        found = MlflowClient().get_experiment_by_name("iris")
        assert len(MlflowClient().search_runs([found.experiment_id])) == 1

    @pytest.mark.parametrize(
        ("typed", "name"),
        [
            ('"two words"', "two words"),
            ("'/Users/ada@example.com/ridge'", "/Users/ada@example.com/ridge"),
            ("/Shared/a-b_c.d", "/Shared/a-b_c.d"),
            ('"ünïcödé ☃"', "ünïcödé ☃"),
            ('"it\'s"', "it's"),
            ('"<b>bold</b>"', "<b>bold</b>"),
            ("--experiment=100%", "100%"),
            ('"a;b|c&d"', "a;b|c&d"),
        ],
    )
    def test_names_of_any_kind(self, stored, connect, typed, name):
        connect(typed if typed.startswith("--") else f"-e {typed}")
        stored.run_cell("%%mlflow_run\na = 1\n")
        found = MlflowClient().get_experiment_by_name(name)
        assert len(MlflowClient().search_runs([found.experiment_id])) == 1

    def test_a_name_from_a_variable(self, stored, connect):
        stored.run_cell("team = 'blue'")
        connect("-e {team}-1")
        assert MlflowClient().get_experiment_by_name("blue-1")

    def test_a_deleted_one_has_a_way_out_that_works(self, stored, connect, refused):
        connect("-e gone")
        made = MlflowClient().get_experiment_by_name("gone").experiment_id
        MlflowClient().delete_experiment(made)
        said = refused("-e gone")
        assert f"the experiment 'gone' (id {made}) is deleted" in said
        way_out = re.search(r"bring it back with (.+?), or take another name", said)[1]
        assert stored.run_cell(f"import mlflow\n{way_out}").success
        assert "experiment gone" in connect("-e gone")

    def test_a_deleted_one_stops_the_run_that_asks_for_it(self, stored, connect):
        connect("-e gone")
        MlflowClient().delete_experiment(MlflowClient().get_experiment_by_name("gone").experiment_id)
        connect("-e Default")
        result = stored.run_cell("%%mlflow_run -e gone\nran = True\n")
        assert "is deleted" in str(result.error_in_exec)
        assert "ran" not in stored.user_ns

    def test_the_users_own_set_experiment_is_followed(self, stored, connect):
        connect()
        stored.run_cell("import mlflow\nmlflow.set_experiment('mine');")
        stored.run_cell("%%mlflow_run\na = 1\n")
        found = MlflowClient().get_experiment_by_name("mine")
        assert len(MlflowClient().search_runs([found.experiment_id])) == 1


class TestWrongWords:
    @pytest.mark.parametrize(
        ("typed", "meant"),
        [
            ("htp://host:5000", "http://host:5000"),
            ("http//host:5000", "http://host:5000"),
            ("localhost:5000", "http://localhost:5000"),
            ("mlflow.example.com", "https://mlflow.example.com"),
            ("sqlite:/mlflow.db", "sqlite:///mlflow.db"),
            ("mlflow.db", "sqlite:///mlflow.db"),
            ("databrick", "databricks"),
            ("locl", "local"),
        ],
    )
    def test_a_typo_is_one_line_that_says_what_was_meant(self, refused, folder, typed, meant):
        assert f"did you mean {meant}?" in refused(typed)
        assert not os.listdir(folder)

    def test_an_unknown_option(self, refused):
        assert "did you mean --experiment?" in refused("local --experimnt iris")

    def test_a_refused_port_and_nothing_changes(self, stored, connect, refused):
        connect("-e kept")
        before = tracks_to()
        assert "the port refuses" in refused(f"http://127.0.0.1:{refused_port()}")
        assert tracks_to() == before
        stored.run_cell("%%mlflow_run\na = 1\n")
        found = MlflowClient().get_experiment_by_name("kept")
        assert len(MlflowClient().search_runs([found.experiment_id])) == 1

    def test_credentials_in_what_fails_are_masked(self, refused, capsys):
        with StatusServer(401) as server:
            said = refused(server.url.replace("http://", "http://ada:hunter2hunter2@"))
        assert "hunter2" not in said
        assert "***" in said

    def test_while_a_run_is_open(self, stored, connect, refused, folder):
        connect()
        stored.run_cell("%mlflow_start open")
        assert "a run is open; end it (%mlflow_end)" in refused("elsewhere/")
        assert stored.run_cell("%mlflow_end").success


class TestElsewhere:
    def test_runs_go_where_the_last_connect_says(self, stored, connect, folder, store_at):
        elsewhere = store_at("elsewhere")
        here = f"sqlite:///{folder}/mlflow.db"
        for words, name in (("local", "one"), ("elsewhere", "two"), ("local", "three")):
            connect(words)
            stored.run_cell(f"%%mlflow_run {name}\na = 1\n")
        assert {run.info.run_name for run in MlflowClient(here).search_runs(["0"])} == {"one", "three"}
        assert {run.info.run_name for run in MlflowClient(elsewhere).search_runs(["0"])} == {"two"}

    def test_the_registry_may_be_elsewhere(self, stored, connect, folder, store_at):
        registry = store_at("registry")
        connect(f"local --registry-uri {registry}")
        assert mlflow.get_registry_uri() == registry
        stored.run_cell("%unload_ext mlflow_magics")
        assert os.environ.get("MLFLOW_REGISTRY_URI") is None

    def test_unloading_takes_all_of_it_back(self, stored, connect):
        before = {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")}
        connect("-e iris")
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]
        stored.run_cell("%unload_ext mlflow_magics")
        assert {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")} == before


class TestCheck:
    STEPS = ("name", "port", "TLS", "authentication", "version", "experiment", "artifact write")

    def rows(self, shell, capsys, words):
        capsys.readouterr()
        result = shell.run_cell(f"%mlflow_connect --check {words}")
        assert result.success, result.error_in_exec
        shown = capsys.readouterr().out
        found = {}
        for line in shown.splitlines()[1:]:
            if match := re.match(r"\s+([✓✗·] (?:ok|failed|not reached|not applicable))\s+(\w+(?: write)?)", line):
                found[match[2]] = match[1][2:]
        assert tuple(found) == self.STEPS
        return found, " ".join(shown.split())

    def test_where_all_is_well(self, stored, capsys):
        rows, shown = self.rows(stored, capsys, "local")
        assert set(rows.values()) == {"ok", "not applicable"}
        assert rows["experiment"] == rows["artifact write"] == "ok"
        assert "nothing failed" in shown
        # A check is no connection.
        stored.run_cell("%mlflow_status")
        assert "not connected" in capsys.readouterr().out

    def test_a_refused_port_has_a_hint(self, stored, capsys):
        rows, shown = self.rows(stored, capsys, f"http://127.0.0.1:{refused_port()}")
        assert (rows["name"], rows["port"], rows["experiment"]) == ("ok", "failed", "not reached")
        assert "1 of 7 steps failed" in shown
        assert "hint port:" in shown

    def test_wrong_credentials_are_masked(self, stored, capsys):
        with StatusServer(401) as server:
            address = server.url.replace("http://", "http://ada:hunter2hunter2@")
            rows, shown = self.rows(stored, capsys, address)
        assert (rows["port"], rows["authentication"]) == ("ok", "failed")
        assert "hunter2" not in shown

    @pytest.mark.slow
    def test_a_server(self, stored, capsys, mlflow_server):
        rows, shown = self.rows(stored, capsys, f"{mlflow_server.url} -e checked")
        assert rows["TLS"] == "not applicable"
        assert [step for step, result in rows.items() if result != "ok"] == ["TLS"]
        assert mlflow.__version__ in shown
        # Nothing of the probe is left behind.
        client = MlflowClient(mlflow_server.url)
        assert client.search_runs([client.get_experiment_by_name("checked").experiment_id]) == []


class TestWhatIsShown:
    @pytest.mark.slow
    def test_a_server(self, connect, mlflow_server):
        shown = connect(f"{mlflow_server.url} -e shown")
        identity = MlflowClient(mlflow_server.url).get_experiment_by_name("shown").experiment_id
        assert f"connected to {mlflow_server.url} (given)" in shown
        assert f"{mlflow_server.url}/#/experiments/{identity}" in shown

    @pytest.mark.slow
    def test_as_whom_with_the_credentials_masked(self, connect, mlflow_server):
        shown = connect(mlflow_server.url.replace("http://", "http://ada:hunter2hunter2@") + " -e whom")
        assert "http://***@127.0.0.1" in shown
        assert "as ada" in shown
        assert "hunter2" not in shown

    def test_the_status_before_and_after(self, stored, connect, capsys):
        stored.run_cell("%mlflow_status")
        assert "not connected" in capsys.readouterr().out
        connect("-e iris")
        stored.run_cell("%mlflow_status")
        shown = capsys.readouterr().out
        assert "iris" in shown
        assert "open run none" in " ".join(shown.split())
        stored.run_cell("%mlflow_start long")
        capsys.readouterr()
        stored.run_cell("%mlflow_status")
        assert "long" in capsys.readouterr().out

    def test_the_status_of_autolog_needs_no_connection(self, shell, capsys, folder):
        shell.run_cell("%mlflow_autolog status")
        assert "sklearn" in capsys.readouterr().out
        assert not os.listdir(folder)


class TestWhereTheNextRunGoes:
    def status(self, shell, capsys):
        capsys.readouterr()
        assert shell.run_cell("%mlflow_status").success
        return " ".join(capsys.readouterr().out.split())

    def test_also_before_anything_is_connected(self, stored, capsys, monkeypatch, store_at):
        assert "not connected; the next run goes to mlflow.db (the local default)" in self.status(stored, capsys)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", store_at("variable"))
        assert "the next run goes to variable/mlflow.db (MLFLOW_TRACKING_URI)" in self.status(stored, capsys)

    @pytest.mark.parametrize(
        "code",
        [
            "mlflow.set_experiment('mine');",
            "mlflow.set_experiment(experiment_id=mlflow.MlflowClient().create_experiment('mine'));",
            "def of_a_library():\n    mlflow.set_experiment('mine')\nof_a_library()",
        ],
    )
    def test_after_a_set_experiment(self, stored, connect, capsys, code):
        connect("-e ours")
        assert stored.run_cell(f"import mlflow\n{code}").success
        assert "experiment mine" in self.status(stored, capsys)
        header = stored.magics_manager.registry["MlflowMagics"]
        assert header.session.next_run().experiment_name == "mine"

    def test_after_a_set_tracking_uri(self, stored, connect, capsys, store_at):
        elsewhere = store_at("elsewhere")
        connect("-e ours")
        stored.run_cell(f"import mlflow\nmlflow.set_tracking_uri({elsewhere!r})")
        shown = self.status(stored, capsys)
        assert "the next run goes to elsewhere/mlflow.db (mlflow.set_tracking_uri)" in shown
        stored.run_cell("%%mlflow_run there\na = 1\n")
        assert [run.info.run_name for run in MlflowClient(elsewhere).search_runs(["0"])] == ["there"]
        assert "connected to elsewhere/mlflow.db" in self.status(stored, capsys)

    def test_a_variable_that_changed_since_is_told(self, stored, connect, capsys, monkeypatch, store_at):
        connect()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", store_at("variable"))
        shown = self.status(stored, capsys)
        assert "connected to mlflow.db" in shown
        assert "MLFLOW_TRACKING_URI changed since: %mlflow_connect goes by it, the next run does not" in shown

    def test_where_nothing_can_be_read_in_what_was_said(self, stored, capsys, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "htp://host:5000")
        shown = self.status(stored, capsys)
        assert "runs are not tracked until %mlflow_connect succeeds" in shown
        assert "did you mean http://host:5000?" in shown

    def test_the_panels_head_says_so_too(self, stored, connect, store_at):
        from mlflow_magics.session.panel_backend import SessionBackend

        session = stored.magics_manager.registry["MlflowMagics"].session
        backend = SessionBackend(session, lambda: False, list, lambda job: job())
        connect("-e ours")
        stored.run_cell("import mlflow\nmlflow.set_experiment('mine');")
        assert backend.header().experiment_name == "mine"
        stored.run_cell(f"mlflow.set_tracking_uri({store_at('elsewhere')!r})")
        header = backend.header()
        assert header.where == "elsewhere/mlflow.db"
        assert header.said == "the next run goes there (mlflow.set_tracking_uri)"


class TestAfterARefusal:
    @pytest.mark.parametrize(
        "words",
        [
            "htp://host:5000",
            "http://127.0.0.1:9",
            "sqlite:///no/such/folder/x.db",
            "--config nowhere.json",
            "local -e gone",
        ],
    )
    def test_runs_go_to_no_store_that_nobody_named(self, stored, connect, refused, capsys, folder, words):
        if words.startswith("local"):
            client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
            client.delete_experiment(client.create_experiment("gone"))
        before = (folder / "mlflow.db").read_bytes()
        refused(words)
        capsys.readouterr()
        assert stored.run_cell("%%mlflow_run\na = 1\n").success
        shown = " ".join(capsys.readouterr().out.split())
        assert shown.count("not tracked: %mlflow_connect failed") == 1
        assert "connect again, or %mlflow_connect local" in shown
        assert (folder / "mlflow.db").read_bytes() == before
        stored.run_cell("%mlflow_status")
        assert "runs are not tracked until %mlflow_connect succeeds" in " ".join(capsys.readouterr().out.split())
        for magic in ("%mlflow_runs", "%mlflow_autolog sklearn"):
            assert "%mlflow_connect failed" in str(stored.run_cell(magic).error_in_exec)
        connect("local")
        stored.run_cell("%%mlflow_run\na = 1\n")
        assert len(MlflowClient().search_runs(["0"])) == 1

    def test_a_store_that_is_named_afterwards_is_taken(self, stored, refused, store_at):
        elsewhere = store_at("elsewhere")
        refused("htp://host:5000")
        stored.run_cell(f"import mlflow\nmlflow.set_tracking_uri({elsewhere!r})")
        stored.run_cell("%%mlflow_run\na = 1\n")
        assert len(MlflowClient(elsewhere).search_runs(["0"])) == 1

    def test_an_earlier_connection_goes_on_and_the_line_says_so(self, stored, connect, refused, folder):
        connect("-e kept")
        assert "(still connected to mlflow.db)" in refused("http://127.0.0.1:9")
        stored.run_cell("%%mlflow_run\na = 1\n")
        found = MlflowClient().get_experiment_by_name("kept")
        assert len(MlflowClient().search_runs([found.experiment_id])) == 1


class TestAFailedConnectLeavesTheEarlierOneWhole:
    @pytest.fixture
    def whole(self, stored, connect, folder, store_at):
        """Connected to one store; a second lies beside it. Tell what is connected, and that a run arrives there."""
        from mlflow.tracking._tracking_service.utils import _get_store, _tracking_store_registry

        from mlflow_magics.tracking.calls.patience import timeouts
        from mlflow_magics.tracking.location import localstore
        from mlflow_magics.tracking.patches import store

        store_at("other")
        connect("-e kept")
        session = stored.magics_manager.registry["MlflowMagics"].session

        def state():
            registered = _tracking_store_registry._registry
            return (
                process_state.take(),
                localstore.roots(),
                dict(registered),
                store.current(),
                session.connection,
                _get_store(),
                len(timeouts._patches),
                {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")},
            )

        return state

    @pytest.mark.parametrize(
        ("stage", "words"),
        [
            ("parse", "htp://host"),
            ("probe", "http://127.0.0.1:9"),
            ("experiment", "other -e gone"),
            ("experiment's name", "other -e " + "x" * 600),
            ("outbox", "other"),
            ("plugin", "other"),
            ("sign-in", "azureml://westeurope.api.azureml.ms/mlflow/v1.0/subscriptions/s/resourceGroups/r/providers/"
                        "Microsoft.MachineLearningServices/workspaces/w"),
        ],
    )  # fmt: skip
    def test_at_every_stage(self, stored, refused, whole, folder, monkeypatch, stage, words):
        from mlflow_magics.tracking.azure import entering
        from mlflow_magics.tracking.patches import store

        if stage == "experiment":
            client = MlflowClient(f"sqlite:///{folder}/other/mlflow.db")
            client.delete_experiment(client.create_experiment("gone"))
        if stage == "outbox":
            monkeypatch.setattr(store, "Outbox", lambda *_, **__: (_ for _ in ()).throw(OSError("no room")))
        if stage == "plugin":
            monkeypatch.setattr(store, "plain", lambda *_: (_ for _ in ()).throw(RuntimeError("a plugin's own")))
        if stage == "sign-in" and plugin.is_installed():
            monkeypatch.setattr(entering.signin, "sign_in", lambda *_, **__: (_ for _ in ()).throw(OSError("no net")))
        before = whole()
        assert "(still connected to mlflow.db)" in refused(words)
        assert whole() == before
        assert stored.run_cell("%%mlflow_run\na = 1\n").success
        found = MlflowClient(f"sqlite:///{folder}/mlflow.db").get_experiment_by_name("kept")
        assert len(MlflowClient(f"sqlite:///{folder}/mlflow.db").search_runs([found.experiment_id])) == 1

    @pytest.mark.slow
    def test_at_a_ctrl_c_at_any_moment(self, stored, whole, folder, capsys):
        """A real signal at lines of our own code, spread over the whole of a connect that would succeed."""
        session = stored.magics_manager.registry["MlflowMagics"].session
        rooms = (
            "connection.py",
            "store.py",
            "process_state.py",
            "localstore.py",
            "experiments.py",
            "outbox.py",
            "session.py",
        )
        here, there = f"sqlite:///{folder}/mlflow.db", f"sqlite:///{folder}/other/mlflow.db"

        def connect(strike):
            return struck(lambda: stored.run_cell("%mlflow_connect other -e there"), strike, rooms)

        _, lines = connect(0)
        assert stored.run_cell("%mlflow_connect local -e kept").success
        for strike in random.sample(range(1, lines), 40):
            before = whole()
            result, _ = connect(strike)
            if session.connection.uri == here:
                assert type(result.error_in_exec) is KeyboardInterrupt
                assert whole() == before, strike
            now = session.connection.uri
            assert now in (here, there)
            state = whole()
            assert state[0][process_state.TRACKING_URI] == now, strike
            assert state[3].tracking_uri == now
            assert not state[3].foreign
            assert state[5]._outbox is state[3]
            name = f"run-{strike}"
            assert stored.run_cell(f"%%mlflow_run {name}\na = 1\n").success
            client = MlflowClient(now)
            found = client.get_experiment_by_name("kept" if now == here else "there")
            assert name in [run.info.run_name for run in client.search_runs([found.experiment_id])], strike
            if now != here:
                assert stored.run_cell("%mlflow_connect local -e kept").success
