"""The Autolog tab: a switch for each integration that is installed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from ....vocabulary.panel import PanelBackend
from ....vocabulary.records import Integration
from ...markup.html import EMPTY, Markup, element, join, text, words
from ...markup.parts import RED, callout, mono, subdued
from ...markup.words import clean
from ..tools.tabtools import Visits, cell, free, label, lines, one_line, subdued_note

if TYPE_CHECKING:
    from ..tools.worker import Worker

_MOST = 60


class Autolog:
    """The Autolog tab.

    Parameters
    ----------
    backend : PanelBackend
        Knows the integrations, and switches them.
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

    title = "Autolog"

    def __init__(self, backend: PanelBackend, worker: Worker, say: Callable[[str], None]) -> None:
        self._desk, self._say = backend, say
        self._lock = threading.RLock()
        self._filling = False
        self._visits = Visits()
        self._rows: list[tuple[widgets.Checkbox, widgets.HTML]] = []
        self._names: list[str] = []
        self._layout = widgets.Layout(width="auto", min_width="0")
        self._grid = widgets.GridBox(
            layout=widgets.Layout(
                grid_template_columns="minmax(110px,1fr) minmax(0,4fr)", width="100%", align_items="center"
            )
        )
        self._heading = widgets.HTML(value=subdued_note("ticked: fitting a model logs its params, metrics and model"))
        self._notes, self._missing = widgets.HTML(), widgets.HTML()
        self.widget = widgets.VBox([self._heading, self._grid, self._notes, self._missing])

    def refresh(self) -> None:
        """Look at the integrations when the tab is turned to, and when a cell has ended."""
        if self._visits.news(self._desk.header().busy):
            self._look()

    def close(self) -> None:
        """Free the widgets."""
        free(self.widget)
        for row in self._rows:
            for each in row:
                free(each)

    def _look(self) -> None:
        try:
            known = self._desk.integrations()
        except Exception as error:  # noqa: BLE001
            # MLflow's integrations import what they like; a callback's traceback would be seen nowhere.
            self._say(one_line(error))
            return
        with self._lock:
            self._draw([each for each in known if each.installed][:_MOST])
            self._missing.value = _missing([each for each in known if not each.installed])

    def _switch(self, index: int, change: dict[str, Any]) -> None:
        with self._lock:
            if self._filling:
                return
            name = self._names[index]
        try:
            notes: Sequence[str] = self._desk.switch(name, bool(change["new"]))
        except Exception as error:  # noqa: BLE001
            # Switching on imports the user's libraries, which may raise anything.
            self._say(one_line(error))
            self._notes.value = callout(RED, text(one_line(error)))
            with self._lock:
                self._set(index, not change["new"])
            return
        self._notes.value = lines([text(clean(note, 300)) for note in notes[:20]])
        # What is on now is MLflow's word, not the box's.
        self._look()

    def _set(self, index: int, on: bool) -> None:
        """Tick a box without switching."""
        self._filling = True
        try:
            self._rows[index][0].value = on
        finally:
            self._filling = False

    def _draw(self, installed: list[Integration]) -> None:
        self._filling = True
        try:
            while len(self._rows) < len(installed):
                box = widgets.Checkbox(indent=False, layout=self._layout)
                box.observe(partial(self._switch, len(self._rows)), names="value")
                self._rows.append((box, widgets.HTML(layout=self._layout)))
            self._names = [each.name for each in installed]
            for (box, what), each in zip(self._rows, installed, strict=False):
                box.description = label(each.name, 40)
                box.value = each.on
                what.value = _what(each)
        finally:
            self._filling = False
        self._grid.children = tuple(each for row in self._rows[: len(installed)] for each in row)


def _what(each: Integration) -> Markup:
    state = element("strong", words("on")) if each.on else subdued(words("off"))
    version = mono(text(clean(f"{each.package} {each.installed}", 60)))
    # MLflow does not say for every integration.
    tested = subdued(words("tested with "), text(clean(each.versions, 40))) if each.versions else EMPTY
    return lines(
        [
            cell(join((state, version, tested), " · ")),
            cell(subdued(words("logs "), text(clean(each.logs))) if each.logs else EMPTY, each.logs),
        ]
    )


def _missing(absent: list[Integration]) -> Markup:
    if not absent:
        return EMPTY
    names = join((text(clean(each.name, 40)) for each in absent[:_MOST]), ", ")
    return element(
        "div",
        subdued(words("not installed: "), names),
        style="font-size:12px;line-height:1.45;overflow-wrap:anywhere",
    )
