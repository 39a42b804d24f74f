"""The Autolog tab: a switch for each integration that is installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from ....vocabulary.panel import PanelBackend
from ....vocabulary.records import Integration
from ...markup.html import EMPTY, Markup, element, join, text, words
from ...markup.parts import RED, callout, mono, subdued
from ...markup.words import clean
from ..tools.controls import area, label, one_line
from ..tools.style import cell, hint, lines
from ..tools.worker import Worker
from .base import ListTab

_MOST = 60


class Autolog(ListTab[Integration]):
    """The Autolog tab."""

    title = "Autolog"

    def __init__(self, backend: PanelBackend, worker: Worker, say: Callable[[str], None]) -> None:
        super().__init__(backend, worker, say, "minmax(110px,1fr) minmax(0,4fr)")
        heading = area(value=hint("ticked: fitting a model logs its params, metrics and model"))
        self._notes, self._missing = area(), area()
        self.widget = widgets.VBox([heading, self._grid, self._notes, self._missing])

    def _look(self) -> None:
        try:
            known = self._backend.integrations()
        except Exception as error:  # noqa: BLE001
            # MLflow's integrations import what they like; a callback's traceback would be seen nowhere.
            self._say(one_line(error))
            return
        with self._lock:
            self._list([each for each in known if each.installed][:_MOST])
            self._missing.value = _missing([each for each in known if not each.installed])

    def _tick(self, thing: Integration, on: bool, box: widgets.Checkbox) -> None:
        try:
            notes: Sequence[str] = self._backend.switch(thing.name, on)
        except Exception as error:  # noqa: BLE001
            # Switching on imports the user's libraries, which may raise anything.
            self._say(one_line(error))
            self._notes.value = callout(RED, text(one_line(error)))
            with self._own_change():
                box.value = not on
            return
        self._notes.value = lines([text(clean(note, 300)) for note in notes[:20]])
        # What is on now is MLflow's word, not the box's.
        self._look()

    def _fill_row(self, thing: Integration, box: Any, what: Any, *more: Any) -> None:
        box.description = label(thing.name, 40)
        box.value = thing.on
        what.value = _what(thing)


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
