"""The orders of runs: asked of the store, sorted here where no store can, and in words.

An order is one of :data:`...vocabulary.panel.Order`, ``"metric:NAME"`` or ``"param:NAME"``; a ``-`` before it turns it
round.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from ...vocabulary.errors import MlflowMagicsError
from ...vocabulary.panel import RunView

Value = float | str | None


class FilterError(MlflowMagicsError):
    """A filter or an order of runs that the store does not understand."""


class _Order(NamedTuple):
    """How the store is asked for an order, how it is called, straight and turned round, and what we sort by."""

    clause: str
    turned: str
    words: tuple[str, str]
    value: Callable[[RunView, float], Value]


_NEWEST = "attributes.start_time DESC"
_OLDEST = "attributes.start_time ASC"
_ORDERS = {
    "newest": _Order(_NEWEST, _OLDEST, ("newest first", "oldest first"), lambda run, _: -run.began),
    "oldest": _Order(_OLDEST, _NEWEST, ("oldest first", "newest first"), lambda run, _: run.began),
    "name": _Order(
        "tags.`mlflow.runName` ASC",
        "tags.`mlflow.runName` DESC",
        ("by name", "by name, from the end"),
        lambda run, _: run.name,
    ),
    "status": _Order(
        "attributes.status ASC",
        "attributes.status DESC",
        ("by status", "by status, from the end"),
        lambda run, _: run.status,
    ),
    # No store sorts by it: it is asked for the newest.
    "duration": _Order(
        _NEWEST,
        _NEWEST,
        ("shortest first", "longest first"),
        lambda run, now: (now if run.ended is None else run.ended) - run.began,
    ),
}
NAMES = frozenset(_ORDERS)
"""Those that are not by a metric or a param."""


def is_ours(order: str) -> bool:
    """Tell whether no store sorts like that, so that we do."""
    return order.removeprefix("-") == "duration"


def clauses(order: str) -> list[str]:
    """Say an order as MLflow's search takes it.

    Parameters
    ----------
    order : str
        The order.

    Returns
    -------
    list of str
        For ``order_by``; runs that are equal come the newest first.

    Raises
    ------
    FilterError
        There is no such order, or MLflow cannot quote the name.
    """
    plain = order.removeprefix("-")
    if known := _ORDERS.get(plain):
        clause = known.clause if order == plain else known.turned
        return [clause] if "start_time" in clause else [clause, _NEWEST]
    kind, colon, name = plain.partition(":")
    if not colon or kind not in ("metric", "param") or not name:
        raise FilterError(f"unknown order {order!r}: say {', '.join(_ORDERS)}, metric:NAME, param:NAME")
    quote = next((quote for quote in '`"' if quote not in name), "")
    if not quote or not name.isprintable():
        raise FilterError(f"runs cannot be sorted by {name!r}: MLflow has no way to quote it")
    return [f"{kind}s.{quote}{name}{quote} {'DESC' if order != plain else 'ASC'}", _NEWEST]


def words(order: str) -> str:
    """Say an order to people."""
    plain = order.removeprefix("-")
    if known := _ORDERS.get(plain):
        return known.words[order != plain]
    kind, _, name = plain.partition(":")
    return f"by {kind}s.{name}, {'highest' if order != plain else 'lowest'} first"


def put_in_order(runs: list[RunView], order: str) -> list[RunView]:
    """Sort runs here; those without a value come last, whichever way it goes."""
    plain = order.removeprefix("-")
    now = time.time()
    values = [_value(run, plain, now) for run in runs]
    have = [at for at, value in enumerate(values) if value is not None]
    have.sort(key=values.__getitem__, reverse=order != plain)  # type: ignore[arg-type]  # all of one type
    return [runs[at] for at in have] + [run for run, value in zip(runs, values, strict=True) if value is None]


def has_number(run: RunView, metric: str) -> bool:
    """Tell whether a run has a value of a metric that can be compared."""
    value = run.metrics.get(metric)
    return value is not None and value == value  # NaN is not equal to itself


def _value(run: RunView, plain: str, now: float) -> Value:
    """Return what an order that is not turned round compares."""
    if known := _ORDERS.get(plain):
        return known.value(run, now)
    kind, _, name = plain.partition(":")
    if kind == "param":
        return run.params.get(name)
    return run.metrics[name] if has_number(run, name) else None
