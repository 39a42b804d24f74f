"""The journal's fast lane: points as fixed binary records in memory-mapped segments.

A record is written in one call, its mark last, into pages that belong to the file: what is marked survives ``kill
-9``, and costs less than half of an unbuffered ``write``. The mark is a checksum of the rest, so that a damaged disk
costs points but never makes one up (measured: 0.19 us without it, 0.35 with it, 1.0 a ``write``). Each segment is
allocated before it is used, so that a full disk is an error at that moment and not a crash later.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from struct import Struct
from sys import byteorder
from typing import NamedTuple
from zlib import crc32

from ...calls import forks
from . import setaside
from .notes import sync_path

RECORD = Struct("@qddII")
"""step, seconds since 1970, value, key, mark. The mark is written last: a record without it was never finished."""

BODY = Struct("@qddI")
"""What the mark is a checksum of."""

SIZE = RECORD.size
FIRST_MARK = 0x4D4C464D
"""The mark of every record in a journal of the first format, which had no checksums."""

_UNMARKED = bytes(4)
_MARK_AT = SIZE - 4
_KEY_AT = SIZE - 8
SEGMENT = 1 << 17
"""Records in a segment (4 MiB)."""

_PLACES = 3
_SLOT = _PLACES * 2 * SIZE
_SLOTS = 512
_HOLE_SECONDS = 1.0
_FINISH_SECONDS = 0.05

_READER_SECONDS = 10.0
"""For how long what is sent is kept for a reader of whom nothing is heard: a mapped file holds its room on disk."""

_THREADS = 16
"""How many of a killed kernel's last records may be unfinished."""

_RETRY_SECONDS = 2.0
"""How long to wait before asking a full disk for room again: a refusal takes as long as a thousand points."""

Append = Callable[[int, float, float], None]
"""step, seconds since 1970, value."""


def mark_of(body: bytes | memoryview) -> int:
    """Return the mark of a record: the checksum of what stands before it, and never 0."""
    return crc32(body) or 1


class Point(NamedTuple):
    """A point as the journal has it."""

    step: int
    when: float
    value: float
    key: int


class _Writing:
    """The segment that points are appended to. Who appends holds on to it; nobody else does, once it is full.

    Pages of a mapped file count as the kernel's memory, so no more segments are mapped than are in use.
    """

    def __init__(self, path: Path, number: int) -> None:
        self.number = number
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _allocate(handle, SEGMENT * SIZE)
            self.map = mmap.mmap(handle, SEGMENT * SIZE)
        except BaseException:
            path.unlink()
            raise
        finally:
            os.close(handle)
        # Taking a number from it is atomic, so that threads need no lock to share a segment.
        self.offsets = count(0, SIZE)


class _Segment:
    """A file of :data:`SEGMENT` records, mapped while it is read."""

    def __init__(self, path: Path, number: int, first_format: bool = False) -> None:
        self.path = path
        self.number = number
        self.first_format = first_format
        self.length = path.stat().st_size // SIZE
        self._map: mmap.mmap | None = None

    @property
    def map(self) -> mmap.mmap:
        if self._map is None:
            with self.path.open("r+b") as file:
                self._map = mmap.mmap(file.fileno(), self.length * SIZE)
        return self._map

    def share(self, map: mmap.mmap) -> None:
        """Read what its writer has mapped: also when the file was deleted."""
        self._map = map

    def unmap(self) -> None:
        self._map = None

    def mapped(self) -> mmap.mmap:
        """Return a map of one's own, unless there is one at hand: it is gone as soon as nobody holds it."""
        if self._map is not None:
            return self._map
        with self.path.open("r+b") as file:
            return mmap.mmap(file.fileno(), self.length * SIZE)

    def marked(self, index: int) -> bool:
        at = index * SIZE + _MARK_AT
        return self.map[at : at + 4] != _UNMARKED

    def sound(self, index: int) -> bool:
        """Tell whether a record holds what was written."""
        at = index * SIZE
        mark = int.from_bytes(self.map[at + _MARK_AT : at + SIZE], byteorder)
        return mark == (FIRST_MARK if self.first_format else mark_of(self.map[at : at + _MARK_AT]))

    def point(self, index: int) -> Point:
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
        return self._log._pieces(self)

    def advance(self, piece: Piece, index: int) -> None:
        """Note that a piece has been read up to a record."""
        at_end = piece.full and index * SIZE >= len(piece.map)
        self.position = (piece.number + 1) * SEGMENT if at_end else piece.number * SEGMENT + index
        if at_end:
            self._log._have_read()


