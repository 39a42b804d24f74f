"""Sends what is waiting, because somebody asks for it, and waits until it is sent."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from ...vocabulary.stores import Sync
from .disk.accounts import Account
from .numbers.unwritten import Unwritten
from .sending import replay
from .sending.sender import Sender
from .telling import Telling

CLOSE_SECONDS = 5.0
"""How long the end of a cell, or of the kernel, waits for what is on its way."""


class Syncing:
    """Has one outbox's sender send now.

    Parameters
    ----------
    sender, unwritten, telling
        The outbox's.
    accounts : mapping of str to Account
        What this kernel knows of its runs, by their ids.
    """

    def __init__(self, sender: Sender, unwritten: Unwritten, telling: Telling, accounts: Mapping[str, Account]) -> None:
        self._sender = sender
        self._delivery = sender.delivery
        self._journal = self._delivery.journal
        self._points = self._delivery.points
        self._unwritten = unwritten
        self._telling = telling
        self._accounts = accounts

    def flush(self, seconds: float = CLOSE_SECONDS) -> bool:
        """Send what is waiting now, and wait for it, but not for a store that does not answer.

        Return whether all of it was sent.
        """
        return self._sender.flush(self._all_sent(), seconds)

    def _all_sent(self) -> Callable[[], bool]:
        """Return a test for whether what is waiting at this moment has been sent."""
        last_row = self._journal.last()
        end = self._points.end()

        def sent() -> bool:
            left = self._journal.any_until(last_row, files=True)
            if left and self._delivery.files.trouble:
                # Files that their own store does not take keep nobody waiting.
                left = any(row.id <= last_row for row in replay.before_files(self._journal.rows()))
            return not left and self._delivery.position >= end and not len(self._unwritten)

        return sent

    def sync(self, progress: Callable[[int, int], None]) -> Sync:
        """Send all that is waiting, however long it takes, for as long as the store takes it.

        Parameters
        ----------
        progress : callable
            Called with how many writes were sent, and how many are left.

        Returns
        -------
        Sync
            What came of it.
        """
        before, known = self._delivery.sent, set(self._delivery.identities.local)
        is_sent = self._all_sent()

        def done() -> bool:
            progress(self._delivery.sent - before, max(0, self._telling.backlog().total - self._delivery.ahead))
            return is_sent()

        in_vain, first = 0, True
        while in_vain < 2:
            begun, taken = time.monotonic(), self._delivery.taken
            self._delivery.files.retry()
            # Only the first try comes before the time that the store asked for: more of them would hammer it.
            self._sender.flush(done, math.inf, patient=True, urgent=first)
            first = False
            if is_sent() and not self._delivery.files.trouble:
                break
            if self._delivery.taken > taken:
                in_vain = 0
                continue
            # A connection that was kept open since before an outage fails once; a store that is gone fails again.
            if time.monotonic() + self._sender.rests() - begun > CLOSE_SECONDS:
                break
            in_vain += 1
        done()
        created = {local: remote for local, remote in self._delivery.identities.local.items() if local not in known}
        runs = {local: remote for local, remote in created.items() if local in self._accounts}
        left = self._telling.waiting()
        if left.total and not left.why:
            left = replace(left, state="waiting", why="nothing was heard of it for a while")
        return Sync(self._delivery.sent - before, runs, left)
