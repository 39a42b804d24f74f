"""Follows the numbers of one run while its cell runs: which become points of a series, and which are told once."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import CodeType
from typing import Any, Protocol

from ...vocabulary.records import CallTable, Metric, Series
from ..values.inspection import is_a
from ..values.kinds import field_names
from . import hook
from .calls import Calls, frame_of
from .plan import LoopSite, Plan, Site
from .reading import Deferred, reader
from .series import OpenSink, Track, track

BEGIN = 2_000
"""Points after which it is looked at whether a function can afford to be followed."""

COST, SHARE = 0.4e-6, 0.02
"""Seconds that a point takes; the part of its time that a function called again and again may spend on them."""

MISSES = 1_000
"""Values that are no numbers, after which a function's variable is followed no more."""

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

    def held(self, names: Iterable[str]) -> Mapping[str, object]:
        """Return what these variables of the cell hold now."""

    def is_setting(self, name: str) -> bool:
        """Tell whether a variable that is assigned in each turn is a setting that is tried."""


class _Owner:
    """A function whose places are followed."""

    def __init__(self, keys: set[str], give_up: Callable[[], None]) -> None:
        self.keys = set(keys)
        self.give_up = give_up
        self.misses = itertools.count(1).__next__


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
    notes : list of str
        What the user should know of the following itself.
    """

    def __init__(self, plan: Plan, every: int, open_sink: OpenSink | None, judge: Judge) -> None:
        self.plan = plan
        self.every = every
        self.once: dict[str, Metric] = {}
        self.notes: list[str] = []
        self._open_sink = open_sink
        self._judge = judge
        self._read = reader()
        self._tracks: dict[str, Track] = {}
        self._entries: dict[tuple[str, tuple[str, ...]], Callable[[Any], object] | None] = {}
        self._first_told: dict[str, tuple[float | Deferred, str]] = {}
        self._ways: dict[str, str] = {}  # how each metric is told: what is told in two ways is not counted twice
        self._keys: dict[str, bool] = {}
        self._calls: dict[CodeType, Calls] = {}
        self._tables: list[tuple[Calls, Callable[[str], bool], tuple[str, ...]]] = []
        self._owners: dict[str, _Owner] = {}
        self._open_loop: tuple[Calls, Judge, LoopSite] | None = None
        self._lock = threading.RLock()

    def follow(
        self,
        plan: Plan | None = None,
        judge: Judge | None = None,
        names: Mapping[str, str] | None = None,
        code: CodeType | None = None,
        give_up: Callable[[], None] | None = None,
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
        code : types.CodeType, optional
            The function's, with the recorders' calls in it.
        give_up : callable, optional
            Gives the function its own code back, where nothing in it is worth following, or it would take too long.
        """
        plan, judge = plan or self.plan, judge or self._judge
        called = names or {}
        if give_up is not None:
            keys = {*map(plan.key, plan.followed), *(site.key for site in plan.sites)}
            self._owners |= dict.fromkeys(keys, _Owner(keys, give_up))
        for name in plan.followed:
            key = plan.key(name)
            if key not in self._keys:
                self._keys[key] = name in plan.watch
                why = partial(_why, plan, judge, name)
                self._set(key, partial(self._first, key, called.get(name, name), why, judge))
        for site in plan.sites:
            if site.key not in self._keys:
                self._keys[site.key] = False
                self._set(site.key, self._of_site(site, called.get(site.name, site.name), judge, code))
        for loop in plan.loops:
            if loop.key not in self._keys:
                self._keys[loop.key] = False
                hook.set_recorder(loop.key, partial(self._turn, loop, Calls("", self._peek), judge))

    def _of_site(self, site: Site, name: str, judge: Judge, code: CodeType | None) -> Callable[[Any], object]:
        """Make what takes the values of one site."""
        why = partial(judge.of_told, site)
        match site.told.how:
            case "printed":
                return partial(self._told_first, site.key, name, why)
            case "returned" if code is not None:
                return partial(self._called, site.key, name, why, self._calls_of(name, judge, code), code)
            case "returned":
                # The cell's own code cannot be exchanged while it runs, but what it calls can do less.
                self._owners[site.key] = _Owner({site.key}, partial(hook.set_recorder, site.key))
                return partial(self._returned, site.key, judge.result_of(name), why)
        return partial(self._first, site.key, name, why, None)

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
        owner = self._owners.get(key)
        if self._read(value) is None:
            if judge is not None:
                self._entry_by_entry(name, value, judge)
            if owner is not None and owner.misses() > MISSES:
                self._stop(key)
            return
        record = self._recorder(name, why, owner, whole=name in self.plan.watch)
        if record is None:
            self._stop(key)
            return
        self._set(key, record)
        record(value)

    def _stop(self, key: str) -> None:
        """Follow a place no more. A function in which no place is left gets its own code back."""
        hook.set_recorder(key)
        if (owner := self._owners.get(key)) is not None:
            owner.keys.discard(key)
            if not owner.keys:
                owner.give_up()

    def _recorder(
        self, name: str, why: Callable[[], str], owner: _Owner | None = None, *, whole: bool = False
    ) -> Callable[[Any], None] | None:
        """Return what records the points of a series, begun now where it is new; None where it is no series."""
        with self._lock:
            if name not in self._tracks:
                self._ways.setdefault(name, "assigned")
                reason = why()
                if not reason:
                    return None
                sink = self._open_sink(name) if self._open_sink is not None else None
                often = (
                    partial(self._weigh_cost, name, owner, time.perf_counter())
                    if owner is not None and not whole
                    else None
                )
                self._tracks[name] = track(
                    name, reason, sink, self._read, every=self.every, whole=whole, seldom_told=often
                )
            return self._tracks[name].record

    def _told_first(self, key: str, name: str, why: Callable[[], str], value: object, way: str = "printed") -> None:
        """Keep what is told once; told twice it is a series."""
        if self._read(value) is None:
            return
        record = self._again(key, name, why, value, way)
        if record is not None:
            self._set(key, record)

    def _weigh_cost(self, name: str, owner: _Owner, began: float, step: int) -> None:
        """Let go of a function that is called so often that following it would be felt."""
        if step >= BEGIN and owner.keys and step * COST > SHARE * (time.perf_counter() - began):
            owner.keys.clear()
            owner.give_up()
            self.notes.append(
                f"{name}: the first {step + 1} points only; its function is called too often to be followed"
            )

    def _again(
        self, key: str, name: str, why: Callable[[], str], value: object, way: str
    ) -> Callable[[Any], object] | None:
        """Take a number that may be the only one; return what records the next ones, where it is known by now."""
        with self._lock:
            if self._ways.setdefault(name, way) != way:
                return None  # ``print("acc:", acc); return acc``
            first = self._first_told.get(name)
            reason = first[1] if first is not None else why()
            if not reason:
                self._stop(key)
                return None
            if first is None:
                number = self._read(value)
                assert number is not None
                self._first_told[name] = number, reason
                return None
        begun = name in self._tracks
        record = self._recorder(name, lambda: reason, self._owners.get(key))
        assert record is not None
        if not begun:
            record(first[0].read() if isinstance(first[0], Deferred) else first[0])
        record(value)
        return record

    def _returned(self, key: str, name: str, why: Callable[[], str], value: object) -> None:
        """Take what a function of the notebook returns to nobody: a number, or a dict of numbers."""
        if self._read(value) is not None:
            self._told_first(key, name, why, value, "returned")
            return
        for entry, number in list(_items(value))[:MOST_ENTRIES]:
            if self._read(number) is not None:
                self._again(key, entry, why, number, "returned")

    def _called(self, key: str, name: str, why: Callable[[], str], calls: Calls, code: CodeType, value: object) -> None:
        """Take what one of many calls of a function comes to, and its arguments."""
        frame = frame_of(code)
        if calls.is_full or frame is None:
            self._returned(key, name, why, value)
            return
        given = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        inside = frame.f_locals
        calls.begin({one: inside[one] for one in given if one in inside})
        if self._read(value) is not None:
            self._again(key, name, why, value, "returned")
        else:
            self._returned(key, name, why, value)
        calls.end({one: held for one, held in inside.items() if one not in given})

    def _calls_of(self, name: str, judge: Judge, code: CodeType) -> Calls:
        """Return the rows of a function, which may return in many places."""
        if code not in self._calls:
            self._calls[code] = Calls(name, self._peek)
            self._tables.append((self._calls[code], judge.is_setting, ()))
        return self._calls[code]

    def _turn(self, loop: LoopSite, calls: Calls, judge: Judge, *values: object) -> None:
        """Begin a turn of a loop of the cell: the row of the one before it is over."""
        if not any(calls is known for known, _, _ in self._tables):
            self._tables.append((calls, judge.is_setting, loop.labels))
        calls.end(judge.held(loop.assigned))
        calls.begin(dict(zip(loop.labels, values, strict=False)))
        self._open_loop = calls, judge, loop
        if calls.is_full:
            hook.set_recorder(loop.key, _nothing)

    def tables(self) -> tuple[CallTable, ...]:
        """Return the rows of the loops and functions that were run again and again; to be called before `finish`."""
        if self._open_loop is not None:
            calls, judge, loop = self._open_loop
            calls.end(judge.held(loop.assigned))
        found = []
        for calls, is_setting, labels in self._tables:
            own = {*labels} if labels else set(calls.given)
            table = calls.table(lambda name, own=own, ask=is_setting: name.split(".")[0] in own or ask(name))  # type: ignore[misc]
            found += [table] if table is not None else []
        return tuple(found)

    def _peek(self) -> dict[str, tuple[int, float]]:
        known = {name: one.peek() for name, one in self._tracks.items()}
        once = {name: (1, number) for name, (number, _) in self._first_told.items() if type(number) is float}
        return {**once, **known}

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


def _nothing(*_: object) -> None:
    """Take the place of the recorder of a loop that has too many turns for a table."""


def _why(plan: Plan, judge: Judge, name: str) -> str:
    if name in plan.watch:
        return "--watch"
    return "--metrics" if name in plan.metrics else judge.of_name(name)
