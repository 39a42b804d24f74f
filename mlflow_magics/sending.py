"""What waits in outboxes, sent: that of dead kernels in the background, one's own when asked."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import TrackingError

if TYPE_CHECKING:
    from .records import Sync
    from .session import Session


OTHERS_SECONDS = 5.0
"""How long ``%mlflow_sync`` waits, in all, for what dead kernels left for other servers."""


def recover(session: Session) -> None:
    """Look for what dead kernels have left, and send it, without keeping anybody waiting.

    Parameters
    ----------
    session : Session
        Its `news` gets what there is to tell.
    """
    threading.Thread(target=_recover, args=(session,), name="mlflow_magics recovery", daemon=True).start()


def _recover(session: Session) -> None:
    from .tracking import journal, setaside

    if journal.left_behind():
        recovery = _Recovery(session)
        recovery.wait(None)
        _tell(session, recovery.news())
    else:
        _tell(session, setaside.tell())


def _tell(session: Session, lines: list[str]) -> None:
    # What is found both on loading and on connecting is told once.
    session.news += [line for line in lines if line not in session.news]


class _Recovery:
    """A process that sends what dead kernels left, journal by journal; see :mod:`.tracking.recovery` for why."""

    def __init__(self, session: Session) -> None:
        from .tracking.masking import mask

        uri = session.connection.uri if session.connection is not None else ""
        package = str(Path(__file__).parent.parent)
        self.left: dict[str, str] = {}
        self.through: set[str] = set()
        self._lines: list[str] = []
        self.ended = False
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlflow_magics.tracking.recovery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))},
            text=True,
            start_new_session=True,  # a Ctrl-C is meant for the cell
        )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as given:
            json.dump({"tracking_uri": uri, "address": mask(uri)}, given)
        _running.add(self)
        threading.Thread(target=self._read, name="mlflow_magics recovery's lines", daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        last = ""
        with self._process.stdout as printed:
            for line in printed:
                try:
                    folder, what, lines = json.loads(line)
                except (ValueError, TypeError):
                    last = line.strip() or last  # a library's warning, or a traceback
                    continue
                with self._changed:
                    if what == "left":
                        self.left[folder] = lines[0]
                        continue
                    self.through.add(folder)
                    self._lines += lines
                    self._changed.notify_all()
        failed = self._process.wait() != 0
        with self._changed:
            self._lines += [f"what an earlier kernel left was not sent: {last}"] if failed else []
            self.ended = True
            _running.discard(self)
            self._changed.notify_all()

    def wait(self, folders: set[str] | None, seconds: float | None = None) -> None:
        """Wait until these journals are through, or all that there are, but no longer than so many seconds."""
        with self._changed:
            self._changed.wait_for(
                lambda: self.ended or (folders is not None and folders <= self.through), timeout=seconds
            )

    def news(self) -> list[str]:
        """Return the lines that were not taken yet."""
        with self._changed:
            lines, self._lines = self._lines, []
        return lines


_running: set[_Recovery] = set()


def _late() -> list[str]:
    """Return what each journal holds that a recovery has begun with, and is not through yet."""
    return sorted({words for one in list(_running) for name, words in one.left.items() if name not in one.through})


def _rest(session: Session, recovery: _Recovery) -> None:
    recovery.wait(None)
    _tell(session, recovery.news())


def sync(session: Session, progress: Callable[[int, int], None]) -> Sync:
    """Send all that waits, this kernel's and what dead ones left.

    Parameters
    ----------
    session : Session
        Connected.
    progress : callable
        Called with how many writes were sent so far, and how many are left.

    Returns
    -------
    Sync
        What came of it.

    Raises
    ------
    TrackingError
        Not connected yet.
    """
    if session.connection is None:
        raise TrackingError("not connected; type %mlflow_connect")
    from .tracking import recovery, store
    from .tracking.masking import mask

    outbox = store.current()
    if outbox is None:
        raise TrackingError("not connected; type %mlflow_connect")
    left = recovery.left(mask(session.connection.uri))
    others = _Recovery(session) if left else None
    if others is not None:
        others.left |= {one.folder: one.words for one in left}
        others.wait({one.folder for one in left if one.is_own})
    begun = time.monotonic()
    done = outbox.sync(progress)
    if others is not None:
        others.wait({one.folder for one in left}, max(0.0, begun + OTHERS_SECONDS - time.monotonic()))
        _tell(session, others.news())
    _tell(session, [f"{words}: not through yet, it goes on in the background" for words in _late()])
    if others is not None and not others.ended:
        threading.Thread(target=_rest, args=(session, others), name="mlflow_magics recovery", daemon=True).start()
    return done
