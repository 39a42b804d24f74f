"""Where this kernel tracks to: found, tried, put in place, and taken back.

A connection is process-wide because MLflow's own notion of it is: the tracking URI and the active experiment are
globals of MLflow's modules, so that the user's own ``mlflow.log_metric`` goes where the magics' runs go.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import mlflow

from ..errors import ConnectionFailedError, MlflowMagicsError
from ..records import Connection, SignIn
from . import discover, footprint, limits, localstore, probe, store
from .azure import entering
from .diagnosis import ReachError
from .experiments import Experiment, find_or_create, unasked
from .footprint import Footprint, State
from .links import experiment_url, run_url
from .masking import mask, mask_text
from .uris import Target
from .waiting import within

__all__ = [
    "chosen_experiment",
    "connect",
    "disconnect",
    "experiment_name",
    "experiment_url",
    "has_moved",
    "held",
    "mask",
    "mask_text",
    "run_url",
    "use_experiment",
]


@dataclass
class _Held:
    """What is connected now."""

    target: Target
    footprint: Footprint
    experiments: dict[str, tuple[str, str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


_held: _Held | None = None

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

    Returns
    -------
    Connection
        Where, why, as whom, and what the user should know. At most three requests to a server were made.

    Raises
    ------
    ConnectionFailedError
        If the store cannot be reached or used; then everything is as it was before.
    """
    global _held
    here, before = footprint.take(), unconnected()
    choice = choose(uri, experiment, folder, config)
    placed = localstore.roots()
    entered: entering.Entered | None = None
    try:
        if choice.target.kind == "azureml":
            choice, entered = _enter(choice, before, experiment, folder, offline, within_seconds, sign_in)
        trouble = entered.trouble if entered is not None else ""
        if not (offline or trouble):
            trouble = _reach(choice.target, before, within_seconds)
        found, ours = _put_in_place(choice, before, registry_uri, asking=not (offline or trouble))
    except BaseException:
        # An interrupt too: half a connection would send the user's next run to a place nobody chose.
        localstore.place(placed)
        footprint.put(here)
        if entered is not None and (_held is None or _held.target.uri != entered.target.uri):
            entering.leave(entered.target)
        raise
    discover.repair()
    if _held is not None and _held.target.uri != choice.target.uri:
        store.remove()  # what waits there is sent with that sign-in
        entering.leave(_held.target)
    if entered is not None:
        ours |= entered.variables
    _held = _Held(choice.target, Footprint(before, ours))
    outbox = store.install(choice.target.uri, mask(choice.target.uri), offline=offline)
    if trouble:
        outbox.sender.unreachable(trouble)
    if found.experiment_id:
        outbox.know_experiment(found.experiment_id, found.name)
    else:
        found = replace(found, experiment_id=outbox.local_experiment(found.name))
        footprint.put({footprint.EXPERIMENT: found.experiment_id})
        _held.footprint = Footprint(before, {**ours, footprint.EXPERIMENT: found.experiment_id})
    notes = [f"{trouble}: what is logged is kept, and sent when it answers"] if trouble else []
    return _record(choice, found, (_OFFLINE,) if offline else tuple(notes), entered.user if entered else "")


def disconnect() -> None:
    """Take back what connecting put in place; what the user has changed since stays. Harmless when not connected."""
    global _held
    if _held is None:
        return
    # First: what is waiting is sent with the limits and to the place of this connection.
    store.remove()
    footprint.put(unconnected())
    localstore.place({})
    entering.leave(_held.target)
    _held = None


def use_experiment(name: str) -> tuple[str, str]:
    """Look up an experiment of the connected store, and make it if it is missing.

    Parameters
    ----------
    name : str
        Its name.

    Returns
    -------
    tuple of str
        Its id, and the address of its page (empty where the store has none). Asked of the store once a connection.

    Raises
    ------
    MlflowMagicsError
        If nothing is connected.
    ConnectionFailedError
        If the experiment is deleted, or the store fails.
    """
    if _held is None:
        raise MlflowMagicsError("not connected to a tracking store; run %mlflow_connect first")
    if name not in _held.experiments:
        found = find_or_create(_held.target, discover.Wanted(name=name))
        url = experiment_url(_held.target.uri, found.experiment_id)
        _held.experiments[name] = (found.experiment_id, url)
    return _held.experiments[name]


