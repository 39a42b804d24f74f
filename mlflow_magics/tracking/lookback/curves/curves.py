"""Reads live curves of this kernel's runs from the outbox's points, at no cost for those who append to it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from ....vocabulary.panel import Curve
from ...calls import forks
from ...outbox.disk.points.reading_along import Piece, Reader
from ...outbox.disk.points.records import SIZE
from ...outbox.outbox import Outbox

BUCKETS = 1000
"""Into how many stretches of arrival a curve is divided at most; of each, two points are drawn."""

_RECORD = np.dtype([("step", "=i8"), ("when", "=f8"), ("value", "=f8"), ("key", "=u4"), ("mark", "=u4")])
_KEPT = np.dtype([("step", "=i8"), ("when", "=f8"), ("value", "=f8"), ("at", "=i8")])
assert _RECORD.itemsize == SIZE

_MOST_CURVES = 1000
_MOST_PIECES = 16
_HOLE_SECONDS = 1.0

Array = np.ndarray[Any, Any]


class LiveCurves:
    """The curves of the runs that this kernel writes to.

    Make it together with the outbox, and call :meth:`refresh` at least every few seconds: what was sent to the store
    is kept for it no longer than 10 s. The curves of the 1000 metrics that were written to last are kept.

    Parameters
    ----------
    outbox : Outbox
        Whose points; it may be closed meanwhile.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._reader = outbox.points.reader()
        self._lock = threading.Lock()
        forks.renew(self, _lock=threading.Lock)
        # Points that are kept back lie in a log of their own, which comes and goes; they are drawn as long as they do.
        self._waiting: Reader | None = None
        # By run, metric, and the number of the key while its points are kept back; 0 for all others.
        self._courses: dict[tuple[str, str, int], _Course] = {}
        self._holes: dict[tuple[int, int, int], float] = {}

    @property
    def missed(self) -> int:
        """How many points no curve knows of, because :meth:`refresh` was not called while they were here."""
        return self._reader.missed

    def refresh(self) -> bool:
        """Take in what is new: at most two million points at once, the rest the next time.

        Returns
        -------
        bool
            Whether there was anything new.
        """
        new = False
        with self._lock:
            for reader in filter(None, (self._reader, self._waiting_reader())):
                for piece in reader.pieces()[:_MOST_PIECES]:
                    records, end, whole = self._finished(piece, id(reader))
                    reader.advance(piece, end)
                    if len(records):
                        new = True
                        self._take_in(records, kept_back=reader is self._waiting)
                    if not whole:
                        break  # so that points stay in their order
            return new

    def of(self, run_id: str) -> tuple[Curve, ...]:
        """Return the curves of a run's metrics that have more than one point.

        Parameters
        ----------
        run_id : str
            The run, as this kernel or as the store knows it.

        Returns
        -------
        tuple of Curve
            In the order in which the metrics were first written to.
        """
        with self._lock:
            curves = [_joined(courses) for courses in self._named(run_id).values()]
        return tuple(curve for curve in curves if curve.count > 1)

    def last(self, run_id: str) -> dict[str, float]:
        """Return the last value of every metric of a run: that of the greatest step.

        Parameters
        ----------
        run_id : str
            The run, as this kernel or as the store knows it.

        Returns
        -------
        dict of str to float
            By the metric's name.
        """
        with self._lock:
            return {name: max(found, key=_lateness).last for name, found in self._named(run_id).items()}

    # -- reading ----------------------------------------------------------------------------------------------

    def _waiting_reader(self) -> Reader | None:
        """Return who reads the points that are kept back; forget those that are not any more."""
        for index in [each for each in self._courses if each[2] and not self._outbox.series.kept_back.waits(each[2])]:
            del self._courses[index]
        log = self._outbox.series.kept_back.log
        if log is None:
            self._waiting = None
        elif self._waiting is None or not self._waiting.is_of(log):
            self._waiting = log.reader()
        return self._waiting

    def _finished(self, piece: Piece, reader: int) -> tuple[Array, int, bool]:
        """Return a piece's finished records, where they end, and whether what follows may be read now."""
        records: Array = np.frombuffer(piece.map, _RECORD)[piece.start :]
        if not piece.full and not records["mark"][:64].any():
            return records[:0], piece.start, False
        # First the marks, then the rest: what is marked is complete, whatever is written meanwhile.
        marked = records["mark"] != 0
        begun = len(records) if piece.full else len(marked) - int(marked[::-1].argmax())
        end, now = begun, time.monotonic()
        if not marked[:begun].all():
            for hole in np.flatnonzero(~marked[:begun]).tolist():
                # As the sender does: one that is not finished within a second never will be.
                if now - self._holes.setdefault((reader, piece.number, piece.start + hole), now) <= _HOLE_SECONDS:
                    end = hole
                    break
            return records[:end][marked[:end]], piece.start + end, end == begun and piece.full
        self._holes.clear()
        return records[:end], piece.start + end, piece.full

    def _take_in(self, records: Array, *, kept_back: bool) -> None:
        for number, own in _by_key(records):
            key = self._outbox.series.key(number)
            if key is None:
                continue  # of another journal: no outbox's points bear it; or the author logs the same
            if kept_back and not self._outbox.series.kept_back.waits(number):
                continue  # released meanwhile: they are in the outbox's own log as well
            index = (key.run, key.name, number if kept_back else 0)
            course = self._courses.pop(index, None) or _Course(key.name)
            course.add(own["step"], own["when"], own["value"])
            # Taken out and put in again, so that the first one is that which was not written to for the longest time.
            self._courses[index] = course
            if len(self._courses) > _MOST_CURVES:
                del self._courses[next(iter(self._courses))]

    # -- telling ----------------------------------------------------------------------------------------------

    def _named(self, run_id: str) -> dict[str, list[_Course]]:
        """Return a run's courses by the metric's name: two of them where it was written to under both of its ids."""
        ids = self._outbox.ids
        wanted = ids.get(run_id, run_id)
        found = [course for (run, _, _), course in self._courses.items() if ids.get(run, run) == wanted]
        named: dict[str, list[_Course]] = {}
        for course in sorted(found, key=lambda course: course.began):
            named.setdefault(course.name, []).append(course)
        return named


