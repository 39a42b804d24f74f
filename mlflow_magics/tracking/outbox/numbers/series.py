"""The series of runs: numbers that are followed in the cell, which the author may turn out to log himself."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from ...calls import forks
from ..disk.entries import Key
from ..disk.points.records import Append
from ..sending.delivery import Delivery
from .authored import Authored
from .keptback import KeptBack
from .unwritten import Unwritten


@dataclass(frozen=True)
class SeriesSink:
    """Where the points of one series go.

    Attributes
    ----------
    append, hold, read_later : callable
        As :class:`.disk.points.PointLog` and the outbox make them.
    """

    append: Append
    hold: Callable[[int, int, float, float], None]
    read_later: Callable[[Append, int, float, Callable[[], float]], None]

    def later(self, step: int, when: float, read: Callable[[], float]) -> None:
        """Append a point whose value `read` returns, in the sender's thread."""
        self.read_later(self.append, step, when, read)


class Series:
    """The series of one outbox. Threads may share it.

    Parameters
    ----------
    delivery : Delivery
        Of the journal and the points that they go to; leaves out what is withdrawn.
    authored : Authored
        What the author has logged.
    unwritten : Unwritten
        Takes points whose values are still on a device.
    segments : callable
        Returns how many segments may hold points that are kept back.

    Attributes
    ----------
    kept_back : KeptBack
        The points that wait for the author.
    late : set of (str, str)
        Run and name of series that he logs too, and of which the store had taken points before.
    """

    def __init__(
        self,
        delivery: Delivery,
        authored: Authored,
        unwritten: Unwritten,
        segments: Callable[[], int],
    ) -> None:
        self._delivery = delivery
        self._journal = delivery.journal
        self._points = delivery.points
        self.kept_back = KeptBack(self._journal.folder, segments, self._points.appender)
        self.late: set[tuple[str, str]] = set()
        self._authored = authored
        self._unwritten = unwritten
        self._numbers: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._keys: dict[int, Key] = {}
        self._releases: dict[str, list[Callable[[], None]]] = defaultdict(list)
        self._lock = threading.RLock()
        forks.renew(self, _lock=threading.RLock)

    def new_key(self, key: Key) -> int:
        """Return a new number for the points of a metric."""
        number = self._journal.add_key(key)
        self._keys[number] = key
        return number

    def key(self, number: int) -> Key | None:
        """Return whose points bear a number; None for one that was not given here, or was withdrawn."""
        return self._keys.get(number) if number not in self._delivery.withdrawn else None

    def sink(self, run_id: str, name: str, *, keep_back: bool = False, until_end: bool = False) -> SeriesSink:
        """Return where the points of a series go."""
        number = self.new_key(Key(run_id, name, {}))
        self._numbers[run_id, name].append(number)
        append = self._points.appender(number)
        if keep_back:
            append = self.kept_back.sink(number, run_id, until_end=until_end)
        if name in self._authored.of(run_id).metrics:
            self.withdraw(run_id, name)
        hold, release = self._points.held.holder(number)
        self._releases[run_id].append(release)
        return SeriesSink(append, hold, self._unwritten.read_later)

    def withdraw(self, run_id: str, name: str) -> None:
        """Give up the series of a name: the author logs it. What the store has not taken of it is not sent."""
        with self._lock:
            numbers = self._numbers.pop((run_id, name), [])
        for number in numbers:
            self._delivery.withdraw(number)
            self.kept_back.withdraw(run_id, number)
            if number in self._delivery.begun:
                self.late.add((run_id, name))

    def kept_values(self, run_id: str, name: str) -> list[float]:
        """Return the values of a series that no store has seen yet; none of any other."""
        numbers = self._numbers.get((run_id, name), [])
        return [value for number in numbers for value in self.kept_back.values(run_id, number)]

    def has_sent(self, run_id: str) -> bool:
        """Tell whether points of series may have gone to a run, which cannot be taken back."""
        with self._lock:
            numbers = [number for (run, _), some in self._numbers.items() if run == run_id for number in some]
        return any(not self.kept_back.waits(number) for number in numbers)

    def move(self, run_id: str, to: str) -> None:
        """Have all points of a run's series that are kept back be another run's; they are sent at the next end."""
        with self._lock:
            mine = [index for index in self._numbers if index[0] == run_id]
            moved = {number: self.new_key(Key(to, index[1], {})) for index in mine for number in self._numbers[index]}
            for index in mine:
                self._numbers[to, index[1]] += [moved[number] for number in self._numbers.pop(index)]
                if index in self.late:
                    self.late.add((to, index[1]))
        self.kept_back.move(run_id, to, moved)
        self._releases[to] += self._releases.pop(run_id, [])

    def end(self, run_id: str) -> None:
        """End the series of a run: what is kept back is sent, and what was only held is given up."""
        self.kept_back.end(run_id)
        with self._lock:
            for each in [each for each in self._numbers if each[0] == run_id]:
                del self._numbers[each]
        for release in self._releases.pop(run_id, ()):
            release()
