"""Files through the outbox: a copy is taken at once, and arrives where plain MLflow would have put it."""

from __future__ import annotations

import contextlib
import os
import shutil
import time

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

from mlflow_magics.tracking import artifacts, connection, delivery, outbox, sender, store
from tests.rig.faulty import Fault, FaultyProxy


@pytest.fixture
def proxy(mlflow_server):
    with FaultyProxy(mlflow_server.url) as proxy:
        yield proxy


@pytest.fixture
def connected(mlflow_as_found, folder, proxy, request, monkeypatch):
    monkeypatch.setattr(sender, "FIRST_SECONDS", 0.05)
    monkeypatch.setattr(sender, "LAST_SECONDS", 0.2)
    monkeypatch.setattr(delivery, "_FILES_SECONDS", 0.2)
    connection.connect(proxy.url, experiment=f"artifacts {request.node.name}")
    yield proxy
    proxy.heal()
    proxy.accept()


@pytest.fixture
def local_store(_store, folder):
    shutil.copy(_store, folder / "mlflow.db")


def stored(server, content):
    """Where a file with this content lies in the server's own folder."""
    root = server.folder / "artifacts"
    return [path for path in root.rglob("*") if path.is_file() and path.read_text(errors="replace") == content]


def sync():
    assert store.current().sync(lambda sent, left: None).waiting.total == 0


def test_a_file_is_copied_at_once(connected, folder, mlflow_server):
    connected.refuse()
    with mlflow.start_run():
        (folder / "model.txt").write_text("the first version")
        mlflow.log_artifact(str(folder / "model.txt"))
        (folder / "model.txt").write_text("overwritten since")
        mlflow.log_artifact(str(folder / "model.txt"), "later")
        (folder / "model.txt").unlink()
    connected.accept()
    sync()
    (first,) = stored(mlflow_server, "the first version")
    (later,) = stored(mlflow_server, "overwritten since")
    assert (first.name, later.parent.name) == ("model.txt", "later")


def test_folders_links_and_strange_names_arrive_whole(connected, folder, mlflow_server):
    connected.refuse()
    tree = folder / "tree"
    # No empty file: requests sends it in chunks, which the rig's proxy does not read.
    names = ["a.txt", "with space/ümlaut ñ.txt", "deep/er/+%&=.txt", ".hidden"]
    for name in names:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(f"tree {name}")
    with contextlib.suppress(OSError):
        (tree / "link.txt").symlink_to(tree / "a.txt")
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(tree), "under")
    connected.accept()
    sync()
    place = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="under")
    found = {os.path.relpath(os.path.join(at, name), place) for at, _, files in os.walk(place) for name in files}
    assert found == {*names, "link.txt"}
    with open(os.path.join(place, names[1])) as file:
        assert file.read() == f"tree {names[1]}"


def test_an_upload_whose_answer_is_lost_leaves_one_file(connected, mlflow_server):
    with connected.faulty(Fault("cut after", "PUT", times=2)), mlflow.start_run():
        mlflow.log_text("sent again", "again.txt")
        store.current().flush(5)
        sync()
    assert len(stored(mlflow_server, "sent again")) == 1
    assert list(store.current().journal.folder.glob("files/*")) == []


def test_files_that_are_not_taken_hold_up_no_value_and_no_cell(connected, mlflow_server):
    connected.add(Fault("answer", "PUT", status=503))
    with mlflow.start_run() as run:
        mlflow.log_text("late file", "late.txt")
        mlflow.log_metric("m", 1.0)
    begun = time.monotonic()
    assert mlflow.get_run(run.info.run_id).data.metrics == {"m": 1.0}
    mlflow.get_run(run.info.run_id)
    assert time.monotonic() - begun < 4
    waiting = store.current().waiting()
    assert (waiting.points, waiting.others, waiting.state) == (0, 1, "waiting")
    assert "files" in waiting.why
    connected.heal()
    deadline = time.monotonic() + 15
    while not stored(mlflow_server, "late file"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    sync()


def test_what_is_too_large_to_be_staged_goes_at_once(connected, folder, monkeypatch, mlflow_server):
    monkeypatch.setattr(outbox, "STRAIGHT_BYTES", 100)
    (folder / "large.bin").write_text("L" * 101)
    (folder / "small.bin").write_text("S" * 100)
    with mlflow.start_run():
        connected.add(Fault("delay", "PUT.*small", seconds=0.5))
        mlflow.log_artifact(str(folder / "large.bin"))
        assert len(stored(mlflow_server, "L" * 101)) == 1
        mlflow.log_artifact(str(folder / "small.bin"))
        assert stored(mlflow_server, "S" * 100) == []
        connected.add(Fault("answer", "PUT.*large", status=400))
        with pytest.raises(Exception, match="400"):
            mlflow.log_artifact(str(folder / "large.bin"))
    connected.heal()
    sync()
    assert len(stored(mlflow_server, "S" * 100)) == 1


def test_where_there_is_no_room_a_file_goes_at_once(connected, monkeypatch, mlflow_server):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    # A full disk that still takes everything else cannot be had without a disk of its own.
    monkeypatch.setattr(shutil, "copy2", full)
    with mlflow.start_run():
        mlflow.log_text("no room here", "direct.txt")
        assert len(stored(mlflow_server, "no room here")) == 1
    assert list(store.current().journal.folder.glob("files/*")) == []


def test_files_of_a_run_that_waits_can_be_read(connected):
    connected.refuse()
    with mlflow.start_run() as run:
        mlflow.log_text("x", "x.txt")
    assert mlflow.artifacts.load_text(f"{run.info.artifact_uri}/x.txt") == "x"
    connected.accept()
    sync()
    assert mlflow.artifacts.load_text(f"{run.info.artifact_uri}/x.txt") == "x"


def test_repositories_pass_for_what_they_stand_for_and_are_put_back(connected):
    front = get_artifact_repository("mlflow-artifacts:/0/x/artifacts")
    assert isinstance(front, MlflowArtifactsRepository)
    assert type(front) is artifacts.OutboxRepository
    assert type(get_artifact_repository("file:///tmp/x")) is LocalArtifactRepository
    connection.disconnect()
    mlflow.set_tracking_uri(connected.url)
    assert type(get_artifact_repository("mlflow-artifacts:/0/x/artifacts")) is MlflowArtifactsRepository
    with pytest.raises(MlflowException):
        get_artifact_repository(artifacts.uri("offline-x"))


def test_files_of_a_local_store_are_where_they_belong_at_once(mlflow_as_found, local_store, folder):
    connection.connect("local", experiment="files")
    with mlflow.start_run() as run:
        mlflow.log_text("here", "a/b.txt")
        place = mlflow.artifacts.download_artifacts(f"{run.info.artifact_uri}/a/b.txt")
        with open(place) as file:
            assert file.read() == "here"
        assert str(folder) in place


def test_a_local_store_offline_gets_its_files_on_sync(mlflow_as_found, local_store, folder):
    connection.connect("local", experiment="files", offline=True)
    with mlflow.start_run() as run:
        mlflow.log_text("here", "a/b.txt")
    sync()
    place = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="a/b.txt")
    with open(place) as file:
        assert file.read() == "here"
    assert [path.read_text() for path in folder.rglob("b.txt")] == ["here"]
