"""Opens the file of an SQLite store: one process makes it, others wait, and its loss is noticed.

MLflow makes the tables of a new store in some fifty steps, each by itself. Two processes that do so at once meet half
of each other's tables, and what breaks off leaves a store that nobody can open. So a new store is made beside its
place, and put there in one step once it is whole.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

_LOCK_SECONDS = 60.0
_QUIET_SECONDS = 1.0
_TRIES = 8

# What MLflow, alembic and SQLite say where two make the tables of one store.
_RACE = re.compile(
    r"already exists|duplicate column|Circular dependency|Online migration expected|is locked"
    r"|no such (?:table|column|index)|UNIQUE constraint|Can't find|out-of-date database schema"
)

Identity = tuple[int, int]


def path_of(uri: str) -> Path | None:
    """Return the file of an SQLite store by its tracking URI; None for any other store."""
    scheme, mark, rest = uri.partition(":///")
    if not mark or scheme.split("+")[0] != "sqlite":
        return None
    name = rest.partition("?")[0]
    return Path(os.path.abspath(name)) if name and name != ":memory:" else None


def identity(path: Path) -> Identity | None:
    """Tell one file from another that has taken its place; None where there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if path.is_file() else None


class Watch:
    """Tells whether the file of a store is still the one that was opened.

    An open connection goes on writing to a file that was deleted, and all of that is lost.

    Parameters
    ----------
    uri : str
        The store's tracking URI; of a store that is no file nothing is ever missed.
    """

    def __init__(self, uri: str) -> None:
        self.path = path_of(uri)
        self._opened = identity(self.path) if self.path is not None else None

    def gone(self) -> str:
        """Return what happened to the file, in a few words; empty while it is there."""
        if self.path is None or self._opened is None or identity(self.path) == self._opened:
            return ""
        name = self.path.name
        if self.path.is_dir():
            return f"{name} was replaced by a folder; move that away, then %mlflow_connect makes the store anew"
        if self.path.exists() and self.path.stat().st_size:
            return f"{name} was replaced by another file; %mlflow_connect goes on with that one"
        return f"{name} was deleted; %mlflow_connect makes it anew"


_opened: dict[str, Identity | None] = {}


def opened(uri: str, build: Callable[[str], Any]) -> Any:
    """Open an SQLite store, and make it first where there is none.

    Parameters
    ----------
    uri : str
        Its tracking URI.
    build : callable
        MLflow's own way to open the store of a URI.

    Returns
    -------
    mlflow.store.tracking.AbstractStore
        What `build` returned for the URI.

    Raises
    ------
    Exception
        Whatever MLflow raises of a store that it cannot open or make.
    """
    path = path_of(uri)
    if path is None or path.is_dir():
        return build(uri)
    if _opened.get(uri) != identity(path):
        _close_engine(uri)  # its open connections are to a file that is no longer there
    if _is_made(path):
        store = build(uri)
    else:
        with _alone(path):
            store = _made(uri, path, build)
    _opened[uri] = identity(path)
    return store


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep our other processes from making the same store meanwhile."""
    lock = FileLock(path.with_name(f".{path.name}.opening"))
    try:
        lock.acquire(timeout=_LOCK_SECONDS)
    except (Timeout, OSError, NotImplementedError):
        yield  # a file system without locks: the store is put in its place in one step all the same
        return
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(lock.lock_file)
        lock.release()


def _made(uri: str, path: Path, build: Callable[[str], Any]) -> Any:
    if not path.exists():
        _make(uri, path, build)
    if _is_made(path):
        return build(uri)
    # Somebody else's file, empty or half made: MLflow itself may be at work on it in a process that is not ours.
    for left in reversed(range(_TRIES)):
        _wait_until_quiet(path)
        try:
            return build(uri)
        except Exception as error:
            if not left or not _RACE.search(str(error)):
                raise
    raise AssertionError("the last try returns or raises")


def _make(uri: str, path: Path, build: Callable[[str], Any]) -> None:
    """Make a store beside its place, and put it there."""
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.new")
    fresh_uri = uri.replace(str(path), str(fresh), 1) if str(path) in uri else f"sqlite:///{fresh}"
    try:
        build(fresh_uri)
        _close_engine(fresh_uri)
        try:
            os.link(fresh, path)
        except FileExistsError:
            return  # somebody was faster
        except OSError:  # a file system without links
            if not path.exists():
                os.rename(fresh, path)
    finally:
        _close_engine(fresh_uri)
        for rest in (fresh, fresh.with_name(f"{fresh.name}-journal")):
            with contextlib.suppress(OSError):
                rest.unlink()


def _is_made(path: Path) -> bool:
    """Tell whether a file holds a store that MLflow has finished, of whatever version."""
    try:
        with closing(sqlite3.connect(path.as_uri() + "?mode=ro", uri=True, timeout=5)) as database:
            row = database.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error:
        return False
    return row is not None and str(row[0]) == _newest_revision()


@functools.lru_cache(maxsize=1)
def _newest_revision() -> str:
    """Return the schema of this MLflow; it reads all of its migrations for that."""
    from mlflow.store.db.utils import _get_latest_schema_revision

    return str(_get_latest_schema_revision())


def _wait_until_quiet(path: Path) -> None:
    """Wait until nobody has written to a file for a moment."""
    deadline = time.monotonic() + _LOCK_SECONDS
    before = None
    while (now := _stamp(path)) != before and time.monotonic() < deadline:
        before = now
        time.sleep(_QUIET_SECONDS)


def _stamp(path: Path) -> tuple[int, ...]:
    names = (path, path.with_name(f"{path.name}-journal"))
    return tuple(number for each in names if each.exists() for number in (each.stat().st_mtime_ns, each.stat().st_size))


def _close_engine(uri: str) -> None:
    """Close the connections that MLflow keeps open to the store of a URI, and forget them."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for name in ("_engine_map", "_db_uri_sql_alchemy_engine_map"):  # MLflow 3, MLflow 2
        engine = getattr(SqlAlchemyStore, name, {}).pop(uri, None)
        if engine is not None:
            engine.dispose()
