"""Keeps a journal's files until they are sent: each file or folder in a folder of its own."""

from __future__ import annotations

import contextlib
import shutil
import threading
import uuid
from pathlib import Path

from ...calls import forks
from .damage import setaside


class StagedFiles:
    """The files of one journal. Threads may share it.

    Parameters
    ----------
    folder : pathlib.Path
        Where they lie.

    Attributes
    ----------
    bytes : int
        How many there are.
    fresh : list of pathlib.Path
        Places that were not brought to the disk itself yet.
    sent : set of str
        Names of places whose files were sent, as long as their write is not done.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bytes = 0
        self.fresh: list[Path] = []
        self.sent: set[str] = set()
        self._sizes: dict[str, int] = {}
        self._mutex = threading.RLock()
        forks.renew(self, _mutex=threading.RLock)

    def path(self, staged: str) -> Path:
        """Return where a place is now: the journal may have been moved."""
        return self.folder / Path(staged).name

    def new(self) -> Path:
        """Return a new place for a file or folder on its way."""
        place = self.folder / uuid.uuid4().hex
        place.mkdir(parents=True)
        return place

    def hold(self, place: Path, size: int) -> None:
        """Note how many bytes lie in a place."""
        with self._mutex:
            self._sizes[place.name] = size
            self.bytes += size

    def delete(self, staged: str) -> None:
        """Delete a place's files: they were sent."""
        with self._mutex:
            self.bytes -= self._sizes.pop(Path(staged).name, 0)
        # A mark first: should we die before its write is done, its absence is no loss.
        with contextlib.suppress(OSError):
            setaside.sent_mark(Path(staged)).touch()
        self.sent.add(Path(staged).name)
        shutil.rmtree(staged, ignore_errors=True)

    def forget(self, name: str) -> None:
        """Forget a place whose files were sent and whose write is done."""
        self.sent.discard(name)
        setaside.sent_mark(self.folder / name).unlink(missing_ok=True)
