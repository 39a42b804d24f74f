"""Points of one series: which are kept, held and appended; the statistics; threads; devices."""

from __future__ import annotations

import datetime
import gc
import math
import sys
import threading
import time
import tracemalloc
import weakref
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_magics.capture.following import hook
from mlflow_magics.capture.following.following import Following
from mlflow_magics.capture.following.plan import Plan
from mlflow_magics.capture.following.reading import Deferred, reader
from mlflow_magics.capture.following.series import FULL, SAMPLE, track


class Kept:
    """A sink in memory."""

    def __init__(self):
        self.points = []
        self.held = {}
        self.waiting = []

    def append(self, step, when, value):
        assert type(value) is float
        self.points.append((step, when, value))

    def hold(self, place, step, when, value):
        self.held[place] = (step, when, value)

    def later(self, step, when, read):
        self.waiting.append((step, when, read))

    def send(self):
        """What a sender's thread does."""
        while self.waiting:
            step, when, read = self.waiting.pop(0)
            self.append(step, when, read())

    @property
    def steps(self):
        return [step for step, _, _ in self.points]


def record(values, **options):
    sink = Kept()
    made = track("loss", "why", sink, reader(), **options)
    for value in values:
        made.record(value)
    return made.finish(), sink


def test_every_point_has_its_step_time_and_value():
    before = time.time()
    series, sink = record([0.5, 2, np.float32(1.5), Decimal("0.25")])
    assert [(step, value) for step, _, value in sink.points] == [(0, 0.5), (1, 2.0), (2, 1.5), (3, 0.25)]
    times = [when for _, when, _ in sink.points]
    assert times == sorted(times)
    assert before <= times[0] <= times[-1] <= time.time()
    assert (series.count, series.kept, series.thinned) == (4, 4, 1)
    assert (series.first, series.last, series.min, series.max) == (0.5, 0.25, 0.25, 2.0)
    assert series.sample == (0.5, 2.0, 1.5, 0.25)
    assert not sink.held


def test_what_is_no_number_is_no_point():
    series, sink = record([None, "x", True, [1.0], np.bool_(True), np.array([1.0]), 1j, MagicMock(), 0.5])
    assert sink.steps == [0]
    assert series.count == 1


def test_no_points_are_no_series():
    assert record(["x"])[0] is None


def test_nan_and_infinities_are_points():
    series, sink = record([math.nan, math.inf, 1.0, -math.inf, math.nan])
    assert len(sink.points) == 5
    assert math.isnan(series.first)
    assert math.isnan(series.last)
    assert (series.min, series.max) == (-math.inf, math.inf)
    series, _ = record([math.nan, math.nan])
    assert math.isnan(series.min)
    assert math.isnan(series.max)
    series, _ = record([math.inf])
    assert (series.min, series.max) == (math.inf, math.inf)


@pytest.mark.parametrize("count", [1, 7, 8, 14, 15, 100])
@pytest.mark.parametrize("whole", [True, False])
def test_every(count, whole):
    series, sink = record((-abs(50.0 - i) for i in range(count)), every=7, whole=whole)
    expected = sorted({*range(0, count, 7), count - 1})
    assert sink.steps == expected
    assert (series.count, series.kept, series.thinned) == (count, len(expected), 7)


def thinned(count, every=1):
    """The steps that the rule keeps, said once more and slowly."""
    kept, stride, limit = [], every, FULL * every
    for step in range(count):
        if step == limit:
            stride, limit = stride * 2, limit * 2
        if step % stride == 0:
            kept.append(step)
    return kept


@pytest.mark.parametrize("count", [FULL, FULL + 1, FULL + 2, 2 * FULL, 2 * FULL + 1, 8 * FULL, 8 * FULL + 5])
def test_a_long_series_is_thinned_and_keeps_its_ends(count):
    values = [math.sin(i) for i in range(count)]
    low = 12_345 if count > 12_345 else 3
    high = 10_003 if count > 10_003 else 5
    values[low], values[high] = -9.0, 9.0
    series, sink = record(values)
    assert sorted(sink.steps) == sorted({*thinned(count), low, high, count - 1})
    assert len(set(sink.steps)) == len(sink.steps)
    assert [values[step] for step in sink.steps] == [value for _, _, value in sink.points]
    assert series.kept == len(sink.points)
    assert (series.min, series.max, series.first, series.last) == (-9.0, 9.0, values[0], values[-1])


def test_eighty_thousand_points_are_thinned_to_every_8th():
    assert record(map(float, range(80_000)))[0].thinned == 8


def test_a_watched_series_is_kept_whole():
    series, sink = record(map(float, range(3 * FULL)), whole=True)
    assert sink.steps == list(range(3 * FULL))
    assert (series.kept, series.thinned) == (3 * FULL, 1)


