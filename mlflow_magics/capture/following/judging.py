"""Says, as a number is first met while code runs, whether it is a result; by the rules that hold when a cell ends."""

from __future__ import annotations

import ast
import sys
from collections import ChainMap
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from types import FrameType

from ...vocabulary.records import Metric, Param, Skipped
from ..code.dataflow import Dataflow, analyse_tree
from ..code.symbols import Const as Literal
from ..code.symbols import DictDisplay, Local, Node, Update, alternatives, walk
from ..roles.deciding import FOLLOWS_LOOP, Cell, simple
from ..roles.declined import DRAWN, DRAWN_SETTING
from ..roles.origins import Before, Weigher, Weight
from ..roles.roles import Snapshot, clocks_of, inferred_safely, looked_at
from ..roles.told import result_name
from ..values.inspection import is_a
from .plan import Site

_ANY_NUMBER = 0.5
"""Stands for the number that was met: which it is does not matter."""


class CellJudge:
    """Judges the numbers of a cell.

    Parameters
    ----------
    flow : Dataflow
        The cell.
    namespace : mapping
        The variables as they are at each question; what the cell imports and defines is among them.
    before : Snapshot
        What they held as the cell began.
    collected : collection of str, optional
        Entries of dicts that are followed under other names.
    """

    def __init__(
        self,
        flow: Dataflow,
        namespace: Mapping[str, object],
        before: Snapshot,
        collected: Collection[str] = (),
    ) -> None:
        self.flow = flow
        self.namespace = namespace
        self.collected = collected
        self.function = ""
        self.before: Mapping[str, Before] = before.before

    def of_name(self, name: str) -> str:
        """Return the reason for a name that a number was assigned to in a loop."""
        cell = self._cell({name: float(_ANY_NUMBER)})  # a number of its own: it is none that was there before
        found = inferred_safely(name, cell)
        if any(isinstance(one, Metric) for one in found):
            return "computed in a loop"
        # A schedule, ``lr = 0.1 * 0.9**epoch``: no result, and its last value alone says nothing, but a curve worth
        # having. Whole numbers that follow from the loop are places in the data.
        follows = any(isinstance(one, Skipped) and one.reason == FOLLOWS_LOOP for one in found)
        return FOLLOWS_LOOP if follows and is_a(self._now().get(name), float) else ""

    def of_entry(self, name: str, value: object, path: tuple[str, ...]) -> str:
        """Return the reason for an entry of a dict that was assigned to a name in a loop."""
        node = self.flow.final.get(name)
        if ".".join((name, *path)) in self.collected:
            return ""
        if node is None or name.startswith("_") or any(step.startswith("_") for step in path) or _is_copy(node, path):
            return ""
        cell = self._cell({name: value})
        return "computed in a loop" if cell.weigher.entry(node, path) is Weight.COMPUTED else ""

    def of_told(self, site: Site) -> str:
        """Return the reason for a value that is printed, or put into a list."""
        if site.told.how == "returned":
            return f"returned by {self.function or site.told.name}"
        value = next((one for one in self.flow.told if one.told.place == site.told.place), None)
        if value is None:
            return ""
        cell = self._cell({})
        if not isinstance(simple(site.name, float(_ANY_NUMBER), value.node, cell), Metric):
            return ""
        if site.told.how == "appended":
            return "appended in a loop"
        return "printed" if site.name == site.told.name else f"printed as {site.told.name}"

    def result_of(self, function: str) -> str:
        """Return the name of what a function of the notebook returns."""
        return result_name(function, self.namespace.get(function))

    def held(self, names: Iterable[str]) -> Mapping[str, object]:
        """Return what these variables hold now."""
        now = self._now()
        return {name: now[name] for name in names if name in now}

    def is_setting(self, name: str) -> bool:
        """Tell whether a variable that is assigned in each turn is a setting that is tried."""
        reasons = {FOLLOWS_LOOP, DRAWN_SETTING, DRAWN}
        found = inferred_safely(name.split(".")[0], self._cell({}))
        return bool(found) and all(
            isinstance(one, Param) or (isinstance(one, Skipped) and one.reason in reasons) for one in found
        )

    def _now(self) -> Mapping[str, object]:
        return self.namespace

    def _cell(self, instead: dict[str, object]) -> Cell:
        seen = ChainMap(instead, self._now())  # type: ignore[arg-type]  # only the first is written to
        weigher = Weigher(self.flow, seen, self.before)
        return Cell(self.flow, seen, self.before, weigher, clocks_of(weigher), [])


class FunctionJudge(CellJudge):
    """Judges the numbers of a function of the notebook, as if its body were a cell and its arguments stood above it.

    Parameters
    ----------
    body : list of ast.stmt
        The function's own.
    arguments : frozenset of str
        The names of its arguments.
    place : (str, str, int)
        The file, name and first line of its code: by them the frame is found in which it runs.
    namespace : mapping
        The notebook's variables.
    """

    def __init__(
        self,
        body: list[ast.stmt],
        arguments: frozenset[str],
        place: tuple[str, str, int],
        namespace: Mapping[str, object],
        collected: Collection[str] = (),
    ) -> None:
        self.body = body
        self.function = place[1]
        self.collected = collected
        self.arguments = arguments
        self.place = place
        self.namespace = namespace
        self.before = {}

    @cached_property
    def flow(self) -> Dataflow:  # type: ignore[override]  # read when it is first asked for: most functions are not
        """What the function's body reads and writes."""
        return analyse_tree(ast.Module(self.body, []))

    def _now(self) -> Mapping[str, object]:
        frame: FrameType | None = sys._getframe()
        while frame is not None:
            code = frame.f_code
            if (code.co_filename, code.co_name, code.co_firstlineno) == self.place:
                inside = dict(frame.f_locals)
                return ChainMap(inside, self.namespace)  # type: ignore[arg-type]  # it is only read
            frame = frame.f_back
        return self.namespace

    def _cell(self, instead: dict[str, object]) -> Cell:
        now = self._now()
        read = [name for name in self.flow.names if name in now and (name in self.arguments or name in self.flow.reads)]
        self.before = {name: looked_at(now[name]) for name in read}
        return super()._cell(instead)


def _is_copy(node: Node, path: tuple[str, ...]) -> bool:
    """Tell whether an entry is only a variable under its own name: ``logs = {"acc": acc}``."""

    def inside(one: Node) -> tuple[Node, ...]:
        match one:
            case Local(value=value):
                return (value,)
            case Update(before=before):
                return (before,)
        return alternatives(one)

    for one in walk(node, inside):
        match one:
            case DictDisplay(items=items):
                entries = [(key.value, value) for key, value in items if isinstance(key, Literal)]
            case Update(path=(str(key),), value=value):
                entries = [(key, value)]
            case _:
                continue
        if any(key == path[-1] and isinstance(value, Local) and value.name == key for key, value in entries):
            return True
    return False