def change_experiment(name: str) -> tuple[str, str]:
    """Have new runs, also those of the user's own MLflow calls, go to another experiment of the connected store.

    Parameters
    ----------
    name : str
        Its name; created if missing.

    Returns
    -------
    tuple of str
        Its id, and the address of its page.

    Raises
    ------
    MlflowMagicsError
        If nothing is connected.
    ConnectionFailedError
        If the experiment is deleted, or the store fails.
    """
    experiment_id, url = use_experiment(name)
    assert _held is not None
    chosen = {footprint.EXPERIMENT: experiment_id, "MLFLOW_EXPERIMENT_ID": experiment_id}
    footprint.put(chosen)
    _held.footprint = Footprint(_held.footprint.before, {**_held.footprint.ours, **chosen})
    return experiment_id, url


def is_connected_to(uri: str) -> bool:
    """Tell whether a store is the one that is connected.

    Parameters
    ----------
    uri : str
        Its tracking URI.

    Returns
    -------
    bool
        Whether it is.
    """
    return _held is not None and _held.target.uri == uri


def artifact_root() -> str:
    """Return where a local store keeps its artifacts; empty for every other one."""
    return str(_held.target.artifacts) if _held is not None and _held.target.artifacts is not None else ""


def has_moved() -> bool:
    """Tell whether the user has called ``mlflow.set_tracking_uri`` since :func:`connect`.

    Returns
    -------
    bool
        Whether MLflow now tracks elsewhere.
    """
    return (
        _held is not None and footprint.take()[footprint.TRACKING_URI] != _held.footprint.ours[footprint.TRACKING_URI]
    )


@contextmanager
def held() -> Iterator[None]:
    """Track to the connected store for as long as the block runs, where the user has moved MLflow elsewhere since.

    A run is written to and closed where it was opened, also if its own cell calls ``mlflow.set_tracking_uri``.

    Yields
    ------
    None
    """
    if _held is None or not has_moved():
        yield
        return
    now = footprint.take()
    footprint.put({footprint.TRACKING_URI: _held.footprint.ours[footprint.TRACKING_URI]})
    try:
        yield
    finally:
        footprint.put(now)


def chosen_experiment() -> tuple[str, str] | None:
    """Return the experiment that the user has set with ``mlflow.set_experiment`` since :func:`connect`.

    Returns
    -------
    tuple of str, or None
        Its id and name; None where there is none. The name is asked of the store once a connection.

    Raises
    ------
    ConnectionFailedError
        If the store fails.
    """
    if _held is None or (chosen := _held.footprint.chosen_since(footprint.take())) is None:
        return None
    return chosen, experiment_name(chosen)


def experiment_name(experiment_id: str) -> str:
    """Return the name of an experiment of the connected store; asked once a connection.

    Parameters
    ----------
    experiment_id : str
        Its id.

    Returns
    -------
    str
        Its name.

    Raises
    ------
    MlflowMagicsError
        If nothing is connected.
    ConnectionFailedError
        If there is no such experiment, or the store fails.
    """
    if _held is None:
        raise MlflowMagicsError("not connected to a tracking store; run %mlflow_connect first")
    if experiment_id not in _held.names:
        wanted = discover.Wanted(experiment_id=experiment_id)
        _held.names[experiment_id] = find_or_create(_held.target, wanted).name
    return _held.names[experiment_id]


