"""Sends what waits in outboxes: that of dead kernels in the background, one's own when asked."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..vocabulary.errors import TrackingError

if TYPE_CHECKING:
    from ..tracking.connecting.recovery import Left
    from ..vocabulary.stores import Sync
    from .state import SessionState


OTHERS_SECONDS = 5.0
"""How long ``%mlflow_sync`` waits, in all, for what dead kernels left for other servers."""


def recover(session: SessionState) -> None:
    """Look for what dead kernels have left, and send it, without keeping anybody waiting.

    Parameters
    ----------
    session : SessionState
        Its `news` gets what there is to tell.
    """
    token = object()
    with _changed:
        _beginning.add(token)
    thread = threading.Thread(target=_recover, args=(session, token), name="mlflow_magics recovery", daemon=True)
    thread.start()


def _recover(session: SessionState, token: object) -> None:
    from ..tracking.outbox.disk import journals
    from ..tracking.outbox.disk.damage import setaside

    try:
        with _changed:  # one that looks into each journal holds it for a moment, and this one would pass it by
            _changed.wait_for(lambda: all(one.ended or one.listed for one in _running))
        recovery = _Recovery(session) if journals.left_behind() else None
    finally:
        with _changed:
            _beginning.discard(token)
            _changed.notify_all()
    if recovery is not None:
        _follow(session, recovery)
    else:
        _tell(session, setaside.tell())


def _follow(session: SessionState, recovery: _Recovery) -> None:
    """Wait for the end of a recovery, and tell what it has to say."""
    with _changed:
        _changed.wait_for(lambda: recovery.ended)
    _tell(session, recovery.news())


def _tell(session: SessionState, lines: list[str]) -> None:
    # What is found both on loading and on connecting is told once.
    session.news += [line for line in lines if line not in session.news]


class _Recovery:
    """A process that sends what dead kernels left, journal by journal; see :mod:`..tracking.connecting.recovery`."""

    def __init__(self, session: SessionState, left: Sequence[Left] = ()) -> None:
        import subprocess  # late: %load_ext imports this module

        from ..tracking.calls.masking import mask

        uri = session.connection.uri if session.connection is not None else ""
        package = str(Path(__file__).parents[2])
        self.left = {one.folder: (one.address, one.words) for one in left}
        self.listed = bool(left)
        self.through: set[str] = set()
        self._lines: list[str] = []
        self.ended = False
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlflow_magics.tracking.connecting.recovery"],
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
                    what, folder, lines = json.loads(line)
                except (ValueError, TypeError):
                    last = line.strip() or last  # a library's warning, or a traceback
                    continue
                with _changed:
                    self._take(what, folder, lines)
                    _changed.notify_all()
        failed = self._process.wait() != 0
        with _changed:
            self._lines += [f"what an earlier kernel left was not sent: {last}"] if failed else []
            self.ended = True
            _running.discard(self)
            _changed.notify_all()

    def _take(self, what: str, folder: str, lines: list[str]) -> None:
        if what == "left":
            address, words = lines
            self.left[folder] = address, words
        elif what == "listed":
            self.listed = True
        else:
            self.through.add(folder)
            self._lines += lines

    def of(self, address: str) -> set[str]:
        """Return the folders of a store's journals."""
        return {folder for folder, (of, _) in self.left.items() if of == address}

    def late(self) -> list[str]:
        """Return what lies in each journal that it is not through with."""
        return [words for folder, (_, words) in self.left.items() if folder not in self.through]

    def news(self) -> list[str]:
        """Return the lines that were not taken yet."""
        with _changed:
            lines, self._lines = self._lines, []
        return lines


_beginning: set[object] = set()
_running: set[_Recovery] = set()
_changed = threading.Condition()
"""Of all recoveries: one waits for another that holds the same journal."""


def _recovered(session: SessionState, address: str) -> list[_Recovery]:
    """Have sent what dead kernels left for a store, and return the recoveries that were begun for it.

    One that was begun when the extension was loaded, or connected, or another kernel's, may have locked some of it:
    that is waited for. What is for other stores goes on behind us.
    """
    from ..tracking.connecting import recovery
    from ..tracking.outbox.disk import journals

    with _changed:
        _changed.wait_for(lambda: not _beginning and all(one.ended or one.listed for one in _running))
        mine = {folder for one in _running for folder in one.of(address)}
    ours: list[_Recovery] = []
    tried: set[str] = set()
    while True:
        # Listed here, where MLflow is imported already: who has nothing to wait for waits for no process to begin.
        left = recovery.left()
        mine |= {one.folder for one in left if one.address == address}
        if fresh := {one.folder for one in left} - tried:
            tried |= fresh
            begun = _Recovery(session, left)
            ours.append(begun)
            with _changed:
                _changed.wait_for(lambda one=begun: one.ended or one.of(address) <= one.through)  # type: ignore[misc]
        held = set(filter(journals.is_held, mine))
        if not held:
            return ours
        tried -= held  # locked after it was listed: ours has passed it by, and tries again unless it gets sent
        time.sleep(_LOOK_SECONDS)


_LOOK_SECONDS: Final = 0.1
"""How often it is looked whether a journal is still locked."""


def sync(session: SessionState, progress: Callable[[int, int], None]) -> Sync:
    """Send all that waits, this kernel's and what dead ones left.

    Parameters
    ----------
    session : SessionState
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
    from ..tracking.calls.masking import mask
    from ..tracking.patches import store

    outbox = store.connected()
    address = mask(session.connection.uri)
    ours = _recovered(session, address)
    begun = time.monotonic()
    done = outbox.syncing.sync(progress)
    with _changed:
        rest = max(0.0, begun + OTHERS_SECONDS - time.monotonic())
        _changed.wait_for(lambda: all(one.ended for one in ours), timeout=rest)
        late = sorted({words for one in _running for words in one.late()})
    for one in ours:
        _tell(session, one.news())
        if not one.ended:
            threading.Thread(target=_follow, args=(session, one), name="mlflow_magics recovery", daemon=True).start()
    _tell(session, [f"{words}: not through yet, it goes on in the background" for words in late])
    return done
