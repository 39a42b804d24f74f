"""Records the points of one series, thins them, and sums them up."""

from __future__ import annotations

import itertools
import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from ...vocabulary.records import Series
from .reading import Deferred

FULL: Final = 10_000
"""Points of an inferred series that are all kept; of twice as many every second one is, of four times every fourth."""

EXACT: Final = 2**53
"""Up to here each integer is a float."""

SAMPLE: Final = 240
"""The most values kept for a sparkline."""


class Sink(Protocol):
    """Where the points of one series go. No method raises; all may be called from any thread."""

    def append(self, step: int, when: float, value: float) -> None:
        """Keep a point; it is durable before this returns.

        Parameters
        ----------
        step : int
            From 0.
        when : float
            Seconds since the epoch, as `time.time` gives them.
        value : float
            May be NaN or infinite.
        """

    def hold(self, place: int, step: int, when: float, value: float) -> None:
        """Keep a point for now, in one of three places, instead of what was there.

        If the kernel dies, held points are sent like appended ones; at a run's end the recorder appends those it means.

        Parameters
        ----------
        place : int
            0 for the last point, 1 for the least, 2 for the greatest.
        step, when, value
            As for `append`.
        """

    def later(self, step: int, when: float, read: Callable[[], float]) -> None:
        """Keep a point whose value still lies on a device.

        Parameters
        ----------
        step, when
            As for `append`.
        read : callable
            To be called in the sender's thread, where it may wait; does not raise, and gives NaN where it failed.
        """


OpenSink = Callable[[str], "Sink | None"]
"""From the name of a metric to its sink; None where nothing is tracked, and only the statistics are kept."""


class _Nowhere:
    """The sink of a run that is not tracked."""

    def append(self, step: int, when: float, value: float) -> None: ...

    def hold(self, place: int, step: int, when: float, value: float) -> None: ...

    def later(self, step: int, when: float, read: Callable[[], float]) -> None: ...


@dataclass(frozen=True)
class Track:
    """One series in the making."""

    record: Callable[[Any], None]
    peek: Callable[[], tuple[int, float]]
    finish: Callable[[], Series | None]


def track(
    name: str,
    why: str,
    sink: Sink | None,
    read: Callable[[object], Any],
    *,
    every: int = 1,
    whole: bool = False,
    seldom_told: Callable[[int], object] | None = None,
) -> Track:
    """Make the recorder of one series.

    All that changes from point to point is a variable of this function: nothing is faster, and between two calls no
    other thread runs, so that the statistics need no lock. `seldom_told` is called with the step now and then.
    """
    to = sink if sink is not None else _Nowhere()
    append, hold = to.append, to.hold
    take, now, real, integer = itertools.count().__next__, time.time, float, int
    full = sys.maxsize if whole else FULL * every
    stride, limit, gap, sample_at, turn = every, full, 1, 0, 0
    low, low_at, low_when = math.inf, -1, 0.0
    high, high_at, high_when = -math.inf, -1, 0.0
    last, last_at, last_when = math.nan, -1, 0.0
    last_deferred: Deferred | None = None
    sample: list[float | Deferred] = []
    unread: deque[Deferred] = deque()
    lock = threading.RLock()

    def record(value: Any) -> None:
        nonlocal low, low_at, low_when, high, high_at, high_when, last, last_at, last_when, turn
        if type(value) is not real:
            if type(value) is integer and -EXACT < value < EXACT:
                value = value * 1.0  # faster than a call
            else:
                value = read(value)
                if type(value) is not real:
                    if value is not None:
                        defer(value)
                    return
        step = take()
        when = now()
        if value < low:
            low, low_at, low_when = value, step, when
        if value > high:
            high, high_at, high_when = value, step, when
        if step > last_at:
            last, last_at, last_when = value, step, when
        if step >= turn:
            turn = seldom(step, value)
        if step % stride:
            hold(0, step, when, value)
            if step >= full:
                if low_at == step:
                    hold(1, step, when, value)
                if high_at == step:
                    hold(2, step, when, value)
        else:
            append(step, when, value)

    def seldom(step: int, value: float | Deferred) -> int:
        """Sample, and thin; tell the next step at which either is due."""
        nonlocal stride, limit, gap, sample_at
        if seldom_told is not None:
            seldom_told(step)
        with lock:
            if step >= sample_at:
                sample.append(value)
                if len(sample) > SAMPLE:
                    del sample[1::2]
                    gap *= 2
                sample_at = (step // gap + 1) * gap
            while step >= limit:
                stride *= 2
                limit *= 2
            return min(sample_at, limit)

    def defer(value: Deferred) -> None:
        """Take a point whose value is not known yet."""
        nonlocal last_at, last_when, last_deferred, turn
        step = take()
        when = now()
        value.tell = partial(learn, step, when)
        if step > last_at:
            last_deferred, last_at, last_when = value, step, when
        if step >= turn:
            turn = seldom(step, value)
        if not step % stride:
            to.later(step, when, value.read)
            while unread and unread[0].value is not None:
                unread.popleft()
            if sink is not None:  # otherwise nobody reads it, and it would lie there for ever
                unread.append(value)

    def learn(step: int, when: float, value: float) -> None:
        nonlocal low, low_at, low_when, high, high_at, high_when, last
        with lock:
            if value < low:
                low, low_at, low_when = value, step, when
            if value > high:
                high, high_at, high_when = value, step, when
            if step == last_at:
                last = value

    def finish() -> Series | None:
        if last_at < 0:
            return None
        for value in (*unread, last_deferred):
            if value is not None:
                value.read()
        values = tuple(one.read() if isinstance(one, Deferred) else one for one in sample)
        ends = {last_at: (last_when, last)}
        if low_at >= full:
            ends[low_at] = low_when, low
        if high_at >= full:
            ends[high_at] = high_when, high
        extra = [step for step in sorted(ends) if step % _stride(step, every, full)]
        for step in extra:
            append(step, *ends[step])
        count = last_at + 1
        least, most = (low, high) if low <= high else (math.nan, math.nan)
        return Series(
            name, why, count, _kept(count, every, full) + len(extra), values[0], last, least, most, values,
            _stride(last_at, every, full),
        )  # fmt: skip

    def peek() -> tuple[int, float]:
        """Return how many points there are, and the last one's value."""
        known = last if last_deferred is None else last_deferred.value
        return last_at + 1, math.nan if known is None else known

    return Track(record, peek, finish)


def _stride(step: int, every: int, full: int) -> int:
    """Tell of how many points one was kept when a step was taken."""
    doublings = (step // full).bit_length()
    return every << doublings


def _kept(count: int, every: int, full: int) -> int:
    """Count the points that were kept as they came."""
    kept, begin, end, stride = 0, 0, full, every
    while begin < count:
        kept += len(range(-(-begin // stride) * stride, min(end, count), stride))
        begin, end, stride = end, end * 2, stride * 2
    return kept