def test_what_a_dead_kernel_would_have_is_held():
    """Between two kept points the last, the least and the greatest are durable."""
    sink = Kept()
    made = track("loss", "", sink, reader())
    for _ in range(FULL):
        made.record(1.0)
    for value in (1.0, -5.0, 1.0, 7.0, 1.0, 2.0):
        made.record(value)
    assert {place: (step - FULL, value) for place, (step, _, value) in sink.held.items()} == {
        0: (5, 2.0), 1: (1, -5.0), 2: (3, 7.0),
    }  # fmt: skip


@given(st.lists(st.floats(), min_size=1, max_size=700), st.integers(1, 5))
def test_statistics_of_any_values(values, every):
    series, sink = record(values, every=every)
    numbers = [value for value in values if not math.isnan(value)]
    assert repr((series.first, series.last)) == repr((values[0], values[-1]))
    if numbers:
        assert (series.min, series.max) == (min(numbers), max(numbers))
    assert series.count == len(values)
    assert series.kept == len(sink.points)
    assert 1 <= len(series.sample) <= SAMPLE
    gap = next(g for g in (1, 2, 4, 8) if len(values[::g]) <= SAMPLE)
    assert repr(series.sample) == repr(tuple(values[::gap]))


def test_threads_share_the_steps():
    sink = Kept()
    made = track("loss", "", sink, reader(), whole=True)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [
            threading.Thread(target=lambda n=n: [made.record(float(i * 8 + n)) for i in range(2_000)]) for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    series = made.finish()
    assert sorted(sink.steps) == list(range(16_000))
    assert sorted(value for _, _, value in sink.points) == list(map(float, range(16_000)))
    assert (series.count, series.min, series.max) == (16_000, 0.0, 15_999.0)
    assert series.last == {step: value for step, _, value in sink.points}[15_999]


def test_memory_does_not_grow_with_the_points():
    class Nothing(Kept):
        def append(self, step, when, value): ...

    made = track("loss", "", Nothing(), reader())
    for i in range(20_000):
        made.record(float(i))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for i in range(300_000):
            made.record(float(i))
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
    finally:
        tracemalloc.stop()


# -- reading ------------------------------------------------------------------------------------------------------


class MyFloat(float):
    def __float__(self):
        raise AssertionError("the user's own code was called")


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1.0), (-(2**60), -(2.0**60)), (10**400, None), (0.5, 0.5), (True, None), (None, None), ("1", None),
        (b"1", None), (1j, None), (Decimal("0.5"), 0.5), (Fraction(1, 4), 0.25), (datetime.timedelta(seconds=2), 2.0),
        (np.float64(0.5), 0.5), (np.float32(0.5), 0.5), (np.int8(3), 3.0), (np.uint64(2**63), 2.0**63),
        (np.bool_(True), None), (np.complex64(1), None), (np.array(0.5), 0.5), (np.array([0.5]), None),
        (np.array(True), None), (np.timedelta64(5, "s"), 5.0), (np.str_("x"), None), (MyFloat(0.5), 0.5),
        ([0.5], None), ({}, None), (object(), None), (float, None), (MagicMock(), None),
    ],
)  # fmt: skip
def test_numbers_by_type(value, number):
    read = reader()
    for _ in range(2):  # found out, then remembered
        found = read(value)
        assert found == number
        assert found is None or type(found) is float


def test_readers_do_not_fill_the_memory_with_types():
    read = reader()
    for _ in range(200):
        assert read(MagicMock()) is None
    assert read(np.float32(0.5)) == 0.5


def test_values_are_not_kept():
    class Result(float):
        pass

    value = Result(0.5)
    alive = weakref.ref(value)
    made = track("loss", "", Kept(), reader())
    made.record(value)
    del value
    gc.collect()
    assert alive() is None


# -- devices: none exists here, so a stand-in of the libraries' names and shapes -----------------------------------


class Device:
    def __init__(self, kind):
        self.type = kind


copies = weakref.WeakSet()


def device_tensor(value, calls, kind="cuda"):
    """An object that looks, by its classes' names, like torch's tensor on a GPU."""

    class Tensor:
        shape = property(lambda self: ())
        device = property(lambda self: Device(kind))

        def __init__(self, value):
            self.value = value

        def detach(self):
            calls.append("detach")
            return self

        def clone(self):
            calls.append("clone")
            copies.add(copy := Tensor(self.value))
            return copy

        def item(self):
            calls.append("item")
            if self.value is None:
                raise RuntimeError("device lost")
            return self.value

    Tensor.__module__ = "torch"
    return Tensor(value)


