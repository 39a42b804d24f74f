"""The Runs tab: the experiment's runs, sorted, filtered, paged; ticked ones beside each other."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import ipywidgets as widgets

from .....vocabulary.panel import Page, PanelBackend, RunView
from ....markup.html import EMPTY, text, words
from ....markup.parts import AMBER, callout
from ....markup.words import clean
from ...tools.controls import HEIGHT, Pager, area, button, label, offer
from ...tools.style import hint
from ...tools.worker import Worker
from ..base import ListTab
from . import runrows
from .runrows import Column
from .ticked import Ticked

PAGE = 50
"""Rows; a page of the backend's has no more."""

COLUMNS = 6
"""The most metrics and params in a row."""

_ORDERS = (
    ("newest first", "newest"),
    ("oldest first", "oldest"),
    ("by name", "name"),
    ("by status", "status"),
    # No store sorts by it.
    ("shortest first (in the page)", "duration"),
    ("longest first (in the page)", "-duration"),
)
_SORTABLE = 60
_AGES = 15.0  # seconds after which "3 min ago" is written anew


class _Request(NamedTuple):
    """What a page was asked for with; `experiment` is for telling a late answer from the one that is awaited."""

    experiment: str
    filter: str
    order: str
    tokens: tuple[str, ...]  # of the pages up to this one


