"""What dead kernels have left behind: sent, and their open runs closed as KILLED."""

from __future__ import annotations

from mlflow.entities import RunStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service.utils import _tracking_store_registry as registry

from . import journal
from .delivery import Delivery
from .guards import reason
from .journal import Journal, JournalError
from .patience import patience
from .points import PointLog
from .store import OutboxStore
from .verdicts import UnavailableError, verdict


def recover(tracking_uri: str = "", address: str = "") -> list[str]:
    """Send what lies in the journals that no living kernel owns.

    Parameters
    ----------
    tracking_uri, address : str, optional
        The connected store and its address without credentials: journals for it are sent with these credentials.

    Returns
    -------
    list of str
        A line for each journal that something was sent of, and for each that must wait.
    """
    said = []
    for folder in journal.left_behind():
        try:
            found = journal.take_over(folder)
        except JournalError as error:
            said.append(str(error))
            continue
        if found is not None:
            said += _recover(found, tracking_uri, address)
    return said


def _recover(found: Journal, tracking_uri: str, address: str) -> list[str]:
    uri = found.fact("uri")
    points = PointLog(found.folder, 0, lambda *_: None)
    rows, runs = found.rows(), [run for run in found.runs() if run.open]
    waiting = len(rows) + points.count(int(found.fact("position") or 0))
    if not (waiting or runs):
        points.close()
        found.close(remove=True)
        return []
    delivery = Delivery(found, points, _store(tracking_uri if uri == address else uri), uri)
    delivery.spilled += points.held()
    try:
        while delivery.round(settled=True):
            pass
        killed = [_kill(delivery, run.id, run.written) for run in found.runs() if run.open]
    except Exception as error:  # noqa: BLE001
        # The store is unavailable, mostly. Whatever else a store raises, what is left stays for the next kernel.
        points.close()
        found.close(remove=False)
        return [f"an earlier kernel left {waiting} writes for {uri}, which cannot be sent now: {reason(error)}"]
    points.close()
    found.close(remove=True)
    said = [f"sent {delivery.sent} writes that an earlier kernel left"] if delivery.sent else []
    return said + [f"run {name} was open when its kernel died: closed as KILLED" for name in killed if name]


def _kill(delivery: Delivery, run_id: str, written: int) -> str:
    """Close a run with the time of its last write; return its name."""
    with patience():
        remote = delivery.remote(run_id)
        try:
            run = delivery.store.get_run(remote)
        except MlflowException as error:
            if verdict(error) == "refused":
                return ""  # somebody has deleted it
            raise UnavailableError(reason(error)) from error
        if run.info.status == "RUNNING":
            delivery.store.update_run_info(remote, RunStatus.from_string("KILLED"), written, None)
            return str(run.info.run_name)
    return ""


def _store(uri: str) -> OutboxStore:
    found = registry.get_store(uri)
    return getattr(found, "_wrapped", found) if type(found) is OutboxStore else found
