"""Makes metrics of what a cell tells without a name: prints with a label, and its last value."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from types import FunctionType
from typing import Any

from ...vocabulary.records import Metric, Skipped
from ..code.dataflow import Dataflow
from ..code.symbols import Call
from ..code.syntax import statements
from ..code.telling import is_formula, name_of, path_of
from ..code.written import written
from ..values.flatten import flatten
from ..values.inspection import class_name, module_of, mro, shape_of
from ..values.kinds import kind_of
from ..values.writing import number_of
from .deciding import Cell, simple
from .figures import Record
from .origins import Weight

SHOWN = "the cell's last value"

_MOST = 50
_LONGEST = 60
_RESULTS = re.compile(
    r"(?:^|_)(?:score|accuracy|auc|loss|error|evaluate|mse|rmse|mae|r2|f1|recall|precision)(?:_score)?$"
)
_SHORT = {"score": "acc", "accuracy_score": "acc", "evaluate": "result"}
_FOLDS = frozenset({"cross_val_score"})


def without_named(told: Sequence[Metric], records: Sequence[Record], flow: Dataflow) -> list[Metric]:
    """Return what is told of which no other record says the same, under its own name or another."""
    known = {one.name for one in records if not isinstance(one, Skipped)}
    values = {one.name: one.value for one in records if isinstance(one, Metric)}
    exprs = {one.told.name: one.told.expr for one in flow.told}
    kept: dict[str, Metric] = {}
    for one in told:
        expr = exprs.get(one.name)
        inside = {part.id for part in ast.walk(expr) if isinstance(part, ast.Name)} if expr is not None else set()
        # ``print("best so far:", min(best, score))``: the value of a variable that it is made of.
        is_same = any(values.get(name) == one.value for name in inside)
        if one.name not in known and not is_same and (expr is None or path_of(expr) not in known):
            kept[one.name] = one
    return list(kept.values())


def shown_metrics(cell: Cell, last: object) -> Iterator[Metric]:
    """List the numbers that the last value of a cell shows."""
    shown = next((one for one in cell.flow.told if one.told.how == "shown"), None)
    if shown is None or last is None:
        return
    name, node = shown.told.name, shown.node
    if isinstance(shown.told.expr, ast.Name):
        return  # a variable: its own role was asked for
    name = result_name(name, cell.namespace.get(name)) if isinstance(node, Call) else name
    if name and number_of(last) is not None:
        record = simple(name, last, node, cell)
        if isinstance(record, Metric):
            yield Metric(name, record.value, SHOWN)
        return
    if cell.weigher.weigh(node) is not Weight.COMPUTED:
        return
    for key, value in _entries(name, last, isinstance(node, Call)):
        yield Metric(key, value, SHOWN)


def hint(flow: Dataflow) -> str:
    """Say of a cell that came to nothing what would have been logged, had it had a name; always one line."""
    for site in reversed(flow.calls):
        name = name_of(site.code)
        if _RESULTS.search(name) and not site.variable:
            code = ast.unparse(site.code)
            code = code if len(code) <= _LONGEST else f"{name}(…)"
            return f"nothing to log: {code} had no name; {_SHORT.get(name, name)} = … gives it one"
    return "nothing to log: this cell sets nothing and computes no number that has a name"


def result_name(name: str, function: object) -> str:
    """Return what a function of the notebook calls its result, ``return acc``; else the function's own name."""
    if type(function) is not FunctionType:
        return name
    source = written(function.__code__)
    if source is None:
        return name
    values = [one.value for one in statements(source[1].body) if isinstance(one, ast.Return) and one.value]
    results = {"" if is_formula(one) else name_of(one) for one in values}
    return results.pop() or name if len(results) == 1 else name


def _entries(name: str, last: object, is_call: bool) -> Iterator[tuple[str, float]]:
    if kind_of(last) == "config":
        leaves = flatten(last).leaves[:_MOST]
        found = ((".".join(map(str, leaf.path)), number_of(leaf.value)) for leaf in leaves)
        yield from ((key, number) for key, number in found if number is not None)
        return
    library = module_of(type(last)).partition(".")[0]
    shape = shape_of(last)
    if library == "pandas" and any(class_name(cls) == "DataFrame" for cls in mro(last)) and shape and shape[0] == 1:
        table: Any = last
        row = zip(table.columns, table.iloc[0].tolist(), strict=True)
        yield from ((str(key), number) for key, value in row if (number := number_of(value)) is not None)
    elif library == "numpy" and is_call and name in _FOLDS and shape and len(shape) == 1:
        scores: Any = last
        yield f"{name}.mean", float(scores.mean())
        yield f"{name}.std", float(scores.std())
