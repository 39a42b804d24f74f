"""Turns the names of a cell and their values into what is logged, each with the reason."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Collection, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from ...vocabulary.errors import UnknownNameError
from ...vocabulary.records import Captured, Choices, Figure, Metric, Param, Series, Skipped
from ..code.dataflow import Dataflow, analyse
from ..code.symbols import Local
from ..values.flatten import flatten
from ..values.inspection import MISSING, class_name, is_a, mro
from ..values.kinds import field_names, is_scalar, kind_of
from ..values.secrets import LOOKED, SHORTEST, live_values, secret_reason
from ..values.writing import describe, number_of
from .chosen import forced
from .deciding import Cell, inferred
from .figures import Record, with_figures
from .origins import Before, Weigher
from .resolving import is_clock
from .told import shown_metrics, without_named

Role = Literal["param", "metric", "figure", "model", "table", "metrics", "params", "artifact"]
"""What ``%mlflow_log NAME`` takes a variable for."""

NOISE = frozenset({"a module", "a function", "a class"})
"""Reasons that say little; they come last."""


@dataclass(frozen=True)
class Snapshot:
    """What the names of a cell held as the cell began.

    Attributes
    ----------
    before : mapping of str to Before
        Only names that existed.
    """

    before: Mapping[str, Before]


def snapshot(flow: Dataflow, namespace: Mapping[str, object]) -> Snapshot:
    """Remember what the names of a cell hold; to be called as the run opens.

    Parameters
    ----------
    flow : Dataflow
        The cell.
    namespace : mapping
        The variables; read, never changed. Only names that the cell mentions are looked up.

    Returns
    -------
    Snapshot
        Holds scalars, and nothing bigger.
    """
    found = ((name, namespace.get(name, MISSING)) for name in flow.names)
    return Snapshot({name: looked_at(value) for name, value in found if value is not MISSING})


def looked_at(value: object) -> Before:
    """Remember a value."""
    try:
        return _before(value)
    # A value that cannot even be looked at costs its own name, which is skipped at the end, and no other.
    except Exception:  # noqa: BLE001
        return Before("object", id(value))


def _before(value: object) -> Before:
    kind = kind_of(value)
    leaves = flatten(value).leaves if kind == "config" else ()
    known = {leaf.path: leaf.value for leaf in leaves if is_scalar(leaf.value)}
    # A named tuple is unpacked by number.
    known |= {(i,): known[name,] for i, name in enumerate(field_names(value)) if (name,) in known}
    return Before(
        kind,
        id(value),
        scalar=value if kind == "scalar" else MISSING,
        leaves=known,
        many=is_a(value, list),
    )


def assign(
    flow: Dataflow,
    namespace: Mapping[str, object],
    before: Snapshot,
    choices: Choices,
    *,
    reached: int | None = None,
    ignored: Collection[str] = (),
    shown: Seq[object] = (),
    series: Seq[Series] = (),
    told: Seq[Metric] = (),
    last: object = None,
    elsewhere: Collection[str] = (),
    history: Seq[str] = (),
) -> Captured:
    """Decide what of a cell is logged; to be called as the cell ends.

    Parameters
    ----------
    flow : Dataflow
        The cell.
    namespace : mapping
        The variables; read, never changed.
    before : Snapshot
        What they held as the cell began.
    choices : Choices
        What the user said; it wins.
    reached : int, optional
        First line of the top-level statement in which the cell failed; None where it ran to its end.
    ignored : collection of str, optional
        Names never considered: those that IPython keeps for itself.
    shown : sequence, optional
        Matplotlib figures that the cell displayed.
    series : sequence of Series, optional
        Names that have points: they are that, and nothing else.
    told : sequence of Metric, optional
        What was printed with a label.
    last : object, optional
        The value that the notebook shows below the cell; None where it shows none.
    elsewhere : collection of str, optional
        Entries of dicts that have series under other names.
    history : sequence of str, optional
        Sources of the cells run before, newest last: they tell how what this one reads came to be.

    Returns
    -------
    Captured
        Nothing of it is secret. Values are read, never copied.
    """
    weigher = Weigher(flow, namespace, before.before)

    def was_given(name: str, full: str) -> bool | None:
        made = as_captured(name, history, namespace)
        found = [one for one in made or () if one.name == full]
        return all(isinstance(one, Param) for one in found) if found else None

    cell = Cell(flow, namespace, before.before, weigher, clocks_of(weigher), [], history, was_given)
    chosen = dict.fromkeys([*choices.params, *choices.metrics])
    records: list[Record] = [Metric(one.name, one.last, one.why) for one in series]
    followed = {one.name for one in series}
    for name in dict.fromkeys([*flow.names, *chosen]):
        if name in choices.skip or name in followed:
            continue
        if name in chosen:
            records += _chosen(name, cell, as_metric=name in choices.metrics)
        elif name not in ignored and _is_reached(name, cell, reached):
            records += inferred_safely(name, cell)
    if reached is None:
        told = (*told, *shown_metrics(cell, last))
    records += without_named(told, records, flow)
    records = [one for one in records if not _is_under(one.name, choices.skip) and one.name not in elsewhere]
    records = _without_copies(_without_twins(with_figures(records, shown)), namespace)
    return Captured(
        params=tuple(one for one in records if isinstance(one, Param)),
        metrics=tuple(one for one in records if isinstance(one, Metric) and one.name not in followed),
        figures=tuple(one for one in records if isinstance(one, Figure)),
        skipped=tuple(
            sorted(
                (r for r in records if isinstance(r, Skipped) and not _is_above(r.name, followed)),
                key=lambda one: one.reason in NOISE,
            )
        ),
        notes=tuple(cell.notes),
        series=tuple(series),
    )


def _without_copies(records: list[Record], namespace: Mapping[str, object]) -> list[Record]:
    """``copy = password`` holds the secret under a harmless name, and so does ``f"user:{password}"``."""
    if not any(isinstance(one, Param) and len(one.value) >= SHORTEST for one in records):
        return records
    live = live_values(namespace)
    return [
        Skipped(one.name, "a secret")
        if isinstance(one, Param) and any(each in one.value[:LOOKED] for each in live)
        else one
        for one in records
    ]


def inferred_safely(name: str, cell: Cell) -> list[Record]:
    """Decide on a name; one whose value fails in our hands is said, and takes no neighbour with it."""
    try:
        return inferred(name, cell)
    # Whatever a type of somebody else's does when it is looked at: the cell is over, and the run must have the rest.
    except Exception as error:  # noqa: BLE001
        return [Skipped(name, f"could not be read ({class_name(type(error))})")]


def _is_above(name: str, followed: Collection[str]) -> bool:
    """Tell whether a name holds what has a series: ``history`` above ``history.loss``."""
    return any(one.startswith(name + ".") for one in followed)


def _is_under(name: str, skip: Collection[str]) -> bool:
    return any(name == one or name.startswith(one + ".") for one in skip)


def clocks_of(weigher: Weigher) -> frozenset[str]:
    """Names from outside that are subtracted from a clock reading, or from which one is: readings themselves."""
    found = set()
    for left, right in weigher.flow.differences:
        for one, other in ((left, right), (right, left)):
            name = getattr(one, "name", "")
            if name and not isinstance(one, Local) and is_clock(other, weigher.namespace):
                found.add(name)
    return frozenset(found)


def _is_reached(name: str, cell: Cell, reached: int | None) -> bool:
    """Tell whether the cell got as far as this name, when it failed in the statement at line `reached`."""
    if reached is None:
        return True
    if cell.flow.reads.get(name, reached + 1) <= reached:
        return True
    bindings = cell.flow.bindings.get(name, ())
    if any(binding.lineno < reached for binding in bindings):
        return True
    known = cell.before.get(name)
    return bool(bindings) and (known is None or known.ident != id(cell.namespace.get(name, MISSING)))


def _chosen(name: str, cell: Cell, *, as_metric: bool) -> list[Param | Metric | Skipped]:
    """Follow the user; a name that does not exist must not cost the run its data, so it is a note."""
    value = cell.namespace.get(name, MISSING)
    if value is MISSING:
        known = [*cell.flow.names, *(one for one in cell.namespace if type(one) is str and not one.startswith("_"))]
        others = dict.fromkeys(one for one in known if one != name)
        cell.notes.append(str(UnknownNameError("variable", name, others)))
        return []
    return forced(name, value, as_metric=as_metric)


def _without_twins(records: list[Record]) -> list[Record]:
    """``results = {"acc": acc}``: the entry says nothing that the variable does not."""
    said = {(type(one), one.name, repr(_logged(one))) for one in records if "." not in one.name}
    return [
        one
        for one in records
        if "." not in one.name
        or isinstance(one, Skipped)
        or (type(one), one.name.rpartition(".")[2], repr(_logged(one))) not in said
    ]


def _logged(record: Record) -> object:
    value = record.value if isinstance(record, Param | Metric) else None
    # Of a long text the beginning and the length tell two apart well enough, at once.
    return (len(value), value[:200]) if isinstance(value, str) else value


def role_of(name: str, value: object, history: Seq[str], namespace: Mapping[str, object]) -> Role | Skipped:
    """Tell the role of one variable, for ``%mlflow_log accuracy``.

    Parameters
    ----------
    name : str
        The variable.
    value : object
        Its value.
    history : sequence of str
        Sources of the cells run so far, newest last; the last one that binds the name tells how it came to be.
    namespace : mapping
        The variables.

    Returns
    -------
    Role or Skipped
        What to log it as; `Skipped` with the reason where it must not be, or cannot be.
    """
    return role_and_reason(name, value, history, namespace)[0]


def role_and_reason(
    name: str, value: object, history: Seq[str], namespace: Mapping[str, object]
) -> tuple[Role | Skipped, str]:
    """Tell the role of one variable, and why a run of the cell that made it would leave it out; empty if it would not.

    Parameters as of :func:`role_of`.
    """
    records = as_captured(name, history, ChainMap({name: value}, namespace))  # type: ignore[arg-type]  # it only reads
    only = records[0] if records is not None and len(records) == 1 else None
    return _role(name, value, records), only.reason if isinstance(only, Skipped) else ""


def _role(name: str, value: object, records: Seq[Record] | None) -> Role | Skipped:
    """Tell the role of a variable from its value, and from what a run would make of it."""
    kind = kind_of(value)
    secret = secret_reason(name, value) if kind in {"scalar", "short", "data"} else ""
    if secret:
        return Skipped(name, secret)
    if kind in {"figure", "model"}:
        return "figure" if kind == "figure" else "model"
    computed = None if not records else not all(isinstance(record, Param) for record in records)
    if number_of(value) is not None:
        guess = computed if computed is not None else (is_a(value, float) or kind != "scalar")
        return "metric" if guess else "param"
    if kind in {"scalar", "short"}:
        return "param"
    if kind == "config":
        numbers = all(number_of(leaf.value) is not None for leaf in flatten(value).leaves)
        return "metrics" if is_a(value, dict) and numbers and computed is not False else "params"
    if any(class_name(cls) == "DataFrame" for cls in mro(value)):
        return "table"
    return Skipped(name, describe(value, kind))


_analysed = lru_cache(maxsize=256)(analyse)  # the panel asks for every name of the namespace


def as_captured(name: str, history: Seq[str], namespace: Mapping[str, object]) -> list[Record] | None:
    """Return what a run of the last cell that bound a name would make of it; None where none did."""
    for source in reversed(history):
        if name not in source:
            continue
        try:
            flow = _analysed(source)
        except SyntaxError:  # a cell that never ran
            continue
        if name in flow.final:
            others = {k: v for k, v in snapshot(flow, namespace).before.items() if k not in flow.final}
            weigher = Weigher(flow, namespace, others)
            return inferred_safely(name, Cell(flow, namespace, others, weigher, clocks_of(weigher), []))
    return None
