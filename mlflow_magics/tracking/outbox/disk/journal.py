"""What a kernel has written and the store has not acknowledged yet, on disk.

A journal is a folder, private to the user: ``journal.db`` (SQLite: all writes but points), ``points-*.bin`` (see
:mod:`.points`), ``notes.log`` and ``counts.bin`` (see :mod:`.notes`), ``files/`` (artifacts on their way), and
``lock``, held by the kernel that owns it for as long as it lives. Nothing here knows MLflow; credentials are never
written.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from platformdirs import user_state_path

from ....vocabulary.errors import MlflowMagicsError
from ...calls import forks
from . import salvage, setaside
from .notes import Counts, Notes, seal, sync, sync_path, unseal
from .points import SEGMENT, SIZE

FORMAT = 2
"""Of the folder's layout; a journal of a higher one is left alone. The first one had no checksums."""

LIMIT_BYTES = 2 << 30
"""How much one journal may hold before writes are refused."""

ENDS = "ends"
"""The fact that says what open runs end as, should their kernel be killed: JSON, run id to status."""

_HALF_MADE_SECONDS = 60.0

_SCHEMA = """
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


@dataclass(frozen=True)
class Row:
    """A write that is no point.

    Attributes
    ----------
    id : int
        Its place in the order of writes.
    run : str
        The run, by the id that the kernel knows.
    op : str
        What to do; a name in :mod:`..sending.replay`.
    data : mapping
        With what.
    at : int
        When, in milliseconds since 1970.
    """

    id: int
    run: str
    op: str
    data: Mapping[str, Any]
    at: int


@dataclass(frozen=True)
class RunEntry:
    """A run that was opened through this journal.

    Attributes
    ----------
    id : str
        As the kernel knows it.
    remote : str
        As the store knows it; empty until it is created there.
    experiment : str
        Id of its experiment, as the kernel knows it.
    creation : mapping
        Name, start time, tags and user, to create it with.
    open : bool
        Whether nobody has ended it yet.
    written : int
        When something was written to it last, in milliseconds since 1970.
    """

    id: str
    remote: str
    experiment: str
    creation: Mapping[str, Any]
    open: bool
    written: int


@dataclass(frozen=True)
class Key:
    """A series of points: a run's metric.

    Attributes
    ----------
    run, name : str
        Whose, and which.
    rest : mapping
        What MLflow 3 knows of a metric besides: its model and its dataset.
    """

    run: str
    name: str
    rest: Mapping[str, str]


class JournalError(MlflowMagicsError):
    """The journal cannot be made or written: a full disk, a home that is read-only."""


class ClosedError(JournalError):
    """The journal was closed meanwhile, by another thread: what is written now goes to the store at once."""


class Journal:
    """One journal. Threads may share it.

    Parameters
    ----------
    folder : pathlib.Path
        Its folder, which exists.
    lock : filelock.BaseFileLock or None
        Held.
    trouble : str, optional
        Why it is kept in memory only.

    Attributes
    ----------
    trouble : str
        Why writes are kept in memory only, since the disk took no more of them; empty while all is well.
    """

    def __init__(self, folder: Path, lock: Any, trouble: str = "") -> None:
        self.folder = folder
        self.trouble = trouble
        self._lock = lock
        self._mutex = threading.RLock()
        self._held: dict[str, int] = {}
        self._held_bytes = 0
        self._unstaged: set[str] = set()
        self._closed = False
        self._fresh: list[Path] = []
        self._written = self._synced = 0
        self._handles: list[int] = []
        forks.renew(self, _mutex=threading.RLock)
        self._notes: Notes | None = None
        self._counts: Counts | None = None
        self._bare = setaside.is_first_format(folder)
        try:
            if trouble:
                self._db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
                self._db.executescript(_SCHEMA)
                return
            self._db = sqlite3.connect(folder / "journal.db", check_same_thread=False, isolation_level=None)
            # A killed process loses nothing with these; a power cut may lose the last moments.
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.text_factory = salvage.text
            self._db.executescript(_SCHEMA)
            self._notes, self._counts = Notes(folder), Counts(folder)
        except sqlite3.Error as error:
            raise JournalError(f"the outbox in {folder} cannot be used: {error}") from error

    # -- facts ------------------------------------------------------------------------------------------------

    def fact(self, name: str) -> str:
        """Return a fact about the journal; empty if it is not known."""
        with self._mutex:
            row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return (unseal(row[0], name, bare=self._bare) or "") if row else ""

    def note(self, name: str, value: str) -> None:
        """Keep a fact about the journal."""
        self._write("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, seal(value, name)))
        self._note("fact", name, value)

    def _note(self, kind: str, *facts: Any) -> None:
        if self._notes is not None:
            self._notes.write(kind, *facts)

    # -- runs -------------------------------------------------------------------------------------------------

    def add_run(self, run: RunEntry) -> None:
        """Keep a run that was opened."""
        self._write(
            "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?)",
            (
                run.id,
                run.remote,
                run.experiment,
                seal(json.dumps(run.creation), run.id, run.experiment),
                int(run.open),
                run.written,
            ),
        )
        self._note("run", run.id, run.remote, run.experiment, run.creation, run.open, run.written)

    def drop_run(self, run_id: str) -> None:
        """Forget a run that was opened under another id."""
        self._write("DELETE FROM runs WHERE id = ?", (run_id,))
        self._note("no run", run_id)

    def set_remote(self, run_id: str, remote: str) -> None:
        """Note under which id the store knows a run."""
        self._write("UPDATE runs SET remote = ? WHERE id = ?", (remote, run_id))
        self._note("remote", run_id, remote)

    def set_open(self, run_id: str, is_open: bool) -> None:
        """Note whether a run has been ended."""
        self._write("UPDATE runs SET open = ? WHERE id = ?", (int(is_open), run_id))
        self._note("open", run_id, is_open)

    def runs(self) -> list[RunEntry]:
        """Return the runs, in the order in which they were opened."""
        with self._mutex:
            rows = self._db.execute("SELECT id, remote, experiment, creation, open, written FROM runs ORDER BY rowid")
            whole = [(r, unseal(r[3], r[0], r[2], bare=self._bare)) for r in rows]
        return [RunEntry(r[0], r[1], r[2], json.loads(text), bool(r[4]), r[5]) for r, text in whole if text is not None]

    def rename(self, local: str, remote: str) -> None:
        """Note under which id the store knows an experiment or a model that was made offline."""
        self._write("INSERT OR REPLACE INTO renamed VALUES (?, ?)", (local, remote))
        self._note("renamed", local, remote)

    def renamed(self) -> dict[str, str]:
        """Return what :meth:`rename` noted."""
        with self._mutex:
            return dict(self._db.execute("SELECT local, remote FROM renamed").fetchall())

    # -- writes -----------------------------------------------------------------------------------------------

    def add_key(self, key: Key) -> int:
        """Return a new number for a series."""
        with self._mutex:
            number = int(self._db.execute("SELECT coalesce(max(id), 0) + 1 FROM keys").fetchone()[0])
            rest = seal(json.dumps(key.rest), number, key.run, key.name)
            self._write("INSERT INTO keys VALUES (?, ?, ?, ?)", (number, key.run, key.name, rest))
            self._note("key", number, key.run, key.name, key.rest)
        return number

    def keys(self) -> dict[int, Key]:
        """Return the series by their numbers."""
        with self._mutex:
            rows = self._db.execute("SELECT id, run, name, rest FROM keys").fetchall()
        whole = [(r, unseal(r[3], r[0], r[1], r[2], bare=self._bare)) for r in rows]
        return {r[0]: Key(r[1], r[2], json.loads(text)) for r, text in whole if text is not None}

    def add(self, run: str, op: str, data: Mapping[str, Any]) -> int:
        """Keep a write."""
        at = int(time.time() * 1000)
        if "staged" in data:
            # Without its folder: that may be moved.
            data = {**data, "staged": Path(data["staged"]).name}
        if op == "experiment":
            self._note("experiment", data)
        text = seal(json.dumps(data), run, op, at)
        with self._mutex:
            number = self._write("INSERT INTO rows (run, op, data, at) VALUES (?, ?, ?, ?)", (run, op, text, at))
            self._count(last=number, more=1)
        if "staged" in data:
            self._fresh.append(self.folder / "files" / data["staged"])
        return number

    def note_end(self, position: int) -> None:
        """Note that points were written up to a position at the least."""
        self._count(end=position)

    def noted_end(self) -> int:
        """Return what :meth:`note_end` noted last."""
        return self._counts.end if self._counts is not None else 0

    def position(self) -> int:
        """Return up to where points were sent; a database that lost its newest state may be behind."""
        return max(int(self.fact("position") or 0), self._counts.sent if self._counts is not None else 0)

    def _count(self, *, last: int = 0, more: int = 0, end: int = 0, sent: int = 0) -> None:
        """Note how many writes there are: behind what is added, and before what is taken away."""
        if self._counts is not None:
            with self._mutex:
                self._counts.last = max(self._counts.last, last)
                self._counts.waiting += more
                self._counts.end = max(self._counts.end, end)
                self._counts.sent = max(self._counts.sent, sent)
                self._counts.note()

    def rows(self) -> list[Row]:
        """Return the writes that are not done yet, in order."""
        with self._mutex:
            found = self._db.execute("SELECT id, run, op, data, at FROM rows ORDER BY id").fetchall()
        rows = []
        for number, run, op, sealed, at in found:
            text = unseal(sealed, run, op, at, bare=self._bare)
            if text is None:
                self.set_write_aside(number, [run, op, sealed, at])
                continue
            data = json.loads(text)
            if "staged" in data:
                data["staged"] = str(self.folder / "files" / Path(data["staged"]).name)
            rows.append(Row(number, run, op, data, at))
        return rows

    def set_write_aside(self, number: int, what: Any) -> None:
        """Take a write that cannot be read or sent out of the others' way, without deleting it."""
        setaside.add(self.folder, "writes.jsonl", [what])
        setaside.say(self.folder, "writes")
        self.done([number], None, {})

    def any_until(self, last: int, *, files: bool) -> bool:
        """Tell whether a write up to a number is not done yet."""
        query = "SELECT 1 FROM rows WHERE id <= ? AND (? OR op != 'artifact') LIMIT 1"
        with self._mutex:
            return self._db.execute(query, (last, files)).fetchone() is not None

    def last(self) -> int:
        """Return the number of the last write that is not done yet; 0 if there is none."""
        with self._mutex:
            row = self._db.execute("SELECT max(id) FROM rows").fetchone()
        return row[0] or 0

    def oldest(self) -> int | None:
        """Return when the oldest write was made that is not done yet, in milliseconds since 1970."""
        with self._mutex:
            row = self._db.execute("SELECT at FROM rows ORDER BY id LIMIT 1").fetchone()
        return int(row[0]) if row else None

    def waiting(self) -> dict[str, int]:
        """Return how many writes are not done yet, by run."""
        with self._mutex:
            return dict(self._db.execute("SELECT run, count(*) FROM rows GROUP BY run").fetchall())

    def done(self, rows: Sequence[int], position: int | None, written: Mapping[str, int]) -> None:
        """Forget what the store has acknowledged."""
        with self._mutex:
            try:
                self._done(rows, position, written)
            except sqlite3.OperationalError as error:
                self._go_on_in_memory(error)
                self._done(rows, position, written)

    def _done(self, rows: Sequence[int], position: int | None, written: Mapping[str, int]) -> None:
        self._written += 1
        self._count(more=-len(rows), sent=position or 0)
        files = self._files_of(rows) if self._unstaged else []
        with self._transaction():
            self._db.executemany("DELETE FROM rows WHERE id = ?", [(row,) for row in rows])
            if position is not None:
                sealed = seal(str(position), "position")
                self._db.execute("INSERT OR REPLACE INTO facts VALUES ('position', ?)", (sealed,))
            self._db.executemany(
                "UPDATE runs SET written = max(written, ?) WHERE id = ?", [(at, run) for run, at in written.items()]
            )
        for name in files:
            self._unstaged.discard(name)
            setaside.sent_mark(self.folder / "files" / name).unlink(missing_ok=True)

    def _files_of(self, rows: Sequence[int]) -> list[str]:
        """Return the names of the staged files of writes, of those that are sent."""
        query = "SELECT data FROM rows WHERE id = ? AND op = 'artifact'"
        found = [data for row in rows for (data,) in self._db.execute(query, (row,))]
        return [name for name in self._unstaged if any(name in data for data in found)] if found else []

    def reject(self, run: str, what: str, reason: str) -> None:
        """Keep what the store refused."""
        self._write("INSERT INTO rejected VALUES (?, ?, ?)", (run, _plain(what), _plain(reason)))

    def rejected(self, run: str) -> list[tuple[str, str]]:
        """Return what the store refused of a run: what, and why."""
        with self._mutex:
            return self._db.execute("SELECT what, reason FROM rejected WHERE run = ? ORDER BY rowid", (run,)).fetchall()

    def set_aside(self, run: str, kind: str, values: Mapping[str, str]) -> None:
        """Keep values that a run has no room for; see :mod:`.over_limit`."""
        for name, value in values.items():
            if kind == "tags":
                self._write("INSERT OR REPLACE INTO aside VALUES (?, ?, ?, ?)", (run, kind, name, value))
            else:
                self._write("INSERT OR IGNORE INTO aside VALUES (?, ?, ?, ?)", (run, kind, name, value))

    def aside(self, run: str, kind: str) -> dict[str, str]:
        """Return what :meth:`set_aside` keeps of a run, in the order of its coming."""
        with self._mutex:
            query = "SELECT name, value FROM aside WHERE run = ? AND kind = ? ORDER BY rowid"
            return dict(self._db.execute(query, (run, kind)).fetchall())

    def runs_over_limit(self) -> list[str]:
        """Return the runs that something is set aside of."""
        with self._mutex:
            return [row[0] for row in self._db.execute("SELECT DISTINCT run FROM aside").fetchall()]

    def stage_over_limit(self, run: str, kind: str, values: Mapping[str, str], data: Mapping[str, Any]) -> None:
        """Put an artifact's write in the place of what was set aside."""
        self.add(run, "artifact", data)
        # Should we die here, there are two files of the same content.
        self.drop_over_limit(run, kind, values)

    def drop_over_limit(self, run: str, kind: str, names: Iterable[str]) -> None:
        """Forget values that were set aside."""
        for name in names:
            self._write("DELETE FROM aside WHERE run = ? AND kind = ? AND name = ?", (run, kind, name))

    def staged(self) -> Path:
        """Return a new path for a file or folder on its way."""
        place = self.folder / "files" / uuid.uuid4().hex
        place.mkdir(parents=True)
        return place

    def hold(self, staged: Path, size: int) -> None:
        """Note how many bytes lie in a place that :meth:`staged` has returned."""
        with self._mutex:
            self._held[staged.name] = size
            self._held_bytes += size

    def held(self) -> int:
        """Return how many bytes the journal holds: a matter of microseconds, however many files are staged."""
        own = 0
        with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
            own = sum(entry.stat().st_size for entry in entries if entry.is_file())
        return own + self._held_bytes

    def unstage(self, path: str) -> None:
        """Delete a staged file or folder."""
        with self._mutex:
            self._held_bytes -= self._held.pop(Path(path).name, 0)
        # A mark first: should we die before its write is done, its absence is no loss.
        with contextlib.suppress(OSError):
            setaside.sent_mark(Path(path)).touch()
        self._unstaged.add(Path(path).name)
        shutil.rmtree(path, ignore_errors=True)

    # -- the disk itself --------------------------------------------------------------------------------------

    def sync(self) -> None:
        """Bring what was written since the last call to the disk itself: a power cut then costs nothing of it."""
        if self._counts is None or self._notes is None or self._written == self._synced or self.trouble:
            return
        written, fresh = self._written, self._fresh[:]
        if not self._handles:
            # Kept open: to close one would take SQLite's own locks from the file.
            for name in ("journal.db", "journal.db-wal"):
                with contextlib.suppress(OSError):
                    self._handles.append(os.open(self.folder / name, os.O_RDWR))
        for place in fresh:
            for file in (place, *place.rglob("*")):
                if setaside.is_ours(file) or setaside.is_ours(file, folder=True):
                    sync_path(file)
        for handle in self._handles:
            sync(handle)
        self._notes.sync()
        sync_path(self.folder / "counts.bin")
        for place in (self.folder / "files", self.folder):
            sync_path(place)
        self._synced = written
        del self._fresh[: len(fresh)]

    def is_gone(self) -> bool:
        """Tell whether somebody has deleted the journal under its kernel."""
        return not self.trouble and not self._closed and not (self.folder / "lock").exists()

    def leave_disk(self) -> None:
        """Go on in memory: the folder was deleted."""
        with self._mutex:
            if not self.trouble:
                self._go_on_in_memory(None)

    # -- its end ----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Let nobody write meanwhile."""
        with self._mutex:
            yield

    def close(self, *, remove: bool) -> None:
        """Let go of the journal."""
        with self._mutex:
            self._closed = True
            self._db.close()
        while self._handles:
            os.close(self._handles.pop())
        if self._notes is not None:
            self._notes.close()
        if remove and (not setaside.is_any(self.folder) or setaside.move(self.folder) is not None):
            setaside.delete(self.folder)
        if self._lock is not None:
            self._lock.release()

    def forget_lock(self) -> None:
        """Close the lock's handle in a forked child, without unlocking: it is the parent's."""
        context: Any = getattr(self._lock, "_context", None)
        handle = getattr(context, "lock_file_fd", None)
        if handle is not None:
            with contextlib.suppress(OSError):
                os.close(handle)
            context.lock_file_fd = None

    def _write(self, statement: str, values: Sequence[Any]) -> int:
        with self._mutex:
            self._written += 1
            if self._closed:
                raise ClosedError("the outbox is closed")
            try:
                return int(self._db.execute(statement, values).lastrowid or 0)
            except sqlite3.OperationalError as error:
                self._go_on_in_memory(error)
                return int(self._db.execute(statement, values).lastrowid or 0)

    def _go_on_in_memory(self, error: sqlite3.Error | None) -> None:
        """Leave a disk that takes no more. What it holds is sent as ever; should we be killed, it is sent twice."""
        if self.trouble and error is not None:
            raise error
        memory = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        memory.text_factory = salvage.text
        self._db.backup(memory)
        self._db.close()
        self._db = memory
        why = f"{self.folder.parent} cannot be written ({error})"
        self.trouble = why if error is not None else f"{self.folder} was deleted"

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _plain(text: str) -> str:
    """Return a text that a database takes: what is no character is written as its number."""
    return text.encode("utf-8", "backslashreplace").decode()


