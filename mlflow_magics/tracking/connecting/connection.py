"""Connects this kernel to a store: finds it, tries it, puts it in place, and takes it back.

A connection is process-wide because MLflow's own notion of it is: the tracking URI and the active experiment are
globals of MLflow's modules, so that the user's own ``mlflow.log_metric`` goes where the magics' runs go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...vocabulary.errors import ConnectionFailedError
from ...vocabulary.stores import Connection, SignIn
from ..calls.interrupts import uninterrupted
from ..calls.masking import mask
from ..calls.patience import limits
from ..calls.patience.waiting import within
from ..failures.diagnosis import ReachError
from ..location import discover, localstore, process_state
from ..location.plugs import Entered, plug_of, plugs
from ..location.process_state import State, StateChange
from ..location.uris import Target
from ..outbox.outbox import Outbox
from ..patches import store
from . import connected, probe
from .connected import Connected
from .experiments import Experiment, find_or_create, opened, unasked

_OFFLINE = "offline: nothing is sent until %mlflow_sync"


def connect(
    uri: str | None = None,
    *,
    experiment: str | None = None,
    registry_uri: str | None = None,
    folder: str | None = None,
    config: str | None = None,
    sign_in: SignIn | None = None,
    offline: bool = False,
    within_seconds: float | None = None,
    then: Callable[[Connection], object] = bool,
) -> Connection:
    """Track to a store from now on: our runs, autolog's, and the user's own MLflow calls.

    Parameters
    ----------
    uri : str, optional
        A tracking URI, a folder, or ``local``. Without it: a string assigned to ``mlflow.set_tracking_uri``, what
        ``mlflow.set_tracking_uri`` was called with, ``MLFLOW_TRACKING_URI``, the Azure ML workspace of a config.json
        in `folder` or above it, else an SQLite store in `folder`.
    experiment : str, optional
        Its name; created if missing. Without it: the active one of that store, ``MLFLOW_EXPERIMENT_NAME`` or
        ``MLFLOW_EXPERIMENT_ID``, else MLflow's ``Default``.
    registry_uri : str, optional
        The model registry, where it is not in the tracking store.
    folder : str, optional
        The notebook's folder; the working directory if None.
    config : str, optional
        The config.json of an Azure ML workspace, or a folder to look in.
    sign_in : SignIn, optional
        How a person may sign in to Azure.
    offline : bool, optional
        Whether to ask the store nothing, and to send only when told to.
    within_seconds : float, optional
        How long a server may take to be reached; then the connection is made all the same, and what is written waits.
        Without it, an unreachable server is an error.
    then : callable, optional
        Called with the connection as soon as it is made, before a Ctrl-C can come between.

    Returns
    -------
    Connection
        Where, why, as whom, and what the user should know. At most three requests to a server were made.

    Raises
    ------
    ConnectionFailedError
        If the store cannot be reached or used; then everything is as it was before.
    """
    here, before, earlier = process_state.take(), connected.unconnected(), connected.now
    placed, sign_ins = localstore.roots(), [plug.remember() for plug in plugs()]
    gone = "" if earlier is None or connected.has_moved() else _gone()
    anew = bool(gone) and uri is None and config is None
    if anew and earlier is not None:
        # Whatever rule had chosen the store that is missing: it is made anew, and goes on where it was.
        outbox, uri, active = store.current(), earlier.target.uri, here[process_state.EXPERIMENT]
        experiment = experiment or (outbox.experiment_named(active) if outbox is not None and active else None)
    choice = connected.choose(uri, experiment, folder, config)
    if anew and earlier is not None:
        choice = replace(choice, origin=earlier.origin)
    entered: Entered | None = None
    outbox = old = None
    try:
        choice, entered = _enter(choice, before, experiment, folder, offline, within_seconds, sign_in)
        trouble = entered.trouble if entered is not None else ""
        if not (offline or trouble):
            trouble = _reach(choice.target, before, within_seconds)
        target = choice.target
        existed = target.path is not None and target.path.is_file() and target.path.stat().st_size > 0
        experiment_found, ours, plain = _put_in_place(choice, before, registry_uri, asking=not (offline or trouble))
        if entered is not None:
            ours |= entered.variables
        outbox = store.prepare(plain, target.uri, mask(target.uri), offline=offline)
        if trouble:
            outbox.sender.unreachable(trouble)
        if experiment_found.experiment_id:
            outbox.know_experiment(experiment_found.experiment_id, experiment_found.name)
        else:
            experiment_found = replace(experiment_found, experiment_id=outbox.local_experiment(experiment_found.name))
            ours |= {process_state.EXPERIMENT: experiment_found.experiment_id}
            process_state.put({process_state.EXPERIMENT: experiment_found.experiment_id})
        notes = [_anew(target, existed)] if gone and earlier is not None and target.uri == earlier.target.uri else []
        notes += [f"{trouble}: what is logged is kept, and sent when it answers"] if trouble else []
        notes = [_OFFLINE] if offline else notes
        made = connected.record(choice, experiment_found, tuple(notes), entered.user if entered else "")
        with uninterrupted():
            old = store.put(outbox)
            discover.repair()
            connected.now = Connected(target, StateChange(before, ours), choice.origin)
            then(made)
    except BaseException:
        # An interrupt too: half a connection would send the user's next run to a place nobody chose.
        with uninterrupted():
            if connected.now is earlier:
                localstore.place(placed)
                process_state.put(here)
                for put_back in sign_ins:
                    put_back()
                if outbox is not None:
                    outbox.close(0.0)
            else:
                _let_go(old, earlier, target)
        raise
    _let_go(old, earlier, target)
    return made


def _gone() -> str:
    """Return what happened to the file of the connected store; empty where it is there, or the store is none."""
    outbox = store.current()
    return outbox.delivery.requests.file.gone() if outbox is not None else ""


def _anew(target: Target, existed: bool) -> str:
    if existed:
        return f"{target.where} is another file than before: the runs that the earlier one held are not in it"
    return f"{target.where} was deleted: it was made anew, without the runs that it held"


def _let_go(old: Outbox | None, earlier: Connected | None, target: Target) -> None:
    """Close what was connected before; what waits there is sent with that sign-in."""
    if old is not None:
        if old.tracking_uri == target.uri and old.delivery.requests.file.gone():
            old.start_over()
        store.close(old)
    if earlier is not None and earlier.target.uri != target.uri:
        _leave(earlier.target)


def disconnect() -> None:
    """Take back what connecting put in place; what the user has changed since stays. Harmless when not connected."""
    if connected.now is None:
        return
    # First: what is waiting is sent with the limits and to the place of this connection.
    store.remove()
    process_state.put(connected.unconnected())
    localstore.place({})
    _leave(connected.now.target)
    connected.now = None


def _enter(
    choice: discover.Choice,
    before: State,
    experiment: str | None,
    folder: str | None,
    offline: bool,
    within_seconds: float | None,
    sign_in: SignIn | None,
) -> tuple[discover.Choice, Entered | None]:
    """Sign in where that is needed, or track locally where nobody asked for that store and it cannot be had."""
    plug = plug_of(choice.target.kind)
    if plug is None:
        return choice, None
    try:
        waiting = within_seconds is not None
        entered = plug.enter(choice.target, before, asking=not offline, waiting=waiting, how=sign_in)
    except ConnectionFailedError as error:
        if within_seconds is None or choice.origin == "given" or choice.target.config is None:
            raise
        # A config.json that lies about must not cost a cell its run.
        local = connected.choose("local", experiment, folder)
        note = f"{choice.origin} names {choice.target.where}, but {error.reason}: {error.hint}, then %mlflow_connect"
        return replace(local, origin=discover.LOCAL, notes=(*local.notes, note)), None
    return replace(choice, target=entered.target, notes=choice.notes + entered.notes), entered


def _leave(target: Target) -> None:
    """Take back what was placed to sign in to a store."""
    if plug := plug_of(target.kind):
        plug.leave(target)


def _reach(target: Target, before: State, seconds: float | None) -> str:
    """See whether the store is there; return why not, where that is no error."""
    if seconds is None:
        probe.reach(target, before)
        return ""
    try:
        within(seconds, lambda: probe.reach(target, before))
    except ReachError as error:
        return f"{error.where}: {error.reason}"
    except TimeoutError:
        return f"{target.where}: no answer within {seconds:g} s"
    return ""


def _put_in_place(
    choice: discover.Choice, before: State, registry_uri: str | None, *, asking: bool
) -> tuple[Experiment, State, Any]:
    target = choice.target
    short = limits.absent(before)
    process_state.put(short)
    localstore.place({target.uri: str(target.artifacts)} if target.artifacts else {})
    plain = opened(target, choice.wanted)
    experiment = find_or_create(target, choice.wanted, plain) if asking else unasked(choice.wanted)
    known = experiment.experiment_id or None
    ours: State = {
        **before,
        **short,
        process_state.TRACKING_URI: target.uri,
        process_state.EXPERIMENT: known,
        # For child processes.
        "MLFLOW_TRACKING_URI": target.uri,
        "MLFLOW_EXPERIMENT_ID": known,
    }
    if before["MLFLOW_EXPERIMENT_NAME"] is not None:
        # A child process refuses an id and a name that disagree.
        ours["MLFLOW_EXPERIMENT_NAME"] = experiment.name
    if registry_uri is not None:
        ours[process_state.REGISTRY_URI] = ours["MLFLOW_REGISTRY_URI"] = registry_uri
    process_state.put(ours)
    return experiment, ours, plain
