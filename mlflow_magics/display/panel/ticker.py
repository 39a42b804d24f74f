"""Redraws a panel from a thread: seldom, and not at all while nothing goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable

_PACE = 0.25  # seconds between two turns at the least: four a second

Turn = Callable[[], tuple[float, float | None]]
"""Draws, and raises nothing. Returns how many seconds to leave the processor to others, whoever wakes us, and after how
many to come again; None: not before we are woken."""

Wait = Callable[[threading.Event, float | None], bool]
"""Waits for an event, so many seconds at the most or without end; tells whether it has happened."""


class Ticker:
    """Calls `turn` in one daemon thread, again and again; `wait` is the clock that it goes by."""

    def __init__(self, turn: Turn, wait: Wait = threading.Event.wait) -> None:
        self._turn, self._wait = turn, wait
        self._woken, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="mlflow_magics-panel-ticker", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Have a turn soon; returns at once."""
        self._woken.set()

    def close(self) -> None:
        """End the thread, and wait for it unless it is the one that calls."""
        self._closed.set()
        self._woken.set()
        if self._thread is not threading.current_thread():
            self._thread.join(1.0)

    def _run(self) -> None:
        while not self._closed.is_set():
            self._woken.clear()
            pause, rest = self._turn()
            # A loop that opens a thousand runs a second wakes us as often: the pace is kept all the same.
            pause = max(_PACE, pause)
            if self._wait(self._closed, pause):
                return
            if rest is None or rest > pause:
                self._wait(self._woken, None if rest is None else rest - pause)
