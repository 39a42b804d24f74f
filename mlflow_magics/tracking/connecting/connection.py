"""Connects this kernel to a store: finds it, tries it, puts it in place, and takes it back.

A connection is process-wide because MLflow's own notion of it is: the tracking URI and the active experiment are
globals of MLflow's modules, so that the user's own ``mlflow.log_metric`` goes where the magics' runs go.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import mlflow

from ...vocabulary.errors import ConnectionFailedError, MlflowMagicsError
from ...vocabulary.records import Connection, SignIn
from ..calls import limits
from ..calls.interrupts import uninterrupted
from ..calls.masking import mask, mask_text
from ..calls.waiting import within
from ..failures.diagnosis import ReachError
from ..location import discover, localstore, process_state
from ..location.links import experiment_url, run_url
from ..location.plugs import Entered, plug_of, plugs
from ..location.process_state import State, StateChange
from ..location.uris import Target
from ..outbox.outbox import Outbox
from ..patches import store
from . import probe
from .experiments import Experiment, find_or_create, opened, unasked

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
    change: StateChange
    origin: str
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
    global _held
    here, before, earlier = process_state.take(), unconnected(), _held
    placed, sign_ins = localstore.roots(), [plug.remember() for plug in plugs()]
    gone = "" if earlier is None or has_moved() else _gone()
    anew = bool(gone) and uri is None and config is None
    if anew and earlier is not None:
        # Whatever rule had chosen the store that is missing: it is made anew, and goes on where it was.
        outbox, uri, active = store.current(), earlier.target.uri, here[process_state.EXPERIMENT]
        experiment = experiment or (outbox.experiment_named(active) if outbox is not None and active else None)
    choice = choose(uri, experiment, folder, config)
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
        found, ours, plain = _put_in_place(choice, before, registry_uri, asking=not (offline or trouble))
        if entered is not None:
            ours |= entered.variables
        outbox = store.prepare(plain, target.uri, mask(target.uri), offline=offline)
        if trouble:
            outbox.sender.unreachable(trouble)
        if found.experiment_id:
            outbox.know_experiment(found.experiment_id, found.name)
        else:
            found = replace(found, experiment_id=outbox.local_experiment(found.name))
            ours |= {process_state.EXPERIMENT: found.experiment_id}
            process_state.put({process_state.EXPERIMENT: found.experiment_id})
        notes = [_anew(target, existed)] if gone and earlier is not None and target.uri == earlier.target.uri else []
        notes += [f"{trouble}: what is logged is kept, and sent when it answers"] if trouble else []
        notes = [_OFFLINE] if offline else notes
        made = _record(choice, found, tuple(notes), entered.user if entered else "")
        with uninterrupted():
            old = store.put(outbox)
            discover.repair()
            _held = _Held(target, StateChange(before, ours), choice.origin)
            then(made)
    except BaseException:
        # An interrupt too: half a connection would send the user's next run to a place nobody chose.
        with uninterrupted():
            if _held is earlier:
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


def _let_go(old: Outbox | None, earlier: _Held | None, target: Target) -> None:
    """Close what was connected before; what waits there is sent with that sign-in."""
    if old is not None:
        if old.tracking_uri == target.uri and old.delivery.requests.file.gone():
            old.start_over()
        store.close(old)
    if earlier is not None and earlier.target.uri != target.uri:
        _leave(earlier.target)


def disconnect() -> None:
    """Take back what connecting put in place; what the user has changed since stays. Harmless when not connected."""
    global _held
    if _held is None:
        return
    # First: what is waiting is sent with the limits and to the place of this connection.
    store.remove()
    process_state.put(unconnected())
    localstore.place({})
    _leave(_held.target)
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
    chosen = {process_state.EXPERIMENT: experiment_id, "MLFLOW_EXPERIMENT_ID": experiment_id}
    process_state.put(chosen)
    _held.change = StateChange(_held.change.before, {**_held.change.ours, **chosen})
    return experiment_id, url


def is_connected_to(uri: str) -> bool:
    """Tell whether a store is the one that is connected."""
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
        _held is not None
        and process_state.take()[process_state.TRACKING_URI] != _held.change.ours[process_state.TRACKING_URI]
    )


def user_set() -> tuple[str | None, str | None]:
    """Return the places that the user has named himself: by ``mlflow.set_tracking_uri``, and by the variable."""
    return unconnected()[process_state.TRACKING_URI], os.environ.get("MLFLOW_TRACKING_URI")


def with_chosen_experiment(connected: Connection) -> Connection:
    """Return a connection with the experiment that new runs go to, as far as that is known without asking.

    Parameters
    ----------
    connected : Connection
        As :func:`connect` returned it.

    Returns
    -------
    Connection
        With the experiment of the user's own ``mlflow.set_experiment``, and a note where a variable says otherwise.
    """
    if _held is None:
        return connected
    here, ours = process_state.take(), _held.change.ours
    notes: tuple[str, ...] = ()
    changed = [
        name for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME") if here[name] not in (None, ours[name])
    ]
    if changed and not has_moved():
        notes = (f"{' and '.join(changed)} changed since: %mlflow_connect goes by it, the next run does not",)
    if (chosen := _held.change.chosen_since(here)) is not None:
        outbox = store.current()
        seen = outbox.experiment_named(chosen) if outbox is not None else ""
        name = seen or _held.names.get(chosen, "") or f"id {chosen}"
        url = experiment_url(connected.uri, chosen)
        connected = replace(connected, experiment_id=chosen, experiment_name=name, experiment_url=url)
    return replace(connected, notes=notes)


_expected: tuple[object, Connection] | None = None


def expected(folder: str | None) -> Connection:
    """Return what the next run will connect to, without going there.

    Parameters
    ----------
    folder : str or None
        The notebook's folder.

    Returns
    -------
    Connection
        Not connected; worked out again only where what it depends on has changed.

    Raises
    ------
    ConnectionFailedError
        If what applies cannot be read as a tracking URI.
    """
    global _expected
    depends_on = process_state.take(), discover.assignments(), folder, os.getcwd(), _held is None
    if _expected is None or _expected[0] != depends_on:
        choice = choose(None, None, folder)
        wanted = choice.wanted
        found = Experiment(wanted.experiment_id or "", wanted.name or f"id {wanted.experiment_id}")
        made = _record(choice, found, (), "")
        _expected = depends_on, replace(made, notes=(), connected=False)
    return _expected[1]


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
    now = process_state.take()
    process_state.put({process_state.TRACKING_URI: _held.change.ours[process_state.TRACKING_URI]})
    try:
        yield
    finally:
        process_state.put(now)


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
    if _held is None or (chosen := _held.change.chosen_since(process_state.take())) is None:
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
    """Decide where to track, by the rules of :func:`connect`, without going there."""
    chosen = None if _held is None else _held.change.chosen_since(process_state.take())
    here = {_held.target.uri: chosen} if _held is not None and chosen else {}
    return discover.choose(uri, experiment, unconnected(), Path(folder) if folder else Path.cwd(), here, config)


def unconnected() -> State:
    """Read the process's state as if we had never connected.

    As :mod:`..location.process_state` describes it: what the user and the environment say, without our own doing.
    """
    here = process_state.take()
    return here if _held is None else _held.change.without(here)


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
        local = choose("local", experiment, folder)
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
    found = find_or_create(target, choice.wanted, plain) if asking else unasked(choice.wanted)
    known = found.experiment_id or None
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
        ours["MLFLOW_EXPERIMENT_NAME"] = found.name
    if registry_uri is not None:
        ours[process_state.REGISTRY_URI] = ours["MLFLOW_REGISTRY_URI"] = registry_uri
    process_state.put(ours)
    return found, ours, plain


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
    """Tell as whom runs are recorded."""
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
