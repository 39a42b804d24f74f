"""Decides the role of one name that the user said nothing about."""

from __future__ import annotations

import builtins
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass

from ...vocabulary.records import Figure, Metric, Param, Skipped
from ..code.dataflow import Dataflow
from ..code.earlier import module_behind
from ..code.scopes import HIDDEN
from ..code.symbols import Const, Node, Sequence, is_counter, is_turn, may_be_unset
from ..values.flatten import Leaf, dotted, flatten
from ..values.inspection import MISSING, class_name, is_a, marks, mro
from ..values.kinds import figure_behind, figure_library, is_scalar, kind_of
from ..values.secrets import secret_reason
from ..values.writing import describe, number_of, text_of
from .declined import (
    A_SIZE,
    AN_INDEX,
    IMPORTED,
    ONLY_PRINTED,
    ONLY_TOLD,
    OUTPUT,
    drawn,
    imported,
    is_library,
    is_output,
    list_reason,
    module_holding,
    only_told,
)
from .figures import Record
from .origins import Before, Weigher, Weight
from .resolving import is_clock

FOLLOWS_LOOP = "changes in the loop"
"""Why a name is no result that only loop variables and inputs went into."""


@dataclass(frozen=True)
class Cell:
    """What deciding on a name needs."""

    flow: Dataflow
    namespace: Mapping[str, object]
    before: Mapping[str, Before]
    weigher: Weigher
    clocks: frozenset[str]
    notes: list[str]
    history: Seq[str] = ()
    was_given: Callable[[str, str], bool | None] = lambda name, full: None
    """Tells of a name, or an entry of it, whether an earlier cell was given it; None where nothing is known."""


def inferred(name: str, cell: Cell) -> list[Record]:
    """Decide on a name of which the user said nothing."""
    value = cell.namespace.get(name, MISSING)
    if value is MISSING or name in HIDDEN or not name.strip("_") or (name.startswith("__") and name.endswith("__")):
        return []
    written = name in cell.flow.final
    if not written and vars(builtins).get(name, MISSING) is value:
        return []
    kind = kind_of(value)
    secret = secret_reason(name, value) if kind in {"scalar", "short", "data"} else ""
    if secret:
        return [Skipped(name, secret)]
    if name.startswith("_"):
        return [Skipped(name, "private", f"--params {name}" if kind in {"scalar", "config", "short"} else "")]
    node = cell.flow.final.get(name)
    if node is not None and is_turn(node):
        return [Skipped(name, "a loop variable", f"--metrics {name}")]
    module = imported(node) if kind in {"scalar", "config", "short"} else None
    if module is not None:
        if is_library(module):
            return [Skipped(name, IMPORTED, f"--params {name}")]
        return [
            _param(dotted(name, leaf.path), leaf.value, f"imported from {module}") for leaf in flatten(value).leaves
        ]
    if kind == "config":
        return _config(name, value, node, cell)
    if number_of(value) is not None or kind in {"scalar", "short"}:
        return [simple(name, value, node, cell)]
    if kind == "figure" and written:
        return [Figure(name, value, figure_library(figure_behind(value)) or "matplotlib")]
    return [Skipped(name, describe(value, kind), f"--model {name}" if kind == "model" else "")]


def simple(name: str, value: object, node: Node | None, cell: Cell) -> Record:
    """Decide on a scalar, a tensor of no dimensions, or a short tuple or list."""
    if node is None:
        return _read(name, value, cell)
    if is_clock(node, cell.namespace):
        return Skipped(name, "a clock reading", f"--params {name}")
    known = cell.before.get(name)
    if known is not None and known.scalar is value and is_a(value, float) and may_be_unset(name, node):
        if name in cell.flow.reads:
            return _param(name, value, "read; defined earlier")
        return Skipped(name, "not assigned this time", f"--params {name}")
    weight = cell.weigher.weigh(node)
    if weight is not Weight.INPUT and is_counter(name, node, lambda one: cell.weigher.weigh(one) <= Weight.LOOP):
        return Skipped(name, "a counter", f"--metrics {name}")
    if weight is Weight.LOOP:
        return Skipped(name, FOLLOWS_LOOP, f"--metrics {name}")
    if weight is Weight.INPUT:
        return _given(
            name, value, "written here" if isinstance(node, Const | Sequence) else "follows from inputs", cell
        )
    return _weighed(name, name, value, weight, node, cell)


def _weighed(name: str, full: str, value: object, weight: Weight, node: Node, cell: Cell) -> Record:
    """Decide on a value that was not given, by what it came from; `full` is an entry of `name`, or the name itself."""
    is_number = number_of(value) is not None
    if weight in {Weight.SIZE, Weight.INDEX} and is_number:
        return Skipped(full, A_SIZE if weight is Weight.SIZE else AN_INDEX, f"--metrics {name}")
    if weight is Weight.DRAWN:
        role, why = drawn(name, value, node, cell.flow, cell.weigher)
        if role == "param":
            return _param(full, value, why)
        if role == "skipped":
            return Skipped(full, why, f"--params {name}")
    return _computed(full, value)


