"""Records points from the assignments of a cell, thins them, and ends them with the run."""

from __future__ import annotations

import itertools
import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from ...vocabulary.records import Series
from . import hook
from .plan import Plan
from .reading import Deferred, reader

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

Decide = Callable[[str], str]
"""From a name, of which a number was just assigned, to the reason why it is a series; empty where it is none."""


class _Nowhere:
    """The sink of a run that is not tracked."""

    def append(self, step: int, when: float, value: float) -> None: ...

    def hold(self, place: int, step: int, when: float, value: float) -> None: ...

    def later(self, step: int, when: float, read: Callable[[], float]) -> None: ...


@dataclass(frozen=True)
class _Track:
    """One series in the making."""

    record: Callable[[Any], None]
    finish: Callable[[], Series | None]


class Following:
    """The names that are followed in one run, from its beginning to its end.

    Parameters
    ----------
    plan : Plan
        What was asked for; its keys tell this run's recorders from others.
    every : int
        Of how many points one is kept.
    open_sink : OpenSink or None
        Where points go.
    decide : Decide
        Whether a name, not asked for, is a series at all.
    """

    def __init__(self, plan: Plan, every: int, open_sink: OpenSink | None, decide: Decide) -> None:
        self.plan = plan
        self.every = every
        self._open_sink = open_sink
        self._decide = decide
        self._read = reader()
        self._tracks: dict[str, _Track] = {}
        self._followed: set[str] = set()
        self._lock = threading.RLock()

    def follow(self, names: Iterable[str]) -> None:
        """Wait for the first numbers of names that were just found in the code.

        Parameters
        ----------
        names : iterable of str
            Followed already, some of them perhaps.
        """
        for name in names:
            if name not in self._followed:
                self._followed.add(name)
                self._set(name, partial(self._first, name))

    def finish(self) -> tuple[Series, ...]:
        """Stop recording, and sum up. Points that must be kept and were only held are appended.

        Returns
        -------
        tuple of Series
            In the order of their first points.
        """
        for name in self._followed:
            self._drop(name)
        with self._lock:
            found = [track.finish() for track in self._tracks.values()]
            self._tracks.clear()
        return tuple(series for series in found if series is not None)

    def _set(self, name: str, record: Callable[[Any], object]) -> None:
        def passing(value: Any, __tracebackhide__: bool = True) -> Any:
            record(value)
            return value

        hook.set_recorder(self.plan.key(name), record, passing)

    def _drop(self, name: str) -> None:
        """Stop following a name. A watched function may be called long after, and finds what does nothing."""
        if name in self.plan.watch:
            hook.set_recorder(self.plan.key(name))
        else:
            hook.drop_recorder(self.plan.key(name))

    def _first(self, name: str, value: object) -> None:
        """Take the first number of a name: decide, and put the recorder proper in this one's place."""
        if self._read(value) is None:
            return
        with self._lock:
            if name not in self._tracks:
                why = self._why(name)
                if not why:
                    hook.set_recorder(self.plan.key(name))
                    return
                sink = self._open_sink(name) if self._open_sink is not None else None
                whole = name in self.plan.watch
                self._tracks[name] = track(name, why, sink, self._read, every=self.every, whole=whole)
                self._set(name, self._tracks[name].record)
            record = self._tracks[name].record
        record(value)

    def _why(self, name: str) -> str:
        if name in self.plan.watch:
            return "--watch"
        return "--metrics" if name in self.plan.metrics else self._decide(name)


def track(
    name: str, why: str, sink: Sink | None, read: Callable[[object], Any], *, every: int = 1, whole: bool = False
) -> _Track:
    """Make the recorder of one series.

    All that changes from point to point is a variable of this function: nothing is faster, and between two calls no
    other thread runs, so that the statistics need no lock.
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

    return _Track(record, finish)


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
