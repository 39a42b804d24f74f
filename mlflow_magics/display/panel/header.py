"""The panel's head: where we are, in which state, which experiment; and the strip, which is all of a compact panel."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import ipywidgets as widgets

from ...vocabulary.panel import Header, PanelBackend, RunView
from ..markup.html import EMPTY, Markup, element, join, link, text, words
from ..markup.parts import mono, subdued
from ..markup.words import clean, number
from .tools.controls import area, button, guarded, label, row
from .tools.facts import elapsed, spark, status_facts
from .tools.style import state_pill
from .tools.worker import Worker

_BUSY = "the cell is running: clicks take effect when it ends"
_LONGEST_NAME = 500  # of an experiment, in characters; MLflow takes no longer one
_SPARKS = 3


class Head:
    """Where we are, as a line, and the experiment as a field with suggestions.

    `clicks_while_busy` tells whether the kernel gets clicks while a cell is running; `close` is what the button at the
    right end does.
    """

    def __init__(
        self,
        backend: PanelBackend,
        worker: Worker,
        say: Callable[[str], None],
        clicks_while_busy: Callable[[], bool],
        close: Callable[[], None],
    ) -> None:
        self._backend, self._worker, self._say = backend, worker, say
        self._clicks_while_busy = clicks_while_busy
        self._real: dict[str, str] = {}  # label -> name
        self._shown = self._put = ""  # the experiment's name, and what we put into the field for it
        self._asked_of = ""
        self._line, self._busy = area(flex="1 1 260px"), area()
        self._chooser = widgets.Combobox(
            description="Experiment",
            tooltip="The experiment of new runs: choose one, or type the name of a new one",
            placeholder="type to search, or a new name",
            continuous_update=False,
            layout=widgets.Layout(flex="0 1 330px", min_width="200px"),
        )
        self._create = button("", "Create this experiment and have new runs go to it", guarded(say, self._make))
        self._create.layout.display = "none"
        self._again = button("↻", "Load the list of experiments again", guarded(say, self._load))
        self._close = button("✕", "Close the panel; a picture of it stays", close)
        self._chooser.observe(self._chosen, "value")
        self.widget = widgets.VBox(
            [
                row(self._line, self._close, flex_flow="row nowrap", align_items="flex-start"),
                row(self._chooser, self._again, self._create),
                self._busy,
            ]
        )

    def refresh(self, header: Header, run: RunView | None) -> None:
        """Show how things are."""
        self._line.value = head_line(header, run)
        busy = header.busy and not self._clicks_while_busy()
        self._busy.value = subdued(words(f"▶ {_BUSY}")) if busy else EMPTY
        name = header.experiment_name
        if name != self._shown:
            self._shown = name
            self._settle(label(name, 120) if name else "")
        if header.where and header.where != self._asked_of and not header.busy:
            self._asked_of = header.where
            self._load()

    def close(self) -> None:
        """Nothing to free but the widgets, which the panel frees."""

    def _settle(self, shown: str) -> None:
        self._real.setdefault(shown, self._shown)
        self._put = self._chooser.value = shown
        self._create.layout.display = "none"

    def _load(self) -> None:
        self._worker.submit(self._backend.experiments, self._offer, self._say, key="experiments")

    def _offer(self, names: Sequence[str]) -> None:
        self._real = {label(name, 120): name for name in reversed(names) if name and len(name) <= _LONGEST_NAME}
        self._chooser.options = tuple(reversed(self._real))
        if self._shown:
            self._real.setdefault(label(self._shown, 120), self._shown)

    def _chosen(self, change: dict[str, Any]) -> None:
        typed = change["new"].strip()
        if typed == self._put:
            self._create.layout.display = "none"
        else:
            guarded(self._say, partial(self._choose, typed))()

    def _choose(self, typed: str) -> None:
        name = self._real.get(typed, "")
        if not typed:
            self._create.layout.display = "none"
            return
        if not name:
            # A typing error would make an experiment that nobody wants: it takes one more click.
            self._create.description = f"Create “{label(typed, 40)}”"
            self._create.layout.display = ""
            return
        self._use(name)

    def _make(self) -> None:
        name = self._chooser.value.strip()
        if name:
            self._real[name] = name
            self._use(name)

    def _use(self, name: str) -> None:
        self._create.layout.display = "none"

        def failed(line: str) -> None:
            self._settle(label(self._shown, 120) if self._shown else "")
            self._say(line)

        self._worker.submit(
            lambda: self._backend.use_experiment(name),
            lambda _: self._say(f"new runs go to {clean(name, 60)}"),
            failed,
            key="experiment",
        )


class Strip:
    """One line for a compact panel: state, run, status, elapsed time, and up to three curves."""

    def __init__(self) -> None:
        self.widget = area("strip")

    def refresh(self, header: Header, run: RunView | None) -> None:
        """Show how things are."""
        self.widget.value = strip_line(header, run)


def head_line(header: Header, run: RunView | None) -> Markup:
    """Write where we are."""
    facts = []
    if header.where:
        facts.append(mono(text(clean(header.where))))
    if header.said and header.said != header.state:
        facts.append(text(clean(header.said, 200)))
    links = [("experiment ↗", header.experiment_url), ("run ↗", run.url if run else "")]
    facts += [made for title, url in links if (made := link(words(title), url)).startswith("<a")]
    return join((state_pill(header.state), join(facts, " · ")))


def strip_line(header: Header, run: RunView | None) -> Markup:
    """Write the strip."""
    shown = [state_pill(header.state)]
    if header.said and header.said != header.state:
        shown.append(subdued(text(clean(header.said, 100))))
    if run is None:
        shown.append(subdued(words("no run yet")))
    else:
        shown.append(element("strong", text(clean(run.name, 40)) if run.name else words("unnamed run")))
        shown.append(status_facts(run, words(elapsed(run, time.time()))))
        shown += [
            join((text(clean(curve.name, 24)), spark(curve), mono(words(number(curve.last, 5)))), " ")
            for curve in run.curves[:_SPARKS]
        ]
        if len(run.curves) > _SPARKS:
            shown.append(subdued(words(f"+{len(run.curves) - _SPARKS} more")))
    style = "display:inline-block;margin-right:12px;white-space:nowrap;max-width:100%;overflow:hidden"
    return join(element("span", part, style=style) for part in shown)
