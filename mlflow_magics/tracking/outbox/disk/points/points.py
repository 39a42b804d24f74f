"""Takes points in fast: fixed binary records in memory-mapped segments.

A record is written in one call, its mark last, into pages that belong to the file: what is marked survives ``kill
-9``, and costs less than half of an unbuffered ``write``. The mark is a checksum of the rest, so that a damaged disk
costs points but never makes one up (measured: 0.19 us without it, 0.35 with it, 1.0 a ``write``). Each segment is
allocated before it is used, so that a full disk is an error at that moment and not a crash later.
"""

from __future__ import annotations

import contextlib
import mmap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

from ....calls import forks
from ..damage import setaside
from ..damage.notes import sync_path
from . import segments
from .held import HeldPlaces
from .reading_along import Piece, Reader, Unread
from .records import BODY, FIRST_MARK, KEY_AT, MARK_AT, RECORD, SIZE, Append, Point, mark_of
from .segments import Segment, WritingSegment, count_broken

_HOLE_SECONDS = 1.0
_FINISH_SECONDS = 0.05

_RETRY_SECONDS = 2.0
"""How long to wait before asking a full disk for room again: a refusal takes as long as a thousand points."""


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
    held : HeldPlaces
        The newest values of series, which may become points.
    begun : callable
        Called with the first position behind which a new segment's points lie.
    """

    def __init__(self, folder: Path, limit: int, over_limit: Callable[[int, int, float, float], None]) -> None:
        self.folder = folder
        self.limit = limit
        self.over_limit = over_limit
        # Reentrant: a finalizer that runs while it is held may append, too.
        self._lock = threading.RLock()
        self._segments: dict[int, Segment] = {}
        self.held = HeldPlaces(folder)
        first_format = setaside.is_first_format(folder)
        for path in sorted(folder.glob("points-*.bin")):
            name = path.stem.partition("-")[2]
            # A smaller one was cut off before its first record.
            if name.isdecimal() and setaside.is_ours(path) and path.stat().st_size >= SIZE:
                self._segments[int(name)] = Segment(path, int(name), first_format)
        self._damaged: set[int] = set()
        self.begun: Callable[[int], None] = lambda position: None
        self._synced = 0
        forks.renew(self, _lock=threading.RLock)
        self._current: WritingSegment | None = None
        self._unread = Unread()
        self._holes: dict[tuple[int, int], float] = {}
        self._closed = False
        self.trouble = ""
        self._full_until = 0.0

    # -- writing ----------------------------------------------------------------------------------------------

    def appender(self, key: int) -> Append:
        """Return the function that appends a point of one series. It does not raise, and threads may share it."""
        pack, checksum, pack_into, size = BODY.pack, crc32, RECORD.pack_into, segments.SEGMENT * SIZE

        def append(step: int, when: float, value: float) -> None:
            mark = checksum(pack(step, when, value, key)) or 1
            segment = self._current
            if segment is not None and (offset := next(segment.offsets)) < size:
                pack_into(segment.map, offset, step, when, value, key, mark)
                return
            self._append_to_next(segment, key, step, when, value)

        return append

    def _append_to_next(self, full: WritingSegment | None, key: int, step: int, when: float, value: float) -> None:
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

    def _new_segment(self) -> WritingSegment:
        if self._closed or len(self._segments) >= self.limit:
            raise OSError("the journal is full")
        if time.monotonic() < self._full_until:
            raise OSError(self.trouble)
        number = max(self._segments, default=-1) + 1
        if self._current is not None:
            number = max(number, self._current.number + 1)
        path = self.folder / f"points-{number:08d}.bin"
        try:
            writing = WritingSegment(path, number)
        except OSError:
            self._full_until = time.monotonic() + _RETRY_SECONDS
            raise
        segment = self._segments[number] = Segment(path, number)
        if self._current is not None and (full := self._segments.get(self._current.number)) is not None:
            full.unmap()  # only who reads it needs it in memory
        segment.share(writing.map)
        self.begun(number * segments.SEGMENT + 1)
        return writing

    # -- reading ----------------------------------------------------------------------------------------------

    def read(self, position: int, most: int, *, settled: bool = False) -> tuple[list[Point], int]:
        """Return points from a position on."""
        with self._lock:
            return self._read(position, most, settled)

    def _read(self, position: int, most: int, settled: bool) -> tuple[list[Point], int]:
        points: list[Point] = []
        if not self._segments:
            return points, position
        position = max(position, min(self._segments) * segments.SEGMENT)
        while len(points) < most:
            number, index = divmod(position, segments.SEGMENT)
            segment = self._segments.get(number)
            if segment is None:
                later = [each for each in self._segments if each > number]
                if not later:
                    break
                position = min(later) * segments.SEGMENT  # its file is gone
                continue
            begun = self._end_of(segment, index)
            end = min(begun, index + most - len(points))
            content = memoryview(segment.map)
            for at, (*fields, mark) in enumerate(RECORD.iter_unpack(content[index * SIZE : end * SIZE]), index):
                if mark:
                    if mark == (
                        FIRST_MARK if segment.first_format else mark_of(content[at * SIZE : at * SIZE + MARK_AT])
                    ):
                        points.append(Point(*fields))
                    else:
                        self._damaged.add(number)
                    if self._holes:
                        self._holes.pop((number, at), None)
                elif not settled and not self._given_up(number, at):
                    return points, number * segments.SEGMENT + at
            position = number * segments.SEGMENT + end
            if end < begun:
                continue
            if begun < segment.length:
                break
            segment.unmap()
            position = (number + 1) * segments.SEGMENT
        return points, position

    def _given_up(self, number: int, index: int) -> bool:
        """Tell whether a record that was begun stays unfinished: an interrupt fell between its number and its bytes."""
        now = time.monotonic()
        return now - self._holes.setdefault((number, index), now) > _HOLE_SECONDS

    def _end_of(self, segment: Segment, start: int) -> int:
        """Return the index behind a segment's last record that was begun."""
        # Where a later segment was begun, this one is full, whichever of its last records are unfinished.
        full = segment.number < max(self._segments)
        return max(start, segment.length) if full else segment.end(start)

    def late(self, position: int) -> list[Point]:
        """Return points that were given up as unfinished, and were finished after all."""
        points = []
        with self._lock:
            for number, index in list(self._holes):
                segment = self._segments.get(number)
                if segment is not None and number * segments.SEGMENT + index < position and segment.marked(index):
                    del self._holes[number, index]
                    if segment.sound(index):
                        points.append(segment.point(index))
        return points

    def count(self, position: int) -> int:
        """Return how many records lie behind a position."""
        total = 0
        with self._lock:
            self._unread.forget()
            for number, segment in list(self._segments.items()):
                start = max(0, position - number * segments.SEGMENT)
                if start < segments.SEGMENT:
                    total += self._end_of(segment, start) - start
        return total

    def end(self) -> int:
        """Return the position behind the last record."""
        with self._lock:
            newest = max(self._segments, default=None)
            if newest is None:
                # Where all were read and dropped, the next record begins a segment behind them.
                return 0 if self._current is None else (self._current.number + 1) * segments.SEGMENT
            return newest * segments.SEGMENT + self._segments[newest].end()

    def tally(self, position: int) -> Counter[int]:
        """Return how many points of each key lie behind a position."""
        counts: Counter[int] = Counter()
        with self._lock:
            for number, segment in list(self._segments.items()):
                start = min(max(0, position - number * segments.SEGMENT), segments.SEGMENT)
                end = self._end_of(segment, start) if start < segments.SEGMENT else start
                if end > start:
                    words = memoryview(segment.map)[start * SIZE : end * SIZE].cast("I")
                    counts.update(words[KEY_AT // 4 :: SIZE // 4])
                    if end == segments.SEGMENT:
                        segment.unmap()
        del counts[0]  # begun, not finished
        return counts

    # -- reading along ----------------------------------------------------------------------------------------

    def reader(self) -> Reader:
        """Return a new reader, at the first point that is there."""
        with self._lock:
            reader = Reader(self)
            self._unread.see(reader)
            return reader

    def pieces(self, reader: Reader) -> list[Piece]:
        """Return what may hold something new for a reader, in order."""
        pieces = []
        with self._lock:
            self._unread.see(reader)
            self._unread.forget()
            numbers = sorted({*self._unread.maps, *self._segments})
            if numbers and (first := numbers[0] * segments.SEGMENT) > reader.position:
                reader.missed += first - reader.position
                reader.position = first
            for number in numbers:
                start = reader.position - number * segments.SEGMENT
                if start >= segments.SEGMENT:
                    continue
                try:
                    records = self._records(number)
                except (OSError, ValueError):  # deleted with its journal, after it was closed
                    continue
                pieces.append(Piece(number, records, max(0, start), full=number < numbers[-1]))
        return pieces

    def forget_read(self) -> None:
        """Let go of what all readers have read."""
        with self._lock:
            self._unread.forget()

    def _records(self, number: int) -> mmap.mmap:
        if number in self._unread.maps:
            return self._unread.maps[number]
        if self._current is not None and self._current.number == number:
            return self._current.map
        return self._segments[number].mapped()

    # -- its end ----------------------------------------------------------------------------------------------

    def drop(self, position: int) -> None:
        """Delete the segments that lie wholly before a position."""
        with self._lock:
            self._unread.forget()
            for number in [n for n in self._segments if (n + 1) * segments.SEGMENT <= position]:
                if any(hole[0] == number for hole in self._holes):
                    continue  # a thread may still finish its record there
                self._unread.keep(number, self._records)
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
            last = max((*self._segments, (end - 1) // segments.SEGMENT), default=-1)
            for number in range(position // segments.SEGMENT, last + 1):
                before = number * segments.SEGMENT
                start, least = max(0, position - before), min(max(0, end - before), segments.SEGMENT)
                segment = self._segments.get(number)
                broken = least - start if segment is None else count_broken(segment, start, least, number < last)
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
            is_new = end > self._synced * segments.SEGMENT
        for path in paths if is_new else ():
            sync_path(path)
        self.held.sync()
        self._synced = end // segments.SEGMENT

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
            self.held.close()
            if self._current is not None:
                self._wait_for(self._segments.get(self._current.number), next(self._current.offsets) // SIZE)
            self._current = None
            self._unread.forget()
            for number in self._segments:
                # Whoever closes a journal may delete it, too.
                self._unread.keep(number, self._records)

    def _wait_for(self, segment: Segment | None, begun: int) -> None:
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
        self._unread.leave_to_parent()
        self._current = None  # its records are the parent's
        self.close()

    def __iter__(self) -> Iterator[Point]:
        """Yield every point that is there."""
        position = min(self._segments, default=0) * segments.SEGMENT
        while True:
            points, position = self.read(position, 10_000, settled=True)
            if not points:
                return
            yield from points
