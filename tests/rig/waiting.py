"""The one way to wait for what happens in the background: ask again and again, and fail after a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_Answer = TypeVar("_Answer")


def eventually(
    happened: Callable[[], _Answer],
    what: str | Callable[[], str] = "it did not come to that",
    patience: float = 30.0,
    *,
    pause: float = 0.02,
    unless: Callable[[], object] = lambda: False,
) -> _Answer:
    """Wait until an answer is true, and return it.

    Parameters
    ----------
    happened : callable
        Asked again and again.
    what : str or callable
        What is waited for, for the failure's message.
    patience : float
        How many seconds to wait.
    pause : float
        Seconds between two questions.
    unless : callable
        Whether to wait no longer: a process has died, for example.

    Raises
    ------
    AssertionError
        The answer was not true in time.
    """
    deadline = time.monotonic() + patience
    is_over = False
    asked = time.monotonic()
    while not (answer := happened()):
        if is_over:
            raise AssertionError(f"not in {patience} s: {what() if callable(what) else what}")
        time.sleep(max(pause, 3 * (time.monotonic() - asked)))  # a question that takes long would keep a core busy
        asked = time.monotonic()
        # It is asked once more after that: it may have happened at the last moment.
        is_over = bool(unless()) or time.monotonic() > deadline
    return answer