class _Course:
    """One metric's points, thinned as they come.

    They are dealt to buckets in the order of their arrival; of each bucket the least and the greatest are kept, and a
    NaN if it has one. When there are too many buckets, each two become one.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.began = time.monotonic()
        self.count = 0
        self.last = self.min = self.max = math.nan
        self.last_step: float = -math.inf
        self.kept: Array = np.empty(0, _KEPT)
        self._shift = 0  # a bucket holds 2 ** shift arrivals
        self.drawn: Curve | None = None

    def add(self, steps: Array, times: Array, values: Array) -> None:
        """Take in points, in the order of their arrival."""
        self.drawn = None
        first, self.count = self.count, self.count + len(values)
        self._coarsen()
        # The last bucket may go on.
        open_at = int(np.searchsorted(self.kept["at"], (first >> self._shift) << self._shift))
        before, self.kept = self.kept[open_at:], self.kept[:open_at]
        places = self._places(np.ascontiguousarray(values), first)
        new = np.empty(len(places), _KEPT)
        new["step"], new["when"], new["value"] = steps[places], times[places], values[places]
        new["at"] = places + first
        self._note(steps, values, new["value"])
        new = np.concatenate((before, new))
        if len(before) and self._shift > 1:  # of two points, both
            new = new[_chosen(new["value"], new["at"] >> self._shift)]
        self.kept = np.concatenate((self.kept, new))

    def _coarsen(self) -> None:
        shift = self._shift
        while (self.count - 1) >> self._shift >= BUCKETS:
            self._shift += 1
        if len(self.kept) and shift != self._shift > 1:
            self.kept = self.kept[_chosen(self.kept["value"], self.kept["at"] >> self._shift)]

    def _places(self, values: Array, first: int) -> Array:
        """Return which of new points to keep."""
        width = 1 << self._shift
        if width <= 2:
            return np.arange(len(values))
        head = min(-first % width, len(values))
        tail = head + (len(values) - head) // width * width
        chosen = [_chosen(part, np.zeros(len(part), int)) for part in (values[:head], values[tail:])]
        whole = _chosen_of_each(values[head:tail].reshape(-1, width))
        return np.unique(np.concatenate((chosen[0], whole + head, chosen[1] + tail)))

    def _note(self, steps: Array, values: Array, extremes: Array) -> None:
        self.min = float(np.fmin(self.min, np.fmin.reduce(extremes)))
        self.max = float(np.fmax(self.max, np.fmax.reduce(extremes)))
        # MLflow's last value, too, is that of the greatest step.
        latest = len(steps) - 1 - int(steps[::-1].argmax())
        if int(steps[latest]) >= self.last_step:
            self.last_step, self.last = int(steps[latest]), float(values[latest])


def thinned(name: str, steps: Array, times: Array, values: Array) -> Curve:
    """Return the curve of points that are all at hand.

    Parameters
    ----------
    name : str
        The metric.
    steps, times, values : numpy.ndarray
        At least one point; times in seconds since the epoch.

    Returns
    -------
    Curve
        With no more points than a live one.
    """
    course = _Course(name)
    course.add(steps, times, values)
    return _joined([course])


def _by_key(records: Array) -> Iterator[tuple[int, Array]]:
    """Deal records out by their keys, each key's in their order."""
    keys = np.ascontiguousarray(records["key"])
    if (keys == keys[0]).all():
        yield int(keys[0]), records
        return
    # Sorting small numbers takes no comparisons.
    order = np.argsort(keys.astype(np.uint16) if keys.max() < 1 << 16 else keys, kind="stable")
    # As pairs of sixteen bytes: numpy would copy records field by field, which takes twenty times as long.
    dealt = records.view("c16").reshape(-1, 2).take(order, axis=0).view(_RECORD).reshape(-1)
    ordered = keys[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[0] + 1))
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(order)], strict=True):
        yield int(ordered[start]), dealt[start:end]


