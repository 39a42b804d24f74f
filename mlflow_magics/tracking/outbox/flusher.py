"""Brings what is in the outbox to the disk itself once a second: a power cut costs no more than that.

What a kernel has written survives its kill at once. Neither the cell nor the sender waits for a disk.
"""

from __future__ import annotations

import contextlib
import threading

from ..calls import forks
from .disk.journal import Journal
from .disk.points.points import PointLog

SECONDS = 1.0
"""What a power cut may cost."""


class Flusher:
    """Brings a journal to the disk, for as long as the kernel lives.

    Parameters
    ----------
    journal : Journal
        Which.
    points : PointLog
        Of the same folder.
    """

    def __init__(self, journal: Journal, points: PointLog) -> None:
        self._journal = journal
        self._points = points
        self._stopped = threading.Event()
        forks.renew(self, _stopped=threading.Event)
        self._thread = threading.Thread(target=self._work, name="mlflow_magics disk", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, after a last time."""
        self._stopped.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(SECONDS)

    def _work(self) -> None:
        while not self._stopped.wait(SECONDS):
            self.flush()
        self.flush()

    def flush(self) -> None:
        """Do it now."""
        # A disk that fails is met, and told, by those who write.
        with contextlib.suppress(Exception):
            if self._journal.is_gone():
                self._journal.leave_disk()
                self._points.leave_disk(f"{self._journal.folder} was deleted")
            self._points.sync()
            self._journal.note_end(self._points.end())
            self._journal.sync()
