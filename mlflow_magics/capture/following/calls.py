"""Keeps, for a loop or a function that is called again and again, one row a turn: its settings beside its results."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from types import CodeType, FrameType

from ...vocabulary.records import CallTable
from ..values.flatten import dotted, flatten
from ..values.inspection import class_name, is_a, marks
from ..values.kinds import kind_of
from ..values.secrets import secret_reason
from ..values.writing import number_of

MOST_ROWS = 1_000
"""Turns up to which a table is kept: of more than these a curve tells more."""

_LONGEST = 100
EPOCHS = frozenset({"epoch", "epochs", "step", "iteration", "batch", "época", "passo"})
"""Loop variables of training: its turns are the points of curves."""

COUNTERS = EPOCHS | {"it", "iter", "i", "j", "k", "n", "t", "_", "turn"}
"""Names of loop variables that say which turn it is, and nothing of what is tried in it."""

_LESS_IS_BETTER = (
    "loss",
    "error",
    "err",
    "rmse",
    "mse",
    "mae",
    "mape",
    "perplexity",
    "logloss",
    "erro",
    "custo",
    "cost",
)

Peek = Callable[[], Mapping[str, tuple[int, float]]]
"""Gives, for each series so far, how many points it has and the last one's value."""


class Calls:
    """The rows of one loop, or of one function.

    Parameters
    ----------
    name : str
        What the table is about: the function, or nothing.
    peek : callable
        See `Peek`.
    """

    def __init__(self, name: str, peek: Peek) -> None:
        self.name = name
        self._peek = peek
        self._rows: list[tuple[dict[str, str | float], dict[str, float]]] = []
        self._settings: dict[str, str | float] | None = None
        self.given: set[str] = set()
        self._counts: dict[str, int] = {}

    @property
    def is_full(self) -> bool:
        """Tell whether there are more turns than a table has rows."""
        return len(self._rows) >= MOST_ROWS

    def begin(self, settings: Mapping[str, object]) -> None:
        """Begin a turn; the one before it is over."""
        self.end()
        self._settings = dict(_written(settings))
        self.given |= {name.split(".")[0] for name in self._settings}
        self._counts = {name: count for name, (count, _) in self._peek().items()}

    def end(self, settings: Mapping[str, object] | None = None) -> None:
        """End a turn: what has a new point since it began is a result of it."""
        if self._settings is None:
            return
        found = self._settings | dict(_written(settings or {}))
        now = self._peek()
        results = {name: value for name, (count, value) in now.items() if count > self._counts.get(name, 0)}
        self._rows.append(({name: one for name, one in found.items() if name not in results}, results))
        self._settings = None

    def table(self, may_be_setting: Callable[[str], bool]) -> CallTable | None:
        """Return the table; None where it would say no more than the curves do.

        Parameters
        ----------
        may_be_setting : callable
            Tells of a variable that is assigned in each turn whether it is a setting.
        """
        self.end()
        if len(self._rows) < 2 or self.is_full:
            return None
        named = [name for _, found in self._rows for name in found]
        results = [name for name in dict.fromkeys(named) if named.count(name) > 1]
        settings = [
            name
            for name in dict.fromkeys(name for found, _ in self._rows for name in found)
            if name not in results and may_be_setting(name) and len({found.get(name) for found, _ in self._rows}) > 1
        ]
        settings = [name for name in settings if name not in COUNTERS]
        if not (results and settings):
            return None
        rows = tuple(
            tuple(found.get(name, "") for name in settings) + tuple(values.get(name, "") for name in results)
            for found, values in self._rows
        )
        best, by = _best([values for _, values in self._rows], results)
        return CallTable(self.name, tuple(settings), tuple(results), rows, best, by)


def _best(rows: list[dict[str, float]], results: list[str]) -> tuple[int, str]:
    """Find the best row, and by which result: the first that can be compared; a loss is better the less it is."""
    for name in results:
        known = [
            (values[name], number)
            for number, values in enumerate(rows)
            if values.get(name, float("nan")) == values.get(name)
        ]
        if len(known) > 1:
            less = any(word in name.lower() for word in _LESS_IS_BETTER)
            chosen = min(known) if less else max(known, key=lambda one: (one[0], -one[1]))
            return chosen[1], name
    return -1, ""


def _written(settings: Mapping[str, object]) -> Iterable[tuple[str, str | float]]:
    """Write settings as the cells of a table: scalars, the entries of dicts, of objects their class."""
    for name, value in settings.items():
        kind = kind_of(value)
        if name.startswith("_") or kind in {"module", "function"} or secret_reason(name, value):
            continue
        if marks(value)[0][0] == "optuna" and hasattr(value, "params"):
            yield from _written(value.params)
            continue
        if kind == "config":
            for leaf in flatten(value).leaves[:50]:
                full = dotted(name, leaf.path)
                if not secret_reason(full, leaf.value):
                    yield full, _cell(leaf.value)
        elif kind in {"scalar", "short"}:
            yield name, _cell(value)
        elif kind == "class":
            yield name, class_name(value)  # type: ignore[arg-type]
        elif kind == "model":
            yield name, class_name(type(value))


def _cell(value: object) -> str | float:
    """Write one value, as plain Python: what it is of a class of the user's must not be asked, or be woken up."""
    if value is None or type(value) is bool:
        return str(value)
    if is_a(value, str):
        return str.__str__(value)[:_LONGEST]
    if is_a(value, int):
        return int.__int__(value)  # type: ignore[arg-type]
    if type(value) is tuple or type(value) is list:
        return "(" + ", ".join(str(_cell(one)) for one in value) + ")"
    number = number_of(value)
    return "" if number is None else number


def frame_of(code: CodeType) -> FrameType | None:
    """Find the frame in which a function's code runs now, below this one."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame
