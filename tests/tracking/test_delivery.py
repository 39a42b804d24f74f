"""From the journal to a store: in order, within the limits, twice without harm, a refused write without neighbours."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import random
import shutil
import time
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from mlflow.entities import Metric, Param, RunStatus, RunTag
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, PERMISSION_DENIED, REQUEST_LIMIT_EXCEEDED
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from mlflow_magics.tracking.calls.patience import timeouts
from mlflow_magics.tracking.failures.kinds import UnavailableError, failure_kind, limit_of, unavailable
from mlflow_magics.tracking.outbox.disk.damage import setaside
from mlflow_magics.tracking.outbox.disk.entries import Key, RunEntry
from mlflow_magics.tracking.outbox.disk.journal import Journal
from mlflow_magics.tracking.outbox.disk.points import segments
from mlflow_magics.tracking.outbox.disk.points.points import PointLog
from mlflow_magics.tracking.outbox.disk.points.records import Point
from mlflow_magics.tracking.outbox.sending import delivery, sender
from mlflow_magics.tracking.outbox.sending.batches import batches
from mlflow_magics.tracking.outbox.sending.creating import ORIGIN_TAG
from mlflow_magics.tracking.outbox.sending.delivery import Delivery
from mlflow_magics.tracking.outbox.sending.refusals import REJECTED_TAG
from mlflow_magics.tracking.outbox.sending.sender import Sender
from tests.rig.faulty import Fault, FaultyProxy
from tests.rig.waiting import eventually

HOUR = 3_600_000


class Watched:
    """A real store that notes its calls, and fails when it is told to: no real one fails on demand."""

    def __init__(self, store):
        self._store = store
        self.calls = []
        self.fail = lambda name, args: None

    def __getattr__(self, name):
        found = getattr(self._store, name)
        if not callable(found):
            return found

        def call(*args, **kwargs):
            self.calls.append((name, args, kwargs))
            error = self.fail(name, (*args, *kwargs.values()))
            if error is not None:
                raise error
            result = found(*args, **kwargs)
            error = self.fail(f"{name} answer", args)
            if error is not None:
                raise error
            return result

        return call

    def named(self, *names):
        return [each for each in self.calls if each[0] in names]


@pytest.fixture
def store(_store, tmp_path):
    shutil.copy(_store, tmp_path / "mlflow.db")
    return Watched(SqlAlchemyStore(f"sqlite:///{tmp_path}/mlflow.db", (tmp_path / "artifacts").as_uri()))


@pytest.fixture
def box(store, tmp_path):
    """A journal, its points, and the way from them to the store; `box.again()` is what the next kernel makes of it."""
    folder = tmp_path / "journal"
    folder.mkdir()
    journal = Journal(folder, None)

    def again():
        return Delivery(Journal(folder, None), PointLog(folder, 0, lambda *_: None), store, "sqlite://")

    points = PointLog(folder, 10, lambda *_: pytest.fail("no room"))
    box = SimpleNamespace(journal=journal, points=points, store=store, again=again, folder=folder)
    box.delivery = Delivery(journal, points, store, "sqlite://")
    return box


def existing_run(store):
    """A run that somebody else has made."""
    return store.create_run("0", "me", HOUR, [], "existing").info.run_id


def offline_run(box, name="offline", experiment="0", parent=None, doubtful=False):
    run_id = f"offline-{name}"
    tags = {ORIGIN_TAG: name, **({"mlflow.parentRunId": parent} if parent else {})}
    creation = {"name": name, "started": HOUR, "user": "me", "tags": tags, "doubtful": doubtful}
    box.journal.add_run(RunEntry(run_id, "", experiment, creation, True, HOUR))
    box.journal.add(run_id, "create", {})
    return run_id


def values(box, run, params=None, tags=None):
    box.journal.add(run, "values", {"params": params or {}, "tags": tags or {}})


def series(box, run, name, numbers, start=0):
    append = box.points.appender(box.journal.add_key(Key(run, name, {})))
    for step, value in enumerate(numbers, start):
        append(step, 5000.25 + step, value)


def end(box, run, status="FINISHED", at=2 * HOUR):
    box.journal.add(run, "update", {"status": status, "end_time": at, "name": None})


def send(way):
    while way.round():
        pass


def history(store, run, name):
    return [(m.step, m.timestamp, m.value) for m in store._store.get_metric_history(run, name)]


def runs_of(store, experiment="0"):
    return store._store.search_runs([experiment], "", 3, 1000, None, None)


# -- in order, within the limits ------------------------------------------------------------------------------------


def test_batches_keep_mlflows_limits(box):
    run = existing_run(box.store)
    for number in range(250):
        values(box, run, {f"p{number}": str(number)}, {f"t{number}": str(number)})
    series(box, run, "loss", range(2500))
    send(box.delivery)
    for _, _, given in box.store.named("log_batch"):
        sizes = {kind: len(given[kind]) for kind in ("metrics", "params", "tags")}
        assert sizes["params"] <= 100
        assert sizes["tags"] <= 100
        assert sum(sizes.values()) <= 1000
    assert len(box.store.named("log_batch")) == 3
    found = box.store._store.get_run(run).data
    assert len(found.params) == 250
    assert len([tag for tag in found.tags if tag.startswith("t")]) == 250
    assert [point[0] for point in history(box.store, run, "loss")] == list(range(2500))


@pytest.mark.parametrize("most", [1, 7, 50, 150, 1000])
def test_batches_of_any_size_hold_each_entry_once(most):
    entries = [Param(f"p{i}", "x") for i in range(130)] + [RunTag(f"t{i}", "x") for i in range(120)]
    entries += [Metric("m", 0.0, 0, i) for i in range(300)]
    cut = list(batches(entries, most))
    assert all(0 < len(batch) <= most for batch in cut)
    assert Counter(map(id, (e for batch in cut for e in batch))) == Counter(map(id, entries))


def test_points_arrive_as_they_were_made(box):
    run = existing_run(box.store)
    append = box.points.appender(box.journal.add_key(Key(run, "m", {})))
    made = [(-5, 1700000000.123, 0.1), (0, 0.0, float("nan")), (1 << 40, 1700000000.999, -1e-300)]
    for point in made:
        append(*point)
    send(box.delivery)
    found = sorted(history(box.store, run, "m"))
    assert [(step, at) for step, at, _ in found] == [(-5, 1700000000123), (0, 0), (1 << 40, 1700000000999)]
    assert [str(value) for _, _, value in found] == ["0.1", "nan", "-1e-300"]


def test_the_order_of_a_runs_writes_is_kept(box):
    run = existing_run(box.store)
    values(box, run, tags={"a": "1", "b": "1"})
    box.journal.add(run, "untag", {"key": "a"})
    values(box, run, tags={"b": "2", "c": "1"})
    box.journal.add(run, "untag", {"key": "c"})
    values(box, run, tags={"c": "2"})
    box.journal.add(run, "update", {"status": None, "end_time": None, "name": "new name"})
    end(box, run)
    series(box, run, "m", range(3))
    send(box.delivery)
    found = box.store._store.get_run(run)
    assert {key: value for key, value in found.data.tags.items() if key in "abc"} == {"b": "2", "c": "2"}
    assert (found.info.run_name, found.info.status, found.info.end_time) == ("new name", "FINISHED", 2 * HOUR)
    assert [name for name, _, _ in box.store.calls][-1] == "update_run_info"
    assert box.journal.rows() == []


def test_the_end_of_a_run_comes_after_points_behind_the_window(box, monkeypatch):
    monkeypatch.setattr(delivery, "WINDOW", 100)
    run = existing_run(box.store)
    series(box, run, "m", range(250))
    end(box, run)
    send(box.delivery)
    names = [name for name, _, _ in box.store.named("log_batch", "update_run_info")]
    assert names == ["log_batch"] * 3 + ["update_run_info"]


def test_parents_are_created_before_children_and_experiments_before_both(box):
    box.journal.add("", "experiment", {"local": "offline-exp", "name": "new one"})
    # The child's rows come first: its parent has none but the creation, and that comes later.
    child = offline_run(box, "child", "offline-exp", parent="offline-parent")
    values(box, child, {"a": "1"})
    offline_run(box, "parent", "offline-exp")
    send(box.delivery)
    experiment = box.store._store.get_experiment_by_name("new one").experiment_id
    found = {run.info.run_name: run for run in runs_of(box.store, experiment)}
    assert found["child"].data.tags["mlflow.parentRunId"] == found["parent"].info.run_id
    assert found["child"].data.params == {"a": "1"}
    assert found["child"].info.start_time == HOUR
    assert box.journal.renamed() == {"offline-exp": experiment}


def test_full_batches_sent_ahead_create_what_they_need(box):
    """While a loop runs, only its points are sent: the rows with the experiment wait for company."""
    box.journal.add("", "experiment", {"local": "offline-exp", "name": "new one"})
    run = offline_run(box, "r", "offline-exp")
    series(box, run, "m", range(1000))
    assert box.delivery.round(full_batches_only=True)
    experiment = box.store._store.get_experiment_by_name("new one").experiment_id
    (found,) = runs_of(box.store, experiment)
    assert len(history(box.store, found.info.run_id, "m")) == 1000
    assert not any(box.delivery.refusals.by_run.values())
    send(box.delivery)
    assert len(box.store._store.search_experiments()) == 2


def test_an_experiment_that_exists_by_now_is_taken(box):
    there = box.store._store.create_experiment("there")
    box.journal.add("", "experiment", {"local": "offline-exp", "name": "there"})
    offline_run(box, "r", "offline-exp")
    send(box.delivery)
    assert len(runs_of(box.store, there)) == 1


@pytest.mark.parametrize("window", [63, 64, 65])
def test_a_segment_is_deleted_when_its_last_point_was_sent_and_not_before(box, monkeypatch, window):
    monkeypatch.setattr(segments, "SEGMENT", 64)
    monkeypatch.setattr(delivery, "WINDOW", window)
    run = existing_run(box.store)
    series(box, run, "m", range(130))
    send(box.delivery)
    assert [step for step, _, _ in history(box.store, run, "m")] == list(range(130))
    assert [path.name for path in box.folder.glob("points-*")] == ["points-00000002.bin"]
    series(box, run, "m", range(130, 192), start=130)
    send(box.delivery)
    assert list(box.folder.glob("points-*")) == []


def test_full_batches_sent_ahead_leave_the_rest(box):
    run = existing_run(box.store)
    series(box, run, "m", range(1500))
    assert box.delivery.round(full_batches_only=True)
    assert not box.delivery.round(full_batches_only=True)
    assert (box.delivery.position, box.delivery.sent, box.delivery.ahead) == (1000, 1000, 0)
    assert [len(given["metrics"]) for _, _, given in box.store.named("log_batch")] == [1000]


def test_points_that_found_no_room_are_sent_once_also_those_that_come_meanwhile(box):
    run = existing_run(box.store)
    key = box.journal.add_key(Key(run, "m", {}))
    box.delivery.spilled.append(Point(0, 5000.0, 0.5, key))

    def another(name, _):
        if name == "log_batch" and len(box.store.named("log_batch")) == 1:
            box.delivery.spilled.append(Point(1, 5001.0, 0.25, key))

    box.store.fail = another
    send(box.delivery)
    sent = [[each.step for each in given["metrics"]] for _, _, given in box.store.named("log_batch")]
    assert sent == [[0], [1]]
    assert box.delivery.spilled == []


@pytest.mark.parametrize("when", [math.inf, -math.inf, math.nan, 1e306])
def test_a_point_whose_time_is_no_number_is_refused_and_the_others_pass(box, when):
    run = existing_run(box.store)
    append = box.points.appender(box.journal.add_key(Key(run, "m", {})))
    append(0, when, 1.0)
    append(1, 5000.0, 2.0)
    send(box.delivery)
    assert [step for step, _, _ in history(box.store, run, "m")] == [1]
    assert box.delivery.refusals.by_run[run] == [("metric m", "its time is no number")]


def test_what_the_author_logs_himself_is_not_sent_of_ours_by_this_kernel_or_the_next(box):
    run = existing_run(box.store)
    key = box.journal.add_key(Key(run, "ours", {}))
    box.points.appender(key)(0, 5000.0, 1.0)
    series(box, run, "his", [2.0])
    box.delivery.withdraw(key)
    heir = box.again()
    assert heir.withdrawn == {key}
    send(box.delivery)
    send(heir)
    assert box.store._store.get_run(run).data.metrics == {"his": 2.0}
    assert not setaside.is_any(box.folder)


# -- twice without harm ---------------------------------------------------------------------------------------------

ANSWERS = ["create_run answer", "log_batch answer", "update_run_info answer", "create_experiment answer", None]


@pytest.mark.parametrize("lost", ANSWERS)
@pytest.mark.parametrize("heir", [False, True], ids=["the same kernel", "the next kernel"])
def test_an_answer_that_is_lost_doubles_nothing(box, tmp_path, lost, heir):
    box.journal.add("", "experiment", {"local": "offline-exp", "name": "new one"})
    run = offline_run(box, "r", "offline-exp")
    values(box, run, {"a": "1"}, {"t": "x"})
    box.journal.add(run, "untag", {"key": "t"})
    series(box, run, "m", range(1500))
    staged = box.journal.files.new()
    (staged / "file.txt").write_text("content")
    box.journal.add(run, "artifact", {"uri": "", "path": "sub", "staged": str(staged), "folder": False})
    end(box, run)
    failing = [True]

    def fail(name, args):
        if name == lost and failing[0]:
            return MlflowException("the connection was cut", error_code=INTERNAL_ERROR)
        return None

    box.store.fail = fail
    with contextlib.nullcontext() if lost is None else pytest.raises(UnavailableError):
        send(box.delivery)
    failing[0] = False
    send(box.again() if heir else box.delivery)
    experiment = box.store._store.get_experiment_by_name("new one").experiment_id
    (found,) = runs_of(box.store, experiment)
    assert [each.remote for each in box.journal.runs()] == [found.info.run_id]
    assert len(history(box.store, found.info.run_id, "m")) == 1500
    assert found.data.params == {"a": "1"}
    assert "t" not in found.data.tags
    assert REJECTED_TAG not in found.data.tags
    assert found.info.status == "FINISHED"
    files = [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()]
    assert [path.name for path in files] == ["file.txt"]
    assert not staged.exists()


def test_what_the_store_took_before_it_failed_is_done(box):
    run = existing_run(box.store)
    values(box, run, {"a": "1"})
    box.journal.add(run, "untag", {"key": "t"})
    values(box, run, {"b": "1"})
    box.store.fail = lambda name, _: internal(name, _) if name == "delete_tag" else None
    with pytest.raises(UnavailableError):
        send(box.delivery)
    assert [row.op for row in box.journal.rows()] == ["untag", "values"]
    assert (box.delivery.sent, box.delivery.ahead) == (1, 0)


def test_the_next_kernel_goes_on_behind_what_was_sent(box):
    """Not every store leaves a point out that it is sent a second time."""
    run = existing_run(box.store)
    series(box, run, "m", range(10))
    send(box.delivery)
    series(box, run, "m", range(10, 15), start=10)
    send(box.again())
    sent = [[each.step for each in given["metrics"]] for _, _, given in box.store.named("log_batch")]
    assert sent == [list(range(10)), list(range(10, 15))]


def test_sending_everything_again_doubles_nothing(box):
    """A journal whose disk filled up keeps what was sent already, and the next kernel sends it once more."""
    run = offline_run(box)
    values(box, run, {"a": "1"})
    series(box, run, "m", [1.0, float("nan"), 3.0])
    end(box, run)
    copy = box.folder.parent / "copy"
    shutil.copytree(box.folder, copy)
    send(box.delivery)
    second = Delivery(Journal(copy, None), PointLog(copy, 0, lambda *_: None), box.store, "sqlite://")
    send(second)
    (found,) = runs_of(box.store)
    assert len(history(box.store, found.info.run_id, "m")) == 3
    assert not any(second.refusals.by_run.values())


def test_a_file_whose_sending_was_cut_short_while_tidying_up_is_no_trouble(box):
    run = existing_run(box.store)
    staged = box.journal.files.new()  # its file is gone already
    box.journal.add(run, "artifact", {"uri": "", "path": None, "staged": str(staged), "folder": False})
    send(box.delivery)
    assert not any(box.delivery.refusals.by_run.values())
    assert not staged.exists()


# -- refused --------------------------------------------------------------------------------------------------------


def test_one_poisoned_write_of_each_kind_is_set_aside_and_its_neighbours_pass(box):
    run = existing_run(box.store)
    box.store._store.log_batch(run, [], [Param("p500", "first")], [])
    for number in range(1000):
        values(box, run, {f"p{number}": "x"}, {("t" * 300 if number == 300 else f"t{number}"): "x"})
    series(box, run, "m" * 300, [1.0])
    series(box, run, "good", range(1000))
    box.journal.add(run, "untag", {"key": "nothing"})
    end(box, run)
    send(box.delivery)
    found = box.store._store.get_run(run)
    assert len(found.data.params) == 1000
    assert found.data.params["p500"] == "first"
    assert len([tag for tag in found.data.tags if tag.startswith("t")]) == 999
    assert len(history(box.store, run, "good")) == 1000
    assert found.info.status == "FINISHED"
    what = [what for what, _ in box.delivery.refusals.by_run[run]]
    assert sorted(what) == sorted(["param p500", "metric " + "m" * 300, "tag " + "t" * 300])
    assert all(name in found.data.tags[REJECTED_TAG] for name in ("param p500", "Changing param values"))
    assert [each for each, _ in box.journal.rejected(run)] == what


def test_a_run_whose_experiment_is_gone_is_in_the_default_one(box):
    run = offline_run(box, "moved", experiment="12345")
    values(box, run, {"a": "1"})
    series(box, run, "m", range(3))
    end(box, run)
    send(box.delivery)
    (found,) = runs_of(box.store)
    assert (found.info.run_name, found.info.status, found.data.params) == ("moved", "FINISHED", {"a": "1"})
    assert len(history(box.store, found.info.run_id, "m")) == 3
    assert [what for what, _ in box.delivery.refusals.by_run[run]] == ["its experiment"]
    assert "The run is in 'Default'" in found.data.tags[REJECTED_TAG]


def test_a_refused_run_does_not_hold_up_the_others(box):
    home = box.store._store.create_experiment("home")
    box.store._store.delete_experiment("0")
    bad = offline_run(box, "bad", experiment="12345")
    values(box, bad, {"a": "1"})
    good = offline_run(box, "good", experiment=home)
    values(box, good, {"a": "1"})
    send(box.delivery)
    assert [run.info.run_name for run in runs_of(box.store, home)] == ["good"]
    assert [what for what, _ in box.delivery.refusals.by_run[bad]] == ["the run"]


def test_a_param_changed_in_one_batch_keeps_its_first_value(box):
    run = existing_run(box.store)
    values(box, run, {"lr": "1", "x": "1"})
    values(box, run, {"lr": "2", "y": "1"})
    values(box, run, {"lr": "1"})
    send(box.delivery)
    assert box.store._store.get_run(run).data.params == {"lr": "1", "x": "1", "y": "1"}
    assert [what for what, _ in box.delivery.refusals.by_run[run]] == ["param lr"]


def test_a_deleted_run_costs_a_few_requests_not_one_a_point(box):
    run, other = existing_run(box.store), existing_run(box.store)
    box.store._store.delete_run(run)
    series(box, run, "m", range(3000))
    values(box, other, {"a": "1"})
    send(box.delivery)
    assert len(box.store.calls) < 15
    assert box.delivery.refusals.by_run[run]
    assert box.store._store.get_run(other).data.params == {"a": "1"}


def test_what_was_refused_is_told_once(box):
    run = existing_run(box.store)
    box.store._store.log_batch(run, [], [Param("a", "1")], [])
    for value in ("2", "2", "3"):
        values(box, run, {"a": value})
        send(box.delivery)
    series(box, run, "m", range(5))
    send(box.delivery)
    series(box, run, "m", range(5, 10))
    send(box.delivery)
    whys = [why for what, why in box.delivery.refusals.by_run[run] if what == "param a"]
    assert len(whys) == len(set(whys))
    assert len(box.store.named("set_tag")) <= 2


# -- not now --------------------------------------------------------------------------------------------------------


class StrangeError(Exception):
    """What a plugin may raise."""


STRANGE = [
    StrangeError(),
    OSError(5, "input/output error"),
    RuntimeError("no running event loop"),
    MlflowException("many\nlines " * 50, error_code=INTERNAL_ERROR),
    StopIteration("x"),
]


@pytest.mark.parametrize("error", STRANGE, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("name", ["create_run", "log_batch", "update_run_info"])
def test_a_store_that_raises_strange_things_is_asked_again(box, name, error):
    run = offline_run(box)
    values(box, run, {"a": "1"})
    end(box, run)
    box.store.fail = lambda called, args: error if called == name else None
    for _ in range(3):
        with pytest.raises(UnavailableError) as caught:
            box.delivery.round()
        assert "\n" not in caught.value.why
    box.store.fail = lambda called, args: None
    send(box.delivery)
    (found,) = runs_of(box.store)
    assert (found.data.params, found.info.status) == ({"a": "1"}, "FINISHED")


def internal(*_):
    return MlflowException("server error", error_code=INTERNAL_ERROR)


def test_a_value_that_a_living_store_can_never_take_is_set_aside_after_some_tries(box):
    run = existing_run(box.store)
    series(box, run, "good", range(100))
    values(box, run, {"bad": "1", "fine": "1"})
    end(box, run)

    def fail(name, args):
        poisoned = name == "log_batch" and any(
            p.key == "bad" for each in args if each for p in each if hasattr(p, "key")
        )
        return internal() if poisoned else None

    box.store.fail = fail
    tries = 0
    while box.journal.rows():
        tries += 1
        with contextlib.suppress(UnavailableError):
            send(box.delivery)
    assert 3 <= tries <= 12
    assert [what for what, _ in box.delivery.refusals.by_run[run]] == ["param bad"]
    found = box.store._store.get_run(run)
    assert (found.data.params, found.info.status) == ({"fine": "1"}, "FINISHED")
    assert len(history(box.store, run, "good")) == 100


def test_a_long_outage_is_no_reason_to_give_a_value_up(box):
    """After many failures the first answers of a store that comes back may be errors too: nothing is set aside."""
    run = existing_run(box.store)
    values(box, run, {"a": "1"})
    box.store.fail = internal  # everything fails
    for _ in range(30):
        with pytest.raises(UnavailableError):
            box.delivery.round()
    box.store.fail = lambda name, args: internal() if name == "log_batch" else None
    for _ in range(2):
        with pytest.raises(UnavailableError):
            box.delivery.round()
    box.store.fail = lambda name, args: None
    send(box.delivery)
    assert not any(box.delivery.refusals.by_run.values())
    assert box.store._store.get_run(run).data.params == {"a": "1"}


@pytest.mark.parametrize("code", [PERMISSION_DENIED, REQUEST_LIMIT_EXCEEDED])
def test_credentials_and_rate_limits_never_cost_a_value(box, code):
    run = existing_run(box.store)
    values(box, run, {"a": "1"})
    box.store.fail = lambda name, args: MlflowException("no", error_code=code) if name == "log_batch" else None
    for _ in range(30):
        with pytest.raises(UnavailableError):
            box.delivery.round()
    box.store.fail = lambda name, args: None
    send(box.delivery)
    assert box.store._store.get_run(run).data.params == {"a": "1"}
    assert not any(box.delivery.refusals.by_run.values())


def test_a_slow_store_gets_less_at_a_time_and_more_again_later(box):
    run = existing_run(box.store)
    series(box, run, "m", range(2000))
    slow = MlflowException("Read timed out. (read timeout=30)", error_code=INTERNAL_ERROR)
    box.store.fail = lambda name, args: slow if name == "log_batch" and len(args[1]) > 200 else None
    for _ in range(10):
        with contextlib.suppress(UnavailableError):
            send(box.delivery)
            if not box.points.count(box.delivery.position):
                break
    assert len(history(box.store, run, "m")) == 2000
    box.store.fail = lambda name, args: None
    box.store.calls.clear()
    for start in range(2000, 8000, 1000):
        series(box, run, "m", range(1000), start=start)
        send(box.delivery)
    assert max(len(given["metrics"]) for _, _, given in box.store.named("log_batch")) == 1000
    assert len(history(box.store, run, "m")) == 8000


def test_files_that_their_store_does_not_take_hold_up_no_value(box, monkeypatch):
    run = existing_run(box.store)
    staged = box.journal.files.new()
    (staged / "f.txt").write_text("x")
    box.journal.add(run, "artifact", {"uri": "", "path": None, "staged": str(staged), "folder": False})
    values(box, run, {"a": "1"})
    end(box, run)
    taking = []

    def repository(uri, tracking_uri):
        def log_artifact(file, path):
            if not taking:
                raise OSError("the bucket is gone")
            taking.append(file)

        return SimpleNamespace(log_artifact=log_artifact)

    monkeypatch.setattr(delivery.replay, "repository_at", repository)
    send(box.delivery)
    found = box.store._store.get_run(run)
    assert (found.data.params, found.info.status) == ({"a": "1"}, "FINISHED")
    assert [row.op for row in box.journal.rows()] == ["artifact"]
    assert "the bucket is gone" in box.delivery.files.trouble
    taking.append("yes")
    box.delivery.files._until = 0.0
    send(box.delivery)
    assert box.journal.rows() == []
    assert box.delivery.files.trouble == ""
    assert len(taking) == 2


@pytest.mark.parametrize(("folder", "called"), [(None, "artifact f.txt"), ("a/b", "artifact a/b/f.txt")])
def test_a_file_that_is_refused_is_called_by_its_name(box, monkeypatch, folder, called):
    run = existing_run(box.store)
    staged = box.journal.files.new()
    (staged / "f.txt").write_text("x")
    box.journal.add(run, "artifact", {"uri": "", "path": folder, "staged": str(staged), "folder": False})

    def log_artifact(file, path):
        raise ValueError("no such thing")

    monkeypatch.setattr(delivery.replay, "repository_at", lambda *_: SimpleNamespace(log_artifact=log_artifact))
    send(box.delivery)
    assert box.delivery.refusals.by_run[run] == [(called, "no such thing")]


def test_points_of_a_series_that_was_never_written_down_stop_nobody(box):
    """The disk was full when the series began: its points are in the file, its name died with the kernel."""
    run = existing_run(box.store)
    box.points.appender(77)(0, 1.0, 1.0)
    series(box, run, "m", range(3))
    send(box.delivery)
    assert len(history(box.store, run, "m")) == 3
    assert box.points.count(box.delivery.position) == 0
    assert json.loads((box.folder / "damaged" / "points.jsonl").read_text()) == [0, 1.0, 1.0, 77]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MlflowException("x", error_code=INTERNAL_ERROR), "unavailable"),
        (MlflowException("x", error_code=PERMISSION_DENIED), "unauthorized"),
        (MlflowException.invalid_parameter_value("x"), "refused"),
        (TypeError("x"), "refused"),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"), "refused"),
        (ConnectionError("x"), "unavailable"),
        (TimeoutError("x"), "unavailable"),
        (KeyboardInterrupt(), "unavailable"),
    ],
)
def test_what_a_failure_means(error, expected):
    assert failure_kind(error) == expected


# Azure's packages are not installed here: their errors are known by name, and by these attributes.
class HttpResponseError(Exception):
    def __init__(self, message="x", status=None, headers=None):
        super().__init__(message)
        self.status_code = status
        self.response = SimpleNamespace(headers=headers or {}) if status else None


class ClientAuthenticationError(HttpResponseError):
    pass


class CredentialUnavailableError(ClientAuthenticationError):
    pass


def raised_from(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        ClientAuthenticationError("AADSTS700082: The refresh token has expired"),
        CredentialUnavailableError("no managed identity"),
        raised_from(MlflowException.invalid_parameter_value("x"), ClientAuthenticationError()),
        raised_from(Exception("upload failed"), raised_from(ValueError("x"), CredentialUnavailableError())),
    ],
)
def test_without_sign_in_the_store_is_waited_for(error):
    found = unavailable(error, None)
    assert failure_kind(error) == "unauthorized"
    assert found.why == "sign-in expired: az login, then %mlflow_sync"
    assert found.passing


def test_a_storage_account_that_forbids_is_no_sign_in_that_ended():
    error = ClientAuthenticationError("AuthenticationFailed for https://a.blob.core.windows.net/c/n.txt?sig=c2ln", 403)
    found = unavailable(error, None)
    assert failure_kind(error) == "unauthorized"
    assert found.why.startswith("the store refuses these credentials: AuthenticationFailed")
    assert "c2ln" not in found.why


@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, "unauthorized"), (403, "unauthorized"), (400, "refused"), (429, "unavailable"), (503, "unavailable")],
)
def test_azures_answers_are_judged_by_their_status(status, expected):
    error = HttpResponseError("x", status, {"Retry-After": "7"})
    assert failure_kind(error) == expected
    assert unavailable(error, None).after == 7.0


def test_a_gateways_404_is_no_answer_of_the_services_behind_it():
    error = HttpResponseError("Operation returned an invalid status 'Not Found'", 404)
    assert failure_kind(error) == "unavailable"
    error.error = "(UserError) Run not found"  # as azure-core reads it from the body
    assert failure_kind(error) == "refused"


@pytest.mark.parametrize("code", [{}, {"error_code": "INVALID_PARAMETER_VALUE"}])
def test_a_run_that_is_full_is_told_from_other_refusals(code):
    text = "The request is not valid. FieldName=Parameters, Limit=200, Size=210. Too many."
    error = RestException({**code, "Error": {"Code": "ValidationError", "Message": "x" * 400 + text}})
    assert failure_kind(error) == "refused"
    assert limit_of(error) == ("Parameters", 200)
    assert limit_of(MlflowException.invalid_parameter_value("x")) is None


# -- the thread -----------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    """Pauses of a few milliseconds."""
    monkeypatch.setattr(sender, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(sender, "FIRST_SECONDS", 0.02)
    monkeypatch.setattr(sender, "LAST_SECONDS", 0.05)
    monkeypatch.setattr(sender, "AGE_SECONDS", 0.05)


@pytest.fixture
def thread(box, quick):
    made = Sender(box.delivery, offline=False, before=lambda: None)
    yield made
    made.stop()


def test_what_is_written_is_sent_by_itself(box, thread):
    run = existing_run(box.store)
    values(box, run, {"a": "1"})
    series(box, run, "m", range(5))
    eventually(lambda: not box.journal.rows() and box.delivery.position == 5)
    assert thread.state == "sending"


def test_the_pauses_between_tries_grow_up_to_the_longest(box, monkeypatch):
    monkeypatch.setattr(sender, "LAST_SECONDS", 4.0)
    tried = Sender(box.delivery, offline=True, before=lambda: None)
    tried.stop()
    pauses = [tried._failed(UnavailableError("gone")) for _ in range(20)]
    for number, pause in enumerate(pauses):
        longest = min(sender.FIRST_SECONDS * 2**number, 4.0)
        assert longest / 2 <= pause <= longest
    assert (tried.state, tried.trouble) == ("offline", "gone")


def test_a_thread_survives_a_mistake_of_ours(box, thread):
    run = existing_run(box.store)
    key = box.journal.add_key(Key(run, "m", {"unknown argument": "x"}))
    box.points.appender(key)(0, 1.0, 1.0)
    eventually(lambda: thread.trouble)
    assert thread._thread.is_alive()
    assert not thread.flush(lambda: False, 0.3)


def test_flush_returns_at_once_after_a_failure_and_all_is_sent_later(box, thread):
    run = existing_run(box.store)
    box.store.fail = internal
    values(box, run, {"a": "1"})
    begun = time.monotonic()
    assert not thread.flush(lambda: not box.journal.rows(), 5.0)
    assert not thread.flush(lambda: not box.journal.rows(), 5.0)
    assert time.monotonic() - begun < 2.0
    assert thread.state == "waiting"
    box.store.fail = lambda *_: None
    eventually(lambda: not box.journal.rows())
    eventually(lambda: thread.state == "sending")


def test_trouble_stays_until_the_store_has_answered(box, thread):
    """Somebody who only read found the store gone: nobody shall wait for it again just because nothing is waiting."""
    box.store.fail = internal
    thread.unreachable("it does not answer")
    asked = len(box.store.named("search_experiments"))
    eventually(lambda: len(box.store.named("search_experiments")) > asked + 2)
    assert thread.state == "waiting"
    box.store.fail = lambda *_: None
    eventually(lambda: thread.state == "sending")


def test_the_thread_touches_no_global_random_state(box, thread):
    """Backoff has jitter; a seeded cell that runs meanwhile must compute the same."""
    random.seed(1)
    np.random.seed(1)
    before, numpy_before = random.getstate(), np.random.get_state()
    box.store.fail = internal
    values(box, offline_run(box), {"a": "1"})
    thread.nudge()
    eventually(lambda: thread._tries > 5)
    box.store.fail = lambda *_: None
    eventually(lambda: not box.journal.rows())
    assert random.getstate() == before
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), numpy_before, strict=True))


# -- over HTTP ------------------------------------------------------------------------------------------------------


@pytest.fixture
def http(mlflow_server, tmp_path, monkeypatch):
    """A way to a real server, through a proxy that goes wrong when told to."""
    from mlflow.store.tracking.rest_store import RestStore
    from mlflow.utils.rest_utils import MlflowHostCreds

    folder = tmp_path / "journal"
    folder.mkdir()
    timeouts.install()
    with FaultyProxy(mlflow_server.url) as proxy:
        credentials = {"host": proxy.url}
        store = RestStore(lambda: MlflowHostCreds(**credentials))
        journal = Journal(folder, None)
        points = PointLog(folder, 10, lambda *_: pytest.fail("no room"))
        way = Delivery(journal, points, store, proxy.url)
        direct = RestStore(lambda: MlflowHostCreds(mlflow_server.url))
        run = direct.create_run("0", "me", HOUR, [], "over http").info.run_id
        yield SimpleNamespace(
            journal=journal, points=points, delivery=way, proxy=proxy, direct=direct, run=run, credentials=credentials
        )
    timeouts.remove()


LIMITED = Fault("answer", "log-batch", times=2, status=429, headers=(("Retry-After", "0.5"),))


def test_retry_after_is_kept_to(http, quick):
    http.proxy.add(LIMITED)
    values(http, http.run, {"a": "1"})
    thread = Sender(http.delivery, offline=False, before=lambda: None)
    eventually(lambda: not http.journal.rows())
    thread.stop()
    tries = http.proxy.matching("log-batch")
    assert [each.done for each in tries] == ["answer 429", "answer 429", "forwarded"]
    for first, second in itertools.pairwise(tries):
        assert second.when - first.when >= 0.5
    assert http.direct.get_run(http.run).data.params == {"a": "1"}


@pytest.mark.parametrize("status", [500, 502, 503, 401, 403, 404, 429, 200, 302])
def test_whatever_a_proxy_answers_by_itself_no_value_is_dropped(http, status):
    """Only MLflow's own words are a refusal: a gateway's page, a login page or a redirect is not."""
    page = Fault("answer", "", status=status, body="<html>the gateway's own page</html>")
    values(http, http.run, {"a": "1"})
    end(http, http.run)
    with http.proxy.faulty(page):
        for _ in range(8):
            with pytest.raises(UnavailableError):
                http.delivery.round()
    assert len(http.journal.rows()) == 2
    send(http.delivery)
    found = http.direct.get_run(http.run)
    assert (found.data.params, found.info.status) == ({"a": "1"}, "FINISHED")
    assert not any(http.delivery.refusals.by_run.values())


def test_new_credentials_are_taken_without_a_restart(http, quick):
    http.proxy.add(Fault("answer", "", status=401, body='{"error_code": "UNAUTHENTICATED", "message": "who are you"}'))
    values(http, http.run, {"a": "1"})
    thread = Sender(http.delivery, offline=False, before=lambda: None)
    eventually(lambda: thread.state == "waiting")
    assert "credentials" in thread.trouble
    http.proxy.heal()  # as if MLFLOW_TRACKING_TOKEN had been renewed
    eventually(lambda: not http.journal.rows())
    thread.stop()
    assert http.direct.get_run(http.run).data.params == {"a": "1"}


def test_a_run_needs_few_requests(http):
    run = offline_run(http, "few")
    values(http, run, {f"p{n}": "x" for n in range(20)}, {"t": "x"})
    series(http, run, "m", range(2500))
    end(http, run)
    http.proxy.passed.clear()
    send(http.delivery)
    assert len(http.proxy.passed) == 2 + 3  # create, end; 21 + 2500 entries in three
    found = http.direct.get_run(http.delivery.identities.remotes[run])
    assert found.info.status == RunStatus.to_string(RunStatus.FINISHED)


# -- Azure's own clients, where they are installed ------------------------------------------------------------------

REFUSING = Fault("answer", "", status=429, headers=(("Retry-After", "30"),), body="{}")


def test_azure_mls_own_store_is_asked_once_and_its_retry_after_is_kept(http):
    plugin = pytest.importorskip("azureml.mlflow._store.tracking.store")
    from mlflow.utils.rest_utils import MlflowHostCreds

    http.delivery.requests.store = plugin.AzureMLRestStore(None, host_creds=lambda: MlflowHostCreds(http.proxy.url))
    values(http, http.run, {"a": "1"})
    with http.proxy.faulty(REFUSING):
        begun = time.monotonic()
        with pytest.raises(UnavailableError) as caught:
            http.delivery.round()
    assert caught.value.after == 30.0
    assert len(http.proxy.matching("log-batch")) == 1
    assert time.monotonic() - begun < 10.0
    send(http.delivery)
    assert http.direct.get_run(http.run).data.params == {"a": "1"}


def test_a_token_that_cannot_be_had_puts_azure_mls_writes_in_waiting(http):
    plugin = pytest.importorskip("azureml.mlflow._store.tracking.store")
    from azure.core.exceptions import ClientAuthenticationError as AzuresOwn

    def no_token():
        raise AzuresOwn("AADSTS700082: The refresh token has expired due to inactivity.")

    good = http.delivery.requests.store
    http.delivery.requests.store = plugin.AzureMLRestStore(None, host_creds=no_token)
    values(http, http.run, {"a": "1"})
    for _ in range(8):
        with pytest.raises(
            UnavailableError, match=r"sign-in to Azure has expired \(AADSTS700082\); az login, then %mlflow_sync"
        ):
            http.delivery.round()
    assert len(http.journal.rows()) == 1
    http.delivery.requests.store = good
    send(http.delivery)
    assert http.direct.get_run(http.run).data.params == {"a": "1"}


def test_a_name_that_azure_ml_will_not_give_twice_is_refused_and_not_waited_for():
    # The plugin's own words, as people report them too (lightly-train, issue 256); it raises a bare Exception.
    words = "UserError: Resource Conflict: ArtifactId ExperimentRun/dcid.r/n.txt already exists."
    assert failure_kind(Exception(words)) == "refused"


@pytest.mark.parametrize(("status", "expected"), [(429, "unavailable"), (503, "unavailable"), (403, "unauthorized")])
def test_azures_file_clients_go_out_once_and_their_retry_after_is_seen(http, status, expected):
    core = pytest.importorskip("azure.core")
    from azure.core.exceptions import HttpResponseError as AzuresOwn
    from azure.core.pipeline import policies
    from azure.core.rest import HttpRequest

    refusing = Fault("answer", "", status=status, headers=(("Retry-After", "30"),))
    client = core.PipelineClient(http.proxy.url, policies=[policies.RetryPolicy()])
    with http.proxy.faulty(refusing), timeouts.one_try(None):
        begun = time.monotonic()
        response = client.send_request(HttpRequest("GET", f"{http.proxy.url}/files"))
    error = AzuresOwn(response=response)
    assert time.monotonic() - begun < 10.0
    assert len(http.proxy.matching("files")) == 1
    assert failure_kind(error) == expected
    assert unavailable(error, None).after == 30.0


def test_azures_clients_wait_as_ever_for_who_asks_for_nothing(http):
    core = pytest.importorskip("azure.core")
    from azure.core.pipeline import policies
    from azure.core.rest import HttpRequest

    with timeouts.one_try():
        pass  # from here on the replacement is in place
    http.proxy.add(Fault("answer", "files", times=1, status=429, headers=(("Retry-After", "0"),)))
    client = core.PipelineClient(http.proxy.url, policies=[policies.RetryPolicy()])
    client.send_request(HttpRequest("GET", f"{http.proxy.url}/files"))
    assert len(http.proxy.matching("files")) == 2
    timeouts.remove()
    assert not hasattr(policies.RetryPolicy.configure_retries, "__wrapped__")
