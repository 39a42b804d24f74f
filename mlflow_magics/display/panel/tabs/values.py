"""The tab of params and results: two tables, and how they differ from the run chosen for comparison."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeVar

import ipywidgets as widgets

from ....vocabulary.panel import PanelBackend, RunView
from ...markup import parts
from ...markup.html import EMPTY, Markup, element, join, text, words
from ...markup.words import change, clean, number
from ..tools.controls import area, button, row
from ..tools.style import and_more, spoken
from ..tools.worker import Worker
from .base import Tab

V = TypeVar("V")

_ROWS = 200


class Values(Tab):
    """The tab of params and results.

    `baseline` gives the run that is compared with, None for none; `forget` has none compared with; `wake` has the tab
    refreshed soon.
    """

    title = "Params & results"

    def __init__(
        self,
        backend: PanelBackend,
        worker: Worker,
        say: Callable[[str], None],
        *,
        baseline: Callable[[], RunView | None] = lambda: None,
        forget: Callable[[], None] = lambda: None,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(backend, worker, say)
        self._baseline = baseline
        self._mark: object = None
        self._search = widgets.Text(
            placeholder="search names and values", tooltip="Show only rows that hold this", layout={"width": "220px"}
        )
        self._against = area()
        self._forget = button("✕ compare with none", "Compare with no run", forget)
        self._tables = area()
        self._search.observe(lambda _: wake(), "value")
        self.widget = widgets.VBox([row(self._search, self._against, self._forget), self._tables])

    def refresh(self) -> None:
        """Write the tables anew if anything in them changed."""
        run, base = self._backend.run(), self._baseline()
        if run is not None and base is not None and base.run_id == run.run_id:
            base = None  # a run is not compared with itself
        wanted = self._search.value.strip().lower()
        mark = (run and (run.run_id, dict(run.params), _writable(run.metrics)), base and base.run_id, wanted)
        if mark == self._mark:
            return
        self._forget.layout.display = "none" if base is None else ""
        self._against.value = _against(base)
        self._tables.value = _tables(run, base, wanted)
        self._mark = mark

    def close(self) -> None:
        """Forget what was shown; the panel frees the widgets."""
        self._mark = None


def _writable(metrics: Mapping[str, float]) -> dict[str, str]:
    return {name: repr(value) for name, value in metrics.items()}  # NaN is not equal to itself, its name is


def _against(base: RunView | None) -> Markup:
    if base is None:
        return parts.subdued(words("to compare, choose a run as baseline in the Runs tab"))
    return join((words("against "), element("strong", text(clean(base.name or base.run_id, 60)))))


def _tables(run: RunView | None, base: RunView | None, wanted: str) -> Markup:
    if run is None:
        return parts.subdued(words("no run yet"))
    params = _rows(run.params, base.params if base else None, _param, _param_change)
    results = _rows(run.metrics, base.metrics if base else None, _result, _result_change)
    made = parts.beside(
        _table("param", params, wanted, base is not None), _table("result", results, wanted, base is not None)
    )
    if made:
        return made
    return parts.subdued(words("nothing matches the search" if params or results else "no params and no results yet"))


_Cells = tuple[str, str, Markup]
"""Name and value, clean, and how it differs."""


def _rows(
    values: Mapping[str, V],
    before: Mapping[str, V] | None,
    written: Callable[[V], tuple[str, Markup]],
    changed: Callable[[V, V], Markup],
) -> list[_Cells]:
    """Write all values, and below them those that only the run has that is compared with."""
    rows = []
    for name, value in values.items():
        moved = EMPTY
        if before is not None:
            moved = changed(value, before[name]) if name in before else words("only here")
        rows.append((clean(name, 60), written(value)[0], moved))
    for name, value in (before or {}).items():
        if name not in values:
            rows.append((clean(name, 60), "", join((words("only there: "), written(value)[1]))))
    return rows


def _param(value: str) -> tuple[str, Markup]:
    return clean(value) if value else "", text(clean(value))


def _param_change(value: str, before: str) -> Markup:
    return spoken("=") if before == value else join((words("was "), text(clean(before))))


def _result(value: float) -> tuple[str, Markup]:
    return number(value), words(number(value))


def _result_change(value: float, before: float) -> Markup:
    moved = change(value, before)
    return join((spoken(moved), words(_percent(value, before)))) if moved != "=" else spoken("=")


def _percent(value: float, before: float) -> str:
    if before == 0 or not math.isfinite(value) or not math.isfinite(before):
        return ""
    # Each by itself: the difference of two great floats is none.
    share = (value / abs(before) - before / abs(before)) * 100
    return f" ({share:+.3g} %)" if math.isfinite(share) else ""


def _table(noun: str, rows: list[_Cells], wanted: str, compared: bool) -> Markup:
    matching = [cells for cells in rows if wanted in cells[0].lower() or wanted in cells[1].lower()]
    if not matching:
        return EMPTY
    cells = ((text(name), text(value), *((moved,) if compared else ())) for name, value, moved in matching[:_ROWS])
    table = parts.table((noun, "value", "change") if compared else (noun, "value"), cells)
    return and_more(table, len(matching) - _ROWS, ": search for them")
