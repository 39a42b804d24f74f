"""Files through the outbox: a copy is taken at once, and arrives where plain MLflow would have put it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
import time

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

from mlflow_magics.tracking.connecting import connection
from mlflow_magics.tracking.outbox import staging
from mlflow_magics.tracking.outbox.disk import addresses, copying, journals
from mlflow_magics.tracking.outbox.sending import files_pause, sender
from mlflow_magics.tracking.patches import artifacts, store
from mlflow_magics.tracking.runs import files
from tests.rig.faulty import Fault, FaultyProxy
from tests.rig.waiting import eventually


@pytest.fixture
def proxy(mlflow_server):
    with FaultyProxy(mlflow_server.url) as proxy:
        yield proxy


@pytest.fixture
def connected(mlflow_as_found, folder, proxy, request, monkeypatch):
    monkeypatch.setattr(sender, "FIRST_SECONDS", 0.05)
    monkeypatch.setattr(sender, "LAST_SECONDS", 0.2)
    monkeypatch.setattr(files_pause, "_FILES_SECONDS", 0.2)
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
    assert store.current().syncing.sync(lambda sent, left: None).waiting.total == 0


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
    waiting = store.current().telling.waiting()
    assert (waiting.points, waiting.others, waiting.state) == (0, 1, "waiting")
    assert "files" in waiting.why
    connected.heal()
    eventually(lambda: stored(mlflow_server, "late file"))
    sync()


def test_what_is_too_large_to_be_staged_goes_at_once(connected, folder, monkeypatch, mlflow_server):
    monkeypatch.setattr(staging, "STRAIGHT_BYTES", 100)
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
        raise copying.NoRoomError("No space left on device")

    # A full disk that still takes everything else cannot be had without a disk of its own.
    monkeypatch.setattr(copying, "_write", full)
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
        get_artifact_repository(addresses.uri("offline-x"))


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


# -- what is no file, what is too much, what leaves the folder ------------------------------------------------------


@pytest.fixture
def special(folder):
    """A FIFO, a socket, a device, a loop of links and a link to nothing: each with the words of its refusal."""
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("sock")
        (folder / "zero").symlink_to("/dev/zero")
        (folder / "a").symlink_to("b")
        (folder / "b").symlink_to("a")
        (folder / "gone").symlink_to("nowhere")
        yield {
            "pipe": "is a FIFO",
            "sock": "is a socket",
            "zero": "is a device",
            "a": "symbolic links",
            "gone": "No such file",
        }


def within_seconds(seconds, job):
    """Do something that might hang; return what it raised."""
    raised = []

    def work():
        try:
            job()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it hangs"
    return raised[0] if raised else None


@pytest.mark.parametrize("name", ["pipe", "sock", "zero", "a", "gone"])
@pytest.mark.parametrize("way", ["online", "waiting", "no room"])
def test_what_is_no_file_is_refused_by_its_name_at_once(connected, folder, special, monkeypatch, name, way):
    if way == "waiting":
        connected.refuse()
    if way == "no room":
        monkeypatch.setattr(journals, "LIMIT_BYTES", 0)
    with mlflow.start_run() as run:
        tree = folder / "tree"
        tree.mkdir()
        (tree / name).symlink_to(folder / name)
        client = mlflow.MlflowClient()
        for job in (
            lambda: client.log_artifact(run.info.run_id, str(folder / name)),
            lambda: client.log_artifacts(run.info.run_id, str(tree)),
        ):
            error = within_seconds(10, job)
            assert special[name] in str(error), error
            assert name in str(error)
    assert list(store.current().journal.folder.glob("files/*")) == []


@pytest.mark.parametrize("name", ["pipe", "sock", "zero", "a", "gone"])
def test_what_is_no_file_is_no_option_either(folder, special, name):
    """`--artifact` and `%mlflow_log artifact`: the rest of the folder is staged."""
    tree = folder / "tree"
    tree.mkdir()
    (tree / "good.txt").write_text("good")
    (tree / name).symlink_to(folder / name)
    place = folder / "staging"
    place.mkdir()
    (said,) = files.stage_paths(["tree"], place)
    assert special[name] in said
    assert name in said
    assert files.staged(place) == ("tree/good.txt",)
    (said,) = files.stage_paths([name], place)
    assert special[name] in said


def test_links_inside_a_folder_are_followed_as_far_as_mlflow_does(connected, folder):
    """A link to a file is its content; a link to a folder is left out, also one to the folder itself."""
    tree, outside = folder / "tree", folder / "outside"
    for place in (tree, outside):
        place.mkdir()
        (place / "file.txt").write_text(place.name)
    (tree / "to_file").symlink_to(outside / "file.txt")
    (tree / "to_folder").symlink_to(outside)
    (tree / "to_itself").symlink_to(tree)

    def names(run_id):
        place = mlflow.artifacts.download_artifacts(run_id=run_id)
        return {os.path.relpath(os.path.join(at, name), place) for at, _, found in os.walk(place) for name in found}

    with mlflow.start_run() as online:
        mlflow.log_artifacts(str(tree))
    sync()
    connected.refuse()
    with mlflow.start_run() as waiting:
        mlflow.log_artifacts(str(tree))
    connected.accept()
    sync()
    place = folder / "staging"
    place.mkdir()
    assert files.stage_paths(["tree"], place) == []
    found = [names(online.info.run_id), names(waiting.info.run_id), set(files.staged(place / "tree"))]
    connection.disconnect()
    mlflow.set_tracking_uri(connected.url)
    with mlflow.start_run() as bare:
        mlflow.log_artifacts(str(tree))
    assert found == [names(bare.info.run_id)] * 3 == [{"file.txt", "to_file"}] * 3


@pytest.mark.parametrize("path", ["../up", "/etc", "a/../../b", "a//b", "."])
@pytest.mark.parametrize("way", ["online", "waiting"])
def test_paths_that_leave_the_folder_are_refused_as_by_the_bare_call(connected, folder, path, way):
    (folder / "tree").mkdir()
    (folder / "tree" / "x.txt").write_text("x")

    def told():
        found = []
        for log in (mlflow.log_artifact, mlflow.log_artifacts):
            with pytest.raises(MlflowException) as raised:
                log(str(folder / "tree" / ("x.txt" if log is mlflow.log_artifact else "")), path)
            found.append((type(raised.value), str(raised.value), raised.value.error_code))
        return found

    if way == "waiting":
        connected.refuse()
    with mlflow.start_run():
        ours = told()
    assert list(store.current().journal.folder.glob("files/*")) == []
    connected.accept()
    connection.disconnect()
    mlflow.set_tracking_uri(connected.url)
    with mlflow.start_run():
        assert told() == ours


def test_bytes_are_counted_as_they_are_copied(connected, folder, monkeypatch):
    """A sparse file counts with its length, and one that grows stops at the bound."""
    monkeypatch.setattr(journals, "LIMIT_BYTES", store.current().journal.held() + 3_000_000)
    with (folder / "sparse").open("wb") as file:
        file.truncate(5_000_000)
    connected.refuse()
    with mlflow.start_run():
        with pytest.raises(MlflowException, match="no room"):
            mlflow.log_artifact(str(folder / "sparse"))
        growing = folder / "growing"
        growing.write_bytes(b"x" * 1_000)
        ends = threading.Event()

        def grow():
            with growing.open("ab") as file:
                while not ends.is_set():
                    file.write(b"x" * 100_000)

        thread = threading.Thread(target=grow)
        thread.start()
        with contextlib.suppress(MlflowException):
            mlflow.log_artifact(str(growing))
        ends.set()
        thread.join()
        held = store.current().journal.folder
        assert sum(path.stat().st_size for path in held.glob("files/*/*")) <= 3_000_000
        (folder / "small").write_bytes(b"s" * 100_000)
        mlflow.log_artifact(str(folder / "small"))
    connected.accept()
    sync()
    assert store.current().journal.files.bytes == 0


@pytest.mark.parametrize(
    "fault",
    [
        Fault("answer", "PUT", status=403, body="forbidden"),
        Fault("answer", "PUT", status=507, body="disk full"),
        Fault("cut before", "PUT"),
    ],
    ids=["403", "507", "cut"],
)
def test_a_run_whose_files_are_not_taken_is_closed_and_they_are_named(connected, mlflow_server, fault):
    connected.add(fault)
    with mlflow.start_run() as run:
        for k in range(3):
            mlflow.log_text("wanted", f"wanted-{k}.txt")
    eventually(lambda: mlflow.get_run(run.info.run_id).info.status == "FINISHED", patience=15)
    waiting = store.current().telling.waiting()
    assert waiting.others == 3
    assert "wanted-0.txt" in waiting.why
    connected.heal()
    sync()
    arrived = [path.name for path in stored(mlflow_server, "wanted") if run.info.run_id in path.parts]
    assert sorted(arrived) == ["wanted-0.txt", "wanted-1.txt", "wanted-2.txt"]
