"""The ends of an outbox: nothing that was written last is lost; the disk itself, forks, a deleted folder."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import threading
import time
from pathlib import Path

import mlflow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow.entities import Metric, Param, RunTag

from mlflow_magics.tracking.calls import forks
from mlflow_magics.tracking.failures.kinds import UnavailableError
from mlflow_magics.tracking.outbox import flusher
from mlflow_magics.tracking.outbox.disk import journals
from mlflow_magics.tracking.outbox.disk.database import ClosedError
from mlflow_magics.tracking.outbox.disk.entries import Key
from mlflow_magics.tracking.outbox.disk.points.points import PointLog
from mlflow_magics.tracking.patches import store
from mlflow_magics.tracking.patches.outbox_store import OutboxStore
from tests.rig.waiting import eventually


@pytest.fixture
def box(tracked_folder):
    """An outbox that sends only when asked, before a store that knows one run."""
    uri = f"sqlite:///{tracked_folder}/mlflow.db"
    made = store.install(uri, uri, offline=True)
    yield made
    store.remove()


@pytest.fixture
def tracked_folder(_store, folder, state):
    shutil.copy(_store, folder / "mlflow.db")
    return folder


def left():
    """What the next kernel finds."""
    (folder,) = journals.left_behind()
    found = journals.take_over(folder)
    rows, keys = found.rows(), found.keys()
    found.close(remove=False)
    return folder, rows, keys


def test_a_value_on_a_device_is_kept_at_a_clean_exit_while_offline(box):
    append = box.appender("offline-x", "loss")
    box.unwritten.read_later(append, 3, 1.5, lambda: 0.25)

    def broken():
        raise RuntimeError("the device is gone")

    box.unwritten.read_later(append, 4, 1.5, broken)
    box.close(0.1)
    folder, _, _ = left()
    assert [(p.step, p.value) for p in PointLog(folder, 0, lambda *_: None)] == [(3, 0.25)]
    assert box.unwritten.unread == 1


def test_a_write_between_the_last_flush_and_the_closing_is_not_deleted(box, monkeypatch):
    """Another thread's, at the latest moment that there is."""
    stop = box.sender.stop
    append = box.appender("offline-x", "loss")
    monkeypatch.setattr(box, "flush", lambda seconds=0: True)

    def late():
        stop()
        append(1, 1.0, 2.0)
        box.journal.add("offline-x", "values", {"params": {"late": "1"}, "tags": {}})

    monkeypatch.setattr(box.sender, "stop", late)
    box.close(0.1)
    _, rows, _ = left()
    assert [row.data["params"] for row in rows] == [{"late": "1"}]


def test_who_writes_when_it_is_closed_is_told_by_an_error_of_ours(box):
    box.close(0.1)
    with pytest.raises(ClosedError):
        box.journal.add("r", "values", {})


def test_all_is_brought_to_the_disk_itself(box, monkeypatch):
    """By count: the database, its log, the points, the notes, and each staged file."""
    monkeypatch.setattr(flusher, "SECONDS", 3600)
    seen = []
    for name in ("fdatasync", "fsync"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda handle, real=real: (seen.append(os.readlink(f"/proc/self/fd/{handle}")), real(handle))
        )
    staged = box.journal.files.new()
    (staged / "a.txt").write_text("a")
    box.journal.add("r", "artifact", {"uri": "", "path": None, "staged": str(staged), "folder": False})
    box.appender("r", "loss")(1, 1.0, 2.0)
    begun = threading.get_ident()
    box._flusher.flush()
    names = {Path(path).name for path in seen}
    assert {"journal.db", "journal.db-wal", "points-00000000.bin", "notes.log", "counts.bin", "a.txt"} <= names
    assert threading.get_ident() == begun
    seen.clear()
    box._flusher.flush()
    assert not [path for path in seen if path.endswith(("a.txt", "journal.db-wal"))]


