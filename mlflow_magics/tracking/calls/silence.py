"""Keeps out of cells the tracebacks and SQL that MLflow and SQLAlchemy log beside the errors they raise.

What we ask of a store comes back as an error, and is told in one line of ours. The same error, logged with forty lines
and the SQL of the statement, is nothing that the author of a cell could act on, and it would come at any time: most
requests are made in the background. What the author asks himself is logged as ever.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .interrupts import put_back, uninterrupted

_LOGGERS = (
    "mlflow.store.db.utils",
    "sqlalchemy.pool",
    "sqlalchemy.pool.impl.QueuePool",
    "sqlalchemy.pool.impl.NullPool",
    "sqlalchemy.pool.impl.SingletonThreadPool",
)
_THREADS = "mlflow_magics"
"""Our threads have names that begin so."""

_ours = threading.local()
_lock = threading.Lock()
_placed = 0


def install() -> None:
    """Keep our own threads' records out of the logs. Each call asks for one :func:`remove`."""
    global _placed
    with _lock:
        _placed += 1
        if _placed == 1:
            for name in _LOGGERS:
                logging.getLogger(name).addFilter(_is_anothers)


def remove() -> None:
    """Let them be logged again, once everybody has asked for it."""
    global _placed
    with _lock:
        _placed -= 1
        if not _placed:
            for name in _LOGGERS:
                logging.getLogger(name).removeFilter(_is_anothers)


@contextmanager
def silence() -> Iterator[None]:
    """Keep this thread's records out of the logs, as long as the block runs."""
    before, installed = getattr(_ours, "asks", False), False

    def back() -> None:
        _ours.asks = before
        if installed:
            remove()

    with put_back(back):
        with uninterrupted():
            install()
            installed = True
        _ours.asks = True
        yield


def _is_anothers(record: logging.LogRecord) -> bool:
    return not (getattr(_ours, "asks", False) or threading.current_thread().name.startswith(_THREADS))
