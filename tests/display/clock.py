"""A clock that a test sets forward by hand, for the thread that redraws a panel."""

from __future__ import annotations

import math
import threading

from mlflow_magics.display.panel.ticker import Ticker, Turn
from tests.rig.waiting import eventually


class Clock:
    """The time of one ticker: it goes on only in :meth:`advance`.

    Attributes
    ----------
    now : float
        Seconds since the ticker began.
    turns : list of float
        When the ticker had its turns, but for the panel's first view.
    until : float
        How long the ticker waits now, unless it is woken; infinite where it waits for nothing else.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.turns: list[float] = []
        self.until = math.inf
        self._waits_for: threading.Event | None = None

    def ticker(self, turn: Turn) -> Ticker:
        """Make a ticker that goes by this clock."""

        def counted() -> tuple[float, float | None]:
            self.turns.append(self.now)
            return turn()

        return Ticker(counted, self._wait)

    def _wait(self, event: threading.Event, seconds: float | None) -> bool:
        self.until, self._waits_for = self.now + (math.inf if seconds is None else seconds), event
        try:
            while self.now < self.until and not event.wait(0.002):
                pass
            return event.is_set()
        finally:
            self._waits_for = None

    def _is_idle(self) -> bool:
        event = self._waits_for
        return event is not None and not event.is_set() and self.now < self.until

    def advance(self, seconds: float = 0.0) -> None:
        """Let time go by; return when the ticker has done all that was due meanwhile, and waits again."""
        end = self.now + seconds
        eventually(self._is_idle, "a ticker that waits")
        while self.until <= end:
            self.now = self.until
            eventually(self._is_idle, "a ticker that waits")
        self.now = end

    def step(self) -> None:
        """Let time go by until the ticker has had one more turn."""
        self.advance()
        turns = len(self.turns)
        while len(self.turns) == turns:
            assert self.until < math.inf, "it waits to be woken"
            self.advance(self.until - self.now)
