"""Points that are in memory only: the disk had no room for them, or their values are still on a device."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable

from ..disk.points.records import Append, Point

_SPILL = 200_000
_LATER = 1000


class Unwritten:
    """What one outbox has taken in and not on disk.

    Attributes
    ----------
    spilled : list of Point
        Points that found no room on disk.
    lost : int
        How many found none in memory either.
    unread : int
        How many could not be read from their device.
    """

    def __init__(self) -> None:
        self.spilled: list[Point] = []
        self.lost = self.unread = 0
        self._later: deque[tuple[Append, int, float, Callable[[], float]]] = deque()
        self._forked = False

    def __len__(self) -> int:
        return len(self.spilled) + len(self._later)

    def spill(self, key: int, step: int, when: float, value: float) -> None:
        """Take in a point that the disk has no room for."""
        if len(self.spilled) < _SPILL and not self._forked:
            self.spilled.append(Point(step, when, value, key))
        else:
            self.lost += 1

    def read_later(self, append: Append, step: int, when: float, read: Callable[[], float]) -> None:
        """Take in a point whose value is still on a device; the sender's thread reads it."""
        self._later.append((append, step, when, read))
        if len(self._later) > _LATER:
            self.read_devices(1)

    def read_devices(self, most: int | None = None) -> None:
        """Read values that were left on a device, and append their points."""
        for _ in range(most if most is not None else len(self._later)):
            with contextlib.suppress(IndexError):  # another thread was faster
                append, step, when, read = self._later.popleft()
                try:
                    append(step, when, read())
                except Exception:  # noqa: BLE001
                    # A device that fails raises what it likes; one value must not keep the others here.
                    self.unread += 1

    def leave_to_parent(self) -> None:
        """Keep no more points in a forked child: nobody would send them."""
        self._forked = True