def test_the_disk_is_brought_up_to_date_each_second_and_not_by_the_loop(box, monkeypatch):
    threads = set()
    real = box.journal.sync
    monkeypatch.setattr(box.journal, "sync", lambda: (threads.add(threading.current_thread().name), real()))
    box.journal.add("r", "values", {"params": {"a": "1"}, "tags": {}})
    eventually(lambda: box.journal._synced == box.journal._db.written)
    assert threads == {"mlflow_magics disk"}


def test_a_folder_that_is_deleted_under_its_kernel_is_told_and_nothing_is_lost(box):
    append = box.appender("r", "loss")
    append(0, 1.0, 0.5)
    box.journal.add("r", "values", {"params": {"a": "1"}, "tags": {}})
    shutil.rmtree(box.journal.folder)
    box._flusher.flush()
    append(1, 1.0, 1.5)
    box.journal.add("r", "values", {"params": {"b": "1"}, "tags": {}})
    (said,) = box.telling.warnings()
    assert said.endswith(f"{box.journal.folder} was deleted")
    assert box.telling.warnings() == []
    assert [p.step for p in box.points.read(0, 10)[0]] == [0]
    assert [p.step for p in box.unwritten.spilled] == [1]
    assert [row.data["params"] for row in box.journal.rows()] == [{"a": "1"}, {"b": "1"}]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_renews_every_lock(box):
    """Each is held by a thread of the parent, at the moment of the fork; in the child nobody lets go of it."""
    held, over = threading.Event(), threading.Event()
    owners = [(owner, name) for owner, locks in forks._locks.items() for name in locks if "stopped" not in name]
    assert {name for _, name in owners} >= {"_lock", "_mutex", "busy", "_changed"}

    def hold():
        for owner, name in owners:
            getattr(owner, name).acquire()
        held.set()
        over.wait(30)
        for owner, name in owners:
            getattr(owner, name).release()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    begun = time.monotonic()
    pid = os.fork()
    if not pid:
        free = all(getattr(owner, name).acquire(timeout=0.1) for owner, name in owners)
        os._exit(0 if free else 1)
    over.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert time.monotonic() - begun < 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_does_not_wait_for_a_request_over_the_network(box):
    box.is_remote = True
    held, over = threading.Event(), threading.Event()

    def ask():
        with box.sender.busy:
            held.set()
            over.wait(30)

    thread = threading.Thread(target=ask)
    thread.start()
    held.wait(10)
    begun = time.monotonic()
    for _ in range(5):
        pid = os.fork()
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)
    took = time.monotonic() - begun
    over.set()
    thread.join()
    assert took < 2.5  # it was a second each


# -- one write cannot stop the others -------------------------------------------------------------------------------

POISON = {
    "time nan": lambda run: {"timestamp": float("nan")},
    "time huge": lambda run: {"timestamp": 10**300},
    "step nan": lambda run: {"step": float("nan")},
    "step huge": lambda run: {"step": 10**300},
    "step complex": lambda run: {"step": 1j},
}


@pytest.mark.parametrize("name", POISON)
def test_a_point_that_no_store_can_keep_is_refused_in_the_cell(box, name):
    given = {"timestamp": 1, "step": 0} | POISON[name]("r")
    with pytest.raises(mlflow.exceptions.MlflowException):
        box.metric("r", Metric("m", 1.0, given["timestamp"], given["step"]))
    assert box.points.count(0) == 0
    assert box.journal.rows() == []


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (Param("\ud800", "1"), mlflow.exceptions.MlflowException),
        (Param("a", "\ud800"), mlflow.exceptions.MlflowException),
        (Param("a\0b", "1"), mlflow.exceptions.MlflowException),
        (Param("../a", "1"), mlflow.exceptions.MlflowException),
        (Param("x" * 251, "1"), mlflow.exceptions.MlflowException),
        (Param(None, "1"), mlflow.exceptions.MlflowException),
        (Param(3, "1"), TypeError),
    ],
)
def test_a_param_that_no_store_can_keep_is_refused_in_the_cell(box, given, error):
    with pytest.raises(error):
        OutboxStore(box.store, box).log_param("r", given)
    assert box.journal.rows() == []


