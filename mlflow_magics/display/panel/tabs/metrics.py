"""The Metrics tab: a chart for each curve, beside another run's if one is chosen, and the single values as a table."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from ....vocabulary.panel import Curve, Page, PanelBackend, RunView
from ...charts.plots import plot
from ...markup import parts
from ...markup.html import EMPTY, Markup, text, words
from ...markup.words import clean, count, number
from ..tools.controls import Pager, area, button, guarded, label, offer, row
from ..tools.facts import mark_of
from ..tools.style import and_more, status_word
from ..tools.worker import Worker
from .base import Tab

_PER_PAGE = 12
_SINGLES = 200
_WIDTH, _HEIGHT = 400, 200  # two beside each other in a notebook's cell, one at 600 px


class Metrics(Tab):
    """The Metrics tab; `wake` has it refreshed soon.

    One refresh may take `budget` seconds of processor time: what was not redrawn then is the first the next time.
    """

    title = "Metrics"

    def __init__(
        self,
        backend: PanelBackend,
        worker: Worker,
        say: Callable[[str], None],
        *,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(backend, worker, say)
        self._wake = wake
        self.budget = math.inf
        self._page = 0
        self._other: RunView | None = None
        self._offered_for: object = None
        self._drawn: list[object] = []  # of each slot, what its chart was drawn of
        self._when: list[int] = []  # and at which turn
        self._turn = 0
        self._slots: list[widgets.HTML] = []
        self._search = widgets.Text(
            placeholder="search metrics", tooltip="Show only metrics whose name holds this", layout={"width": "150px"}
        )
        self._log = widgets.Checkbox(
            description="log scale", tooltip="Draw values by their logarithm", indent=False, layout={"width": "auto"}
        )
        self._smooth = widgets.FloatSlider(
            description="Smoothing",
            tooltip="How much each point leans on those before it",
            min=0.0,
            max=0.99,
            step=0.01,
            readout_format=".2f",
            continuous_update=False,
            layout={"width": "270px"},
        )
        self._axis = widgets.ToggleButtons(
            options=[("step", "step"), ("time", "time")],
            tooltips=["Draw along the steps", "Draw along the time since each run's first point"],
            style={"button_width": "auto"},
            layout={"width": "auto"},
        )
        self._overlay = widgets.Dropdown(
            description="Compare",
            tooltip="Another run whose curves are drawn beside",
            options=(("no other run", ""),),
            layout={"width": "auto", "flex": "0 1 300px", "min_width": "180px"},
        )
        again = button("↻", "Load the list of runs again", guarded(say, self._load))
        self._pager = Pager(("◀", "The metrics before these"), ("▶", "The metrics after these"), self._go)
        self._pages = row(self._pager.back, self._pager.where, self._pager.on)
        self._pages.layout.display = "none"
        self._charts = row(align_items="flex-start")
        self._charts.add_class("mlflow-magics-charts")
        self._singles = area()
        for control in (self._search, self._log, self._smooth, self._axis):
            control.observe(lambda _: wake(), "value")
        self._overlay.observe(self._chosen, "value")
        self.widget = widgets.VBox(
            [
                row(self._search, self._log, self._axis, self._smooth),
                row(self._overlay, again),
                self._pages,
                self._charts,
                self._singles,
            ]
        )

    def refresh(self) -> None:
        """Redraw what has changed, the charts that waited longest first."""
        run = self._backend.run()
        self._offer_when_due(run)
        wanted = self._search.value.strip().lower()
        curves = [curve for curve in (run.curves if run else ()) if wanted in curve.name.lower()]
        pages = max(1, -(-len(curves) // _PER_PAGE))
        self._page = min(self._page, pages - 1)
        shown = curves[self._page * _PER_PAGE :][:_PER_PAGE]
        self._pages.layout.display = "flex" if pages > 1 else "none"
        where = words(f"page {self._page + 1} of {pages}, {count(len(curves), 'curve')}")
        self._pager.show(where, self._page, self._page == pages - 1)
        self._draw(run, shown)
        self._singles.value = _singles(run, wanted)

    def close(self) -> None:
        """Free the charts that are not in the page; the panel frees the others."""
        self._charts.children = tuple(self._slots)
        self._other = None

    # -- charts -----------------------------------------------------------------------------------------------

    def _draw(self, run: RunView | None, shown: list[Curve]) -> None:
        while len(self._slots) < len(shown):
            self._slots.append(area())
            self._drawn.append(None)
            self._when.append(0)
        self._charts.children = tuple(self._slots[: len(shown)])
        if run is None:
            return
        others = {curve.name: curve for curve in self._other.curves} if self._other else {}
        look = (run.run_id, self._axis.value, self._log.value, self._smooth.value)
        self._turn += 1
        began = time.thread_time()
        for slot in sorted(range(len(shown)), key=self._when.__getitem__):
            curve, other = shown[slot], others.get(shown[slot].name)
            mark = (look, run.name, mark_of(curve), mark_of(other) if other and self._other else None)
            if mark == self._drawn[slot]:
                continue
            both = [(run.name, curve)]
            if other and self._other:
                both.append((self._other.name, other))
            self._slots[slot].value = plot(
                both,
                width=_WIDTH,
                height=_HEIGHT,
                axis=self._axis.value,
                log=self._log.value,
                smoothing=self._smooth.value,
            )
            self._drawn[slot], self._when[slot] = mark, self._turn
            if time.thread_time() - began > self.budget:
                break

    def _go(self, by: int) -> None:
        self._page = max(0, self._page + by)
        self._wake()

    # -- another run ------------------------------------------------------------------------------------------

    def _offer_when_due(self, run: RunView | None) -> None:
        """Ask for the runs when the tab is first seen, when a run has ended, and in another experiment."""
        header = self._backend.header()
        due = (header.where, header.experiment_id, run.run_id if run and run.ended is not None else "")
        if header.where and not header.busy and due != self._offered_for:
            self._offered_for = due
            self._load()

    def _load(self) -> None:
        self._worker.submit(lambda: self._backend.runs("", "newest", ""), self._offer, self._say, key="overlay runs")

    def _offer(self, page: Page) -> None:
        here = self._backend.run()
        options = [("no other run", "")]
        known = [run for run in page.runs if here is None or run.run_id != here.run_id]
        if self._other is not None and self._other.run_id not in {run.run_id for run in known}:
            known.insert(0, self._other)
        for run in known:
            # Two runs of one name are told apart by their ids.
            options.append((f"{label(run.name, 40)} · {status_word(run.status)} · {label(run.run_id, 8)}", run.run_id))
        chosen = self._other.run_id if self._other else ""
        with self._own_change():
            offer(self._overlay, tuple(options))
            self._overlay.value = chosen

    def _chosen(self, change: dict[str, Any]) -> None:
        if self._filling:
            return
        run_id = change["new"] or ""
        if not run_id:
            self._take(None)
            return
        self._worker.submit(lambda: self._backend.details(run_id), self._take, self._say, key="overlay")

    def _take(self, run: RunView | None) -> None:
        # Only what is still chosen: the answer may come late.
        if (run.run_id if run else "") == (self._overlay.value or ""):
            self._other = run
            self._wake()


def _singles(run: RunView | None, wanted: str) -> Markup:
    if run is None:
        return parts.subdued(words("no run yet"))
    drawn = {curve.name for curve in run.curves}
    rows = [(name, value) for name, value in run.metrics.items() if name not in drawn and wanted in name.lower()]
    if not rows:
        nothing = not (run.metrics or run.curves)
        return parts.subdued(words("no metrics yet")) if nothing else EMPTY
    table = parts.table(
        ("metric", "value"), ((text(clean(name, 60)), words(number(value))) for name, value in rows[:_SINGLES])
    )
    return and_more(table, len(rows) - _SINGLES, ": search for them")
