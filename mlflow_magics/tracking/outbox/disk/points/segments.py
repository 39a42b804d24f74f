"""The files that points lie in: each of so many records, allocated before it is used, and mapped."""

from __future__ import annotations

import mmap
import os
from itertools import count
from pathlib import Path
from sys import byteorder

from .records import FIRST_MARK, MARK_AT, RECORD, SIZE, UNMARKED, Point, mark_of

SEGMENT = 1 << 17
"""Records in a segment (4 MiB)."""

_THREADS = 16
"""How many of a killed kernel's last records may be unfinished."""


class WritingSegment:
    """The segment that points are appended to. Who appends holds on to it; nobody else does, once it is full.

    Pages of a mapped file count as the kernel's memory, so no more segments are mapped than are in use.
    """

    def __init__(self, path: Path, number: int) -> None:
        self.number = number
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            allocate(handle, SEGMENT * SIZE)
            self.map = mmap.mmap(handle, SEGMENT * SIZE)
        except BaseException:
            path.unlink()
            raise
        finally:
            os.close(handle)
        # Taking a number from it is atomic, so that threads need no lock to share a segment.
        self.offsets = count(0, SIZE)


class Segment:
    """A file of :data:`SEGMENT` records, mapped while it is read."""

    def __init__(self, path: Path, number: int, first_format: bool = False) -> None:
        self.path = path
        self.number = number
        self.first_format = first_format
        self.length = path.stat().st_size // SIZE
        self._map: mmap.mmap | None = None

    @property
    def map(self) -> mmap.mmap:
        """Its records, mapped from now on."""
        if self._map is None:
            with self.path.open("r+b") as file:
                self._map = mmap.mmap(file.fileno(), self.length * SIZE)
        return self._map

    def share(self, map: mmap.mmap) -> None:
        """Read what its writer has mapped: also when the file was deleted."""
        self._map = map

    def unmap(self) -> None:
        """Let go of the map: who reads it again maps it again."""
        self._map = None

    def mapped(self) -> mmap.mmap:
        """Return a map of one's own, unless there is one at hand: it is gone as soon as nobody holds it."""
        if self._map is not None:
            return self._map
        with self.path.open("r+b") as file:
            return mmap.mmap(file.fileno(), self.length * SIZE)

    def marked(self, index: int) -> bool:
        """Tell whether a record was finished."""
        at = index * SIZE + MARK_AT
        return self.map[at : at + 4] != UNMARKED

    def sound(self, index: int) -> bool:
        """Tell whether a record holds what was written."""
        at = index * SIZE
        mark = int.from_bytes(self.map[at + MARK_AT : at + SIZE], byteorder)
        return mark == (FIRST_MARK if self.first_format else mark_of(self.map[at : at + MARK_AT]))

    def point(self, index: int) -> Point:
        """Return a record's point."""
        return Point(*RECORD.unpack_from(self.map, index * SIZE)[:4])

    def end(self, start: int = 0) -> int:
        """Return the index behind the last record that was begun, searched from `start`."""
        length = self.length
        # Records fill up in order, but for the few that threads are writing at this moment.
        low, high = start, length
        while low < high:
            middle = (low + high) // 2
            if any(self.marked(i) for i in range(middle, min(middle + 64, length))):
                low = middle + 1
            else:
                high = middle
        return low


def count_broken(segment: Segment, start: int, least: int, full: bool) -> int:
    """Count the records of a dead kernel's segment that were written and cannot be read."""
    content = bytes(segment.map)
    begun = -(-len(content.rstrip(b"\0")) // SIZE)
    end = SEGMENT if full else max(least, begun)
    # A kill leaves the records unfinished that threads were writing: the last ones. Nobody was told that they are kept.
    sure = SEGMENT if full else max(least, begun - _THREADS)
    broken = blank = 0
    for index in range(start, end):
        record = content[index * SIZE : (index + 1) * SIZE]
        if len(record) == SIZE and segment.sound(index):
            # One blank record is what an interrupt leaves, between its number and its bytes. More are not.
            broken, blank = broken + blank * (blank > 1), 0
        elif len(record) == SIZE and not any(record):
            blank += index < sure
        else:
            broken += index < sure or len(record) < SIZE or record[MARK_AT:] != UNMARKED
    broken += blank * (blank > 1)
    cut = not full and len(content) < SEGMENT * SIZE and begun * SIZE > len(content) - SIZE
    return broken or int(cut)


def allocate(handle: int, size: int) -> None:
    """Give a file its room on the disk before it is used."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size)
        return
    # macOS and Windows: zeros are written, so that the room is really there.
    while size > 0:
        size -= os.write(handle, bytes(min(size, 1 << 20)))