def test_poison_in_the_journal_of_another_version_stops_nothing(box):
    """A time that is no number, a write without its fields, a run that nothing can be said of."""
    run = box.store.create_run("0", "me", 1, [], "mine").info.run_id
    box.points.appender(box.series.new_key(Key(run, "bad", {})))(0, float("nan"), 1.0)
    box.points.appender(box.series.new_key(Key("offline-nobody", "m", {})))(0, 1.0, 1.0)
    box.journal.add(run, "values", {})
    box.journal.add(run, "no such thing", {})
    box.journal.add(run, "artifact", {})
    box.values(run, {"after": "1"}, {})
    box.points.appender(box.series.new_key(Key(run, "good", {})))(0, 1.0, 1.0)
    while box.delivery.round():
        pass
    data = box.store.get_run(run).data
    assert (data.params, data.metrics) == ({"after": "1"}, {"good": 1.0})
    assert "bad" in data.tags["mlflow_magics.rejected"]
    assert box.journal.rows() == []
    assert (box.journal.folder / "damaged" / "points.jsonl").exists()


def drain(box):
    """Send all, as the sender does: again after each failure."""
    for _ in range(50):
        with contextlib.suppress(UnavailableError):
            if not box.delivery.round():
                return
    raise AssertionError("a write blocks the others")


def outcome(target, run, call):
    """What a store raises for a call, by its type."""
    what, *given = call
    try:
        if what == "metric":
            target.log_metric(run, Metric(*given))
        elif what == "param":
            target.log_param(run, Param(*given))
        else:
            target.set_tag(run, RunTag(*given))
    except Exception as error:
        return type(error)
    return None


def stored(target, run):
    """What a run holds, by MLflow's own store."""
    data = target.get_run(run).data
    points = [target.get_metric_history(run, key) for key in data.metrics]
    tags = {key: value for key, value in data.tags.items() if not key.startswith("mlflow")}
    return data.params, tags, sorted(repr((p.key, p.value, p.timestamp, p.step)) for each in points for p in each)


KEYS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["\ud800", "a\0b", "..", "../x", "/a", "a//b", "é", "a b", None, 3, b"by", "k"]),
)
TEXTS = st.one_of(st.text(max_size=6), st.sampled_from(["\ud800", "a\0b", "é" * 9000, "", "None"]))
NUMBERS = st.sampled_from(
    [math.nan, math.inf, -math.inf, 0, 1, -1, 1.5, -1.5, 1e300, 10**20, 10**300, 2**63, 2**63 - 1, -(2**63), True, 1j]
)
VALUES = st.floats() | st.sampled_from(["3", None, True])
CALLS = st.one_of(
    st.tuples(st.just("metric"), KEYS, VALUES, st.just(5), st.just(3)),
    st.tuples(st.just("metric"), st.just("m"), st.just(0.5), NUMBERS, st.just(3)),
    st.tuples(st.just("metric"), st.just("m"), st.just(0.5), st.just(5), NUMBERS),
    st.tuples(st.just("param"), KEYS, TEXTS),
    st.tuples(st.just("tag"), KEYS, TEXTS.filter(lambda text: len(text) < 8000)),
)


@pytest.mark.slow
@given(call=CALLS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_call_has_the_outcome_that_plain_mlflow_has_and_stops_none_after_it(box, call):
    """Left out: a step of numpy's type, which SQLite stores as bytes; a long tag, which is cut in our way and told."""
    plain, ours = (box.store.create_run("0", "me", 1, [], "r").info.run_id for _ in range(2))
    front = OutboxStore(box.store, box)
    assert outcome(front, ours, call) == outcome(box.store, plain, call)
    drain(box)
    assert stored(box.store, ours) == stored(box.store, plain)
    front.log_param(ours, Param("after", "1"))
    drain(box)
    assert box.store.get_run(ours).data.params["after"] == "1"
