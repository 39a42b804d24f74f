"""Repairs a dead kernel's journal before it is opened: finds what is damaged, keeps it, and goes on without it.

A database that is whole stays as it is. Of one that is not, a copy is set aside, and a new one takes up the writes
that still bear their checksum. Whose the points are is taken from the notes beside it.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import setaside
from .notes import Counts, counted, noted, seal, unseal

_COLUMNS = {
    "facts": ("name", "value"),
    "runs": ("id", "remote", "experiment", "creation", "open", "written"),
    "keys": ("id", "run", "name", "rest"),
    "rows": ("id", "run", "op", "data", "at"),
    "rejected": ("run", "what", "reason"),
    "aside": ("run", "kind", "name", "value"),
    "renamed": ("local", "remote"),
}


def text(raw: bytes) -> str:
    """Read a text of a database that may be damaged: the checksum tells."""
    return raw.decode("utf-8", "replace")


def is_empty(folder: Path) -> bool:
    """Tell whether a journal without a format holds nothing: its maker died before it was made."""
    if any(folder.glob("points-*")) or (folder / "files").exists() or setaside.is_any(folder):
        return False
    counts = counted(folder)
    if counts is not None:
        return counts == (0, 0) and not any(each[0] == "key" for each in noted(folder))
    try:
        return not (folder / "journal.db").exists() or (folder / "journal.db").stat().st_size == 0
    except OSError:
        return False


def repair(folder: Path, schema: str) -> None:
    """Make a dead kernel's database good, if it is not."""
    path = folder / "journal.db"
    bare = setaside.is_first_format(folder)
    before = folder / "before"
    shutil.rmtree(before, ignore_errors=True)
    before.mkdir(mode=0o700)
    for each in folder.glob("journal.db*"):
        if setaside.is_ours(each):
            shutil.copy2(each, before / each.name)  # to look at a database changes it
    missing = 0
    if not _is_sound(path):
        missing = _renew(folder, schema)
    with contextlib.closing(_open(path)) as db:
        db.executescript(schema)
        counts = counted(folder)
        if counts is not None:
            last, waiting = counts
            there = db.execute("SELECT count(*) FROM rows").fetchone()[0]
            newest = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'rows'").fetchone()
            behind = last - (newest[0] if newest else 0)
            missing = max(missing, waiting - there, min(waiting, behind), 0)
            if behind > 0:
                db.execute("DELETE FROM sqlite_sequence WHERE name = 'rows'")
                db.execute("INSERT INTO sqlite_sequence VALUES ('rows', ?)", (last,))
        elif not bare:
            missing = max(missing, 1)  # nobody knows how many there were
        _take_notes(db, folder, bare)
        there = db.execute("SELECT count(*) FROM rows").fetchone()[0]
    if missing:
        for each in before.iterdir():
            setaside.keep(folder, each)
        setaside.say(folder, "writes", missing)
        _count(folder, there)
    shutil.rmtree(before, ignore_errors=True)


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    db.text_factory = text
    return db


def _is_sound(path: Path) -> bool:
    if path.exists() and not setaside.is_ours(path):
        return False
    try:
        with contextlib.closing(_open(path)) as db:
            return bool(db.execute("PRAGMA integrity_check").fetchone()[0] == "ok") and all(
                len(db.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall()) >= 0
                for table, columns in _COLUMNS.items()
            )
    except (sqlite3.Error, OSError, IndexError, TypeError):
        return False


