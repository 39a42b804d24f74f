"""Protects the user's cell from MLflow: keeps random states, and puts failures on one line."""

from __future__ import annotations

import contextlib
import random
import re
import sys
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


def reason_and_class(error: BaseException) -> str:
    """Return what went wrong in a library that is the user's choice, on one line, with the error's class before it."""
    return f"{type(error).__name__}: {reason(error)}" if str(error) else type(error).__name__


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
