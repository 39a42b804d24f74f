"""Sends what dead kernels have left, and closes their open runs, as KILLED if nothing better is known.

``python -m mlflow_magics.tracking.connecting.recovery`` does it in a process of its own: importing MLflow in a thread
meets the user's own import of it half-way, and Python then breaks one of the two off as a deadlock.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass

from mlflow.entities import RunStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service.utils import _get_store

from ..calls import silence
from ..calls.guards import reason
from ..calls.masking import mask
from ..calls.patience import timeouts
from ..failures.kinds import UnavailableError, failure_kind
from ..location import localstore, storefile
from ..location.plugs import plug_of
from ..outbox.disk import journals
from ..outbox.disk.damage import setaside
from ..outbox.disk.database import JournalError
from ..outbox.disk.entries import RunEntry
from ..outbox.disk.journal import ENDS, Journal
from ..outbox.disk.points.points import PointLog
from ..outbox.numbers import keptback
from ..outbox.sending.creating import ORIGIN_TAG
from ..outbox.sending.delivery import Delivery
from ..patches.model_records import older_models


@dataclass(frozen=True)
class Left:
    """A journal that no living kernel owns.

    Attributes
    ----------
    folder : str
        Its name.
    address : str
        The store that it is for, without credentials; empty where that cannot be read.
    words : str
        What lies in it.
    """

    folder: str
    address: str
    words: str


def left() -> list[Left]:
    """Tell what lies in the journals that no living kernel owns, and send nothing of it."""
    known = []
    for folder in journals.left_behind():
        try:
            journal = journals.take_over(folder)
        except JournalError:
            continue  # told when it is to be sent
        if journal is None:
            continue
        try:
            known.append(_left(journal))
        finally:
            journal.close(remove=False)
    return known


def _left(journal: Journal) -> Left:
    try:
        uri = journal.fact("uri")
        points = PointLog(journal.folder, 0, lambda *_: None)
        try:
            words = _left_for(uri, _waiting(journal, points))
        finally:
            points.close()
        return Left(journal.folder.name, uri, words)
    except Exception:  # noqa: BLE001
        # Broken, mostly; what becomes of it is told when it is to be sent.
        return Left(journal.folder.name, "", f"an earlier kernel left the outbox {journal.folder}")


def recover(
    tracking_uri: str = "", address: str = "", tell: Callable[[str, str, list[str]], None] = lambda *_: None
) -> list[str]:
    """Send what lies in the journals that no living kernel owns.

    Parameters
    ----------
    tracking_uri, address : str, optional
        The connected store and its address without credentials: journals for it are sent first, with these credentials.
    tell : callable, optional
        Called with what is told, the name of the journal that it is of, and its lines: "left" with the store's
        address and what lies there; "listed", after those that lie there now; "done" with what came of one.

    Returns
    -------
    list of str
        A line for each journal that something was sent of, for each that must wait, and for each of which something
        was set aside.
    """
    news = []
    timeouts.install()
    silence.install()
    lying = left()
    for each in lying:
        tell("left", each.folder, [each.address, each.words])
    tell("listed", "", [])
    listed = {each.folder for each in lying}
    first = {each.folder for each in lying if each.address == address}
    for folder in sorted(journals.left_behind(), key=lambda folder: folder.name not in first):
        try:
            journal = journals.take_over(folder)
            if journal is not None and folder.name not in listed:  # it was locked, or not there yet
                this = _left(journal)
                tell("left", this.folder, [this.address, this.words])
            lines = _recover(journal, tracking_uri, address) if journal is not None else []
        except JournalError as error:
            lines = [str(error)]
        news += lines
        tell("done", folder.name, lines)
    if kept := setaside.tell():
        news += kept
        tell("done", "", kept)
    return news


def _recover(journal: Journal, tracking_uri: str, address: str) -> list[str]:
    everything = False
    try:
        lines, everything = _bring(journal, tracking_uri, address)
    except Exception as error:  # noqa: BLE001
        # A broken disk or database, mostly. Nothing of it may take the other journals with it, or be deleted.
        journal.close(remove=False)
        moved = setaside.move(journal.folder, whole=True)
        return [f"the outbox of an earlier kernel cannot be read ({reason(error)}): kept in {moved or journal.folder}"]
    journal.close(remove=everything)
    return lines


def _bring(journal: Journal, tracking_uri: str, address: str) -> tuple[list[str], bool]:
    """Send what is in a journal; return what to tell, and whether nothing is left in it."""
    uri = journal.fact("uri")
    points = PointLog(journal.folder, 0, lambda *_: None)
    position = journal.position()
    if lost := points.damage(position, journal.noted_end()):
        setaside.say_once(journal.folder, "points", lost)
    runs = [run for run in journal.runs() if run.open]
    waiting = _waiting(journal, points)
    if not (waiting or runs):
        return [], True
    if not uri:
        raise JournalError("nothing says where it was to be sent")
    left = _left_for(uri, waiting)
    if uri != address and "***" in uri:  # without the credentials it would only be refused
        return [f"{left}; %mlflow_connect to it sends them"], False
    uri = tracking_uri if uri == address else uri
    path = storefile.path_of(uri)
    if path is not None and not path.is_file():  # it would be made anew, in a folder that somebody has deleted
        hint = f"%mlflow_connect {mask(uri)} makes it anew and sends them, or delete {journal.folder}"
        return [f"{left}, whose file was deleted; {hint}"], False
    trouble = ""
    closed: list[tuple[str, str]] = []
    try:
        if plug := plug_of(uri):
            plug.enter_later(uri)
        if path is not None:
            localstore.place({uri: str(path.parent / "mlartifacts")})
        delivery = Delivery(journal, points, older_models.over(_get_store(uri), uri), uri)
        delivery.spilled += [*points.held.points(), *keptback.left(journal.folder)]
        while delivery.round(settled=True):
            pass
        if delivery.splitter.stage_all_over_limit():
            while delivery.round(settled=True):
                pass
        delivery.creator.close_twins()
        ends = json.loads(journal.fact(ENDS) or "{}")
        still_open = [run for run in journal.runs() if run.open]
        closed = [(_close(delivery, run, end), end) for run in still_open if (end := ends.get(run.id, "KILLED"))]
        trouble = delivery.files.trouble if journal.rows() else ""
    except Exception as error:  # noqa: BLE001
        # The store is unavailable, mostly. Whatever else a store raises, what is left stays for the next kernel.
        trouble = reason(error)
    finally:
        localstore.place({})
        points.close()
    if trouble:
        return [f"{left}, which cannot be sent now: {trouble}"], False
    lines = [f"sent {_writes(delivery.sent)} that an earlier kernel left"] if delivery.sent else []
    lines += [f"run {name} was open when its kernel died: closed as {end}" for name, end in closed if name]
    refused = [what for found_of_run in delivery.refusals.by_run.values() for what, _ in found_of_run]
    if refused:
        lines.append(f"{mask(uri)} refused {len(refused)} of them ({', '.join(refused[:3])}); the runs' tags tell why")
    return lines, not journal.rows()


def _waiting(journal: Journal, points: PointLog) -> int:
    """Count what lies in a journal."""
    sent = journal.position()
    kept_back = sum(1 for _ in keptback.left(journal.folder))
    return len(journal.rows()) + len(journal.runs_over_limit()) + points.count(sent) + kept_back


def _left_for(uri: str, many: int) -> str:
    return f"an earlier kernel left {_writes(many)} for {mask(uri)}"


def _writes(many: int) -> str:
    return f"{many} write{'s' * (many != 1)}"


def _close(delivery: Delivery, entry: RunEntry, end: str) -> str:
    """Close a run with the time of its last write; return its name, or nothing where there is none to close."""
    with timeouts.one_try():
        if entry.creation.get("asked"):
            # Its kernel died while it was created: the store knows it, or nobody does.
            remote = delivery.creator.find(entry.experiment, entry.creation["tags"][ORIGIN_TAG])
        else:
            remote = delivery.creator.remote(entry.id)
        if not remote:
            return ""
        try:
            run = delivery.requests.store.get_run(remote)
            if run.info.status == "RUNNING" and run.info.lifecycle_stage == "active":
                delivery.requests.store.update_run_info(remote, RunStatus.from_string(end), entry.written, None)
                return str(run.info.run_name)
        except MlflowException as error:
            if failure_kind(error) != "refused":
                raise UnavailableError(reason(error)) from error
            # Otherwise somebody has deleted it.
    return ""


def _say(what: str, folder: str, lines: list[str]) -> None:
    """Print one journal's news as a line of JSON, for the kernel that started us."""
    sys.stdout.write(json.dumps((what, folder, lines)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    # Through a pipe, because it may hold credentials: a command line is seen by everybody.
    recover(**json.load(sys.stdin), tell=_say)
