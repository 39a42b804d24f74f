"""Waiting no longer than promised."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


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
        If it was not done in time. What the job itself raises is raised too.
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
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no end within {seconds:g} s")
    return results[0]


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Hold a Ctrl-C back until the block is over: what it does is quick, and must not be done by half.

    Raises
    ------
    KeyboardInterrupt
        At the end of the block, if one came.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    came: list[tuple[int, Any]] = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            before(*came[0])
