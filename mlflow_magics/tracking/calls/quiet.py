"""Calls MLflow without its messages: what the user should know comes back as notes."""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.utils.logging_utils import MLFLOW_LOGGING_STREAM

from . import forks
from .guards import unseeded

_PROGRESS_BAR = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"

# Said on every call, whatever the user does: nothing to act on.
_NOISE = (
    "exercising caution",
    "Inferred schema contains integer column",
    "Model logged without a signature",
    "`artifact_path` is deprecated",
    # XGBoost 3, of the file name that MLflow 2.22 gives it.
    "in the UBJSON format as default",
    # MLflow 2.22 of its own classes, when it imports them.
    "Union type hint",
)

_lock = threading.Lock()
forks.renew(sys.modules[__name__], _lock=threading.Lock)
_muted: Counter[int] = Counter()
_progress_bar_was: str | None = None


@contextmanager
def quiet() -> Iterator[list[str]]:
    """Keep MLflow from printing in this thread, and leave the global random states as they were.

    Other threads' messages are shown as ever.

    Yields
    ------
    list of str
        Filled when the block ends, also by an exception: one line for each warning that users should know of.
    """
    notes: list[str] = []
    listener = _Listener(threading.get_ident())
    logger = logging.getLogger("mlflow")
    with unseeded(), warnings.catch_warnings(record=True) as caught:
        logger.addHandler(listener)
        _mute(listener.thread)
        try:
            yield notes
        finally:
            _unmute(listener.thread)
            logger.removeHandler(listener)
            said = listener.said + [str(entry.message) for entry in caught if _concerns_users(entry.category)]
            lines = (" ".join(message.split()) for message in said)
            notes.extend(dict.fromkeys(line for line in lines if not any(noise in line for noise in _NOISE)))


class _Listener(logging.Handler):
    """Hears the warnings that MLflow logs in one thread."""

    def __init__(self, thread: int) -> None:
        super().__init__(level=logging.WARNING)
        self.thread = thread
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self.thread:
            self.said.append(record.getMessage())


def _concerns_users(category: type[Warning]) -> bool:
    # Deprecations inside the libraries are for their authors; Python's own default hides most of them too.
    return not issubclass(category, (DeprecationWarning, PendingDeprecationWarning, FutureWarning))


def _mute(thread: int) -> None:
    """Withhold what MLflow's log handler and ``eprint`` write from `thread`; both use one stream."""
    global _progress_bar_was
    with _lock:
        if not _muted:
            _progress_bar_was = os.environ.get(_PROGRESS_BAR)
            os.environ[_PROGRESS_BAR] = "false"
            MLFLOW_LOGGING_STREAM.write = _write_of_others  # type: ignore[method-assign]
        _muted[thread] += 1


def _unmute(thread: int) -> None:
    with _lock:
        _muted[thread] -= 1
        if not _muted[thread]:
            del _muted[thread]
        if not _muted:
            # An attribute of the instance, laid over the method of its class: taking it away undoes it.
            del MLFLOW_LOGGING_STREAM.write
            if _progress_bar_was is None:
                os.environ.pop(_PROGRESS_BAR, None)
            else:
                os.environ[_PROGRESS_BAR] = _progress_bar_was


def _write_of_others(text: str) -> None:
    if threading.get_ident() not in _muted:
        type(MLFLOW_LOGGING_STREAM).write(MLFLOW_LOGGING_STREAM, text)
