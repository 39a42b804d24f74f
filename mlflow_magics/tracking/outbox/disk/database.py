"""A journal's database: shared by threads, and gone on with in memory where the disk takes no more."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ....vocabulary.errors import MlflowMagicsError
from ...calls import forks
from .damage import salvage

SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, remote TEXT NOT NULL, experiment TEXT NOT NULL, creation TEXT NOT NULL,
    open INTEGER NOT NULL, written INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS keys (id INTEGER PRIMARY KEY, run TEXT NOT NULL, name TEXT NOT NULL, rest TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS rows (
    id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, op TEXT NOT NULL, data TEXT NOT NULL, at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS rejected (run TEXT NOT NULL, what TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS aside (
    run TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (run, kind, name));
CREATE TABLE IF NOT EXISTS renamed (local TEXT PRIMARY KEY, remote TEXT NOT NULL);
"""

_Result = TypeVar("_Result")


class JournalError(MlflowMagicsError):
    """The journal cannot be made or written: a full disk, a home that is read-only."""


class ClosedError(JournalError):
    """The journal was closed meanwhile, by another thread: what is written now goes to the store at once."""


class Database:
    """The database of one journal. Threads may share it.

    Parameters
    ----------
    folder : pathlib.Path
        The journal's.
    trouble : str
        Why it is kept in memory only, from the first; mostly empty.

    Attributes
    ----------
    trouble : str
        Why writes are kept in memory only, since the disk took no more of them; empty while all is well.
    written : int
        How often something was written.
    mutex : threading.RLock
        Held by who reads or writes.
    is_closed : bool
        Whether it takes nothing any more.
    """

    def __init__(self, folder: Path, trouble: str) -> None:
        self.trouble = trouble
        self.written = 0
        self.is_closed = False
        self.mutex = threading.RLock()
        forks.renew(self, mutex=threading.RLock)
        self._folder = folder
        if trouble:
            self._connection = _in_memory()
            self._connection.executescript(SCHEMA)
            return
        try:
            self._connection = sqlite3.connect(folder / "journal.db", check_same_thread=False, isolation_level=None)
            # A killed process loses nothing with these; a power cut may lose the last moments.
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = OFF")
            self._connection.text_factory = salvage.text
            self._connection.executescript(SCHEMA)
        except sqlite3.Error as error:
            raise JournalError(f"the outbox in {folder} cannot be used: {error}") from error

    def all(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return all rows that a query finds."""
        with self.mutex:
            return self._connection.execute(query, values).fetchall()

    def one(self, query: str, values: Sequence[Any] = ()) -> Any:
        """Return the first row that a query finds; None if there is none."""
        with self.mutex:
            return self._connection.execute(query, values).fetchone()

    def write(self, statement: str, values: Sequence[Any]) -> int:
        """Do one statement, and return the number of the row that it has added."""
        with self.mutex:
            self.written += 1
            if self.is_closed:
                raise ClosedError("the outbox is closed")
            return self._on_disk_or_in_memory(lambda: self._connection.execute(statement, values).lastrowid or 0)

    def change(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Do several statements as one."""

        def as_one() -> None:
            self.written += 1
            with self._transaction():
                work(self._connection)

        with self.mutex:
            self._on_disk_or_in_memory(as_one)

    def leave_disk(self) -> None:
        """Go on in memory: the folder was deleted."""
        with self.mutex:
            if not self.trouble:
                self._go_on_in_memory(f"{self._folder} was deleted")

    def close(self) -> None:
        """Take nothing any more."""
        with self.mutex:
            self.is_closed = True
            self._connection.close()

    def _on_disk_or_in_memory(self, work: Callable[[], _Result]) -> _Result:
        """Do something; where the disk takes no more, do it once more in memory."""
        try:
            return work()
        except sqlite3.OperationalError as error:
            if self.trouble:
                raise
            self._go_on_in_memory(f"{self._folder.parent} cannot be written ({error})")
            return work()

    def _go_on_in_memory(self, why: str) -> None:
        """Leave a disk that takes no more. What it holds is sent as ever; should we be killed, it is sent twice."""
        memory = _in_memory()
        memory.text_factory = salvage.text
        self._connection.backup(memory)
        self._connection.close()
        self._connection = memory
        self.trouble = why

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def _in_memory() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
