"""Tells what is connected now: where new runs go, and whether the user has moved MLflow elsewhere since."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import mlflow

from ...vocabulary.errors import MlflowMagicsError
from ...vocabulary.stores import Connection
from ..location import discover, process_state
from ..location.links import experiment_url
from ..location.process_state import State, StateChange
from ..location.uris import Target
from ..patches import store
from .experiments import Experiment, find_or_create


@dataclass
class Connected:
    """What is connected now."""

    target: Target
    change: StateChange
    origin: str
    experiments: dict[str, tuple[str, str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


now: Connected | None = None
"""The connection of this process; :mod:`.connection` makes it and takes it back."""


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
    if now is None:
        raise MlflowMagicsError("not connected to a tracking store; run %mlflow_connect first")
    if name not in now.experiments:
        experiment = find_or_create(now.target, discover.Wanted(name=name))
        url = experiment_url(now.target.uri, experiment.experiment_id)
        now.experiments[name] = (experiment.experiment_id, url)
    return now.experiments[name]


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
    assert now is not None
    chosen = {process_state.EXPERIMENT: experiment_id, "MLFLOW_EXPERIMENT_ID": experiment_id}
    process_state.put(chosen)
    now.change = StateChange(now.change.before, {**now.change.ours, **chosen})
    return experiment_id, url


def is_connected_to(uri: str) -> bool:
    """Tell whether a store is the one that is connected."""
    return now is not None and now.target.uri == uri


def artifact_root() -> str:
    """Return where a local store keeps its artifacts; empty for every other one."""
    return str(now.target.artifacts) if now is not None and now.target.artifacts is not None else ""


def has_moved() -> bool:
    """Tell whether the user has called ``mlflow.set_tracking_uri`` since :func:`.connection.connect`.

    Returns
    -------
    bool
        Whether MLflow now tracks elsewhere.
    """
    return (
        now is not None
        and process_state.take()[process_state.TRACKING_URI] != now.change.ours[process_state.TRACKING_URI]
    )


def user_set() -> tuple[str | None, str | None]:
    """Return the places that the user has named himself: by ``mlflow.set_tracking_uri``, and by the variable."""
    return unconnected()[process_state.TRACKING_URI], os.environ.get("MLFLOW_TRACKING_URI")


def with_chosen_experiment(connected: Connection) -> Connection:
    """Return a connection with the experiment that new runs go to, as far as that is known without asking.

    Parameters
    ----------
    connected : Connection
        As :func:`.connection.connect` returned it.

    Returns
    -------
    Connection
        With the experiment of the user's own ``mlflow.set_experiment``, and a note where a variable says otherwise.
    """
    if now is None:
        return connected
    here, ours = process_state.take(), now.change.ours
    notes: tuple[str, ...] = ()
    changed = [
        name for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME") if here[name] not in (None, ours[name])
    ]
    if changed and not has_moved():
        notes = (f"{' and '.join(changed)} changed since: %mlflow_connect goes by it, the next run does not",)
    if (chosen := now.change.chosen_since(here)) is not None:
        outbox = store.current()
        seen = outbox.experiment_named(chosen) if outbox is not None else ""
        name = seen or now.names.get(chosen, "") or f"id {chosen}"
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
    depends_on = process_state.take(), discover.assignments(), folder, os.getcwd(), now is None
    if _expected is None or _expected[0] != depends_on:
        choice = choose(None, None, folder)
        wanted = choice.wanted
        experiment = Experiment(wanted.experiment_id or "", wanted.name or f"id {wanted.experiment_id}")
        made = record(choice, experiment, (), "")
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
    if now is None or not has_moved():
        yield
        return
    here = process_state.take()
    process_state.put({process_state.TRACKING_URI: now.change.ours[process_state.TRACKING_URI]})
    try:
        yield
    finally:
        process_state.put(here)


def chosen_experiment() -> tuple[str, str] | None:
    """Return the experiment that the user has set with ``mlflow.set_experiment`` since :func:`.connection.connect`.

    Returns
    -------
    tuple of str, or None
        Its id and name; None where there is none. The name is asked of the store once a connection.

    Raises
    ------
    ConnectionFailedError
        If the store fails.
    """
    if now is None or (chosen := now.change.chosen_since(process_state.take())) is None:
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
    if now is None:
        raise MlflowMagicsError("not connected to a tracking store; run %mlflow_connect first")
    if experiment_id not in now.names:
        wanted = discover.Wanted(experiment_id=experiment_id)
        now.names[experiment_id] = find_or_create(now.target, wanted).name
    return now.names[experiment_id]


def choose(uri: str | None, experiment: str | None, folder: str | None, config: str | None = None) -> discover.Choice:
    """Decide where to track, by the rules of :func:`.connection.connect`, without going there."""
    chosen = None if now is None else now.change.chosen_since(process_state.take())
    here = {now.target.uri: chosen} if now is not None and chosen else {}
    return discover.choose(uri, experiment, unconnected(), Path(folder) if folder else Path.cwd(), here, config)


def unconnected() -> State:
    """Read the process's state as if we had never connected.

    As :mod:`..location.process_state` describes it: what the user and the environment say, without our own doing.
    """
    here = process_state.take()
    return here if now is None else now.change.without(here)


def record(choice: discover.Choice, experiment: Experiment, notes: tuple[str, ...], user: str) -> Connection:
    """Return a connection as a value, to be shown."""
    target = choice.target
    created = (f"created the experiment {experiment.name!r}",) if experiment.created else ()
    return Connection(
        uri=target.uri,
        where=target.where,
        user=user or user_of(target),
        origin=choice.origin,
        experiment_id=experiment.experiment_id,
        experiment_name=experiment.name,
        experiment_url=experiment_url(target.uri, experiment.experiment_id),
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
