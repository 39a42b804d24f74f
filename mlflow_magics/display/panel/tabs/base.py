"""What every tab is, and what a tab that lists things has besides: rows of widgets that are used again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any, Generic, TypeVar

import ipywidgets as widgets

from ....vocabulary.panel import PanelBackend
from ..tools.controls import free, one_line
from ..tools.worker import Worker

T = TypeVar("T")

_AWAY = 2.0  # seconds; the panel's ticker comes at least once a second while it ticks at all


class Tab:
    """A tab of the panel: the title that it has and the widget that it shows.

    It asks the backend for what is at hand, has the worker ask for what is in the store, and shows one line to the
    user by `say`. Callbacks come in the kernel's main thread or a subshell's, `refresh` in the ticker's, what the
    worker brings in the worker's: so there is a lock.
    """

    title: str
    widget: widgets.Widget

    def __init__(self, backend: PanelBackend, worker: Worker, say: Callable[[str], None]) -> None:
        self._backend, self._worker, self._say = backend, worker, say
        self._lock = threading.RLock()
        self._filling = False

    def refresh(self) -> None:
        """Show how things are."""
        raise NotImplementedError

    def close(self) -> None:
        """Free what the panel does not free with `widget`."""

    @contextmanager
    def _own_change(self) -> Iterator[None]:
        """Hold the lock while widgets are set by us; their callbacks see by `_filling` that it was not the user."""
        with self._lock:
            self._filling = True
            try:
                yield
            finally:
                self._filling = False


class ListTab(Tab, Generic[T]):
    """A tab with a row for each thing that it lists: a tick box, and HTML beside it.

    The widgets of a row are used again for another thing, as making some takes long; ipywidgets sends only what differs
    from what is there.
    """

    def __init__(
        self, backend: PanelBackend, worker: Worker, say: Callable[[str], None], columns: str, **layout: str
    ) -> None:
        super().__init__(backend, worker, say)
        self._listed: Sequence[T] = ()  # the things in the rows, in order
        self._rows: list[tuple[Any, ...]] = []
        self._cell = widgets.Layout(width="auto", min_width="0")
        self._grid = widgets.GridBox(
            layout=widgets.Layout(grid_template_columns=columns, width="100%", align_items="center", **layout)
        )

    def close(self) -> None:
        """Free the widgets, those of rows that are not seen too."""
        free(self.widget)
        for widget in chain.from_iterable(self._rows):
            free(widget)
        self._cell.close()  # it belongs to the rows, and there may be none yet

    def _tick(self, thing: T, on: bool, box: widgets.Checkbox) -> None:
        """Do what the user wants who ticked a box."""
        raise NotImplementedError

    def _fill_row(self, thing: T, box: Any, what: Any, *more: Any) -> None:
        """Show a thing in a row's widgets."""
        raise NotImplementedError

    def _new_row(self, index: int) -> tuple[widgets.Widget, ...]:
        box = widgets.Checkbox(indent=False, layout=self._cell)
        box.observe(partial(self._box_changed, index), names="value")
        return box, widgets.HTML(layout=self._cell)

    def _box_changed(self, index: int, change: dict[str, Any]) -> None:
        if (thing := self._thing_of_user(index)) is not None:
            self._tick(thing, bool(change["new"]), change["owner"])

    def _thing_of_user(self, index: int) -> T | None:
        """Give the thing in a row that the user changed; None where it was us."""
        with self._lock:
            return None if self._filling or index >= len(self._listed) else self._listed[index]

    def _list(self, things: Sequence[T], *above: widgets.Widget) -> None:
        """Show things, each in a row, and other widgets above."""
        with self._own_change():
            self._listed = things
            while len(self._rows) < len(things):
                self._rows.append(self._new_row(len(self._rows)))
            for row, thing in zip(self._rows, things, strict=False):
                self._fill_row(thing, *row)
            self._grid.children = (*above, *chain.from_iterable(self._rows[: len(things)]))


class KernelTab(ListTab[T]):
    """A tab that lists what is in the kernel: it looks when it is turned to, and when a cell has ended."""

    def __init__(
        self, backend: PanelBackend, worker: Worker, say: Callable[[str], None], columns: str, **layout: str
    ) -> None:
        super().__init__(backend, worker, say, columns, **layout)
        self._visits = Visits()

    def refresh(self) -> None:
        """Look again if there is a reason to."""
        if self._visits.news(self._backend.header().busy):
            self._look()

    def _look(self) -> None:
        try:
            things = self._ask()
        except Exception as error:  # noqa: BLE001
            # The user's own objects and libraries may raise anything; a callback's traceback would be seen nowhere.
            self._say(one_line(error))
            return
        with self._lock:
            self._take(things)

    def _ask(self) -> Sequence[T]:
        """Ask the session for the things."""
        raise NotImplementedError

    def _take(self, things: Sequence[T]) -> None:
        """Show what the session told."""
        raise NotImplementedError


class Visits:
    """Tells from the calls of `refresh` alone when a tab should look again.

    A visible tab is refreshed again and again while something goes on, and else only when it is turned to.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: float | None = None
        self._busy = False

    def news(self, busy: bool) -> bool:
        """Take note of a call. True at the first call, when a cell has ended, and after a pause outside a cell."""
        now = self._clock()
        first, ended = self._last is None, self._busy and not busy
        away = self._last is not None and now - self._last > _AWAY
        self._last, self._busy = now, busy
        return first or ended or (away and not busy)