def _renew(folder: Path, schema: str) -> int:
    """Put a new database in the place of a broken one, with what can be read of it; return 1, or 0 where all can."""
    path, fresh = folder / "journal.db", folder / "renewed.db"
    fresh.unlink(missing_ok=True)
    lost = path.exists()
    with contextlib.closing(_open(fresh)) as new:
        new.executescript(schema)
        for table, columns in _COLUMNS.items():
            marks = ", ".join("?" * len(columns))
            for row in _readable(path, table, columns):
                if _is_whole(table, row):
                    with contextlib.suppress(sqlite3.Error):
                        new.execute(f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({marks})", row)
    for each in [*folder.glob("journal.db*")]:
        if each.is_dir() and not each.is_symlink():
            setaside.keep(folder, each)
        else:
            each.unlink(missing_ok=True)
    fresh.rename(path)
    return int(lost)


def _readable(path: Path, table: str, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    """Yield a table's rows from either end, as far as the database can be read."""
    for order in ("ASC", "DESC"):
        try:
            with contextlib.closing(_open(path)) as db:
                yield from db.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY rowid {order}")
        except (sqlite3.Error, OSError):
            continue
        return


def _is_whole(table: str, row: tuple[Any, ...]) -> bool:
    """Tell whether what was read of a broken database is what was written: only a checksum can tell."""
    if table == "rows":
        return unseal(row[3], row[1], row[2], row[4]) is not None
    if table == "runs":
        return unseal(row[3], row[0], row[2]) is not None and isinstance(row[4], int) and isinstance(row[5], int)
    if table == "keys":
        return unseal(row[3], *row[:3]) is not None
    if table == "facts":
        return unseal(row[1], row[0]) is not None
    return False


def _take_notes(db: sqlite3.Connection, folder: Path, bare: bool) -> None:
    """Put into the database what stands in the notes and not in it."""
    facts: dict[str, str] = {}
    runs: dict[str, list[Any]] = {}
    keys: dict[int, list[Any]] = {}
    experiments: dict[str, Any] = {}
    for kind, *what in noted(folder):
        if kind == "fact":
            facts[what[0]] = what[1]
        elif kind == "run":
            runs[what[0]] = what
        elif kind == "no run":
            runs.pop(what[0], None)
        elif kind in ("remote", "open") and what[0] in runs:
            runs[what[0]][1 if kind == "remote" else 4] = what[1]
        elif kind == "key":
            keys[what[0]] = what
        elif kind == "renamed":
            db.execute("INSERT OR REPLACE INTO renamed VALUES (?, ?)", what)
        elif kind == "experiment":
            experiments[what[0]["local"]] = what[0]
    there = {r[0] for r in db.execute("SELECT name, value FROM facts") if unseal(r[1], r[0], bare=bare) is not None}
    for name, value in facts.items():
        if name not in there:
            db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, seal(value, name)))
    known = db.execute("SELECT id, experiment, creation FROM runs").fetchall()
    there = {r[0] for r in known if unseal(r[2], r[0], r[1], bare=bare) is not None}
    for run, remote, experiment, creation, is_open, written in runs.values():
        if run in there:
            if remote:
                db.execute("UPDATE runs SET remote = ? WHERE id = ?", (remote, run))
            continue
        sealed = seal(json.dumps(creation), run, experiment)
        entry = run, remote, experiment, sealed, int(is_open), written
        db.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?)", entry)
    known = db.execute("SELECT id, run, name, rest FROM keys").fetchall()
    whole = {r[0] for r in known if unseal(r[3], *r[:3], bare=bare) is not None}
    for number, run, name, rest in keys.values():
        if number not in whole:
            sealed = seal(json.dumps(rest), number, run, name)
            db.execute("INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?)", (number, run, name, sealed))
    renamed = {r[0] for r in db.execute("SELECT local FROM renamed")}
    asked = {r[0] for r in db.execute("SELECT data FROM rows WHERE op = 'experiment'")}
    for local, data in experiments.items():
        if local not in renamed and not any(local in each for each in asked):
            sealed = seal(json.dumps(data), "", "experiment", 0)
            db.execute("INSERT INTO rows (run, op, data, at) VALUES ('', 'experiment', ?, 0)", (sealed,))


def _count(folder: Path, waiting: int) -> None:
    """Count anew: what is missing is told once."""
    counts = Counts(folder)
    counts.waiting = waiting
    counts.note()
