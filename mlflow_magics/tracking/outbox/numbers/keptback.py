"""Keeps points of ours back until it is plain that the cell does not log them itself.

What the author logs must not be in his run twice, and what a store has taken cannot be taken back. His calls cannot
all be read from the cell's text: ``report(loss, epoch)`` of an earlier cell, a callback, a library. So the points of a
series that nobody asked for wait, on disk, in a log of their own beside the outbox's. They go to the store

- when the run ends, except for those that the author has logged;
- after :data:`SECONDS`, if until then nobody has logged a metric into the run and the cell's code does not look as if
  it would: then a long training has its curves in the store while it goes on.

A run whose author logs metrics has his curves in the store meanwhile; ours join them when it ends. The panel draws
from here, and waits for nothing. A dead kernel's points are sent from here by the next one.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..disk.points.points import PointLog
from ..disk.points.records import Append, Point

FOLDER = "kept-back"
"""Of the log, in the outbox's own folder."""

SECONDS = 30.0
"""How long the points of a run are kept back for an author of whom nothing is heard."""

_AT_ONCE = 10_000
_MOST_IN_MEMORY = 100_000


@dataclass
class _Series:
    """One series: what takes its points at this moment, and the number that they bear here."""

    to: Append
    number: int


@dataclass
class _Run:
    """One run whose points are kept back, or were."""

    began: float = field(default_factory=time.monotonic)
    until_end: bool = False
    released: bool = False
    position: int = 0
    series: dict[int, _Series] = field(default_factory=dict)


class KeptBack:
    """The points that one outbox keeps back. Threads may share it.

    Parameters
    ----------
    folder : pathlib.Path
        The outbox's.
    segments : callable
        Returns how many segments the log may hold; 0 where the disk takes nothing.
    appender : callable
        From a key's number to what appends its points to the outbox's own log.
    """

    def __init__(self, folder: Path, segments: Callable[[], int], appender: Callable[[int], Append]) -> None:
        self._folder = folder / FOLDER
        self._segments = segments
        self._appender = appender
        self._lock = threading.RLock()
        self._runs: dict[str, _Run] = {}
        self._memory: list[Point] = []
        self.log: PointLog | None = None

    def sink(self, number: int, run_id: str, *, until_end: bool) -> Append:
        """Return the function that takes the points of a series: here, until the run's are released."""
        with self._lock:
            run = self._runs.setdefault(run_id, _Run())
            run.until_end |= until_end
            if run.released:
                return self._appender(number)
            run.series[number] = series = _Series(self._opened().appender(number), number)

        def append(step: int, when: float, value: float) -> None:
            series.to(step, when, value)

        return append

    def wait_for_end(self, run_id: str) -> None:
        """Keep a run's points back until it ends: its author logs metrics."""
        if run_id in self._runs:
            self._runs[run_id].until_end = True

    def withdraw(self, run_id: str, number: int) -> None:
        """Give up a series, and the points of it that are kept back."""
        with self._lock:
            run = self._runs.get(run_id)
            series = run.series.pop(number, None) if run is not None else None
            if series is not None:
                series.to = _nowhere

    def move(self, run_id: str, to: str, numbers: Mapping[int, int]) -> None:
        """Have a run's points be another run's, under other numbers, from their release on."""
        with self._lock:
            run = self._runs.pop(run_id, None)
            if run is not None:
                run.series = {numbers.get(number, number): series for number, series in run.series.items()}
                self._runs[to] = run

    def waits(self, number: int) -> bool:
        """Tell whether the points of a key are kept back now."""
        with self._lock:
            return any(number in run.series and not run.released for run in self._runs.values())

    def values(self, run_id: str, number: int) -> list[float]:
        """Return the values of a series that is kept back whole; none of any other."""
        with self._lock:
            run = self._runs.get(run_id)
            if run is None or run.released or number not in run.series:
                return []
            points, _ = self._from(0, settled=True)
            return [point.value for point in (*points, *self._memory) if point.key == run.series[number].number]

    def release_due(self) -> None:
        """Release the runs that have waited long enough."""
        if self._runs:
            with self._lock:
                for run in self._runs.values():
                    if not (run.until_end or run.released) and time.monotonic() - run.began > SECONDS:
                        self._release(run, settled=False)

    def end(self, run_id: str) -> None:
        """Release a run that ends, or all runs where the id is empty: its series are over."""
        with self._lock:
            for run in [run_id] if run_id else list(self._runs):
                if run in self._runs:
                    self._release(self._runs.pop(run), settled=True)
            if not self._runs:
                self._forget()

    def leave_to_parent(self) -> None:
        """Take no more points in a forked child, where another thread of the parent may have held the lock."""
        self._lock = threading.RLock()
        self._runs.clear()
        if self.log is not None:
            self.log.leave_to_parent()

    def _release(self, run: _Run, *, settled: bool) -> None:
        """Hand a run's points on; at its end once more, since a thread may have been about to append here."""
        for number, series in run.series.items():
            series.to = self._appender(number)
        run.released = True
        points, run.position = self._from(run.position, settled=settled)
        numbers = {series.number: number for number, series in run.series.items()}
        mine = [point for point in (*points, *self._memory) if point.key in numbers]
        self._memory = [point for point in self._memory if point.key not in numbers]
        for step, when, value, number in mine:
            self._appender(numbers[number])(step, when, value)

    def _from(self, position: int, *, settled: bool) -> tuple[list[Point], int]:
        """Return the points on disk from a position on, and the position behind them."""
        points: list[Point] = []
        while self.log is not None:
            some, position = self.log.read(position, _AT_ONCE, settled=settled)
            points += some
            if not some:
                break
        return points, position

    def _opened(self) -> PointLog:
        if self.log is None:
            with contextlib.suppress(OSError):  # it has no room then, and says so point by point
                self._folder.mkdir(exist_ok=True)
            self.log = PointLog(self._folder, self._segments(), self._overflow)
        return self.log

    def _overflow(self, key: int, step: int, when: float, value: float) -> None:
        if len(self._memory) < _MOST_IN_MEMORY:
            self._memory.append(Point(step, when, value, key))

    def _forget(self) -> None:
        self._memory.clear()
        if self.log is not None:
            self.log.close()
            self.log = None
            shutil.rmtree(self._folder, ignore_errors=True)


def left(folder: Path) -> Iterator[Point]:
    """Yield the points that a dead kernel's outbox kept back."""
    if (folder / FOLDER).is_dir():
        yield from PointLog(folder / FOLDER, 0, lambda *_: None)


def _nowhere(step: int, when: float, value: float) -> None:
    """Take a point that is not ours to log."""