def _chosen_of_each(rows: Array) -> Array:
    """As :func:`_chosen`, for buckets of one size and in two passes."""
    base = np.arange(len(rows)) * rows.shape[1]
    least, greatest = rows.argmin(axis=1), rows.argmax(axis=1)
    found = [base + least, base + greatest]
    with_nan = np.flatnonzero(np.isnan(rows[np.arange(len(rows)), least]))
    if len(with_nan):  # of those, both are the first NaN
        some, missing = rows[with_nan], np.isnan(rows[with_nan])
        found.append(base[with_nan] + np.where(missing, np.inf, some).argmin(axis=1))
        found.append(base[with_nan] + np.where(missing, -np.inf, some).argmax(axis=1))
    return np.concatenate(found)


def _chosen(values: Array, buckets: Array) -> Array:
    """Return the places of each bucket's least and greatest value and of its first NaN, ascending."""
    starts = np.flatnonzero(np.diff(buckets, prepend=-1))
    lengths = np.diff(starts, append=len(values))
    marks = [values == np.repeat(bound.reduceat(values, starts), lengths) for bound in (np.fmin, np.fmax)]
    missing = np.isnan(values)
    if missing.any():
        marks.append(missing)
    return np.unique(np.concatenate([_first(mark, starts, starts + lengths) for mark in marks]))


def _first(mark: Array, starts: Array, ends: Array) -> Array:
    """Return the first place that is marked in each stretch that has one."""
    places = np.flatnonzero(mark)
    index = np.searchsorted(places, starts)
    found = np.append(places, len(mark))[index]
    return found[found < ends]


def _lateness(course: _Course) -> float:
    return course.last_step


def _joined(courses: list[_Course]) -> Curve:
    if len(courses) == 1 and courses[0].drawn is not None:
        return courses[0].drawn
    kept = np.concatenate([course.kept for course in courses])
    kept = kept[np.argsort(kept["step"], kind="stable")]
    steps = kept["step"].astype(float)
    curve = Curve(
        name=courses[0].name,
        steps=tuple(steps.tolist()),
        times=tuple(kept["when"].tolist()),
        values=tuple(kept["value"].tolist()),
        count=sum(course.count for course in courses),
        last=max(courses, key=_lateness).last,
        min=float(np.fmin.reduce([course.min for course in courses])),
        max=float(np.fmax.reduce([course.max for course in courses])),
    )
    if len(courses) == 1:
        courses[0].drawn = curve
    return curve
