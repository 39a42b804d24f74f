"""A run as a row: what the Runs tab writes beside each tick box."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from .....vocabulary.panel import RunView
from ....markup.html import EMPTY, Markup, link, text, words
from ....markup.parts import subdued
from ....markup.words import clean, duration, number
from ...tools.style import cell, grid, status_pill

_MOST_KNOWN = 300


class Column(NamedTuple):
    """A metric or a param, by the name that MLflow has."""

    kind: Literal["metric", "param"]
    name: str


def known(runs: Iterable[RunView], before: Sequence[Column] = ()) -> tuple[Column, ...]:
    """List the metrics and params that runs have."""
    columns = dict.fromkeys(before)
    for run in runs:
        columns.update(dict.fromkeys(Column("metric", name) for name in run.metrics))
        columns.update(dict.fromkeys(Column("param", name) for name in run.params))
    kept = list(columns)[:_MOST_KNOWN]
    return tuple(sorted(kept, key=lambda column: (column.kind != "metric", column.name)))


def telling(runs: Sequence[RunView], among: Sequence[Column]) -> tuple[Column, ...]:
    """Choose the columns that say most: three metrics, and three params that are not the same in all runs."""
    metrics = [
        column for column in among if column.kind == "metric" and any(column.name in run.metrics for run in runs)
    ]
    params = [column for column in among if column.kind == "param"]
    telling = [column for column in params if len({run.params.get(column.name) for run in runs}) > 1]
    return (*metrics[:3], *telling[:3])


def template(columns: Sequence[Column]) -> tuple[str, str]:
    """Tell how wide things are."""
    wide = " ".join("minmax(56px,1fr)" for _ in columns)
    return f"98px 80px 76px 14px {wide}".strip(), f"{300 + 64 * len(columns)}px"


def heading(columns: Sequence[Column]) -> Markup:
    """Write the line above the rows."""
    fixed = [cell(subdued(words(word))) for word in ("status", "began", "took", "")]
    chosen = [cell(subdued(text(clean(column.name, 60))), f"{column.kind} {column.name[:200]}") for column in columns]
    across, narrowest = template(columns)
    return grid(across, *fixed, *chosen, narrowest=narrowest)


def row(run: RunView, columns: Sequence[Column], now: float) -> Markup:
    """Write a run."""
    took = (now if run.ended is None else run.ended) - run.began
    cells = [
        cell(status_pill(run.status), run.status),
        cell(words(ago(now - run.began) if run.began else "—"), _moment(run.began)),
        cell(words(duration(took) if run.began else "—")),
        cell(link(words("↗"), run.url), f"open {run.name[:100]} in MLflow") if link(EMPTY, run.url) else cell(EMPTY),
    ]
    across, narrowest = template(columns)
    return grid(across, *cells, *(_value(run, column) for column in columns), narrowest=narrowest)


def ago(seconds: float) -> str:
    """Write how long ago something was."""
    if not math.isfinite(seconds):
        return "—"
    if seconds < 5:
        return "just now"
    return " ".join(duration(round(seconds)).split()[:2]) + " ago"


def value_of(run: RunView, column: Column) -> str:
    """Write one value of a run. As it came: not cleaned. Empty where the run has none."""
    if column.kind == "param":
        return run.params.get(column.name, "")
    metric = run.metrics.get(column.name)
    return "" if metric is None else number(metric)


def _value(run: RunView, column: Column) -> Markup:
    value = value_of(run, column)
    return cell(text(clean(value, 60)), f"{column.name[:100]}: {value[:400]}") if value else cell(subdued(words("—")))


def _moment(began: float) -> str:
    try:
        return datetime.fromtimestamp(began).isoformat(" ", "seconds") if began else ""
    except (ValueError, OverflowError, OSError):  # no moment of any calendar
        return ""