def _given(name: str, value: object, why: str, cell: Cell) -> Record:
    """Log a value that was given, unless it only names columns, labels, or a place to write to."""
    reason = list_reason(name, value, cell.flow) or (OUTPUT if is_output(name, value, cell.flow) else "")
    return Skipped(name, reason, f"--params {name}") if reason else _param(name, value, why)


def _read(name: str, value: object, cell: Cell) -> Record:
    if name in cell.clocks:
        return Skipped(name, "a clock reading", f"--params {name}")
    if is_a(value, list):
        return Skipped(name, describe(value, "data"), f"--params {name}")
    module = module_behind(name, cell.history)
    if module is None:
        module = module_holding(name, value)  # a cell that IPython keeps no history of
    if module:
        if is_library(module):
            return Skipped(name, IMPORTED, f"--params {name}")
        return _param(name, value, f"imported from {module}")
    looked_at = only_told(name, value, cell.flow, cell.namespace)
    if looked_at:
        was_given = cell.was_given(name, name)
        if was_given is False or (was_given is None and is_fraction(value)):
            return Skipped(name, ONLY_TOLD, f"--params {name}")
        if looked_at == "told" and is_fraction(value):
            return Skipped(name, ONLY_PRINTED, f"--params {name}")
    return _given(name, value, "read; defined earlier", cell)


def is_fraction(value: object) -> bool:
    """Tell whether a value is a number that need not be whole: a float, or a library's."""
    return not is_a(value, int) and ("numpy", "integer") not in marks(value) and number_of(value) is not None


def _param(name: str, value: object, why: str) -> Record:
    text = text_of(value)
    return Skipped(name, "too long a number to write") if text is None else Param(name, text, why)


def _computed(name: str, value: object) -> Record:
    number = number_of(value)
    option = f"--params {name}"
    if number is not None:
        return Metric(name, number, "computed here")
    if is_a(value, str):
        return Skipped(name, "text that was computed", option)
    if is_a(value, int) and not is_a(value, bool):
        return Skipped(name, "a number too large for a metric", option)
    if is_a(value, bool) or text_of(value) in {"True", "False"}:
        return Skipped(name, "a bool that was computed", option)
    if kind_of(value) == "scalar":
        return Skipped(name, f"{describe_scalar(value)} that was computed", option)
    return Skipped(name, describe(value, "data"), option)


def describe_scalar(value: object) -> str:
    """Name a scalar in a word, for the reason why it was not logged. ``"None"`` or ``"a PosixPath"``."""
    return "None" if value is None else f"a {class_name(type(value))}"


def _config(name: str, value: object, node: Node | None, cell: Cell) -> list[Record]:
    """Decide on a configuration, or a dict of results: each scalar in it by what that was built from."""
    flat = flatten(value)
    if flat.cut:
        cell.notes.append(f"{name}: only its first {len(flat.leaves)} values were looked at")
    found = [one for leaf in flat.leaves for one in _leaf(name, leaf, node, cell)]
    if not found and not (node is not None and name not in cell.flow.reads):
        return [Skipped(name, describe(value, "data"))]
    if not found:
        return [Skipped(name, describe(value, "data"), f"--params {name}")] if flat.leaves else []
    return found


def _leaf(name: str, leaf: Leaf, node: Node | None, cell: Cell) -> Iterator[Record]:
    full = dotted(name, leaf.path)
    if secret_reason(full, leaf.value):
        yield Skipped(full, "a secret")
        return
    weight = _leaf_weight(name, leaf, node, cell)
    if weight is Weight.INPUT:
        why = "written here" if node is not None else "read; defined earlier"
        if (
            node is None
            and only_told(name, leaf.value, cell.flow, cell.namespace)
            and cell.was_given(name, full) is False
        ):
            yield Skipped(full, ONLY_TOLD, f"--params {name}")
            return
        yield _param(full, leaf.value, why)
    elif weight is Weight.LOOP:
        yield Skipped(full, FOLLOWS_LOOP, f"--metrics {name}")
    elif weight is not None:
        one = _weighed(name, full, leaf.value, weight, node, cell) if node is not None else _computed(full, leaf.value)
        if isinstance(one, Metric) or node is not None:
            yield dataclasses.replace(one, option=f"--params {name}") if isinstance(one, Skipped) else one


def _leaf_weight(name: str, leaf: Leaf, node: Node | None, cell: Cell) -> Weight | None:
    """How an entry came to be; None where the cell has nothing to do with it."""
    known = cell.before.get(name)
    value = cell.namespace[name]
    changed = known is None or known.ident != id(value) or known.leaves.get(leaf.path, leaf.value) is not leaf.value
    fresh = known is not None and known.ident == id(value) and leaf.path not in known.leaves
    if is_a(value, type) or any(class_name(cls) == "Namespace" for cls in mro(value)):
        return Weight.INPUT
    if node is None:
        # Only read, and yet another value than before: somebody whom the cell called put it there.
        return Weight.COMPUTED if (changed or fresh) and is_scalar(leaf.value) else Weight.INPUT
    if name not in cell.flow.reads and _only_updated(name, cell) and not (changed or fresh):
        return None
    return cell.weigher.entry(node, leaf.path)


def _only_updated(name: str, cell: Cell) -> bool:
    return all(binding.kind == "update" for binding in cell.flow.bindings[name])
