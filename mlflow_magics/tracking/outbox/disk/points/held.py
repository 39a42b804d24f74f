"""Holds the newest values of series, on disk, until it is plain whether they become points."""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Callable
from pathlib import Path

from ....calls import forks
from ..damage import setaside
from ..damage.notes import sync_path
from .records import BODY, FIRST_MARK, MARK_AT, RECORD, SIZE, Point, mark_of
from .segments import allocate

_PLACES = 3
_SLOT = _PLACES * 2 * SIZE
SLOTS = 512
"""How many series have places at a time."""


class HeldPlaces:
    """Some durable places for each series, each overwritten again and again. Threads may share them.

    Parameters
    ----------
    folder : pathlib.Path
        The journal's.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "held.bin"
        self._first_format = setaside.is_first_format(folder)
        self._lock = threading.RLock()
        forks.renew(self, _lock=threading.RLock)
        self._map: mmap.mmap | None = None
        self._free = list(range(SLOTS))[::-1]
        self._closed = False

    def holder(self, key: int) -> tuple[Callable[[int, int, float, float], None], Callable[[], None]]:
        """Return two functions: one overwrites one of three durable places of a series, the other gives them up."""
        slot = self._slot()
        if slot is None or self._map is None:
            return lambda place, step, when, value: None, lambda: None
        pack_into, held, base, turn = RECORD.pack_into, self._map, slot * _SLOT, [0] * _PLACES
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
                if self._map is None:
                    handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
                    try:
                        allocate(handle, SLOTS * _SLOT)
                        self._map = mmap.mmap(handle, SLOTS * _SLOT)
                    finally:
                        os.close(handle)
                return self._free.pop() if self._free else None
            except OSError:
                return None

    def points(self) -> list[Point]:
        """Return the points in the durable places, each place's newest."""
        try:
            content = self._path.read_bytes() if setaside.is_ours(self._path) else b""
        except OSError:
            return []
        points = []
        for base in range(0, len(content) - 2 * SIZE + 1, 2 * SIZE):
            whole = []
            for at in (base, base + SIZE):
                *fields, mark = RECORD.unpack_from(content, at)
                if mark == (FIRST_MARK if self._first_format else mark_of(content[at : at + MARK_AT])):
                    whole.append(Point(*fields))
            if whole:
                points.append(max(whole))
        return points

    def sync(self) -> None:
        """Bring them to the disk itself."""
        if self._map is not None:
            sync_path(self._path)

    def close(self) -> None:
        """Hold nothing any more."""
        self._closed = True
