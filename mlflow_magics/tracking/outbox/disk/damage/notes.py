"""Writes beside a journal's database what makes its damage noticed, and costly as little as possible.

- ``notes.log``: whose the points are, and where they go, once more: a line each, with a checksum.
- ``counts.bin``: how many writes there were and how many wait: what is missing is noticed by it.
- A checksum before each text in the database that holds what the user wrote.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Any
from zlib import crc32

from . import setaside

_COUNTS = Struct("=qqqqqI")
"""Which copy this is; the number of the last write and how many wait; where the points ended, and up to where they were
sent; and the checksum."""

_DIGITS = 8


def seal(text: str, *context: object) -> str:
    """Put a checksum before a text, of the text and what it belongs to."""
    return f"{_sum(text, context):0{_DIGITS}x}{text}"


def unseal(sealed: str, *context: object, bare: bool = False) -> str | None:
    """Return a text without its checksum; None if that is wrong."""
    if not isinstance(sealed, str):
        return None  # a damaged database may hold anything
    if bare and sealed[_DIGITS : _DIGITS + 1] not in ("{", "["):
        return sealed
    text = sealed[_DIGITS:]
    return text if sealed[:_DIGITS] == f"{_sum(text, context):0{_DIGITS}x}" else None


def _sum(text: str, context: tuple[object, ...]) -> int:
    return crc32("\0".join((*map(str, context), text)).encode("utf-8", "surrogatepass"))


class Notes:
    """The notes of one journal. Whoever writes holds the journal's lock.

    Parameters
    ----------
    folder : pathlib.Path
        The journal's.
    """

    def __init__(self, folder: Path) -> None:
        self._handle: int | None = os.open(folder / "notes.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, kind: str, *facts: Any) -> None:
        """Note something; a disk that is full has told so already."""
        if self._handle is not None:
            with contextlib.suppress(OSError):
                os.write(self._handle, f"{seal(json.dumps([kind, *facts]))}\n".encode())

    def sync(self) -> None:
        """Bring it to the disk itself."""
        if self._handle is not None:
            sync(self._handle)

    def close(self) -> None:
        """Write no more."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            os.close(handle)


def noted(folder: Path) -> Iterator[list[Any]]:
    """Yield what is noted beside a journal, as far as it can be read."""
    path = folder / "notes.log"
    if not setaside.is_ours(path):
        return
    with contextlib.suppress(OSError):
        for line in path.read_bytes().split(b"\n"):
            text = unseal(line.decode("utf-8", "replace"))
            if text is not None:
                yield json.loads(text)


class Counts:
    """How many writes a journal got, in a mapped file that survives a kill. Two copies in turn.

    Parameters
    ----------
    folder : pathlib.Path
        The journal's.
    """

    def __init__(self, folder: Path) -> None:
        self._copy, self.last, self.waiting, self.end, self.sent = _counted(folder) or (0,) * 5
        handle = os.open(folder / "counts.bin", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(handle).st_size < 2 * _COUNTS.size:
                os.write(handle, bytes(2 * _COUNTS.size))  # so that the room is really there
            self._map = mmap.mmap(handle, 2 * _COUNTS.size)
        finally:
            os.close(handle)
        self.note()

    def note(self) -> None:
        """Write the counts down as they are."""
        self._copy += 1
        facts = self._copy, self.last, self.waiting, self.end, self.sent
        _COUNTS.pack_into(self._map, self._copy % 2 * _COUNTS.size, *facts, crc32(_COUNTS.pack(*facts, 0)))


def counted(folder: Path) -> tuple[int, int] | None:
    """Return the last write's number, and how many wait; None if that cannot be read."""
    counts = _counted(folder)
    return counts[1:3] if counts is not None else None


def _counted(folder: Path) -> tuple[int, int, int, int, int] | None:
    path = folder / "counts.bin"
    found = []
    with contextlib.suppress(OSError):
        content = path.read_bytes() if setaside.is_ours(path) else b""
        for at in range(0, len(content) - _COUNTS.size + 1, _COUNTS.size):
            *facts, mark = _COUNTS.unpack_from(content, at)
            if mark == crc32(_COUNTS.pack(*facts, 0)):
                found.append((facts[0], facts[1], facts[2], facts[3], facts[4]))
    return max(found, default=None)


def sync_path(path: Path) -> None:
    """Bring a file, mapped or not, or a folder's list of names to the disk itself."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
        try:
            sync(handle)
        finally:
            os.close(handle)


def sync(handle: int) -> None:
    """Bring a file's content to the disk itself, where the system can."""
    with contextlib.suppress(OSError):
        getattr(os, "fdatasync", os.fsync)(handle)
