"""The Log tab: what the kernel's namespace holds that can be logged, and a button that does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from ....vocabulary.panel import Loggable, Logged, PanelBackend
from ...markup.html import EMPTY, Markup, join, text
from ...markup.parts import mono, subdued
from ...markup.words import clean, count
from ..tools.tabtools import HEIGHT, Visits, cell, free, grid, label, lines, offer, one_line, subdued_note

if TYPE_CHECKING:
    from ..tools.worker import Worker

PAGE = 30
"""Names that are seen at once: every one of them is three widgets."""

_LINES = 60


class _Row:
    """The widgets of one name, used again for another."""

    def __init__(self, layout: widgets.Layout) -> None:
        self.tick = widgets.Checkbox(indent=False, layout=layout)
        self.what = widgets.HTML(layout=layout)
        self.role = widgets.Dropdown(layout=layout, tooltip="what to log it as")
        self.name = ""

    @property
    def widgets(self) -> tuple[widgets.Widget, ...]:
        return self.tick, self.what, self.role


class LogList:
    """The Log tab.

    Parameters
    ----------
    backend : PanelBackend
        Knows the names, and logs.
    worker : Worker
        Not needed: nothing here is asked of the store.
    say : callable
        Shows one line to the user.

    Attributes
    ----------
    title : str
        The tab's.
    widget : ipywidgets.Widget
        What the tab shows.
    """

    title = "Log"

    def __init__(self, backend: PanelBackend, worker: Worker, say: Callable[[str], None]) -> None:
        self._desk, self._say = backend, say
        # Callbacks come in the kernel's main thread or a subshell's, `refresh` in the ticker's.
        self._lock = threading.RLock()
        self._filling = False
        self._visits = Visits()
        self._names: tuple[Loggable, ...] = ()
        self._ticked: set[str] = set()
        self._roles: dict[str, str] = {}
        self._first = 0
        self._rows: list[_Row] = []
        self._layout = widgets.Layout(width="auto", min_width="0")
        self._build()

    def _build(self) -> None:
        narrow, wrap = widgets.Layout(width="auto"), widgets.Layout(flex_flow="row wrap", align_items="center")
        self._filter = widgets.Text(
            placeholder="part of a name, kind or role", description="Filter", continuous_update=False,
            tooltip="show only the names that hold this; Enter", layout=widgets.Layout(width="260px"),
        )  # fmt: skip
        button = partial(widgets.Button, layout=narrow)
        self._again = button(description="Refresh", icon="refresh", tooltip="look at the namespace again")
        self._all = button(description="Tick all", tooltip="tick every name below that has a role")
        self._none = button(description="Untick all", tooltip="untick every name")
        self._log = button(
            description="Log", button_style="primary", disabled=True, tooltip="log the ticked names into the open run"
        )
        self._earlier = button(description="← earlier", tooltip="the names before these")
        self._later = button(description="later →", tooltip="the names after these")
        self._where = widgets.HTML()
        self._grid = widgets.GridBox(
            layout=widgets.Layout(
                grid_template_columns="minmax(90px,1fr) minmax(0,3fr) 104px",
                width="100%",
                align_items="center",
                max_height=HEIGHT,
                overflow="hidden auto",
            ),
        )
        self._result = widgets.HTML()
        self._command = widgets.Textarea(
            description="As code", rows=3, continuous_update=False, tooltip="the lines that do the same, to copy",
            layout=widgets.Layout(width="auto", display="none"),
        )  # fmt: skip
        self._written = ""
        self.widget = widgets.VBox(
            [
                widgets.HBox([self._filter, self._again, self._all, self._none], layout=wrap),
                self._grid,
                widgets.HBox([self._log, self._earlier, self._later, self._where], layout=wrap),
                self._result,
                self._command,
            ]
        )
        self._filter.observe(lambda _: self._turn(-self._first), names="value")
        self._again.on_click(lambda _: self._look())
        self._all.on_click(lambda _: self._tick_all())
        self._none.on_click(lambda _: self._tick_none())
        self._log.on_click(lambda _: self._submit())
        self._earlier.on_click(lambda _: self._turn(-PAGE))
        self._later.on_click(lambda _: self._turn(PAGE))
        # ipywidgets has no read-only: a disabled area can be neither reached nor copied by keyboard.
        self._command.observe(lambda _: self._restore(), names="value")

    def refresh(self) -> None:
        """Look at the namespace when the tab is turned to, and when a cell has ended."""
        if self._visits.news(self._desk.header().busy):
            self._look()

    def close(self) -> None:
        """Free the widgets."""
        free(self.widget)
        for row in self._rows:
            for each in row.widgets:
                free(each)

    # -- what happens -----------------------------------------------------------------------------------------

    def _look(self) -> None:
        try:
            names = self._desk.loggables()
        except Exception as error:  # noqa: BLE001
            # The namespace holds the user's own objects; and a callback's traceback would be seen nowhere.
            self._say(one_line(error))
            return
        with self._lock:
            self._names = names
            known = {each.name for each in names}
            self._ticked &= known
            self._roles = {name: role for name, role in self._roles.items() if name in known}
            self._draw()

    def _turn(self, by: int) -> None:
        with self._lock:
            self._first += by
            self._draw()

    def _tick(self, row: _Row, change: dict[str, Any]) -> None:
        with self._lock:
            if self._filling:
                return
            (self._ticked.add if change["new"] else self._ticked.discard)(row.name)
            self._draw()

    def _choose(self, row: _Row, change: dict[str, Any]) -> None:
        with self._lock:
            if self._filling:
                return
            self._roles[row.name] = change["new"] or ""  # "skip" is no role
            # Who says as what, wants it logged.
            (self._ticked.add if change["new"] else self._ticked.discard)(row.name)
            self._draw()

    def _tick_all(self) -> None:
        with self._lock:
            self._ticked |= {each.name for each in self._seen() if self._role(each)}
            self._draw()

    def _tick_none(self) -> None:
        with self._lock:
            self._ticked.clear()
            self._draw()

    def _submit(self) -> None:
        with self._lock:
            chosen = self._chosen()
            self._log.disabled = True
        if not chosen:
            return
        try:
            logged = self._desk.log(chosen)
        except Exception as error:  # noqa: BLE001
            # Saving a user's object may raise anything; a callback's traceback would be seen nowhere.
            self._say(one_line(error))
        else:
            with self._lock:
                self._ticked.clear()
            self._report(logged)
        with self._lock:
            self._draw()

    def _report(self, logged: Logged) -> None:
        said = [text(clean(each, 300)) for each in logged.lines[:_LINES]]
        if len(logged.lines) > _LINES:
            said.append(subdued_note(f"and {count(len(logged.lines) - _LINES, 'more line')}"))
        self._result.value = lines(said)
        # To be run as it stands, so only cut, a line at a time, where no hand wrote it.
        self._written = "\n".join(clean(each, 2000) for each in logged.command[:50_000].splitlines())
        self._command.value = self._written
        self._command.rows = min(max(self._written.count("\n") + 1, 2), 10)
        self._command.layout.display = None if self._written else "none"

    def _restore(self) -> None:
        self._command.value = self._written

    # -- what is seen -----------------------------------------------------------------------------------------

    def _role(self, each: Loggable) -> str:
        for role in (self._roles.get(each.name, ""), each.role):
            if role and role in each.roles:
                return role
        return each.roles[0] if each.name in self._ticked and each.roles else ""

    def _chosen(self) -> list[tuple[str, str]]:
        ticked = [each for each in self._names if each.name in self._ticked]
        return [(each.name, self._role(each)) for each in ticked if self._role(each)]

    def _seen(self) -> list[Loggable]:
        part = self._filter.value.strip().casefold()
        if not part:
            return list(self._names)
        return [
            each
            for each in self._names
            if any(part in word[:1000].casefold() for word in (each.name, each.kind, self._role(each)))
        ]

    def _draw(self) -> None:
        """Fill the rows; ipywidgets sends only what differs from what is there."""
        seen = self._seen()
        self._first = max(0, min(self._first, (len(seen) - 1) // PAGE * PAGE))
        page = seen[self._first : self._first + PAGE]
        self._filling = True
        try:
            while len(self._rows) < len(page):
                self._rows.append(self._new_row())
            for row, each in zip(self._rows, page, strict=False):
                self._fill(row, each)
        finally:
            self._filling = False
        self._grid.children = tuple(each for row in self._rows[: len(page)] for each in row.widgets)
        self._where.value = subdued_note(self._place(len(page), len(seen)))
        self._earlier.disabled = self._first == 0
        self._later.disabled = self._first + PAGE >= len(seen)
        many = len(self._chosen())
        self._log.disabled = not many
        self._log.description = f"Log {count(many, 'name')}" if many else "Log"

    def _place(self, shown: int, seen: int) -> str:
        if not self._names:
            return "nothing in the namespace can be logged yet"
        if not seen:
            return f"none of {count(len(self._names), 'name')} matches the filter"
        return f"{self._first + 1} to {self._first + shown} of {count(seen, 'name')}"

    def _new_row(self) -> _Row:
        row = _Row(self._layout)
        row.tick.observe(partial(self._tick, row), names="value")
        row.role.observe(partial(self._choose, row), names="value")
        return row

    def _fill(self, row: _Row, each: Loggable) -> None:
        row.name, role = each.name, self._role(each)
        row.tick.description = label(each.name, 40)
        row.tick.value = each.name in self._ticked
        row.tick.disabled = row.role.disabled = not each.roles
        row.what.value = _what(each)
        roles: tuple[tuple[str, object], ...] = tuple((label(known, 20), known) for known in each.roles)
        offer(row.role, roles if each.role in each.roles else (("skip", ""), *roles))
        row.role.value = role


def _what(each: Loggable) -> Markup:
    why = subdued(text(clean(each.why))) if each.why else EMPTY
    shown = join((mono(text(clean(each.value, 80))), subdued(text(clean(each.kind, 40)))), " ")
    return grid(
        "minmax(0,3fr) minmax(0,2fr)", cell(shown, f"{each.value[:400]} ({each.kind[:40]})"), cell(why, each.why)
    )
