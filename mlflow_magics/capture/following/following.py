"""Follows the numbers of one run while its cell runs: which become points of a series, and which are told once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Protocol

from ...vocabulary.records import Metric, Series
from ..values.inspection import is_a
from ..values.kinds import field_names
from . import hook
from .plan import Plan, Site
from .reading import Deferred, reader
from .series import OpenSink, Track, track

MOST_ENTRIES = 100
"""Entries of one dict that are followed."""

_DEEPEST = 3


class Judge(Protocol):
    """Says, as a number is first met, why it is a result; with an empty text where it is none."""

    def of_name(self, name: str) -> str:
        """Return the reason for a name that a number was assigned to in a loop."""

    def of_entry(self, name: str, value: object, path: tuple[str, ...]) -> str:
        """Return the reason for an entry of a dict that was assigned to a name in a loop."""

    def of_told(self, site: Site) -> str:
        """Return the reason for a value that is printed, or put into a list."""

    def result_of(self, function: str) -> str:
        """Return the name of what a function of the notebook returns."""


class Following:
    """The numbers that are followed in one run, from its beginning to its end.

    Parameters
    ----------
    plan : Plan
        What was asked for; its keys tell this run's recorders from others.
    every : int
        Of how many points one is kept.
    open_sink : OpenSink or None
        Where points go.
    judge : Judge
        Whether a number, not asked for, is a result at all.

    Attributes
    ----------
    once : dict of str to Metric
        What was told a single time.
    """

    def __init__(self, plan: Plan, every: int, open_sink: OpenSink | None, judge: Judge) -> None:
        self.plan = plan
        self.every = every
        self.once: dict[str, Metric] = {}
        self._open_sink = open_sink
        self._judge = judge
        self._read = reader()
        self._tracks: dict[str, Track] = {}
        self._entries: dict[tuple[str, tuple[str, ...]], Callable[[Any], object] | None] = {}
        self._first_told: dict[str, tuple[float | Deferred, str]] = {}
        self._keys: dict[str, bool] = {}
        self._lock = threading.RLock()

    def follow(
        self, plan: Plan | None = None, judge: Judge | None = None, names: Mapping[str, str] | None = None
    ) -> None:
        """Wait for the first numbers of what was just found in the code.

        Parameters
        ----------
        plan : Plan, optional
            What was found: that of a function; the run's own where it is not given.
        judge : Judge, optional
            That function's.
        names : mapping of str to str, optional
            From the function's own names to metrics, where they differ.
        """
        plan, judge = plan or self.plan, judge or self._judge
        called = names or {}
        for name in plan.followed:
            key = plan.key(name)
            if key not in self._keys:
                self._keys[key] = name in plan.watch
                self._set(
                    key, partial(self._first, key, called.get(name, name), partial(_why, plan, judge, name), judge)
                )
        for site in plan.sites:
            if site.key not in self._keys:
                self._keys[site.key] = False
                known = called.get(site.name, site.name)
                why = partial(judge.of_told, site)
                match site.told.how:
                    case "printed":
                        self._set(site.key, partial(self._told_first, site.key, known, why))
                    case "returned":
                        self._set(site.key, partial(self._returned, site.key, known, why))
                    case _:
                        self._set(site.key, partial(self._first, site.key, known, why, None))

    def finish(self) -> tuple[Series, ...]:
        """Stop recording, and sum up. Points that must be kept and were only held are appended.

        Returns
        -------
        tuple of Series
            In the order of their first points.
        """
        for key, is_watched in self._keys.items():
            # A watched function may be called long after, and finds what does nothing.
            if is_watched:
                hook.set_recorder(key)
            else:
                hook.drop_recorder(key)
        with self._lock:
            for name, (value, why) in self._first_told.items():
                if name not in self._tracks:
                    self.once[name] = Metric(name, value.read() if isinstance(value, Deferred) else value, why)
            found = [one.finish() for one in self._tracks.values()]
            self._tracks.clear()
        return tuple(series for series in found if series is not None)

    def _set(self, key: str, record: Callable[[Any], object]) -> None:
        def passing(value: Any, __tracebackhide__: bool = True) -> Any:
            record(value)
            return value

        hook.set_recorder(key, record, passing)

    def _first(self, key: str, name: str, why: Callable[[], str], judge: Judge | None, value: object) -> None:
        """Take the first number of a name: decide, and put the recorder proper in this one's place."""
        if self._read(value) is None:
            if judge is not None:
                self._entry_by_entry(name, value, judge)
            return
        record = self._recorder(name, why, whole=name in self.plan.watch)
        if record is None:
            hook.set_recorder(key)
            return
        self._set(key, record)
        record(value)

    def _recorder(self, name: str, why: Callable[[], str], *, whole: bool = False) -> Callable[[Any], None] | None:
        """Return what records the points of a series, begun now where it is new; None where it is no series."""
        with self._lock:
            if name not in self._tracks:
                reason = why()
                if not reason:
                    return None
                sink = self._open_sink(name) if self._open_sink is not None else None
                self._tracks[name] = track(name, reason, sink, self._read, every=self.every, whole=whole)
            return self._tracks[name].record

    def _told_first(self, key: str, name: str, why: Callable[[], str], value: object) -> None:
        """Keep what is told once; told twice it is a series."""
        if self._read(value) is None:
            return
        record = self._again(name, why, value)
        if record is not None:
            self._set(key, record)

    def _again(self, name: str, why: Callable[[], str], value: object) -> Callable[[Any], object] | None:
        """Take a number that may be the only one; return what records the next ones, where it is known by now."""
        with self._lock:
            first = self._first_told.get(name)
            reason = first[1] if first is not None else why()
            if not reason:
                return id
            if first is None:
                number = self._read(value)
                assert number is not None
                self._first_told[name] = number, reason
                return None
        begun = name in self._tracks
        record = self._recorder(name, lambda: reason)
        assert record is not None
        if not begun:
            record(first[0].read() if isinstance(first[0], Deferred) else first[0])
        record(value)
        return record

    def _returned(self, key: str, name: str, why: Callable[[], str], value: object) -> None:
        """Take what a function of the notebook returns to nobody: a number, or a dict of numbers."""
        if self._read(value) is not None:
            self._told_first(key, self._judge.result_of(name), why, value)
            return
        for entry, number in list(_items(value))[:MOST_ENTRIES]:
            if self._read(number) is not None:
                self._again(entry, why, number)

    def _entry_by_entry(self, name: str, value: object, judge: Judge, path: tuple[str, ...] = ()) -> None:
        """Take the numbers of a dict that is assigned in each turn: ``res = evaluate(depth)``."""
        for key, entry in _items(value):
            where = (*path, key)
            known = self._entries.get((name, where), self)
            if known is None or (known is self and len(self._entries) >= MOST_ENTRIES):
                continue
            if self._read(entry) is None:
                if len(where) < _DEEPEST:
                    self._entry_by_entry(name, entry, judge, where)
                continue
            if known is self:
                full = ".".join((name, *where))
                known = self._recorder(full, partial(judge.of_entry, name, {key: entry}, where))
                self._entries[name, where] = known
            if callable(known):
                known(entry)


def _items(value: object) -> Iterable[tuple[str, object]]:
    """List the entries of a dict or a named tuple, as the value itself cannot have them otherwise."""
    if is_a(value, dict):
        held: list[tuple[object, object]] = list(dict.items(value))  # type: ignore[arg-type]
        return [(key, entry) for key, entry in held if type(key) is str]
    names = field_names(value)
    return list(zip(names, tuple.__iter__(value), strict=False)) if names else []  # type: ignore[arg-type]


def _why(plan: Plan, judge: Judge, name: str) -> str:
    if name in plan.watch:
        return "--watch"
    return "--metrics" if name in plan.metrics else judge.of_name(name)
