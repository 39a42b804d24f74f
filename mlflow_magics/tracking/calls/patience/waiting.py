"""Runs a job, and stops waiting for it after a promised time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from ..interrupts import interrupted

T = TypeVar("T")

_LOOK_SECONDS = 0.1
"""How often a Ctrl-C that was put off is looked for."""


class CutShortError(TimeoutError):
    """The user has interrupted the wait; it says nothing of what was waited for."""


def within(seconds: float, job: Callable[[], T]) -> T:
    """Run a job, and stop waiting for it when the time is over.

    Socket timeouts do not bound a slow resolver, a host of many addresses, or an answer that drips.

    Parameters
    ----------
    seconds : float
        How long to wait.
    job : callable
        What to do. It runs in a daemon thread and is left behind if it does not end.

    Returns
    -------
    object
        What the job returned.

    Raises
    ------
    TimeoutError
        If it was not done in time, or was interrupted. What the job itself raises is raised too.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(job())
        except BaseException as error:  # noqa: BLE001 - carried to the waiting thread, and raised there
            errors.append(error)

    thread = threading.Thread(target=work, name="mlflow_magics wait", daemon=True)
    thread.start()
    deadline = time.monotonic() + seconds
    while thread.is_alive() and not interrupted() and (left := deadline - time.monotonic()) > 0:
        thread.join(min(left, _LOOK_SECONDS))
    if errors:
        raise errors[0]
    if not results and interrupted():
        raise CutShortError("interrupted")
    if not results:
        raise TimeoutError(f"no end within {seconds:g} s")
    return results[0]
