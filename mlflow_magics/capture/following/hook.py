"""Puts one name among Python's builtins while a followed cell runs: through it the cell's code reaches its recorders.

Not in the user's namespace: there it would be seen by ``dir()``, ``%who`` and the user's own loops over ``globals()``.
Compiled code finds an object by a name in its globals or its builtins, and nowhere else at the same cost: ``compile``
takes no object as a constant, and an import at each point costs as much as ten points. When the cell is over, the
name is gone.
"""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

NAME = "__mlflow_magics__"
"""The name; with underscores at its end, so that Python mangles it in no class."""

_HERE = __name__.partition(".")[0]


def _passing(value: Any) -> Any:
    return value


class Hook:
    """Holds the recorders of the runs that are open as its attributes; any other answers to nobody.

    So a function that outlives its run goes on calling a recorder, which does nothing.
    """

    def __getattr__(self, key: str) -> Callable[[Any], Any]:
        """Return what takes the place of a recorder that is gone: a call that costs nothing and touches nothing."""
        return _passing if key.startswith("pass_") else id

    def escapes(self) -> bool:
        """Tell, inside an ``except``, whether the exception is the user's: an interrupt, a timer, a stopped thread.

        False for what went wrong in a recorder, which must not cost the cell anything.
        """
        error = sys.exc_info()[1]
        if not isinstance(error, Exception):
            return True
        if isinstance(error, MemoryError):
            return False  # the user's own next object meets the same, where the bare cell would
        if type(error).__module__ != "builtins" or _first_foreign(error.__traceback__) is not None:
            return True
        _troubles[:] = [repr(error)]
        return False

    def escaped(self) -> BaseException:
        """Return the exception being handled as if the recorder had never been called."""
        error = sys.exc_info()[1]
        assert error is not None
        return error.with_traceback(_first_foreign(error.__traceback__))


def _first_foreign(traceback: TracebackType | None) -> TracebackType | None:
    """Find where a traceback, which begins in the cell, leaves our frames: in the handler of a signal, for example."""
    traceback = traceback.tb_next if traceback is not None else None
    while traceback is not None and str(traceback.tb_frame.f_globals.get("__name__")).partition(".")[0] == _HERE:
        traceback = traceback.tb_next
    return traceback


_troubles: list[str] = []


def take_trouble() -> str:
    """Give, once, what last went wrong in a recorder; empty where nothing did."""
    return _troubles.pop() if _troubles else ""


HOOK = Hook()
"""The one hook of this process."""


def set_recorder(key: str, record: Callable[[Any], object] = id, passing: Callable[[Any], Any] = _passing) -> None:
    """Let the code of a cell reach a recorder."""
    setattr(HOOK, key, record)
    setattr(HOOK, "pass_" + key, passing)


def drop_recorder(key: str) -> None:
    """Forget a recorder whose code is not run any more."""
    HOOK.__dict__.pop(key, None)
    HOOK.__dict__.pop("pass_" + key, None)


def install() -> None:
    """Make the hook known to the code of cells; harmless where it is."""
    setattr(builtins, NAME, HOOK)


def withdraw() -> None:
    """Take the name back when no cell runs any more. Functions that would call it catch the :class:`NameError`."""
    builtins.__dict__.pop(NAME, None)


def remove() -> None:
    """Take everything back."""
    HOOK.__dict__.clear()
    withdraw()


# What a forked child assigns is not the run's: its steps would be counted twice, into a journal that is its parent's.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=HOOK.__dict__.clear)