class PointLog:
    """The points of one journal, in the order in which they were made.

    Parameters
    ----------
    folder : pathlib.Path
        The journal's folder; segments that lie there are taken up.
    limit : int
        How many segments it may hold.
    over_limit : callable
        Called with ``(key, step, when, value)`` for each point that has no room: disk full, or the limit reached.

    Attributes
    ----------
    trouble : str
        Why points overflowed; empty if none ever did.
    begun : callable
        Called with the first position behind which a new segment's points lie.
    """

    def __init__(self, folder: Path, limit: int, over_limit: Callable[[int, int, float, float], None]) -> None:
        self.folder = folder
        self.limit = limit
        self.over_limit = over_limit
        # Reentrant: a finalizer that runs while it is held may append, too.
        self._lock = threading.RLock()
        self._segments: dict[int, _Segment] = {}
        self._first_format = setaside.is_first_format(folder)
        for path in sorted(folder.glob("points-*.bin")):
            name = path.stem.partition("-")[2]
            # A smaller one was cut off before its first record.
            if name.isdecimal() and setaside.is_ours(path) and path.stat().st_size >= SIZE:
                self._segments[int(name)] = _Segment(path, int(name), self._first_format)
        self._damaged: set[int] = set()
        self.begun: Callable[[int], None] = lambda position: None
        self._synced = 0
        forks.renew(self, _lock=threading.RLock)
        self._current: _Writing | None = None
        self._readers: list[Reader] = []
        self._unread: dict[int, mmap.mmap] = {}
        self._holes: dict[tuple[int, int], float] = {}
        self._holds: mmap.mmap | None = None
        self._free = list(range(_SLOTS))[::-1]
        self._closed = False
        self.trouble = ""
        self._full_until = 0.0

    # -- writing ----------------------------------------------------------------------------------------------

    def appender(self, key: int) -> Append:
        """Return the function that appends a point of one series. It does not raise, and threads may share it."""
        pack, checksum, pack_into, size = BODY.pack, crc32, RECORD.pack_into, SEGMENT * SIZE

        def append(step: int, when: float, value: float) -> None:
            mark = checksum(pack(step, when, value, key)) or 1
            segment = self._current
            if segment is not None and (offset := next(segment.offsets)) < size:
                pack_into(segment.map, offset, step, when, value, key, mark)
                return
            self._append_to_next(segment, key, step, when, value)

        return append

    def _append_to_next(self, full: _Writing | None, key: int, step: int, when: float, value: float) -> None:
        try:
            with self._lock:
                if self._current is full:
                    self._current = self._new_segment()
        except OSError as error:
            if not self._closed:
                self.trouble = error.strerror or str(error)
            self.over_limit(key, step, when, value)
            return
        self.appender(key)(step, when, value)

    def _new_segment(self) -> _Writing:
        if self._closed or len(self._segments) >= self.limit:
            raise OSError("the journal is full")
        if time.monotonic() < self._full_until:
            raise OSError(self.trouble)
        number = max(self._segments, default=-1) + 1
        if self._current is not None:
            number = max(number, self._current.number + 1)
        path = self.folder / f"points-{number:08d}.bin"
        try:
            writing = _Writing(path, number)
        except OSError:
            self._full_until = time.monotonic() + _RETRY_SECONDS
            raise
        segment = self._segments[number] = _Segment(path, number)
        if self._current is not None and (full := self._segments.get(self._current.number)) is not None:
            full.unmap()  # only who reads it needs it in memory
        segment.share(writing.map)
        self.begun(number * SEGMENT + 1)
        return writing

    def holder(self, key: int) -> tuple[Callable[[int, int, float, float], None], Callable[[], None]]:
        """Return two functions: one overwrites one of three durable places of a series, the other gives them up."""
        slot = self._slot()
        if slot is None or self._holds is None:
            return lambda place, step, when, value: None, lambda: None
        pack_into, held, base, turn = RECORD.pack_into, self._holds, slot * _SLOT, [0] * _PLACES
        ours = True

        def hold(place: int, step: int, when: float, value: float) -> None:
            if self._closed or not ours:
                return  # a forked child, or a function that is still called after its cell
            # Two copies in turn: a kill while one is written leaves the other.
            turn[place] ^= SIZE
            mark = mark_of(BODY.pack(step, when, value, key))
            pack_into(held, base + place * 2 * SIZE + turn[place], step, when, value, key, mark)

        def release() -> None:
            nonlocal ours
            with self._lock:
                if ours and not self._closed:
                    ours = False
                    held[base : base + _SLOT] = bytes(_SLOT)
                    self._free.append(slot)

        return hold, release

    def _slot(self) -> int | None:
        with self._lock:
            try:
                if self._holds is None:
                    handle = os.open(self.folder / "held.bin", os.O_RDWR | os.O_CREAT, 0o600)
                    try:
                        _allocate(handle, _SLOTS * _SLOT)
                        self._holds = mmap.mmap(handle, _SLOTS * _SLOT)
                    finally:
                        os.close(handle)
                return self._free.pop() if self._free else None
            except OSError:
                return None

    # -- reading ----------------------------------------------------------------------------------------------

    def read(self, position: int, most: int, *, settled: bool = False) -> tuple[list[Point], int]:
        """Return points from a position on."""
        with self._lock:
            return self._read(position, most, settled)

    def _read(self, position: int, most: int, settled: bool) -> tuple[list[Point], int]:
        points: list[Point] = []
        if not self._segments:
            return points, position
        position = max(position, min(self._segments) * SEGMENT)
        while len(points) < most:
            number, index = divmod(position, SEGMENT)
            segment = self._segments.get(number)
            if segment is None:
                later = [each for each in self._segments if each > number]
                if not later:
                    break
                position = min(later) * SEGMENT  # its file is gone
                continue
            begun = self._end_of(segment, index)
            end = min(begun, index + most - len(points))
            content = memoryview(segment.map)
            for at, (*fields, mark) in enumerate(RECORD.iter_unpack(content[index * SIZE : end * SIZE]), index):
                if mark:
                    if mark == (
                        FIRST_MARK if segment.first_format else mark_of(content[at * SIZE : at * SIZE + _MARK_AT])
                    ):
                        points.append(Point(*fields))
                    else:
                        self._damaged.add(number)
                    if self._holes:
                        self._holes.pop((number, at), None)
                elif not settled and not self._given_up(number, at):
                    return points, number * SEGMENT + at
            position = number * SEGMENT + end
            if end < begun:
                continue
            if begun < segment.length:
                break
            segment.unmap()
            position = (number + 1) * SEGMENT
        return points, position

    def _given_up(self, number: int, index: int) -> bool:
        """Tell whether a record that was begun stays unfinished: an interrupt fell between its number and its bytes."""
        now = time.monotonic()
        return now - self._holes.setdefault((number, index), now) > _HOLE_SECONDS

    def _end_of(self, segment: _Segment, start: int) -> int:
        """Return the index behind a segment's last record that was begun."""
        # Where a later segment was begun, this one is full, whichever of its last records are unfinished.
        full = segment.number < max(self._segments)
        return max(start, segment.length) if full else segment.end(start)

    def late(self, position: int) -> list[Point]:
        """Return points that were given up as unfinished, and were finished after all."""
        found = []
        with self._lock:
            for number, index in list(self._holes):
                segment = self._segments.get(number)
                if segment is not None and number * SEGMENT + index < position and segment.marked(index):
                    del self._holes[number, index]
                    if segment.sound(index):
                        found.append(segment.point(index))
        return found

    def count(self, position: int) -> int:
        """Return how many records lie behind a position."""
        total = 0
        with self._lock:
            self._forget_read()
            for number, segment in list(self._segments.items()):
                start = max(0, position - number * SEGMENT)
                if start < SEGMENT:
                    total += self._end_of(segment, start) - start
        return total

    def end(self) -> int:
        """Return the position behind the last record."""
        with self._lock:
            newest = max(self._segments, default=None)
            if newest is None:
                # Where all were read and dropped, the next record begins a segment behind them.
                return 0 if self._current is None else (self._current.number + 1) * SEGMENT
            return newest * SEGMENT + self._segments[newest].end()

    def tally(self, position: int) -> Counter[int]:
        """Return how many points of each key lie behind a position."""
        counts: Counter[int] = Counter()
        with self._lock:
            for number, segment in list(self._segments.items()):
                start = min(max(0, position - number * SEGMENT), SEGMENT)
                end = self._end_of(segment, start) if start < SEGMENT else start
                if end > start:
                    words = memoryview(segment.map)[start * SIZE : end * SIZE].cast("I")
                    counts.update(words[_KEY_AT // 4 :: SIZE // 4])
                    if end == SEGMENT:
                        segment.unmap()
        del counts[0]  # begun, not finished
        return counts

    # -- reading along ----------------------------------------------------------------------------------------

    def reader(self) -> Reader:
        """Return a new reader, at the first point that is there."""
        with self._lock:
            reader = Reader(self)
            self._readers.append(reader)
            return reader

    def _pieces(self, reader: Reader) -> list[Piece]:
        found = []
        with self._lock:
            reader.seen = time.monotonic()
            if reader not in self._readers:
                self._readers.append(reader)
            self._forget_read()
            numbers = sorted({*self._unread, *self._segments})
            if numbers and numbers[0] * SEGMENT > reader.position:
                reader.missed += numbers[0] * SEGMENT - reader.position
                reader.position = numbers[0] * SEGMENT
            for number in numbers:
                if (number + 1) * SEGMENT <= reader.position:
                    continue
                try:
                    records = self._records(number)
                except (OSError, ValueError):  # deleted with its journal, after it was closed
                    continue
                found.append(
                    Piece(number, records, max(0, reader.position - number * SEGMENT), full=number < numbers[-1])
                )
        return found

    def _records(self, number: int) -> mmap.mmap:
        if number in self._unread:
            return self._unread[number]
        if self._current is not None and self._current.number == number:
            return self._current.map
        return self._segments[number].mapped()

    def _keep_unread(self, number: int) -> None:
        """Keep a segment, whose file is about to go, for the readers that have not read it."""
        if number not in self._unread and any(each.position < (number + 1) * SEGMENT for each in self._readers):
            with contextlib.suppress(OSError, ValueError):  # no map to be had: the readers miss it
                self._unread[number] = self._records(number)

    def _have_read(self) -> None:
        with self._lock:
            self._forget_read()

    def _forget_read(self) -> None:
        if self._readers:
            now = time.monotonic()
            self._readers = [each for each in self._readers if now - each.seen < _READER_SECONDS]
        if self._unread:
            read = min((each.position for each in self._readers), default=None)
            for number in [n for n in self._unread if read is None or (n + 1) * SEGMENT <= read]:
                del self._unread[number]

    def held(self) -> list[Point]:
        """Return the points in the durable places, each place's newest."""
        path = self.folder / "held.bin"
        try:
            content = path.read_bytes() if setaside.is_ours(path) else b""
        except OSError:
            return []
        found = []
        for base in range(0, len(content) - 2 * SIZE + 1, 2 * SIZE):
            whole = []
            for at in (base, base + SIZE):
                *fields, mark = RECORD.unpack_from(content, at)
                if mark == (FIRST_MARK if self._first_format else mark_of(content[at : at + _MARK_AT])):
                    whole.append(Point(*fields))
            if whole:
                found.append(max(whole))
        return found

    def drop(self, position: int) -> None:
        """Delete the segments that lie wholly before a position."""
        with self._lock:
            self._forget_read()
            for number in [n for n in self._segments if (n + 1) * SEGMENT <= position]:
                if any(hole[0] == number for hole in self._holes):
                    continue  # a thread may still finish its record there
                self._keep_unread(number)
                segment = self._segments.pop(number)
                if number in self._damaged:
                    setaside.keep(self.folder, segment.path)
                    continue
                with contextlib.suppress(OSError):
                    segment.path.unlink()

    def damage(self, position: int, end: int) -> int:
        """Look for points that a dead kernel has written and that cannot be read."""
        lost = 0
        with self._lock:
            last = max((*self._segments, (end - 1) // SEGMENT), default=-1)
            for number in range(position // SEGMENT, last + 1):
                start, least = max(0, position - number * SEGMENT), min(max(0, end - number * SEGMENT), SEGMENT)
                segment = self._segments.get(number)
                broken = least - start if segment is None else _broken(segment, start, least, number < last)
                if broken > 0:
                    lost += broken
                    self._damaged.add(number)
            for path in self.folder.glob("points-*.bin"):
                known = any(path == segment.path for segment in self._segments.values())
                if not known and setaside.is_ours(path):  # of less than one record
                    lost = lost or 1
                    setaside.keep(self.folder, path)
        return lost

    def sync(self) -> None:
        """Bring the points that were written since the last call to the disk itself."""
        with self._lock:
            end, paths = self.end(), [each.path for each in self._segments.values() if each.number >= self._synced]
            held, is_new = self._holds is not None, end > self._synced * SEGMENT
        for path in paths if is_new else ():
            sync_path(path)
        if held:
            sync_path(self.folder / "held.bin")
        self._synced = end // SEGMENT

    def leave_disk(self, why: str) -> None:
        """Take no more points here: the folder was deleted. What is mapped is read as ever."""
        with self._lock:
            self.limit, self._current, self.trouble = 0, None, why
            for segment in self._segments.values():
                with contextlib.suppress(OSError, ValueError):
                    segment.share(segment.map)

    def close(self) -> None:
        """Take no more points here: writers that are still held hand theirs to `over_limit`."""
        with self._lock:
            self._closed = True
            if self._current is not None:
                self._wait_for(self._segments.get(self._current.number), next(self._current.offsets) // SIZE)
            self._current = None
            self._forget_read()
            for number in self._segments:
                # Whoever closes a journal may delete it, too.
                self._keep_unread(number)

    def _wait_for(self, segment: _Segment | None, begun: int) -> None:
        """Wait a moment for threads that are between a record's number and its bytes."""
        deadline = time.monotonic() + _FINISH_SECONDS
        with contextlib.suppress(OSError, ValueError):
            while segment is not None and 0 < begun <= segment.length and not segment.marked(begun - 1):
                if time.monotonic() > deadline:
                    return
                time.sleep(0.001)

    def leave_to_parent(self) -> None:
        """Take no more points in a forked child, where another thread of the parent may have held the lock."""
        self._lock = threading.RLock()
        self._readers.clear()
        self._current = None  # its records are the parent's
        self.close()

    def __iter__(self) -> Iterator[Point]:
        """Yield every point that is there."""
        position = min(self._segments, default=0) * SEGMENT
        while True:
            points, position = self.read(position, 10_000, settled=True)
            if not points:
                return
            yield from points


def _broken(segment: _Segment, start: int, least: int, full: bool) -> int:
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
            broken += index < sure or len(record) < SIZE or record[_MARK_AT:] != _UNMARKED
    broken += blank * (blank > 1)
    cut = not full and len(content) < SEGMENT * SIZE and begun * SIZE > len(content) - SIZE
    return broken or int(cut)


def _allocate(handle: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size)
        return
    # macOS and Windows: zeros are written, so that the room is really there.
    while size > 0:
        size -= os.write(handle, bytes(min(size, 1 << 20)))
