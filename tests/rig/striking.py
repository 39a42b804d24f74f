"""A Ctrl-C at a chosen line of our own code: a real signal, raised by a trace function."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

_Result = TypeVar("_Result")


def struck(job: Callable[[], _Result], line: int, rooms: tuple[str, ...] = ("",)) -> tuple[_Result, int]:
    """Run a job with a Ctrl-C at one of the lines of the package that it runs; what it raises is not caught.

    Parameters
    ----------
    job : callable
        What is struck.
    line : int
        At which of the lines that it runs, from 1; none where it does not run so many.
    rooms : tuple of str
        Ends of the names of the files whose lines count.

    Returns
    -------
    result, int
        The job's result, and how many lines it ran.
    """
    seen = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal seen
        name = frame.f_code.co_filename
        if "mlflow_magics" not in name or not name.endswith(rooms):
            return None
        if event == "line":
            seen += 1
            if seen == line:
                signal.raise_signal(signal.SIGINT)
        return trace

    sys.settrace(trace)
    try:
        result = job()
    finally:
        sys.settrace(None)
    return result, seen
