"""Keeps on disk what a kernel has written and the store has not acknowledged yet.

A journal is a folder, private to the user: ``journal.db`` (SQLite: all writes but points), ``points-*.bin`` (see
:mod:`.points`), ``notes.log`` and ``counts.bin`` (see :mod:`.notes`), ``files/`` (artifacts on their way), and
``lock``, held by the kernel that owns it for as long as it lives. Nothing here knows MLflow; credentials are never
written.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .damage import setaside
from .damage.notes import Counts, Notes, seal, sync, sync_path, unseal
from .database import Database
from .entries import Key, Row, RunEntry
from .staged import StagedFiles

ENDS = "ends"
"""The fact that says what open runs end as, should their kernel be killed: JSON, run id to status."""


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
    files : StagedFiles
        Artifacts on their way.
    """

    def __init__(self, folder: Path, lock: Any, trouble: str = "") -> None:
        self.folder = folder
        self.files = StagedFiles(folder / "files")
        self._lock = lock
        self._synced = 0
        self._handles: list[int] = []
        self._db = Database(folder, trouble)
        self._notes = Notes(folder) if not trouble else None
        self._counts = Counts(folder) if not trouble else None
        self._bare = setaside.is_first_format(folder)

    @property
    def trouble(self) -> str:
        """Why writes are kept in memory only, since the disk took no more of them; empty while all is well."""
        return self._db.trouble

    # -- facts ------------------------------------------------------------------------------------------------

    def fact(self, name: str) -> str:
        """Return a fact about the journal; empty if it is not known."""
        row = self._db.one("SELECT value FROM facts WHERE name = ?", (name,))
        return (unseal(row[0], name, bare=self._bare) or "") if row else ""

    def note(self, name: str, value: str) -> None:
        """Keep a fact about the journal."""
        self._db.write("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, seal(value, name)))
        self._note("fact", name, value)

    def _note(self, kind: str, *facts: Any) -> None:
        if self._notes is not None:
            self._notes.write(kind, *facts)

    # -- runs -------------------------------------------------------------------------------------------------

    def add_run(self, run: RunEntry) -> None:
        """Keep a run that was opened."""
        self._db.write(
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
        self._db.write("DELETE FROM runs WHERE id = ?", (run_id,))
        self._note("no run", run_id)

    def set_remote(self, run_id: str, remote: str) -> None:
        """Note under which id the store knows a run."""
        self._db.write("UPDATE runs SET remote = ? WHERE id = ?", (remote, run_id))
        self._note("remote", run_id, remote)

    def set_open(self, run_id: str, is_open: bool) -> None:
        """Note whether a run has been ended."""
        self._db.write("UPDATE runs SET open = ? WHERE id = ?", (int(is_open), run_id))
        self._note("open", run_id, is_open)

    def runs(self) -> list[RunEntry]:
        """Return the runs, in the order in which they were opened."""
        rows = self._db.all("SELECT id, remote, experiment, creation, open, written FROM runs ORDER BY rowid")
        whole = [(r, unseal(r[3], r[0], r[2], bare=self._bare)) for r in rows]
        return [RunEntry(r[0], r[1], r[2], json.loads(text), bool(r[4]), r[5]) for r, text in whole if text is not None]

    def rename(self, local: str, remote: str) -> None:
        """Note under which id the store knows an experiment or a model that was made offline."""
        self._db.write("INSERT OR REPLACE INTO renamed VALUES (?, ?)", (local, remote))
        self._note("renamed", local, remote)

    def renamed(self) -> dict[str, str]:
        """Return what :meth:`rename` noted."""
        return dict(self._db.all("SELECT local, remote FROM renamed"))

    # -- writes -----------------------------------------------------------------------------------------------

    def add_key(self, key: Key) -> int:
        """Return a new number for a series."""
        with self._db.mutex:
            number = int(self._db.one("SELECT coalesce(max(id), 0) + 1 FROM keys")[0])
            rest = seal(json.dumps(key.rest), number, key.run, key.name)
            self._db.write("INSERT INTO keys VALUES (?, ?, ?, ?)", (number, key.run, key.name, rest))
            self._note("key", number, key.run, key.name, key.rest)
        return number

    def keys(self) -> dict[int, Key]:
        """Return the series by their numbers."""
        rows = self._db.all("SELECT id, run, name, rest FROM keys")
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
        with self._db.mutex:
            number = self._db.write("INSERT INTO rows (run, op, data, at) VALUES (?, ?, ?, ?)", (run, op, text, at))
            self._count(last=number, more=1)
        if "staged" in data:
            self.files.fresh.append(self.files.path(data["staged"]))
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
            with self._db.mutex:
                self._counts.last = max(self._counts.last, last)
                self._counts.waiting += more
                self._counts.end = max(self._counts.end, end)
                self._counts.sent = max(self._counts.sent, sent)
                self._counts.note()

    def rows(self) -> list[Row]:
        """Return the writes that are not done yet, in order."""
        rows = []
        for number, run, op, sealed, at in self._db.all("SELECT id, run, op, data, at FROM rows ORDER BY id"):
            text = unseal(sealed, run, op, at, bare=self._bare)
            if text is None:
                self.set_write_aside(number, [run, op, sealed, at])
                continue
            data = json.loads(text)
            if "staged" in data:
                data["staged"] = str(self.files.path(data["staged"]))
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
        return self._db.one(query, (last, files)) is not None

    def last(self) -> int:
        """Return the number of the last write that is not done yet; 0 if there is none."""
        return self._db.one("SELECT max(id) FROM rows")[0] or 0

    def oldest(self) -> int | None:
        """Return when the oldest write was made that is not done yet, in milliseconds since 1970."""
        row = self._db.one("SELECT at FROM rows ORDER BY id LIMIT 1")
        return int(row[0]) if row else None

    def waiting(self) -> dict[str, int]:
        """Return how many writes are not done yet, by run."""
        return dict(self._db.all("SELECT run, count(*) FROM rows GROUP BY run"))

    def done(self, rows: Sequence[int], position: int | None, written: Mapping[str, int]) -> None:
        """Forget what the store has acknowledged."""

        def forget(db: sqlite3.Connection) -> None:
            db.executemany("DELETE FROM rows WHERE id = ?", [(row,) for row in rows])
            if position is not None:
                sealed = seal(str(position), "position")
                db.execute("INSERT OR REPLACE INTO facts VALUES ('position', ?)", (sealed,))
            db.executemany(
                "UPDATE runs SET written = max(written, ?) WHERE id = ?", [(at, run) for run, at in written.items()]
            )

        with self._db.mutex:
            self._count(more=-len(rows), sent=position or 0)
            names = self._files_of(rows) if self.files.sent else []
            self._db.change(forget)
            for name in names:
                self.files.forget(name)

    def _files_of(self, rows: Sequence[int]) -> list[str]:
        """Return the names of the staged files of writes, of those that are sent."""
        query = "SELECT data FROM rows WHERE id = ? AND op = 'artifact'"
        texts = [data for row in rows for (data,) in self._db.all(query, (row,))]
        return [name for name in self.files.sent if any(name in data for data in texts)] if texts else []

    def reject(self, run: str, what: str, reason: str) -> None:
        """Keep what the store refused."""
        self._db.write("INSERT INTO rejected VALUES (?, ?, ?)", (run, _plain(what), _plain(reason)))

    def rejected(self, run: str) -> list[tuple[str, str]]:
        """Return what the store refused of a run: what, and why."""
        return self._db.all("SELECT what, reason FROM rejected WHERE run = ? ORDER BY rowid", (run,))

    def set_aside(self, run: str, kind: str, values: Mapping[str, str]) -> None:
        """Keep values that a run has no room for; see :mod:`.over_limit`."""
        for name, value in values.items():
            if kind == "tags":
                self._db.write("INSERT OR REPLACE INTO aside VALUES (?, ?, ?, ?)", (run, kind, name, value))
            else:
                self._db.write("INSERT OR IGNORE INTO aside VALUES (?, ?, ?, ?)", (run, kind, name, value))

    def aside(self, run: str, kind: str) -> dict[str, str]:
        """Return what :meth:`set_aside` keeps of a run, in the order of its coming."""
        query = "SELECT name, value FROM aside WHERE run = ? AND kind = ? ORDER BY rowid"
        return dict(self._db.all(query, (run, kind)))

    def runs_over_limit(self) -> list[str]:
        """Return the runs that something is set aside of."""
        return [row[0] for row in self._db.all("SELECT DISTINCT run FROM aside")]

    def stage_over_limit(self, run: str, kind: str, values: Mapping[str, str], data: Mapping[str, Any]) -> None:
        """Put an artifact's write in the place of what was set aside."""
        self.add(run, "artifact", data)
        # Should we die here, there are two files of the same content.
        self.drop_over_limit(run, kind, values)

    def drop_over_limit(self, run: str, kind: str, names: Iterable[str]) -> None:
        """Forget values that were set aside."""
        for name in names:
            self._db.write("DELETE FROM aside WHERE run = ? AND kind = ? AND name = ?", (run, kind, name))

    def held(self) -> int:
        """Return how many bytes the journal holds: a matter of microseconds, however many files are staged."""
        own = 0
        with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
            own = sum(entry.stat().st_size for entry in entries if entry.is_file())
        return own + self.files.bytes

    # -- the disk itself --------------------------------------------------------------------------------------

    def sync(self) -> None:
        """Bring what was written since the last call to the disk itself: a power cut then costs nothing of it."""
        if self._counts is None or self._notes is None or self._db.written == self._synced or self.trouble:
            return
        written, fresh = self._db.written, self.files.fresh[:]
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
        for place in (self.files.folder, self.folder):
            sync_path(place)
        self._synced = written
        del self.files.fresh[: len(fresh)]

    def is_gone(self) -> bool:
        """Tell whether somebody has deleted the journal under its kernel."""
        return not self.trouble and not self._db.is_closed and not (self.folder / "lock").exists()

    def leave_disk(self) -> None:
        """Go on in memory: the folder was deleted."""
        self._db.leave_disk()

    # -- its end ----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Let nobody write meanwhile."""
        with self._db.mutex:
            yield

    def close(self, *, remove: bool) -> None:
        """Let go of the journal."""
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


def _plain(text: str) -> str:
    """Return a text that a database takes: what is no character is written as its number."""
    return text.encode("utf-8", "backslashreplace").decode()
