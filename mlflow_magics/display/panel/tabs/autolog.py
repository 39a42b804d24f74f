"""The Autolog tab: a switch for each integration that is installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from ....vocabulary.panel import PanelBackend
from ....vocabulary.stores import Integration
from ...markup.html import EMPTY, Markup, element, join, text, words
from ...markup.parts import RED, callout, mono, subdued
from ...markup.words import clean
from ..tools.controls import area, label, one_line
from ..tools.style import cell, hint, lines
from ..tools.worker import Worker
from .base import KernelTab

_MOST = 60


class Autolog(KernelTab[Integration]):
    """The Autolog tab."""

    title = "Autolog"

    def __init__(self, backend: PanelBackend, worker: Worker, say: Callable[[str], None]) -> None:
        super().__init__(backend, worker, say, "minmax(110px,1fr) minmax(0,4fr)")
        heading = area(value=hint("ticked: fitting a model logs its params, metrics and model"))
        self._notes, self._missing = area(), area()
        self.widget = widgets.VBox([heading, self._grid, self._notes, self._missing])

    def _ask(self) -> Sequence[Integration]:
        return self._backend.integrations()

    def _take(self, things: Sequence[Integration]) -> None:
        self._list([integration for integration in things if integration.installed][:_MOST])
        self._missing.value = _missing([integration for integration in things if not integration.installed])

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


def _what(integration: Integration) -> Markup:
    state = element("strong", words("on")) if integration.on else subdued(words("off"))
    version = mono(text(clean(f"{integration.package} {integration.installed}", 60)))
    # MLflow does not say for every integration.
    tested = subdued(words("tested with "), text(clean(integration.versions, 40))) if integration.versions else EMPTY
    logs = subdued(words("logs "), text(clean(integration.logs))) if integration.logs else EMPTY
    return lines([cell(join((state, version, tested), " · ")), cell(logs, integration.logs)])


def _missing(absent: list[Integration]) -> Markup:
    if not absent:
        return EMPTY
    names = join((text(clean(integration.name, 40)) for integration in absent[:_MOST]), ", ")
    return element(
        "div",
        subdued(words("not installed: "), names),
        style="font-size:12px;line-height:1.45;overflow-wrap:anywhere",
    )
