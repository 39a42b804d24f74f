"""Makes the user's journals, finds those of dead kernels, and takes them over. A journal has one owner."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_state_path

from .damage import salvage, setaside
from .database import SCHEMA, JournalError
from .journal import Journal
from .points.records import SIZE
from .points.segments import SEGMENT

FORMAT = 2
"""Of the folder's layout; a journal of a higher one is left alone. The first one had no checksums."""

LIMIT_BYTES = 2 << 30
"""How much one journal may hold before writes are refused."""

_HALF_MADE_SECONDS = 60.0


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
        salvage.repair(folder, SCHEMA)
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
