"""The Run tab: what the run is called, how it does, its note and tags; start one, end one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import ipywidgets as widgets

from ....vocabulary.panel import Curve, PanelBackend, RunView
from ...markup import parts
from ...markup.html import EMPTY, Markup, join, link, text, words
from ...markup.words import clean, number
from ..tools.controls import area, button, guarded, row
from ..tools.facts import elapsed, mark_of, spark, status_facts
from ..tools.style import and_more
from ..tools.worker import Worker
from .base import Tab

_TAGS, _SPARKS = 60, 24
_NAME, _NOTE = 250, 5000  # the most characters that are edited here
_OF_CELL = "This run ends with its cell"
_NONE_OPEN = "No run that spans cells is open"


class Run(Tab):
    """The Run tab."""

    title = "Run"

    def __init__(self, backend: PanelBackend, worker: Worker, say: Callable[[str], None]) -> None:
        super().__init__(backend, worker, say)
        self._run: RunView | None = None
        self._given = {"name": "", "note": ""}  # what the fields were filled with by us, not by the user
        self._sparks: dict[str, tuple[tuple[object, ...], tuple[Markup, ...]]] = {}
        self._facts, self._tags, self._curves = area(), area(), area(min_width="280px", flex="1 1 320px")
        self._name = widgets.Text(
            description="Name", tooltip="The run's name; Enter gives it", continuous_update=False,
            layout={"width": "auto", "flex": "1 1 260px", "min_width": "180px"},
        )  # fmt: skip
        self._note = widgets.Textarea(
            description="Note", tooltip="A note on the run, in Markdown; it is kept when you leave the field",
            continuous_update=False, rows=3, layout={"width": "auto"},
        )  # fmt: skip
        narrow = {"width": "auto", "flex": "1 1 110px", "min_width": "90px"}
        self._key = widgets.Text(placeholder="tag", tooltip="The tag to add or replace", layout=narrow)
        self._value = widgets.Text(placeholder="value", tooltip="The tag's value", layout=narrow)
        self._set = button("Set", "Add this tag to the run, or replace it", guarded(say, self._tag))
        self._new = widgets.Text(
            placeholder="name of a new run", tooltip="Name of the run that Start opens", layout=narrow
        )
        start = button("Start", "Open a run that spans cells, until End", guarded(say, self._begin))
        self._end = button("End", _NONE_OPEN, guarded(say, backend.end))
        self._why = area()
        self._name.observe(partial(self._edited, "name", backend.rename), "value")
        self._note.observe(partial(self._edited, "note", backend.describe), "value")
        of_run = widgets.VBox(
            [row(self._name), self._note, self._tags, row(self._key, self._value, self._set)],
            layout={"flex": "1 1 320px", "min_width": "280px"},
        )
        self.widget = widgets.VBox(
            [
                self._facts,
                row(of_run, self._curves, align_items="flex-start"),
                row(self._new, start, self._end, self._why),
            ]
        )

    def refresh(self) -> None:
        """Show the run as it is now."""
        run = self._backend.run()
        self._facts.value = _facts(run)
        self._fill(run)
        self._tags.value = _tags_table(run.tags) if run else EMPTY
        self._curves.value = self._curves_table(run)
        endable = run is not None and run.open_here and not run.of_cell
        self._end.disabled = not endable
        of_cell = run is not None and run.open_here and run.of_cell
        reason = _OF_CELL if of_cell else _NONE_OPEN
        self._end.tooltip = "End this run" if endable else reason
        self._why.value = parts.subdued(words(reason.lower())) if of_cell else EMPTY
        self._run = run

    def close(self) -> None:
        """Forget the run; the panel frees the widgets."""
        self._run = None
        self._sparks.clear()

    # -- shown ------------------------------------------------------------------------------------------------

    def _fill(self, run: RunView | None) -> None:
        other = (run.run_id if run else None) != (self._run.run_id if self._run else None)
        for field in (self._name, self._note, self._key, self._value, self._set):
            field.disabled = run is None
        name, note = (run.name, run.note) if run else ("", "")
        self._note.disabled = run is None or len(note) > _NOTE
        for what, field, value in (
            ("name", self._name, clean(name, _NAME) if name else ""),
            ("note", self._note, note[:_NOTE]),
        ):
            if other or value != self._given[what]:
                self._given[what] = value
                field.value = value

    def _curves_table(self, run: RunView | None) -> Markup:
        if run is None or not run.curves:
            return EMPTY
        fresh = {}
        for curve in run.curves[:_SPARKS]:
            known, mark = self._sparks.get(curve.name), mark_of(curve)
            fresh[curve.name] = known if known and known[0] == mark else (mark, _curve_row(curve))
        self._sparks = fresh
        table = parts.table(("metric", "", "last", "min … max", "points"), (cells for _, cells in fresh.values()))
        return and_more(table, len(run.curves) - _SPARKS, " in Metrics")

    # -- done -------------------------------------------------------------------------------------------------

    def _edited(self, what: str, change_it: Callable[[str, str], None], change: dict[str, Any]) -> None:
        typed, run = change["new"], self._run
        if typed == self._given[what] or run is None:
            return
        if what == "name" and not typed.strip():
            self._name.value = self._given[what]
            return

        def act() -> None:
            change_it(run.run_id, typed)
            self._given[what] = typed

        guarded(self._say, act)()

    def _tag(self) -> None:
        key = self._key.value.strip()
        if not key:
            self._say("a tag needs a name, in the left of the two fields")
        elif self._run is not None:
            self._backend.tag(self._run.run_id, key, self._value.value)
            self._key.value = self._value.value = ""

    def _begin(self) -> None:
        self._backend.start(self._new.value.strip())
        self._new.value = ""


def _facts(run: RunView | None) -> Markup:
    if run is None:
        return parts.subdued(words("no run yet: %%mlflow_run makes a cell one, Start opens one that spans cells"))
    took = elapsed(run, time.time())
    opened = link(words("open in MLflow ↗"), run.url)
    return status_facts(
        run,
        words(f"for {took}" if run.ended is None and took else took),
        parts.mono(text(clean(run.run_id, 60))),
        opened if opened.startswith("<a") else EMPTY,
    )


def _tags_table(tags: Mapping[str, str]) -> Markup:
    if not tags:
        return parts.subdued(words("no tags"))
    rows = [(text(clean(key, 60)), text(clean(value))) for key, value in list(tags.items())[:_TAGS]]
    more = len(tags) - _TAGS
    return join((parts.table(("tag", "value"), rows), words(f"… and {more} more") if more > 0 else EMPTY))


def _curve_row(curve: Curve) -> tuple[Markup, ...]:
    return (
        text(clean(curve.name, 40)),
        spark(curve),
        parts.unbroken(words(number(curve.last))),
        words(f"{number(curve.min, 4)} … {number(curve.max, 4)}"),
        parts.subdued(words(f"{curve.count:,}")),
    )