def test_a_device_is_never_waited_for_in_the_loop():
    calls = []
    sink = Kept()
    made = track("loss", "", sink, reader())
    tensor = device_tensor(0.5, calls)
    for number in (0.5, 2.5, 1.5):
        tensor.value = number  # in place, as optimizers do
        made.record(tensor)
    assert "item" not in calls
    sink.send()
    assert [(step, value) for step, _, value in sink.points] == [(0, 0.5), (1, 2.5), (2, 1.5)]
    series = made.finish()
    assert calls.count("item") == 3
    assert (series.first, series.last, series.min, series.max) == (0.5, 1.5, 0.5, 2.5)
    assert series.sample == (0.5, 2.5, 1.5)


def test_what_the_sender_has_not_read_yet_is_read_at_the_end():
    calls = []
    sink = Kept()
    made = track("loss", "", sink, reader())
    for number in (0.5, 2.5, 1.5):
        made.record(device_tensor(number, calls))
    series = made.finish()
    assert (series.last, series.min, series.max) == (1.5, 0.5, 2.5)
    sink.send()
    assert calls.count("item") == 3


def test_a_thinned_device_series_keeps_its_last_point():
    made = track("loss", "", sink := Kept(), reader(), every=4)
    for number in range(6):
        made.record(device_tensor(float(number), []))
    series = made.finish()
    sink.send()
    assert sorted((step, value) for step, _, value in sink.points) == [(0, 0.0), (4, 4.0), (5, 5.0)]
    assert (series.count, series.kept, series.last) == (6, 3, 5.0)


def test_a_device_that_fails_gives_nan_and_no_error():
    series, sink = record([device_tensor(None, [])])
    sink.send()
    assert math.isnan(sink.points[0][2])
    assert math.isnan(series.last)


def test_a_device_without_a_sink_keeps_little():
    made = track("loss", "", None, reader())
    gc.collect()
    copies.clear()
    for number in range(600):
        made.record(device_tensor(float(number), []))
    gc.collect()
    assert len(copies) <= SAMPLE + 1
    assert made.finish().last == 599.0


def test_a_cpu_tensor_is_read_at_once():
    assert reader()(device_tensor(0.5, [], kind="cpu")) == 0.5
    assert isinstance(reader()(device_tensor(0.5, [])), Deferred)
    assert reader()(device_tensor(0.5, [], kind="meta")) is None


def test_torch_itself():
    torch = pytest.importorskip("torch")
    read = reader()
    weight = torch.tensor(1.5, requires_grad=True)
    assert read(weight * 2) == 3.0
    assert read(torch.tensor([1.0])) is None
    assert read(torch.tensor(True)) is None
    assert read(torch.tensor(0.5, device="meta")) is None


def test_jax_itself():
    jax = pytest.importorskip("jax")
    read = reader()
    assert read(jax.numpy.float32(1.5)) == 1.5
    jax.jit(lambda x: [read(x * 2), x][1])(1.0)


# -- a run's names -------------------------------------------------------------------------------------------------


def following(*names, decide=lambda name: "computed", **options):
    sinks = {name: Kept() for name in names}
    plan = Plan(**options)
    plan.followed |= set(names)
    made = Following(plan, 1, sinks.get, SimpleNamespace(of_name=decide, of_entry=lambda *_: ""))
    made.follow()
    return made, sinks, plan


def test_a_name_is_decided_on_at_its_first_number():
    asked = []
    made, sinks, plan = following(
        "loss", "t0", decide=lambda name: asked.append(name) or ("" if name == "t0" else "why")
    )
    for value in (None, 0.5, 1.5):
        for name in ("loss", "t0"):
            getattr(hook.HOOK, plan.key(name))(value)
    (series,) = made.finish()
    assert asked == ["loss", "t0"]
    assert (series.name, series.why, series.count) == ("loss", "why", 2)
    assert not sinks["t0"].points


def test_watched_names_and_metrics_are_not_decided_on():
    made, _, plan = following("a", "b", decide=lambda name: "", watch=frozenset("a"), metrics=frozenset("b"))
    for name in ("a", "b"):
        getattr(hook.HOOK, plan.key(name))(0.5)
    assert [(one.name, one.why) for one in made.finish()] == [("a", "--watch"), ("b", "--metrics")]


def test_the_first_number_from_many_threads_is_one_series():
    made, sinks, plan = following("loss", decide=lambda name: time.sleep(0.05) or "why")
    first = getattr(hook.HOOK, plan.key("loss"))
    threads = [threading.Thread(target=first, args=(float(n),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made.finish()[0].count == 8
    assert sorted(sinks["loss"].steps) == list(range(8))


def test_a_finished_run_leaves_nothing_in_the_hook():
    made, _, plan = following("loss")
    getattr(hook.HOOK, plan.key("loss"))(0.5)
    made.finish()
    assert not [key for key in vars(hook.HOOK) if f"_{plan.number}_" in key]
    getattr(hook.HOOK, plan.key("loss"))(1.5)
    assert made.finish() == ()
