"""Sends what is waiting from a thread: in batches, and again after an outage."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Literal

from ...calls import forks, interrupts
from ...failures.kinds import UnavailableError
from .delivery import Delivery
from .store_requests import SECONDS

POLL_SECONDS = 0.25
"""How often a quiet journal is looked at; the look is a few microseconds."""

AGE_SECONDS = 3.0
"""How long a write waits for others to share its request, while nobody asks."""

FIRST_SECONDS, LAST_SECONDS = 0.5, 30.0
"""Between tries at a store that does not answer: the first pause and the longest, doubling between."""

STALL_SECONDS = 2.5
"""How long :meth:`Sender.flush` waits for a store of which nothing is heard."""

FILE_SECONDS = 150.0
"""How long :meth:`Sender.flush` waits for a file to arrive: MLflow's own limit for one request, and some more."""

FULL_BATCH = 1000

State = Literal["sending", "waiting", "offline"]


class Sender:
    """Brings what is waiting, for as long as the kernel lives.

    Parameters
    ----------
    delivery : Delivery
        What is to be brought where. Used under our lock only.
    offline : bool
        Whether to send only when asked.
    before : callable
        Called before each round, in the sender's thread: reads values that were left on a device.
    """

    def __init__(self, delivery: Delivery, *, offline: bool, before: Callable[[], None]) -> None:
        self.delivery = delivery
        self.offline = offline
        self.trouble = ""
        self.busy = threading.RLock()
        self._before = before
        self._changed = threading.Condition()
        forks.renew(self, busy=threading.RLock, _changed=threading.Condition)
        self._asked = False
        self._urgent = False
        self._resumes = 0.0
        self._tries = 0
        self._stopped = False
        self._begun = 0
        self._failed_try = 0
        self._seen = 0.0
        # Its own generator: the user's seeded one must not feel us.
        self._random = random.Random()
        delivery.requests.heard = self._heard
        self._thread = threading.Thread(target=self._work, name="mlflow_magics outbox", daemon=True)
        self._thread.start()

    @property
    def state(self) -> State:
        """Tell whether the store takes what we send; `trouble` says why not."""
        if self.offline:
            return "offline"
        return "waiting" if self.trouble else "sending"

    def unreachable(self, why: str) -> None:
        """Note that somebody else has found the store unreachable, so that nobody waits for it again."""
        with self._changed:
            self.trouble = self.trouble or why
            self._tries = max(self._tries, 1)

    def nudge(self) -> None:
        """Try at once, without waiting for the outcome; where the store was down a moment ago, when its turn comes."""
        if self.offline or self.trouble:
            return
        with self._changed:
            self._asked = True
            self._changed.notify_all()

    def flush(
        self, is_done: Callable[[], bool], seconds: float, *, patient: bool = False, urgent: bool = False
    ) -> bool:
        """Send now, and wait for it. Return whether all was sent."""
        if threading.current_thread() is self._thread or not self._thread.is_alive():
            return is_done()
        deadline = time.monotonic() + seconds
        with self._changed:
            if is_done():
                return True
            if self.offline and not patient:
                return False
            was_down = bool(self.trouble)
            # One that asks wants a try of its own: that which is on its way may have begun before the store came back.
            begun = self._begun if patient else self._failed_try
            self._asked = True
            self._urgent = urgent
            self._seen = time.monotonic()
            self._changed.notify_all()
            while not is_done():
                if was_down and not patient:
                    return False
                if self.trouble and self._failed_try > begun:
                    return False
                left = min(deadline, self._gives_up(patient)) - time.monotonic()
                if left <= 0 or interrupts.interrupted():
                    return False
                self._changed.wait(min(left, POLL_SECONDS))
        return True

    def _gives_up(self, patient: bool) -> float:
        """Return when a store of which nothing is heard is waited for no longer."""
        if not patient:
            return self._seen + STALL_SECONDS
        # It may have asked to wait before the next try; and a large file is one request, however long it takes.
        stall = FILE_SECONDS if self.delivery.sends_file else SECONDS
        return max(self._seen, self._resumes) + stall

    def rests(self) -> float:
        """Return how many seconds are left of the time that the store has asked to wait."""
        return max(0.0, self._resumes - time.monotonic())

    def stop(self) -> None:
        """End the thread; what is on its way arrives or stays in the journal."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(STALL_SECONDS)

    # -- the thread -------------------------------------------------------------------------------------------

    def _work(self) -> None:
        pause = POLL_SECONDS
        while True:
            with self._changed:
                if not self._asked and not self._stopped:
                    self._changed.wait(pause)
                if self._stopped:
                    return
                asked, self._asked = self._asked, False
                self._urgent = False
            if self.offline and not asked:
                continue
            pause = self._try(asked or bool(self.trouble))

    def _try(self, everything: bool) -> float:
        """Send what is due; return the seconds until the next look."""
        heard = False
        self._begun += 1
        try:
            while not self._stopped:
                self._before()
                with self.busy:
                    due = everything or self._overdue()
                    full = not due and self.delivery.points.count(self.delivery.position) >= FULL_BATCH
                    if not (due or full) or not self.delivery.round(full_batches_only=not due):
                        if self.trouble and not heard:
                            self.delivery.requests.ask()  # that nothing is waiting does not mean that the store is back
                        break
                    heard = True
        except UnavailableError as error:
            return self._failed(error)
        except Exception as error:  # noqa: BLE001
            # A mistake of ours, a journal closed under our hands: the thread goes on, and the reason is shown.
            return self._failed(UnavailableError(f"{type(error).__name__}: {error}"))
        with self._changed:
            self._seen, self._resumes = time.monotonic(), 0.0
            self.trouble, self._tries = "", 0
            self._changed.notify_all()
        return POLL_SECONDS

    def _overdue(self) -> bool:
        delivery = self.delivery
        if delivery.spilled:
            return True
        oldest = delivery.journal.oldest()
        if oldest is not None and time.time() - oldest / 1000 > AGE_SECONDS:
            return True
        points, _ = delivery.points.read(delivery.position, 1)
        # By the machine's clock, which may jump: then a few requests are less full.
        return bool(points) and abs(time.time() - points[0].when) > AGE_SECONDS

    def _heard(self) -> None:
        """Note that the store has answered a request."""
        with self._changed:
            self._seen = time.monotonic()
            self._changed.notify_all()

    def _failed(self, error: UnavailableError) -> float:
        with self._changed:
            self.trouble = error.why
            self._tries += 1
            self._failed_try = self._begun
            self._changed.notify_all()
            longest: float = min(FIRST_SECONDS * 2 ** min(self._tries - 1, 10), LAST_SECONDS)
            pause = longest * self._random.uniform(0.5, 1.0)
        if error.after is not None:
            # The store said when: an earlier try would only be refused, but for one that %mlflow_sync asks for.
            self._sleep(max(error.after, min(pause, FIRST_SECONDS)))
            return 0.0
        return pause

    def _sleep(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        with self._changed:
            self._resumes = deadline
            while not (self._stopped or self._urgent) and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
