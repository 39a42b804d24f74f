"""Lets files wait while their store, a bucket perhaps, takes none. They hold up nothing else."""

from __future__ import annotations

import time
from pathlib import Path

from ..disk.entries import Row

_FILES_SECONDS = 60.0


class FilesPause:
    """How long files wait for their store.

    Attributes
    ----------
    trouble : str
        Why files are not taken although the rest is; empty while they are.
    """

    def __init__(self) -> None:
        self.trouble = ""
        self._until = 0.0
        self._tries = 0

    @property
    def is_on(self) -> bool:
        """Tell whether files are not tried now: each more may take as long to fail."""
        return time.monotonic() < self._until

    def begin(self, row: Row, others: int, why: str, after: float | None) -> None:
        """Begin a pause: a file was not taken, and others wait. `after` is how long the store asked to wait."""
        self._tries += 1
        self._until = time.monotonic() + max(after or 0.0, min(2.0**self._tries, _FILES_SECONDS))
        self.trouble = f"files ({called(row)}{f' and {others} more' if others > 0 else ''}): {why}"

    def retry(self) -> None:
        """Try files again in the next round, although their store has just not taken them."""
        self._until = 0.0
        self.trouble = ""

    def end(self) -> None:
        """Note that a file was taken."""
        self.trouble, self._tries = "", 0


def called(row: Row) -> str:
    """Return the name that the user knows a write by."""
    path, staged = row.data.get("path") or "", row.data.get("staged")
    if staged and not row.data["folder"]:
        file = next(Path(staged).glob("*"), None)  # an earlier try may have tidied it up
        return "/".join(filter(None, (path, file.name if file is not None else "")))
    if staged and not path:
        names = sorted(file.name for file in Path(staged).glob("*"))
        return ", ".join(names[:3])
    return str(path or row.data.get("key") or "")
