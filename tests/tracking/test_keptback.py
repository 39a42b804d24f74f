"""Points that wait for the author: each goes on once or never, whenever it was made and whoever asks."""

from __future__ import annotations

import pytest

from mlflow_magics.tracking.outbox.numbers import keptback
from mlflow_magics.tracking.outbox.numbers.keptback import KeptBack


class Log:
    """The outbox's own log: (key, step, value) of what was handed on."""

    def __init__(self):
        self.points = []

    def appender(self, number):
        return lambda step, when, value: self.points.append((number, step, value))


@pytest.fixture
def log():
    return Log()


@pytest.fixture(params=["on disk", "in memory"])
def kept(request, tmp_path, log):
    """Points on disk; in memory where that has no room for them."""
    made = KeptBack(tmp_path, lambda: 8 if request.param == "on disk" else 0, log.appender)
    yield made
    made.end("")


def write(append, *values, first=0):
    for step, value in enumerate(values, first):
        append(step, 1.0, value)


def of(number, *values, first=0):
    return [(number, step, value) for step, value in enumerate(values, first)]


def due(monkeypatch, kept):
    """Let the time pass for which points wait."""
    monkeypatch.setattr(keptback, "SECONDS", -1.0)
    kept.release_due()


def test_points_go_on_when_their_run_ends_each_once_and_in_order(kept, log):
    one, two = kept.sink(1, "r", until_end=False), kept.sink(2, "r", until_end=False)
    write(one, 0.5, 0.25)
    write(two, 7.0)
    kept.release_due()
    assert log.points == []
    assert kept.values("r", 1) == [0.5, 0.25]
    assert kept.waits(1)
    kept.end("r")
    assert sorted(log.points) == [*of(1, 0.5, 0.25), *of(2, 7.0)]
    kept.end("r")
    kept.end("")
    assert len(log.points) == 3
    assert not kept.waits(1)


def test_runs_end_one_by_one(kept, log):
    write(kept.sink(1, "one", until_end=False), 1.0)
    write(kept.sink(2, "two", until_end=False), 2.0)
    kept.end("one")
    assert log.points == of(1, 1.0)
    assert kept.values("two", 2) == [2.0]
    kept.end("two")
    assert log.points == [*of(1, 1.0), *of(2, 2.0)]


def test_after_a_while_they_go_on_while_the_run_does_and_those_behind_them_at_once(kept, log, monkeypatch):
    append = kept.sink(1, "r", until_end=False)
    write(append, 0.5, 0.25)
    due(monkeypatch, kept)
    assert log.points == of(1, 0.5, 0.25)
    assert not kept.waits(1)
    assert kept.values("r", 1) == []  # of a series that is kept back whole only
    write(append, 0.125, first=2)
    write(kept.sink(2, "r", until_end=False), 9.0)
    assert log.points == [*of(1, 0.5, 0.25, 0.125), *of(2, 9.0)]
    kept.release_due()
    kept.end("r")
    assert len(log.points) == 4


def test_a_point_that_was_on_its_way_when_they_went_on_follows_at_the_end(kept, log, monkeypatch):
    append = kept.sink(1, "r", until_end=False)
    write(append, 0.5)
    into = kept._runs["r"].series[1].to  # as a thread holds it that is about to append
    due(monkeypatch, kept)
    write(into, 0.25, first=1)
    assert log.points == of(1, 0.5)
    kept.end("r")
    assert log.points == of(1, 0.5, 0.25)


@pytest.mark.parametrize("asks", [(True, False), (False, True)])
def test_where_the_author_logs_they_wait_for_the_end_whichever_series_says_so(kept, log, monkeypatch, asks):
    for number, until_end in enumerate(asks):
        write(kept.sink(number, "r", until_end=until_end), 1.0)
    due(monkeypatch, kept)
    assert log.points == []
    kept.end("r")
    assert sorted(log.points) == [*of(0, 1.0), *of(1, 1.0)]


def test_they_wait_as_soon_as_the_author_logs(kept, log, monkeypatch):
    write(kept.sink(1, "r", until_end=False), 1.0)
    kept.wait_for_end("r")
    kept.wait_for_end("another")
    due(monkeypatch, kept)
    assert log.points == []


@pytest.mark.parametrize("released", [False, True])
def test_a_series_that_the_author_logs_goes_no_further(kept, log, monkeypatch, released):
    ours, his = kept.sink(1, "r", until_end=False), kept.sink(2, "r", until_end=False)
    write(ours, 1.0)
    write(his, 2.0)
    if released:
        due(monkeypatch, kept)
    before = log.points[:]
    kept.withdraw("r", 2)
    kept.withdraw("r", 2)
    write(his, 3.0, first=1)
    kept.end("r")
    assert log.points == (before if released else of(1, 1.0))


def test_what_is_moved_to_another_run_goes_on_as_that_ones(kept, log):
    append = kept.sink(1, "r", until_end=False)
    write(append, 1.0)
    kept.move("r", "new", {1: 11})
    write(append, 2.0, first=1)
    assert kept.values("new", 11) == [1.0, 2.0]
    kept.end("r")
    assert log.points == []
    kept.end("new")
    assert log.points == of(11, 1.0, 2.0)


def test_nothing_is_left_on_disk_when_all_have_ended_and_a_dead_kernels_are_found(tmp_path, log):
    kept = KeptBack(tmp_path, lambda: 8, log.appender)
    write(kept.sink(1, "one", until_end=False), 1.0)
    write(kept.sink(2, "two", until_end=False), 2.0)
    kept.end("one")
    assert [(point.key, point.value) for point in keptback.left(tmp_path)] == [(1, 1.0), (2, 2.0)]
    kept.end("two")
    assert list(tmp_path.iterdir()) == []
    assert list(keptback.left(tmp_path)) == []
