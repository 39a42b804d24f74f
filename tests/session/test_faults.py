"""What goes wrong around a run: each part fails alone, the user's files and cell stay as they are, runs are closed."""

from __future__ import annotations

import errno
import os

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.utils.autologging_utils import autologging_is_disabled

from mlflow_magics.shell.cell.cells import CellRuns
from mlflow_magics.shell.magics import MlflowMagics
from tests.rig.runs import artifact, artifacts, only_run, runs
from tests.rig.servers import SilentServer, refused_port
from tests.rig.shells import cell


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


class TestArtifacts:
    def test_two_files_of_one_name_are_two_artifacts_and_neither_is_written_to(self, tracked, folder, capsys):
        write(folder / "a" / "r.txt", "AAAA")
        write(folder / "b" / "r.txt", "BB")
        write(folder / "cell.py", "mine")
        tracked.run_cell("%%mlflow_run --artifacts a/r.txt b/r.txt cell.py\nlr = 1\n")
        run = only_run()
        assert artifacts(run) == ["cell.py", "cell_2.py", "r.txt", "r_2.txt"]
        assert (artifact(run, "r.txt"), artifact(run, "r_2.txt"), artifact(run, "cell_2.py")) == ("AAAA", "BB", "mine")
        assert [(folder / name).read_text() for name in ("a/r.txt", "b/r.txt", "cell.py")] == ["AAAA", "BB", "mine"]
        assert "is logged as 'r_2.txt'" in " ".join(capsys.readouterr().out.split())

    def test_links_in_a_folder(self, tracked, folder, capsys):
        write(folder / "real" / "w", "weights")
        (folder / "out").mkdir()
        (folder / "out" / "best").symlink_to("../real/w")
        (folder / "out" / "gone").symlink_to("nowhere")
        tracked.run_cell("%%mlflow_run --artifacts out\nlr = 1\n")
        assert artifact(only_run(), "out/best") == "weights"
        assert artifacts(only_run()) == ["cell.py", "out"]
        assert "not logged whole" in capsys.readouterr().out


class TestEachPartAlone:
    def test_a_model_that_cannot_be_logged(self, tracked, capsys):
        tracked.run_cell("%%mlflow_run --model f\nimport functools\nlr = 0.5\nf = functools.partial(max, 1)\n")
        run = only_run()
        assert (run.info.status, run.data.params) == ("FINISHED", {"lr": "0.5"})
        assert "model f was not logged" in capsys.readouterr().out

    def test_half_characters(self, tracked):
        tracked.run_cell("%%mlflow_run\npath = 'caf\\udce9.csv'\nlr = 0.5\nraise ValueError('\\udce9')\n")
        run = only_run()
        assert (run.info.status, run.data.params) == ("FAILED", {"path": "caf?.csv", "lr": "0.5"})
        assert "traceback.txt" in artifacts(run)

    def test_a_nested_run_that_is_gone(self, tracked):
        tracked.run_cell(
            cell("""
            %%mlflow_run outer
            import mlflow
            inner = mlflow.start_run(nested=True)
            mlflow.delete_run(inner.info.run_id)
            """)
        )
        assert only_run().info.status == "FINISHED"
        assert mlflow.active_run() is None
        assert "MLFLOW_RUN_ID" not in os.environ


class TestStores:
    def test_a_dead_server_does_not_stop_a_cell_that_names_its_experiment(self, shell, monkeypatch, capsys):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{refused_port()}")
        result = shell.run_cell("%%mlflow_run -e diabetes\n'ran'\n")
        assert result.result == "ran"
        assert "writes wait" in " ".join(capsys.readouterr().out.split())

    def test_a_deleted_experiment_stops_the_cell(self, tracked):
        gone = mlflow.create_experiment("gone")
        mlflow.delete_experiment(gone)
        result = tracked.run_cell("%%mlflow_run -e gone\nran = True\n")
        assert "deleted" in str(result.error_in_exec)
        assert "ran" not in tracked.user_ns

    def test_an_experiment_that_is_deleted_meanwhile_costs_no_run(self, tracked, capsys):
        assert tracked.run_cell("%mlflow_connect local -e gone").success
        gone = mlflow.get_experiment_by_name("gone").experiment_id
        mlflow.delete_experiment(gone)
        assert tracked.run_cell("%%mlflow_run kept\nlr = 0.1\n").success
        (run,) = mlflow.MlflowClient().search_runs(["0"])
        assert (run.info.run_name, run.info.status, run.data.params) == ("kept", "FINISHED", {"lr": "0.1"})
        shown = " ".join(capsys.readouterr().out.split())
        assert "experiment Default" in shown
        assert "its experiment was refused" in shown
        # The user's own call is as it ever was.
        assert not tracked.run_cell(f"mlflow.start_run(experiment_id='{gone}')").success

    def test_a_store_that_stops_answering_is_waited_for_once(self, tracked, capsys, monkeypatch):
        from mlflow_magics.tracking.runs import artifacts, earlier
        from mlflow_magics.tracking.runs import runs as room
        from mlflow_magics.vocabulary.errors import TrackingError

        asked = []

        def silent(name):
            def call(*args, **kwargs):
                asked.append(name)
                raise TrackingError("Read timed out. (read timeout=4)", timed_out=True)

            return call

        # A stand-in for a server that hangs from now on: the real one makes the test wait for what it forbids.
        for owner, name in ((room, "write"), (artifacts, "upload"), (room, "close_run"), (earlier, "previous")):
            monkeypatch.setattr(owner, name, silent(name))
        tracked.run_cell("%%mlflow_run\nlr = 1\n")
        assert asked == ["write", "close_run"]  # the last goes to the outbox, and waits for nobody
        assert "does not answer" in " ".join(capsys.readouterr().out.split())

    def test_a_timeout_is_told_from_other_failures(self):
        from mlflow_magics.tracking.runs.runs import close_run
        from mlflow_magics.vocabulary.errors import TrackingError

        run = type("Run", (), {"info": type("Info", (), {"run_id": "0" * 32})()})()
        os.environ |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "1"}
        found = {}
        try:
            with SilentServer() as server:
                for uri in (server.url, f"http://127.0.0.1:{refused_port()}"):
                    mlflow.set_tracking_uri(uri)
                    with pytest.raises(TrackingError) as caught:
                        close_run(run, "FINISHED")
                    found[uri == server.url] = caught.value.timed_out
        finally:
            mlflow.set_tracking_uri(None)
            del os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"], os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"]
        assert found == {True: True, False: False}

    def test_children_are_beside_their_parent(self, tracked):
        tracked.run_cell(
            cell("""
            %%mlflow_run sweep -e tuning
            import mlflow
            for lr in (0.1, 0.2):
                with mlflow.start_run(nested=True):
                    mlflow.log_param("lr", lr)
            """)
        )
        assert len(runs("tuning")) == 3
        assert runs("Default") == []