def choose(uri: str | None, experiment: str | None, folder: str | None, config: str | None = None) -> discover.Choice:
    """Decide where to track, by the rules of :func:`connect`, without going there.

    Parameters
    ----------
    uri, experiment, folder, config : str or None
        As for :func:`connect`.

    Returns
    -------
    Choice
        The store, why, and the experiment.

    Raises
    ------
    ConnectionFailedError
        If what applies cannot be read as a tracking URI.
    """
    chosen = None if _held is None else _held.footprint.chosen_since(footprint.take())
    here = {_held.target.uri: chosen} if _held is not None and chosen else {}
    return discover.choose(uri, experiment, unconnected(), Path(folder) if folder else Path.cwd(), here, config)


def unconnected() -> State:
    """Read the process's state as if we had never connected.

    Returns
    -------
    dict of str to str or None
        As :mod:`.footprint` describes it: what the user and the environment say, without our own doing.
    """
    here = footprint.take()
    return here if _held is None else _held.footprint.without(here)


def _enter(
    choice: discover.Choice,
    before: State,
    experiment: str | None,
    folder: str | None,
    offline: bool,
    within_seconds: float | None,
    sign_in: SignIn | None,
) -> tuple[discover.Choice, entering.Entered | None]:
    """Sign in to the workspace that was chosen, or track locally where nobody asked for it and it cannot be had."""
    try:
        waiting = within_seconds is not None
        entered = entering.enter(choice.target, before, asking=not offline, waiting=waiting, how=sign_in)
    except ConnectionFailedError as error:
        if within_seconds is None or choice.origin == "given" or choice.target.config is None:
            raise
        # A config.json that lies about must not cost a cell its run.
        local = choose("local", experiment, folder)
        note = f"{choice.origin} names {choice.target.where}, but {error.reason}: {error.mend}, then %mlflow_connect"
        return replace(local, origin=discover.LOCAL, notes=(*local.notes, note)), None
    return replace(choice, target=entered.target, notes=choice.notes + entered.notes), entered


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
) -> tuple[Experiment, State]:
    target = choice.target
    patience = limits.absent(before)
    footprint.put(patience)
    localstore.place({target.uri: str(target.artifacts)} if target.artifacts else {})
    found = find_or_create(target, choice.wanted) if asking else unasked(choice.wanted)
    known = found.experiment_id or None
    ours: State = {
        **before,
        **patience,
        footprint.TRACKING_URI: target.uri,
        footprint.EXPERIMENT: known,
        # For child processes.
        "MLFLOW_TRACKING_URI": target.uri,
        "MLFLOW_EXPERIMENT_ID": known,
    }
    if before["MLFLOW_EXPERIMENT_NAME"] is not None:
        # A child process refuses an id and a name that disagree.
        ours["MLFLOW_EXPERIMENT_NAME"] = found.name
    if registry_uri is not None:
        ours[footprint.REGISTRY_URI] = ours["MLFLOW_REGISTRY_URI"] = registry_uri
    footprint.put(ours)
    return found, ours


def _record(choice: discover.Choice, found: Experiment, notes: tuple[str, ...], user: str) -> Connection:
    target = choice.target
    created = (f"created the experiment {found.name!r}",) if found.created else ()
    return Connection(
        uri=target.uri,
        where=target.where,
        user=user or user_of(target),
        origin=choice.origin,
        experiment_id=found.experiment_id,
        experiment_name=found.name,
        experiment_url=experiment_url(target.uri, found.experiment_id),
        mlflow_version=mlflow.__version__,
        notes=choice.notes + created + notes,
    )


def user_of(target: Target) -> str:
    """Tell as whom runs are recorded.

    Parameters
    ----------
    target : Target
        The store.

    Returns
    -------
    str
        The name in the URI, in MLflow's credentials, or of the account.
    """
    from mlflow.tracking.context.default_context import DefaultRunContext
    from mlflow.utils.mlflow_tags import MLFLOW_USER

    if target.kind == "server":
        parts = urlsplit(target.uri)
        # A name alone, without a password, is often a token.
        if parts.username and parts.password:
            return unquote(parts.username)
    try:
        return str(DefaultRunContext().tags()[MLFLOW_USER])
    except (KeyError, OSError):
        # A container may run under a number that no name belongs to.
        return "unknown"