class Runs(ListTab[RunView]):
    """The Runs tab. `use_baseline` takes the run that the other tabs shall compare with."""

    title = "Runs"

    def __init__(
        self,
        backend: PanelBackend,
        worker: Worker,
        say: Callable[[str], None],
        use_baseline: Callable[[RunView], None],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(backend, worker, say, "minmax(120px,200px) 1fr", max_height=HEIGHT, overflow="auto")
        self._clock = clock
        self._experiment: str | None = None
        self._ended: tuple[str, str] | None = None
        self._awaited: _Request | None = None
        self._shown: _Request | None = None
        self._page = Page()
        self._known: tuple[Column, ...] = ()
        self._chosen: tuple[Column, ...] | None = None
        self._ticked = Ticked(backend, worker, say, use_baseline, self._lock, self._draw)
        self._drawn, self._across = 0.0, tuple[Column, ...]()  # when, and with which columns
        self._build()

    def _build(self) -> None:
        self._filter = widgets.Text(
            description="Filter", placeholder="metrics.accuracy > 0.9 and params.lr = '0.1'", continuous_update=False,
            tooltip="in MLflow's syntax; Enter", layout={"flex": "1 1 280px", "width": "auto"},
        )  # fmt: skip
        self._order = widgets.Dropdown(
            description="Order", options=_ORDERS, tooltip="how the runs are sorted", layout={"width": "290px"}
        )
        again = button("Refresh", "ask the store again", self._reload, icon="refresh")
        more = widgets.ToggleButton(
            description="Columns…", tooltip="choose metrics and params", layout={"width": "auto"}
        )
        self._columns = widgets.SelectMultiple(
            description="Columns", rows=8, tooltip=f"up to {COLUMNS}; Ctrl or Shift chooses several",
            layout={"width": "100%", "max_width": "480px", "display": "none"},
        )  # fmt: skip
        self._state, self._heading, self._corner = area(), area(), area(value=hint("run"))
        self._grid.children = (self._corner, self._heading)
        self._pager = Pager(("← before", "the page before this"), ("after →", "the page after this"), self._turn)
        self._pager.hold()
        below = [self._pager.back, self._pager.on, self._pager.where, *self._ticked.buttons]
        self.widget = widgets.VBox(
            [
                widgets.HBox([self._filter, self._order, again, more], layout={"flex_flow": "row wrap"}),
                self._columns,
                self._state,
                self._grid,
                widgets.HBox(below, layout={"flex_flow": "row wrap", "align_items": "center"}),
                self._ticked.comparison,
            ]
        )
        self._filter.observe(lambda _: self._begin(), names="value")
        self._order.observe(lambda _: self._begin(), names="value")
        more.observe(self._show_columns, names="value")
        self._columns.observe(self._choose, names="value")

    def refresh(self) -> None:
        """Load the runs when there is a reason to: the first time, another experiment, a run that has ended."""
        with self._lock:
            experiment, run = self._backend.header().experiment_id, self._backend.run()
            ended = (run.run_id, run.status) if run is not None and run.status != "RUNNING" else None
            if experiment != self._experiment:
                self._experiment, self._ended = experiment, ended
                self._forget()
                self._begin()
            elif ended not in (None, self._ended):
                self._ended = ended
                self._reload()
            elif self._clock() - self._drawn >= _AGES:
                self._draw()

    def close(self) -> None:
        """Free the widgets; an answer that is still awaited is dropped."""
        with self._lock:
            self._awaited = None
            self._ticked.drop()
        super().close()

    # -- what is asked of the store ---------------------------------------------------------------------------

    def _begin(self) -> None:
        """Ask for the first page."""
        with self._lock:
            if not self._filling:
                self._load(("",))

    def _reload(self) -> None:
        """Ask for the same page again; for the first, where its filter has changed since or was wrong."""
        with self._lock:
            shown = self._shown
            same = shown is not None and (shown.filter, shown.order) == self._wanted()
            self._load(shown.tokens if shown is not None and same else ("",))

    def _turn(self, by: int) -> None:
        with self._lock:
            if self._shown is None:
                return
            tokens = self._shown.tokens
            if by > 0 and self._page.next:
                self._load((*tokens, self._page.next))
            elif by < 0 and len(tokens) > 1:
                self._load(tokens[:-1])

    def _wanted(self) -> tuple[str, str]:
        return self._filter.value.strip(), self._order.value or "newest"

    def _load(self, tokens: tuple[str, ...]) -> None:
        request = self._awaited = _Request(self._experiment or "", *self._wanted(), tokens)
        self._state.value = hint("asking the store…")
        # A second click before the answer would turn on from the page that is about to go.
        self._pager.hold()
        self._worker.submit(
            lambda: self._backend.runs(request.filter, request.order, request.tokens[-1]),
            partial(self._show, request),
            partial(self._fail, request),
            key="runs",
        )

    def _show(self, request: _Request, page: Page) -> None:
        with self._lock:
            if request != self._awaited:
                return
            self._shown, self._page = request, Page(page.runs[:PAGE], page.next)
            self._known = runrows.known(self._page.runs, self._known)
            self._ticked.renew(self._page.runs)
            self._state.value = EMPTY
            self._offer()
            self._draw()

    def _fail(self, request: _Request, line: str) -> None:
        with self._lock:
            if request != self._awaited:
                return
            stays = " The runs below are those from before." if self._page.runs else ""
            self._state.value = callout(AMBER, text(clean(line, 400)), words(stays))
            self._draw_pager()
        self._say(line)

    # -- what the user does -----------------------------------------------------------------------------------

    def _tick(self, thing: RunView, on: bool, box: widgets.Checkbox) -> None:
        with self._lock:
            self._ticked.put(thing, on)

    def _show_columns(self, change: dict[str, Any]) -> None:
        self._columns.layout.display = None if change["new"] else "none"

    def _choose(self, change: dict[str, Any]) -> None:
        with self._lock:
            if self._filling:
                return
            self._chosen = tuple(change["new"])[:COLUMNS]
            self._offer()
            self._draw()
        if len(change["new"]) > COLUMNS:  # not under the lock: whoever says may hold one of his own
            self._say(f"the first {COLUMNS} of {len(change['new'])} columns are shown")

    def _forget(self) -> None:
        """Another experiment: other runs, other metrics."""
        self._shown, self._page, self._known, self._chosen = None, Page(), (), None
        self._ticked.forget()
        self._offer()
        self._draw()

    # -- what is seen -----------------------------------------------------------------------------------------

    def _seen_columns(self) -> tuple[Column, ...]:
        return runrows.telling(self._page.runs, self._known) if self._chosen is None else self._chosen

    def _offer(self) -> None:
        """Put what is known into the lists."""
        with self._own_change():
            order = self._order.value
            orders: list[tuple[str, object]] = list(_ORDERS)
            for column in self._known[:_SORTABLE]:
                name, key = label(f"{column.kind} {column.name}", 50), f"{column.kind}:{column.name}"
                orders += [(f"{name} ↓", f"-{key}"), (f"{name} ↑", key)]
            offer(self._order, tuple(orders))
            self._order.value = order if order in [value for _, value in orders] else "newest"
            offer(self._columns, tuple((label(f"{column.kind} {column.name}", 50), column) for column in self._known))
            self._columns.value = tuple(column for column in self._seen_columns() if column in self._known)

    def _draw(self) -> None:
        runs = self._page.runs
        self._drawn, self._across = self._clock(), self._seen_columns()
        self._heading.value = runrows.heading(self._across) if runs else EMPTY
        self._corner.value = hint("run" if runs else "")
        self._list(runs, self._corner, self._heading)
        self._draw_pager()

    def _fill_row(self, thing: RunView, box: Any, what: Any, *more: Any) -> None:
        box.description = label(thing.name or thing.run_id, 60)
        box.value = thing.run_id in self._ticked
        what.value = runrows.row(thing, self._across, self._drawn)

    def _draw_pager(self) -> None:
        page = len(self._shown.tokens) - 1 if self._shown is not None else 0
        first, many = page * PAGE, len(self._page.runs)
        where = f"runs {first + 1:,} to {first + many:,}" if many else "no runs"
        self._pager.show(hint(where), page, not self._page.next)
