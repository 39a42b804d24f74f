"""What waits in outboxes, sent: that of dead kernels in the background, one's own when asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import TrackingError

if TYPE_CHECKING:
    from .records import Sync
    from .session import Session


def recover(session: Session) -> None:
    """Look for what dead kernels have left, and send it, without keeping anybody waiting.

    Parameters
    ----------
    session : Session
        Its `news` gets what there is to tell.
    """
    threading.Thread(target=_recover, args=(session,), name="mlflow_magics recovery", daemon=True).start()


def _recover(session: Session) -> None:
    _tell(session, _recovered(session))


def _tell(session: Session, lines: list[str]) -> None:
    # What is found both on loading and on connecting is told once.
    session.news += [line for line in lines if line not in session.news]


def _recovered(session: Session) -> list[str]:
    """Send what dead kernels left, in a process of its own; see :mod:`.tracking.recovery` for why."""
    from .tracking import journal, setaside
    from .tracking.masking import mask

    if not journal.left_behind():
        return setaside.tell()
    uri = session.connection.uri if session.connection is not None else ""
    package = str(Path(__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-m", "mlflow_magics.tracking.recovery"],
        input=json.dumps({"tracking_uri": uri, "address": mask(uri)}),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))},
        capture_output=True,
        text=True,
        start_new_session=True,  # a Ctrl-C is meant for the cell
    )
    try:
        said: list[str] = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        return [f"what an earlier kernel left was not sent: {''.join(done.stderr.splitlines()[-1:])}"]
    return said


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
    from .tracking import store

    _tell(session, _recovered(session))
    outbox = store.current()
    if outbox is None:
        raise TrackingError("not connected; type %mlflow_connect")
    return outbox.sync(progress)
