"""The panel: its head and tabs, redrawn by a ticker, and beside them the picture that outlives the kernel."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import ipywidgets as widgets

from ...vocabulary.panel import Header, PanelBackend, RunView
from ..markup.block import Block
from ..markup.html import EMPTY, element, text, words
from ..markup.parts import AMBER, callout, subdued
from ..markup.words import clean
from .header import Head, Strip
from .panel_state import PanelState
from .picture import picture
from .tabs.autolog import Autolog
from .tabs.base import Tab
from .tabs.loglist import LogList
from .tabs.metrics import Metrics
from .tabs.run import Run
from .tabs.runs.runs_table import Runs
from .tabs.values import Values
from .ticker import Ticker, Turn
from .tools.controls import area, free, guarded, one_line
from .tools.style import PREFIX, sheet
from .tools.worker import Worker

_LIVE, _SLOW, _AFTER_FAILURE = 0.25, 1.0, 5.0  # seconds from one turn to the next
_SHARE = 0.012  # of one processor: what redrawing may take from a cell that is running
_CHARTS = 0.003  # seconds of a turn for charts while a cell is running
_STILL = ("not connected", "connected", "offline")


class Panel:
    """The live panel of one backend; several of the same backend show the same.

    Parameters
    ----------
    backend : PanelBackend
        What is shown, and what is done.
    compact : bool, optional
        Only one line instead of head and tabs.
    clicks_while_busy : callable, optional
        Whether the kernel gets clicks while a cell is running (subshells).
    ticker : callable, optional
        Makes what redraws it from then on, of a function that does so once.

    Attributes
    ----------
    widget : ipywidgets.VBox
        To be displayed; better by :meth:`show`.
    baseline : RunView or None
        The run that the current one is compared with.
    """

    def __init__(
        self,
        backend: PanelBackend,
        compact: bool = False,
        clicks_while_busy: Callable[[], bool] = lambda: False,
        ticker: Callable[[Turn], Ticker] = Ticker,
    ) -> None:
        self._backend = backend
        self._state = PanelState(backend)
        self._clicks_while_busy = clicks_while_busy
        self.baseline: RunView | None = None
        self._closed = False
        self._handle: Any = None
        self._published = ""
        self._turns = 0
        self._drawing = threading.RLock()
        self._worker = Worker(self._drawing)
        self._message = area("line")
        self._tabs: list[Tab | Callable[[], Tab]] = []  # a callable where the tab was not looked at yet
        self._chooser: Any = None
        self._top: Head | Strip
        self.widget = widgets.VBox(layout=widgets.Layout(width="100%"))
        self.widget.add_class(f"{PREFIX}panel")
        self._name = f"{PREFIX}picture-{self.widget.model_id}"
        style = area(value=sheet(self._name), display="none")
        if compact:
            self._top = Strip()
            self.widget.children = (style, self._top.widget, self._message)
        else:
            self._top = Head(
                cast("PanelBackend", self._state),
                self._worker,
                self._say,
                clicks_while_busy,
                guarded(self._say, self.close),
            )
            self._build()
            self.widget.children = (style, self._top.widget, self._message, self._chooser)
        self._ticker: Ticker | None = None
        self._turn()  # the first view is whole
        self._forget = backend.observe(self._changed)
        self._ticker = ticker(self._turn)

    # -- shown ------------------------------------------------------------------------------------------------

    def show(self, display: Callable[..., Any]) -> None:
        """Display the panel and, below it, the picture that is seen when it is not there.

        Parameters
        ----------
        display : callable
            ``IPython.display.display``.
        """
        display(_Live(self))
        block = self.picture()
        self._published = block.html
        self._handle = display(block, display_id=self._name)

    def picture(self) -> Block:
        """Draw the state as it is.

        Returns
        -------
        Block
            Hidden by the live panel while that is in the same page.
        """
        return picture(self._backend.header(), self._backend.run(), self._name)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """Give IPython the live view, and the picture for where there are no widgets."""
        block = picture(self._backend.header(), self._backend.run())
        return {**self._view(), "text/plain": block.text, "text/html": block.html}

    def _view(self) -> dict[str, Any]:
        if self._closed:
            return {}
        return dict(self.widget._repr_mimebundle_())

    # -- steered ----------------------------------------------------------------------------------------------

    def set_baseline(self, run: RunView | None) -> None:
        """Choose the run that the current one is compared with."""
        self.baseline = run
        self._say(f"compared with {clean(run.name or run.run_id, 60)}, in Params & results" if run else "")
        self.wake()

    def wake(self) -> None:
        """Have the panel redrawn soon; returns at once."""
        if self._ticker is not None:
            self._ticker.wake()

    def close(self) -> None:
        """End the threads and free callbacks and widgets; a picture of the last state stays. Twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self._forget()
        if self._ticker is not None:
            self._ticker.close()
        self._worker.close()
        with self._drawing:
            for tab in self._tabs:
                if not callable(tab):
                    tab.close()
            if isinstance(self._top, Head):
                self._top.close()
            free(self.widget)
        self._renew(ended_only=False)

    # -- redrawn ----------------------------------------------------------------------------------------------

    def _turn(self) -> tuple[float, float | None]:
        """Draw what has changed; tell the :class:`.ticker.Ticker` when to come again. First in the main thread."""
        began = time.thread_time()
        try:
            with self._drawing:
                if self._closed:
                    return 0.0, None  # asked here: the widgets are freed under the same lock
                self._state.look()
                header, run = self._state.header(), self._state.run()
                self._top.refresh(header, run)
                self._draw_tabs(header)
            if not header.busy and self._ticker is not None:
                self._publish(header, run)
        except Exception as error:  # noqa: BLE001
            # Whatever it is, the cell that is running must not hear of it, and the next turn may go well.
            self._say(f"the panel was not redrawn: {one_line(error)}")
            return _AFTER_FAILURE, _AFTER_FAILURE
        pause = (time.thread_time() - began) / _SHARE if header.busy else 0.0
        return pause, _rest(header, run)

    def _draw_tabs(self, header: Header) -> None:
        if self._chooser is None:
            return
        self._turns += 1
        seen = self._chooser.selected_index
        wanted = [] if seen is None else [seen]
        if header.busy and not self._clicks_while_busy():
            # The front end may show another tab meanwhile, and could not tell us: the live ones take turns.
            others = [index for index in range(3) if index != seen]
            wanted.append(others[self._turns % len(others)])
        for index in wanted:
            tab = self._tab(index)
            if isinstance(tab, Metrics):
                tab.budget = _CHARTS if header.busy else math.inf
            tab.refresh()

    def _tab(self, index: int) -> Tab:
        """Give a tab; one that is looked at for the first time is built."""
        tab = self._tabs[index]
        if not callable(tab):
            return tab
        made = tab()
        self._tabs[index] = made
        box = self._chooser.children[index]
        waiting, box.children = box.children, (made.widget,)
        for widget in waiting:
            free(widget)
        return made

    def _build(self) -> None:
        """Make the tabs: the live ones now, the others, which hold many widgets, when they are looked at."""
        backend, worker, say = cast("PanelBackend", self._state), self._worker, self._say
        values = Values(
            backend, worker, say,
            baseline=lambda: self.baseline, forget=lambda: self.set_baseline(None), wake=self.wake,
        )  # fmt: skip
        live: list[Tab] = [Run(backend, worker, say), Metrics(backend, worker, say, wake=self.wake), values]
        late: list[Callable[[], Tab]] = [
            partial(LogList, backend, worker, say),
            partial(Autolog, backend, worker, say),
            partial(Runs, backend, worker, say, self.set_baseline),
        ]
        self._tabs = [*live, *late]
        hint = "this tab opens when the kernel is free: the cell is still running"
        boxes = [tab.widget for tab in live]
        boxes += [widgets.VBox([area(value=subdued(words(hint)))]) for _ in late]
        titles = [*(tab.title for tab in live), LogList.title, Autolog.title, Runs.title]
        self._chooser = widgets.Tab(children=boxes, titles=titles, selected_index=0)
        self._chooser.observe(lambda _: self.wake(), "selected_index")

    def _changed(self) -> None:
        """Hear that a run began or ended, or the connection changed: in the kernel's main thread."""
        self.wake()
        self._renew(ended_only=True)

    def _renew(self, *, ended_only: bool) -> None:
        """Put the picture up to date from the main thread: raising nothing, as the user's cell may be ending."""
        try:
            run = self._backend.run()
            if not ended_only or (run is not None and run.ended is not None):
                # Now, as the cell may be the notebook's last and its kernel about to go.
                self._publish(self._backend.header(), run)
        except Exception as error:  # noqa: BLE001
            # Neither the end of a cell nor unloading the extension is to fail for a picture.
            self._say(f"the panel's picture was not drawn: {one_line(error)}")

    def _publish(self, header: Header, run: RunView | None) -> None:
        """Put the picture up to date, in the page and so in the notebook that is saved."""
        if self._handle is None:
            return
        block = picture(header, run, self._name)
        if block.html != self._published:
            self._published = block.html
            self._handle.update(block)

    def _say(self, line: str) -> None:
        shown = element("div", callout(AMBER, text(clean(line, 300))), role="status") if line else EMPTY
        self._message.value = shown


class _Live:
    """The live view alone, as the picture is an output of its own."""

    def __init__(self, panel: Panel) -> None:
        self._panel = panel

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {**self._panel._view(), "text/plain": "mlflow panel"}


def _rest(header: Header, run: RunView | None) -> float | None:
    """Tell how soon something may have changed that nobody calls us for."""
    if run is not None and run.open_here and run.ended is None:
        return _LIVE if header.busy else _SLOW
    return None if header.state in _STILL and not header.busy else _SLOW
