"""Reads points along with the sender: what is sent stays mapped until it is read here, too."""

from __future__ import annotations

import contextlib
import mmap
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import segments
from .records import SIZE

if TYPE_CHECKING:
    from .points import PointLog

_READER_SECONDS = 10.0
"""For how long what is sent is kept for a reader of whom nothing is heard: a mapped file holds its room on disk."""


@dataclass(frozen=True)
class Piece:
    """What a :class:`Reader` finds in one segment.

    Attributes
    ----------
    number : int
        Of the segment.
    map : mmap.mmap
        Its records. Those that are not marked were not finished, or not begun yet.
    start : int
        The first record that the reader has not read.
    full : bool
        Whether all records were begun, so that one that is not marked is an unfinished one.
    """

    number: int
    map: mmap.mmap
    start: int
    full: bool


class Reader:
    """Somebody who reads along with the sender: segments that are sent stay mapped until they are read here, too.

    A reader that does not ask for 10 s is forgotten until it asks again. One thread at a time.

    Parameters
    ----------
    log : PointLog
        What is read.

    Attributes
    ----------
    missed : int
        How many records were sent and deleted unread.
    """

    def __init__(self, log: PointLog) -> None:
        self._log = log
        self.position = 0
        self.seen = time.monotonic()
        self.missed = 0

    def is_of(self, log: PointLog) -> bool:
        """Tell whether this is what it reads."""
        return self._log is log

    def pieces(self) -> list[Piece]:
        """Return what may hold something new, in order."""
        return self._log.pieces(self)

    def advance(self, piece: Piece, index: int) -> None:
        """Note that a piece has been read up to a record."""
        at_end = piece.full and index * SIZE >= len(piece.map)
        self.position = (piece.number + 1) * segments.SEGMENT if at_end else piece.number * segments.SEGMENT + index
        if at_end:
            self._log.forget_read()


class Unread:
    """Segments of one log whose files are gone, and that a reader has not read. Used under the log's lock.

    Attributes
    ----------
    maps : dict of int to mmap.mmap
        Their records, by their numbers.
    """

    def __init__(self) -> None:
        self.maps: dict[int, mmap.mmap] = {}
        self._readers: list[Reader] = []

    def see(self, reader: Reader) -> None:
        """Note that a reader has asked."""
        reader.seen = time.monotonic()
        if reader not in self._readers:
            self._readers.append(reader)

    def keep(self, number: int, records: Callable[[int], mmap.mmap]) -> None:
        """Keep a segment, whose file is about to go, for the readers that have not read it."""
        behind = (number + 1) * segments.SEGMENT
        if number not in self.maps and any(each.position < behind for each in self._readers):
            with contextlib.suppress(OSError, ValueError):  # no map to be had: the readers miss it
                self.maps[number] = records(number)

    def forget(self) -> None:
        """Let go of readers of whom nothing is heard, and of what all have read."""
        if self._readers:
            now = time.monotonic()
            self._readers = [each for each in self._readers if now - each.seen < _READER_SECONDS]
        if self.maps:
            read = min((each.position for each in self._readers), default=None)
            for number in [n for n in self.maps if read is None or (n + 1) * segments.SEGMENT <= read]:
                del self.maps[number]

    def leave_to_parent(self) -> None:
        """Keep nothing for readers in a forked child."""
        self._readers.clear()
