"""Puts a Ctrl-C off until a change is whole."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

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


@contextlib.contextmanager
def put_back(back: Callable[[], object]) -> Iterator[None]:
    """Run a block, and put back what it changed.

    A plain ``finally`` is not enough: a Ctrl-C that comes just before its first statement skips all of it.

    Parameters
    ----------
    back : callable
        Puts back. A Ctrl-C waits for its end.
    """
    put_off = bool(_deferred) and not _deferred[-1].passes  # around us: then the block must not let one through
    with uninterrupted():
        try:
            with contextlib.nullcontext() if put_off else interruptible():
                yield
        finally:
            back()
