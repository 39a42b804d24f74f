"""The runs that are ticked, on whatever page, and what can be done with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from ....vocabulary.panel import PanelBackend, RunView
from ...markup.html import EMPTY, join, text
from ...markup.parts import AMBER, callout
from ...markup.words import clean, count
from ..tools.tabtools import subdued_note
from . import compare

if TYPE_CHECKING:
    from ..tools.worker import Worker


class Ticked:
    """The ticked runs of the Runs tab.

    Parameters
    ----------
    backend : PanelBackend
        Knows all of a run.
    worker : Worker
        Asks it.
    say : callable
        Shows one line to the user.
    use_baseline : callable
        Takes the run that the other tabs shall compare with.
    lock : context manager
        The tab's, reentrant.
    redraw : callable
        Has the tab draw its boxes anew.

    Attributes
    ----------
    buttons : list of Button
        Compare, use as baseline, untick.
    comparison : HTML
        What came of comparing.
    """

    def __init__(
        self,
        backend: PanelBackend,
        worker: Worker,
        say: Callable[[str], None],
        use_baseline: Callable[[RunView], None],
        lock: Any,
        redraw: Callable[[], None],
    ) -> None:
        self._desk, self._worker, self._say = backend, worker, say
        self._use_baseline, self._lock, self._redraw = use_baseline, lock, redraw
        self._runs: dict[str, RunView] = {}
        self._compared: tuple[str, ...] = ()
        button = partial(widgets.Button, layout=widgets.Layout(width="auto"), disabled=True)
        self._compare = button(description="Compare", tooltip="tick two runs or more")
        self._baseline = button(
            description="Use as baseline", tooltip="tick one run: the other tabs show the change against it"
        )
        self._clear = button(description="Untick all", tooltip="untick the runs of all pages")
        self.buttons = [self._compare, self._baseline, self._clear]
        self.comparison = widgets.HTML(layout=widgets.Layout(width="100%"))
        self._compare.on_click(lambda _: self._submit())
        self._baseline.on_click(lambda _: self._hand_over())
        self._clear.on_click(lambda _: self._untick())

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._runs

    def put(self, run: RunView, on: bool) -> None:
        """Tick or untick a run."""
        if on:
            self._runs[run.run_id] = run
        else:
            self._runs.pop(run.run_id, None)
        self._draw()

    def renew(self, runs: Iterable[RunView]) -> None:
        """Take those of some runs that are ticked as they are now."""
        self._runs.update({run.run_id: run for run in runs if run.run_id in self._runs})

    def forget(self) -> None:
        """Untick all, and compare none; an answer that is still awaited is dropped."""
        self._runs, self._compared = {}, ()
        self.comparison.value = EMPTY
        self._draw()

    def drop(self) -> None:
        """Await no answer any more."""
        self._compared = ()

    def _untick(self) -> None:
        with self._lock:
            self.forget()
            self._redraw()

    def _hand_over(self) -> None:
        with self._lock:
            if len(self._runs) != 1:
                return
            (run,) = self._runs.values()
        self._use_baseline(run)

    def _submit(self) -> None:
        with self._lock:
            runs = list(self._runs.values())[: compare.RUNS]
            many = len(self._runs)
            asked = self._compared = tuple(run.run_id for run in runs)
            self.comparison.value = subdued_note("asking the store for the curves…")
        remark = subdued_note(f"the first {compare.RUNS} of {count(many, 'ticked run')}" if many > len(runs) else "")
        self._worker.submit(
            lambda: join((remark, compare.render(*compare.gather(self._desk, runs)))),
            partial(self._show, asked),
            partial(self._fail, asked),
            key="compare",
        )

    def _show(self, asked: tuple[str, ...], shown: str) -> None:
        with self._lock:
            if asked == self._compared:
                self.comparison.value = shown

    def _fail(self, asked: tuple[str, ...], line: str) -> None:
        self._show(asked, callout(AMBER, text(clean(line, 400))))
        self._say(line)

    def _draw(self) -> None:
        many = len(self._runs)
        self._compare.disabled, self._baseline.disabled, self._clear.disabled = many < 2, many != 1, not many
        self._compare.description = f"Compare {count(many, 'run')}" if many > 1 else "Compare"
