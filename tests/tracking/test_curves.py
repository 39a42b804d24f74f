"""Live curves: what the point log holds, thinned for the eye, read along with those who write and send it."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_magics.tracking.connecting import connection
from mlflow_magics.tracking.lookback.curves import curves
from mlflow_magics.tracking.lookback.curves.curves import LiveCurves
from mlflow_magics.tracking.outbox.disk.entries import Key
from mlflow_magics.tracking.outbox.disk.points import reading_along, records, segments
from mlflow_magics.tracking.outbox.disk.points.points import PointLog
from mlflow_magics.tracking.outbox.disk.points.records import RECORD, SIZE
from mlflow_magics.tracking.patches import store

NAN = math.nan


@pytest.fixture
def small(monkeypatch):
    """Segments of 64 records and curves of 8 buckets: the tests turn many pages."""
    monkeypatch.setattr(segments, "SEGMENT", 64)
    monkeypatch.setattr(curves, "BUCKETS", 8)


@contextlib.contextmanager
def new_box(limit=10_000):
    """A point log with what else an outbox is asked for; keys 1-9 are metrics of the run ``r``."""
    with tempfile.TemporaryDirectory() as place:
        log = PointLog(Path(place), limit, lambda *point: pytest.fail(f"no room for {point}"))
        yield SimpleNamespace(
            points=log,
            ids={},
            series=SimpleNamespace(
                key=lambda number: Key("r" if number < 10 else "s", f"m{number}", {}),
                kept_back=SimpleNamespace(log=None, waits=lambda number: False),
            ),
        )
        log.close()


def drawn(curve):
    return list(zip(curve.steps, curve.times, curve.values, strict=True))


def same(one, other):
    return one == other or (one != one and other != other)


def plainly(made):
    """Count, last, least and greatest, computed from all points one by one."""
    numbers = [value for _, _, value in made if value == value]
    last = max(enumerate(made), key=lambda each: (each[1][0], each[0]))[1][2]
    return len(made), last, min(numbers, default=NAN), max(numbers, default=NAN)


VALUES = st.one_of(st.floats(-1e9, 1e9), st.sampled_from([NAN, math.inf, -math.inf, 0.0, -0.0, 1e308, 5e-324]))
DEEDS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 3), st.lists(st.tuples(st.integers(-5, 200), VALUES), max_size=70)),
        st.tuples(st.just("refresh")),
        st.tuples(st.just("send")),
        st.tuples(st.just("look")),
    ),
    max_size=30,
)


@given(DEEDS)
@settings(max_examples=80)
def test_any_order_of_doing_things_agrees_with_all_points_one_by_one(deeds):
    with pytest.MonkeyPatch.context() as patch, new_box() as box:
        patch.setattr(segments, "SEGMENT", 64)
        patch.setattr(curves, "BUCKETS", 8)
        live, sent, made, when = LiveCurves(box), 0, {}, 0.0
        read = []
        for deed, *rest in deeds:
            if deed == "append":
                key, new = rest
                append = box.points.appender(key)
                for step, value in new:
                    when += 1.0
                    append(step, when, value)
                    made.setdefault(f"m{key}", []).append((step, when, value))
            elif deed == "refresh":
                live.refresh()
            elif deed == "send":  # as the sender does, which then deletes
                more, sent = box.points.read(sent, 100)
                read += more
                box.points.drop(sent)
            else:
                live.of("r")
        live.refresh()
        read += box.points.read(sent, 10**6)[0]
        assert len(read) == sum(map(len, made.values()))  # the log's own reader lost nothing either
        assert live.missed == 0
        found = {curve.name: curve for curve in live.of("r")}
        assert set(found) == {name for name, all_of_it in made.items() if len(all_of_it) > 1}
        assert live.last("r") == pytest.approx(
            {name: plainly(all_of_it)[1] for name, all_of_it in made.items()}, nan_ok=True
        )
        for name, curve in found.items():
            told = curve.count, curve.last, curve.min, curve.max
            assert all(map(same, told, plainly(made[name]))), (told, plainly(made[name]))
            points_drawn = drawn(curve)
            assert len(points_drawn) <= 3 * 8
            assert list(curve.steps) == sorted(curve.steps)
            remaining = [(float(s), t, v) for s, t, v in made[name]]
            times = {t: (s, v) for s, t, v in remaining}
            assert all(same(times[t][1], v) and times[t][0] == s for s, t, v in points_drawn)
            assert len(set(curve.times)) == len(curve.times)
            numbers = [v for v in curve.values if v == v]
            assert same(min(numbers, default=NAN), curve.min)
            assert same(max(numbers, default=NAN), curve.max)
            if len(made[name]) <= 16:
                assert len(points_drawn) == len(made[name])
            assert any(v != v for v in curve.values) == any(v != v for _, _, v in remaining)


def test_of_each_stretch_the_least_and_the_greatest_are_drawn():
    count = 1_000_003
    values = np.sin(np.arange(count) / 7)
    values[654_321], values[77], values[500_000] = 40.0, -30.0, NAN
    course = curves._Course("loss")
    place = 0
    for size in (1, 3, 1000, 77_777, 500_000, count):
        part = values[place : place + size]
        steps = np.arange(place, place + len(part))
        course.add(steps, steps / 10, part)
        place += len(part)
    curve = curves._joined([course])
    assert curve.count == count
    assert len(curve.values) <= 2001
    assert (curve.min, curve.max, curve.last) == (-30.0, 40.0, values[-1])
    at = {int(step): value for step, value in zip(curve.steps, curve.values, strict=True)}
    assert (at[654_321], at[77]) == (40.0, -30.0)
    assert math.isnan(at[500_000])
    width = 1 << (count // 1000).bit_length()
    for begin in range(0, count, width):
        own = [value for step, value in at.items() if begin <= step < begin + width]
        assert np.nanmin(own) == np.nanmin(values[begin : begin + width])
        assert np.nanmax(own) == np.nanmax(values[begin : begin + width])


def test_two_thousand_points_are_drawn_each():
    course = curves._Course("loss")
    steps = np.arange(2000)
    course.add(steps, steps / 1, steps * 1.5)
    assert curves._joined([course]).values == tuple((steps * 1.5).tolist())


def test_a_thread_that_appends_while_another_refreshes(small, monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT", 4096)
    with new_box() as box:
        live, stop = LiveCurves(box), threading.Event()
        writers = [box.points.appender(key) for key in (1, 2)]

        def write(append):
            for step in range(60_000):
                append(step, float(step), step * 0.5)

        def send():
            position = 0
            while not stop.is_set():
                _, position = box.points.read(position, 10_000)
                box.points.drop(position)

        threads = [threading.Thread(target=write, args=(append,)) for append in writers]
        sending = threading.Thread(target=send)
        for thread in (*threads, sending):
            thread.start()
        while any(thread.is_alive() for thread in threads):
            live.refresh()
            for curve in live.of("r"):
                # Nothing that is half written: each point is of the one line.
                assert all(step * 0.5 == value == time * 0.5 for step, time, value in drawn(curve))
        stop.set()
        sending.join()
        while live.refresh():
            pass
        assert {curve.name: (curve.count, curve.last, curve.max) for curve in live.of("r")} == {
            "m1": (60_000, 29_999.5, 29_999.5),
            "m2": (60_000, 29_999.5, 29_999.5),
        }
        assert live.missed == 0


def record(*facts):
    body = records.BODY.pack(*facts)
    return body + records.mark_of(body).to_bytes(4, sys.byteorder)


def unfinished(log, before, after, key=1):
    """Append points with one between them that was begun only, as an interrupt in the wrong place leaves it."""
    append = log.appender(key)
    for step in range(before):
        append(step, float(step), 1.0)
    place = next(log._current.offsets)
    for step in range(before + 1, before + 1 + after):
        append(step, float(step), 1.0)
    segment = log._current.map
    return lambda: segment.__setitem__(slice(place, place + SIZE), record(before, float(before), 9.0, key))


def test_an_unfinished_point_is_waited_for(small):
    with new_box() as box:
        live = LiveCurves(box)
        finish = unfinished(box.points, 10, 10)
        live.refresh()
        assert live.of("r")[0].count == 10
        finish()
        live.refresh()
        assert (live.of("r")[0].count, live.of("r")[0].max) == (21, 9.0)


def test_an_unfinished_point_is_given_up_after_a_second(small, monkeypatch):
    with new_box() as box:
        live = LiveCurves(box)
        unfinished(box.points, 10, 100)
        live.refresh()
        live.refresh()
        assert live.of("r")[0].count == 10
        monkeypatch.setattr(curves, "_HOLE_SECONDS", -1.0)  # it is over
        live.refresh()
        assert live.of("r")[0].count == 110


def test_a_record_without_its_mark_at_the_end_of_a_segment(small, monkeypatch):
    with new_box() as box:
        live = LiveCurves(box)
        unfinished(box.points, 63, 5)
        live.refresh()
        monkeypatch.setattr(curves, "_HOLE_SECONDS", -1.0)
        live.refresh()
        assert live.of("r")[0].count == 68


def test_what_was_sent_before_it_was_read_is_in_the_curve(small):
    with new_box() as box:
        live, append = LiveCurves(box), box.points.appender(1)
        for step in range(1000):
            append(step, 0.0, float(step))
        box.points.drop(box.points.end())
        assert len(list(box.points.folder.glob("points-*.bin"))) == 1  # the disk has its room back
        live.refresh()
        assert (live.of("r")[0].count, live.missed) == (1000, 0)
        assert not box.points._unread.maps


def test_a_reader_that_stops_holds_up_nothing(small, monkeypatch):
    with new_box() as box:
        live, append = LiveCurves(box), box.points.appender(1)
        for step in range(1000):
            append(step, 0.0, float(step))
        box.points.drop(box.points.end())
        assert len(box.points._unread.maps) == 15
        with monkeypatch.context() as later:
            later.setattr(reading_along, "_READER_SECONDS", -1.0)  # it was silent for longer
            box.points.count(0)  # the sender's look, four times a second
        assert not box.points._unread.maps
        for step in range(64 * 3):
            append(step, 0.0, float(step))
        live.refresh()
        assert live.missed == 15 * 64
        assert live.of("r")[0].count == 1000 + 64 * 3 - live.missed


def test_a_long_backlog_is_read_bit_by_bit_and_mapped_no_longer_than_that(small):
    with new_box() as box:
        append = box.points.appender(1)
        for step in range(64 * 50):
            append(step, 0.0, float(step))
        live, rounds = LiveCurves(box), 0
        while live.refresh():
            rounds += 1
        assert rounds == 4
        assert live.of("r")[0].count == 64 * 50
        *read, _ = box.points._segments.values()
        assert all(segment._map is None for segment in read)  # the last is mapped by who writes to it


def test_many_curves_the_oldest_of_which_go(monkeypatch):
    monkeypatch.setattr(curves, "_MOST_CURVES", 3)
    with new_box() as box:
        live = LiveCurves(box)
        for key in (1, 2, 3, 1, 4):
            for step in range(3):
                box.points.appender(key)(step, 0.0, 1.0)
            live.refresh()
        assert {curve.name for curve in live.of("r")} == {"m1", "m3", "m4"}


def test_a_run_that_was_made_offline_is_found_by_both_of_its_ids():
    with new_box() as box:
        names = {1: "offline-a", 2: "remote", 3: "other"}
        box.series.key = lambda number: Key(names[number], "loss", {})
        live = LiveCurves(box)
        for step in range(5):
            box.points.appender(1)(step, 0.0, 1.0)
        live.refresh()
        assert live.of("offline-a")[0].count == 5
        assert not live.of("remote")
        box.ids = {"offline-a": "remote"}
        assert live.of("remote") == live.of("offline-a")
        assert live.of("remote")[0].count == 5
        box.points.appender(2)(7, 1.0, 3.0)  # somebody goes on with it by its new id
        box.points.appender(3)(8, 1.0, 4.0)
        live.refresh()
        curve = live.of("offline-a")[0]
        assert (curve.count, curve.last, curve.max, curve.steps) == (6, 3.0, 3.0, (0, 1, 2, 3, 4, 7))
        assert live.last("remote") == {"loss": 3.0}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_holds_on_to_nothing(small):
    with new_box() as box:
        LiveCurves(box)
        box.points.appender(1)(0, 0.0, 1.0)
        child = os.fork()
        if not child:
            box.points.leave_to_parent()
            os._exit(0 if not box.points._unread._readers and not box.points._unread.maps else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_record_is_the_logs():
    assert curves._RECORD.itemsize == SIZE
    whole = np.frombuffer(RECORD.pack(-3, 1.5, 2.5, 7, 99), curves._RECORD)[0]
    assert tuple(whole) == (-3, 1.5, 2.5, 7, 99)


def test_curves_stay_when_the_outbox_is_closed(mlflow_as_found, folder):
    first = connection.connect("local", experiment="curves")
    assert first is not None
    lives = []
    for scale in (1.0, 2.0):  # two lives of an outbox: the journal of the first one is deleted
        box = store.current()
        live = LiveCurves(box)
        with mlflow.start_run() as run:
            for step in range(300):
                mlflow.log_metric("loss", step * scale, step=step)
            mlflow.log_metric("once", 1.0)
        connection.disconnect()
        assert not box.journal.folder.exists()
        live.refresh()
        lives.append((live, run.info.run_id))
        connection.connect("local", experiment="curves")
    for (live, run_id), scale in zip(lives, (1.0, 2.0), strict=True):
        (curve,) = live.of(run_id)
        assert (curve.name, curve.count, curve.last) == ("loss", 300, 299 * scale)
        assert live.last(run_id) == {"loss": 299 * scale, "once": 1.0}
        assert abs(curve.times[-1] - time.time()) < 600
    assert not lives[1][0].of(lives[0][1])
