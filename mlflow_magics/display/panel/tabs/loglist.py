"""The Log tab: what the kernel's namespace holds that can be logged, and a button that does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import ipywidgets as widgets

from ....vocabulary.panel import Loggable, LogReport, PanelBackend
from ...markup.html import EMPTY, Markup, join, text
from ...markup.parts import mono, subdued
from ...markup.words import clean, count
from ..tools.controls import HEIGHT, Pager, area, button, label, offer, one_line
from ..tools.style import cell, grid, hint, lines
from ..tools.worker import Worker
from .base import KernelTab

PAGE = 30
"""Names that are seen at once: every one of them is three widgets."""

_LINES = 60


class LogList(KernelTab[Loggable]):
    """The Log tab: a row is the tick box, the value, and the role that the name is logged as."""

    title = "Log"

    def __init__(self, backend: PanelBackend, worker: Worker, say: Callable[[str], None]) -> None:
        super().__init__(
            backend, worker, say, "minmax(90px,1fr) minmax(0,3fr) 104px", max_height=HEIGHT, overflow="hidden auto"
        )
        self._names: Sequence[Loggable] = ()
        self._ticked: set[str] = set()
        self._roles: dict[str, str] = {}
        self._first = 0
        self._filter = widgets.Text(
            placeholder="part of a name, kind or role", description="Filter", continuous_update=False,
            tooltip="show only the names that hold this; Enter", layout={"width": "260px"},
        )  # fmt: skip
        above = [
            self._filter,
            button("Refresh", "look at the namespace again", self._look, icon="refresh"),
            button("Tick all", "tick every name below that has a role", self._tick_all),
            button("Untick all", "untick every name", self._tick_none),
        ]
        self._log = button(
            "Log", "log the ticked names into the open run", self._submit, button_style="primary", disabled=True
        )
        self._pager = Pager(("← earlier", "the names before these"), ("later →", "the names after these"), self._turn)
        self._result = area()
        self._command = widgets.Textarea(
            description="As code", rows=3, continuous_update=False, tooltip="the lines that do the same, to copy",
            layout={"width": "auto", "display": "none"},
        )  # fmt: skip
        self._written = ""
        wrap = {"flex_flow": "row wrap", "align_items": "center"}
        below = [self._log, self._pager.back, self._pager.on, self._pager.where]
        self.widget = widgets.VBox(
            [
                widgets.HBox(above, layout=wrap),
                self._grid,
                widgets.HBox(below, layout=wrap),
                self._result,
                self._command,
            ]
        )
        self._filter.observe(lambda _: self._turn_to(0), names="value")
        # ipywidgets has no read-only: a disabled area can be neither reached nor copied by keyboard.
        self._command.observe(lambda _: self._restore(), names="value")

    # -- what happens -----------------------------------------------------------------------------------------

    def _ask(self) -> Sequence[Loggable]:
        return self._backend.loggables()

    def _take(self, things: Sequence[Loggable]) -> None:
        self._names = things
        known = {loggable.name for loggable in things}
        self._ticked &= known
        self._roles = {name: role for name, role in self._roles.items() if name in known}
        self._draw()

    def _turn(self, by: int) -> None:
        self._turn_to(self._first + by * PAGE)

    def _turn_to(self, first: int) -> None:
        with self._lock:
            self._first = first
            self._draw()

    def _tick(self, thing: Loggable, on: bool, box: widgets.Checkbox) -> None:
        with self._lock:
            (self._ticked.add if on else self._ticked.discard)(thing.name)
            self._draw()

    def _choose(self, index: int, change: dict[str, Any]) -> None:
        if (thing := self._thing_of_user(index)) is None:
            return
        with self._lock:
            self._roles[thing.name] = change["new"] or ""  # "skip" is no role
            # Who says as what, wants it logged.
            self._tick(thing, bool(change["new"]), self._rows[index][0])

    def _tick_all(self) -> None:
        with self._lock:
            self._ticked |= {loggable.name for loggable in self._seen() if self._role(loggable)}
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
            logged = self._backend.log(chosen)
        except Exception as error:  # noqa: BLE001
            # Saving a user's object may raise anything; a callback's traceback would be seen nowhere.
            self._say(one_line(error))
        else:
            with self._lock:
                self._ticked.clear()
            self._report(logged)
        with self._lock:
            self._draw()

    def _report(self, logged: LogReport) -> None:
        report = [text(clean(line, 300)) for line in logged.lines[:_LINES]]
        if len(logged.lines) > _LINES:
            report.append(hint(f"and {count(len(logged.lines) - _LINES, 'more line')}"))
        self._result.value = lines(report)
        # To be run as it stands, so only cut, a line at a time, where no hand wrote it.
        self._written = "\n".join(clean(line, 2000) for line in logged.command[:50_000].splitlines())
        self._command.value = self._written
        self._command.rows = min(max(self._written.count("\n") + 1, 2), 10)
        self._command.layout.display = None if self._written else "none"

    def _restore(self) -> None:
        self._command.value = self._written

    # -- what is seen -----------------------------------------------------------------------------------------

    def _role(self, loggable: Loggable) -> str:
        for role in (self._roles.get(loggable.name, ""), loggable.role):
            if role and role in loggable.roles:
                return role
        return loggable.roles[0] if loggable.name in self._ticked and loggable.roles else ""

    def _chosen(self) -> list[tuple[str, str]]:
        ticked = [loggable for loggable in self._names if loggable.name in self._ticked]
        return [(loggable.name, self._role(loggable)) for loggable in ticked if self._role(loggable)]

    def _seen(self) -> list[Loggable]:
        part = self._filter.value.strip().casefold()
        if not part:
            return list(self._names)
        return [
            loggable
            for loggable in self._names
            if any(part in word[:1000].casefold() for word in (loggable.name, loggable.kind, self._role(loggable)))
        ]

    def _draw(self) -> None:
        seen = self._seen()
        self._first = max(0, min(self._first, (len(seen) - 1) // PAGE * PAGE))
        page = seen[self._first : self._first + PAGE]
        self._list(page)
        self._pager.show(hint(self._place(len(page), len(seen))), self._first, self._first + PAGE >= len(seen))
        many = len(self._chosen())
        self._log.disabled = not many
        self._log.description = f"Log {count(many, 'name')}" if many else "Log"

    def _place(self, shown: int, seen: int) -> str:
        if not self._names:
            return "nothing in the namespace can be logged yet"
        if not seen:
            return f"none of {count(len(self._names), 'name')} matches the filter"
        return f"{self._first + 1} to {self._first + shown} of {count(seen, 'name')}"

    def _new_row(self, index: int) -> tuple[widgets.Widget, ...]:
        role = widgets.Dropdown(layout=self._cell, tooltip="what to log it as")
        role.observe(partial(self._choose, index), names="value")
        return (*super()._new_row(index), role)

    def _fill_row(self, thing: Loggable, tick: Any, what: Any, *more: Any) -> None:
        (chooser,), role = more, self._role(thing)
        tick.description = label(thing.name, 40)
        tick.value = thing.name in self._ticked
        tick.disabled = chooser.disabled = not thing.roles
        what.value = _what(thing)
        roles: tuple[tuple[str, object], ...] = tuple((label(known, 20), known) for known in thing.roles)
        offer(chooser, roles if thing.role in thing.roles else (("skip", ""), *roles))
        chooser.value = role


def _what(loggable: Loggable) -> Markup:
    why = subdued(text(clean(loggable.why))) if loggable.why else EMPTY
    shown = join((mono(text(clean(loggable.value, 80))), subdued(text(clean(loggable.kind, 40)))), " ")
    whole = f"{loggable.value[:400]} ({loggable.kind[:40]})"
    return grid("minmax(0,3fr) minmax(0,2fr)", cell(shown, whole), cell(why, loggable.why))
