"""What stands between MLflow and the user's cell: random states kept, interrupts put off, failures in one line."""

from __future__ import annotations

import contextlib
import random
import re
import signal
import sys
import threading
from collections.abc import Iterator

from ...vocabulary.errors import MlflowMagicsError, TrackingError
from ...vocabulary.untouched import untouched
from .masking import one_line
from .silence import silence

# Timeouts reach us through requests, urllib3 and MLflow, each with an error of its own; the words are the same.
_WAITED = re.compile(r"tim(ed?|e-?) ?out", re.IGNORECASE)


@contextlib.contextmanager
def unseeded() -> Iterator[None]:
    """Leave Python's and numpy's global random state as it was, and whatever else MLflow's libraries would change.

    MLflow names runs and jitters retries with the global generator, so a cell that seeded it would compute something
    else under tracking than without.
    """
    state = random.getstate()
    numpy = sys.modules.get("numpy")
    numpy_state = numpy.random.get_state() if numpy is not None and hasattr(numpy, "random") else None
    try:
        with untouched():
            yield
    finally:
        random.setstate(state)
        if numpy is not None and numpy_state is not None:
            numpy.random.set_state(numpy_state)


_deferred: list[_Deferred] = []


class _Deferred:
    """Notes a Ctrl-C while something is done that must not be left half done."""

    def __init__(self) -> None:
        self.noted = False
        self.passes = False

    def __call__(self, *_: object) -> None:
        if self.passes:
            self.passes = False
            raise KeyboardInterrupt
        self.noted = True


@contextlib.contextmanager
def uninterrupted(*, forget: bool = False) -> Iterator[None]:
    """Have a Ctrl-C come when the block is over: a run must not be created, or closed, by half.

    Our waits for a store (:func:`interrupted`) end with the Ctrl-C all the same, so it comes soon.

    Parameters
    ----------
    forget : bool
        Whether it has had its effect then, and does not come.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or handler is None or handler == signal.SIG_IGN:
        yield  # no Ctrl-C comes here, or nobody could put its handler back
        return
    deferred = _Deferred()
    signal.signal(signal.SIGINT, deferred)
    _deferred.append(deferred)
    try:
        yield
    finally:
        _deferred.remove(deferred)
        if signal.getsignal(signal.SIGINT) is deferred:
            signal.signal(signal.SIGINT, handler)
        if deferred.noted and not forget:
            signal.raise_signal(signal.SIGINT)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Inside an :func:`uninterrupted` block, let a Ctrl-C come: what is done may take long. Catch it around this."""
    deferred = _deferred[-1] if _deferred and threading.current_thread() is threading.main_thread() else None
    if deferred is None:
        yield
        return
    try:
        deferred.passes = True
        if deferred.noted:
            deferred.noted = False
            raise KeyboardInterrupt
        yield
    finally:
        deferred.passes = False


def interrupted() -> bool:
    """Tell whether a Ctrl-C waits for the end of this thread's :func:`uninterrupted` block."""
    return threading.current_thread() is threading.main_thread() and any(deferred.noted for deferred in _deferred)


def reason(error: BaseException) -> str:
    """Return what went wrong on one line, for a note.

    Parameters
    ----------
    error : BaseException
        What MLflow or a library below it raised.

    Returns
    -------
    str
        At most 300 characters, credentials masked.
    """
    return one_line(str(error)) or type(error).__name__


@contextlib.contextmanager
def as_tracking_error() -> Iterator[None]:
    """Turn whatever a store, an artifact repository or a plugin raises into one error with one line."""
    try:
        with silence():
            yield
    except MlflowMagicsError:
        raise
    except Exception as error:
        # Whatever a store, an artifact repository or a plugin below MLflow raises, the cell must not see it: it
        # becomes one line, and the caller decides what is kept.
        raise TrackingError(reason(error), timed_out=timed_out(error)) from error


def timed_out(error: BaseException) -> bool:
    """Return whether an error says that a store was waited for in vain."""
    return _WAITED.search(str(error)) is not None
