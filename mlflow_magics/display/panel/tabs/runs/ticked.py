"""The runs that are ticked, on whatever page, and what can be done with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from .....vocabulary.panel import PanelBackend, RunView
from ....markup.html import EMPTY, join, text
from ....markup.parts import AMBER, callout
from ....markup.words import clean, count
from ...tools.controls import area, button
from ...tools.style import hint
from ...tools.worker import Worker
from . import compare


class Ticked:
    """The ticked runs of the Runs tab: `buttons` compare them, give one to `use_baseline`, untick them.

    `comparison` shows what came of comparing. `lock` is the tab's, reentrant; `redraw` has the tab draw its boxes anew.
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
        self._backend, self._worker, self._say = backend, worker, say
        self._use_baseline, self._lock, self._redraw = use_baseline, lock, redraw
        self._runs: dict[str, RunView] = {}
        self._compared: tuple[str, ...] = ()
        self._compare = button("Compare", "tick two runs or more", self._submit, disabled=True)
        self._baseline = button(
            "Use as baseline", "tick one run: the other tabs show the change against it", self._hand_over, disabled=True
        )
        self._clear = button("Untick all", "untick the runs of all pages", self._untick, disabled=True)
        self.buttons = [self._compare, self._baseline, self._clear]
        self.comparison = area(width="100%")

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
            run_ids = self._compared = tuple(run.run_id for run in runs)
            self.comparison.value = hint("asking the store for the curves…")
        remark = hint(f"the first {compare.RUNS} of {count(many, 'ticked run')}" if many > len(runs) else "")
        self._worker.submit(
            lambda: join((remark, compare.render(*compare.gather(self._backend, runs)))),
            partial(self._show, run_ids),
            partial(self._fail, run_ids),
            key="compare",
        )

    def _show(self, run_ids: tuple[str, ...], shown: str) -> None:
        with self._lock:
            if run_ids == self._compared:
                self.comparison.value = shown

    def _fail(self, run_ids: tuple[str, ...], line: str) -> None:
        self._show(run_ids, callout(AMBER, text(clean(line, 400))))
        self._say(line)

    def _draw(self) -> None:
        many = len(self._runs)
        self._compare.disabled, self._baseline.disabled, self._clear.disabled = many < 2, many != 1, not many
        self._compare.description = f"Compare {count(many, 'run')}" if many > 1 else "Compare"
