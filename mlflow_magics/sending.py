"""What waits in outboxes, sent: that of dead kernels in the background, one's own when asked."""

from __future__ import annotations

import threading
from collections.abc import Callable
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
    from .tracking import journal

    # MLflow is imported only where there is something to send.
    if journal.left_behind():
        session.news += _recovered(session)


def _recovered(session: Session) -> list[str]:
    from .tracking import recovery
    from .tracking.masking import mask

    uri = session.connection.uri if session.connection is not None else ""
    return recovery.recover(uri, mask(uri))


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

    session.news += _recovered(session)
    outbox = store.current()
    if outbox is None:
        raise TrackingError("not connected; type %mlflow_connect")
    return outbox.sync(progress)