def root() -> Path:
    """Return the folder that holds the user's journals: on this machine, whatever the notebook's folder."""
    return Path(user_state_path("mlflow_magics")) / "outbox"


def create(uri: str) -> Journal:
    """Make a journal for a store.

    Empty, and locked; in memory, with its `trouble`, where the home is read-only or the disk full.
    """
    folder = root() / f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    lock = None
    try:
        folder.mkdir(parents=True, mode=0o700)
        # mkdir's mode does not reach the parents.
        for place in (root().parent, root()):
            place.chmod(0o700)
        lock = FileLock(folder / "lock", thread_local=False)
        # Another kernel may be asking, this very moment, whether anybody owns it.
        lock.acquire(timeout=1.0)
        journal = Journal(folder, lock)
        journal.note("uri", uri)
        (folder / "format").write_text(str(FORMAT))
    except (OSError, Timeout, JournalError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            lock.release()
        return Journal(folder, None, trouble=f"{root()} cannot be written ({error})")
    return journal


def left_behind() -> list[Path]:
    """Return the folders of journals that no living kernel owns. Cheap; a race is decided by :func:`take_over`."""
    try:
        folders = sorted(path for path in root().iterdir() if setaside.is_ours(path, folder=True))
    except OSError:
        return []
    return [folder for folder in folders if (_is_made(folder) or _is_old(folder)) and not _owned(folder)]


def take_over(folder: Path) -> Journal | None:
    """Open a journal that was left behind. Locked; None if somebody else was faster, or a living kernel owns it."""
    if not setaside.is_ours(folder, folder=True):
        return None  # somebody has sent it; locking would make it again
    was_old = _is_old(folder)
    lock = FileLock(folder / "lock", thread_local=False)
    try:
        lock.acquire(blocking=False)
    except (Timeout, OSError):
        return None
    try:
        if (folder / "sent").exists() or (was_old and not _is_made(folder) and salvage.is_empty(folder)):
            # Its owner died while it deleted it, or between two lines of `create`: there is nothing in it.
            setaside.delete(folder)
            lock.release()
            return None
        if not _is_made(folder) and not was_old:
            lock.release()
            return None  # its maker lives
        written = (folder / "format").read_text(errors="replace").strip() if _is_made(folder) else ""
        if written.isdecimal() and int(written) > FORMAT:
            raise JournalError(
                f"the outbox {folder.name} was written by a newer mlflow_magics; "
                "pip install --upgrade mlflow_magics to send it"
            )
        salvage.repair(folder, _SCHEMA)
        if not _is_made(folder):
            # Whoever looks next must not take it for one that is being made: the repair has just written to it.
            (folder / "format").write_text(str(FORMAT))
        return Journal(folder, lock)
    except OSError:
        lock.release()
        return None
    except JournalError:
        lock.release()
        raise


def _is_made(folder: Path) -> bool:
    return setaside.is_ours(folder / "format")


def _is_old(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return time.time() - folder.stat().st_mtime > _HALF_MADE_SECONDS
    return False


def is_held(name: str) -> bool:
    """Tell whether somebody has locked a journal: a living kernel its own, a recovery one that was left behind."""
    folder = root() / name
    return setaside.is_ours(folder, folder=True) and _owned(folder)


def _owned(folder: Path) -> bool:
    if any(setaside.is_strange(folder / name) for name in ("lock", "format", "journal.db")):
        return True  # none of ours
    lock = FileLock(folder / "lock", thread_local=False)
    try:
        lock.acquire(blocking=False)
    except (Timeout, OSError):
        return True
    lock.release()
    return False


def segments_allowed() -> int:
    """Return how many segments of points :data:`LIMIT_BYTES` allows."""
    return max(1, LIMIT_BYTES // (SEGMENT * SIZE))