class TestGoingOn:
    def test_it_keeps_what_was_asked(self, tracked, capsys):
        tracked.run_cell("%%mlflow_run first -e tuning\nimport math\nloss = math.sqrt(4) * math.nan\n")
        run_id = only_run("tuning").info.run_id
        capsys.readouterr()
        tracked.run_cell(f"%%mlflow_run --run-id {run_id} --description hello\nloss = math.sqrt(0.25)\n")
        run = only_run("tuning")
        assert run.data.tags["mlflow.note.content"] == "hello"
        assert run.data.metrics == {"loss": 0.5}
        assert "experiment tuning" in capsys.readouterr().out

    def test_another_experiment_is_refused(self, tracked):
        tracked.run_cell("%%mlflow_run first\na = 1\n")
        result = tracked.run_cell(f"%%mlflow_run --run-id {only_run().info.run_id} -e other\nb = 1\n")
        assert "leave -e out" in str(result.error_in_exec)
        assert mlflow.get_experiment_by_name("other") is None


class TestTakenBack:
    def test_unloading_turns_off_what_was_turned_on(self, tracked):
        tracked.run_cell("%mlflow_autolog sklearn --no-log-models")
        assert not autologging_is_disabled("sklearn")
        tracked.run_cell("%unload_ext mlflow_magics")
        assert autologging_is_disabled("sklearn")

    def test_no_magics_object_is_left(self, shell):
        shell.run_cell("%mlflow_status")
        shell.run_cell("%reload_ext mlflow_magics")
        assert not any(isinstance(each, MlflowMagics) for each in shell.configurables)
        shell.run_cell("%mlflow_status")
        assert sum(isinstance(each, MlflowMagics) for each in shell.configurables) == 1
        shell.run_cell("%unload_ext mlflow_magics")
        assert not any(isinstance(each, MlflowMagics) for each in shell.configurables)
        assert not any(
            isinstance(getattr(callback, "__self__", None), CellRuns)
            for callbacks in shell.events.callbacks.values()
            for callback in callbacks
        )


@pytest.mark.parametrize(
    ("typed", "value"),
    [("version=1.2.3", "1.2.3"), ("commit=0123abc", "0123abc"), ("split=all", "all"), ("n=1+1", "2")],
)
def test_tags_are_text(tracked, typed, value):
    tracked.run_cell(f"%%mlflow_run\n%mlflow_log tag {typed}\n")
    tags = MlflowClient().get_run(only_run().info.run_id).data.tags
    assert tags[typed.split("=")[0]] == value


def test_a_run_whose_files_could_not_be_written_is_closed_all_the_same(tracked, monkeypatch, capsys):
    """A network disk that answers ETIMEDOUT: no time is lost on what else would wait for it, but the run ends."""
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    def late(*_args, **_kwargs):
        raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

    # The one thing here that is not real: a mounted disk that hangs.
    monkeypatch.setattr(LocalArtifactRepository, "log_artifacts", late)
    assert tracked.run_cell("%%mlflow_run timed-out\nlr = 0.1").success
    assert "artifacts were not logged" in capsys.readouterr().out
    run = only_run()
    assert (run.info.run_name, run.info.status, run.data.params) == ("timed-out", "FINISHED", {"lr": "0.1"})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
@pytest.mark.parametrize("call", ["mlflow.log_artifact('pipe')", "mlflow.log_artifacts('folder')"])
def test_a_pipe_is_refused_by_its_name_in_a_local_store_too(tracked, call):
    """To read it would wait for a writer for ever."""
    os.mkdir("folder")
    os.mkfifo("folder/pipe")
    os.mkfifo("pipe")
    result = tracked.run_cell(f"%%mlflow_run\nimport mlflow\n{call}\n")
    assert "pipe" in str(result.error_in_exec)
    assert only_run().info.status == "FAILED"
