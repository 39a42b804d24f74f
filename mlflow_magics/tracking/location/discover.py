"""Finds where to track when the line does not say: from the user, the environment or the folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from mlflow.tracking._tracking_service import utils as tracking_utils

from ...vocabulary.errors import ConnectionFailedError
from . import process_state
from .plugs import plugs
from .uris import Target, is_file_store, parse, short_path

LOCAL = "the local default"
"""Why the store is the local one, where nothing says anything else."""


@dataclass(frozen=True)
class Wanted:
    """The experiment to use.

    Attributes
    ----------
    name, experiment_id : str or None
        One of them; the name is that of an experiment to create if missing.
    origin : str
        Who said so, for messages.
    """

    name: str | None = None
    experiment_id: str | None = None
    origin: str = "given"


@dataclass(frozen=True)
class Choice:
    """Where to track, and why.

    Attributes
    ----------
    target : Target
        The store.
    origin : str
        Why this one, in a few words.
    wanted : Wanted
        The experiment.
    notes : tuple of str
        One line each for what was found on the way.
    """

    target: Target
    origin: str
    wanted: Wanted
    notes: tuple[str, ...] = ()


def choose(
    uri: str | None,
    experiment: str | None,
    state: Mapping[str, str | None],
    folder: Path,
    chosen: Mapping[str, str] | None = None,
    config: str | None = None,
) -> Choice:
    """Decide where to track."""
    assigned = assignments()
    notes = tuple(_repair_note(name) for name in assigned)
    text, origin = _address(uri, assigned, state)
    plugins = tuple(tracking_utils._tracking_store_registry._registry)
    found, why_not = _find_config(folder) if config is None and origin == LOCAL else (None, "")
    if config is not None:
        target, origin = _configured(folder / os.path.expanduser(config)), "given"
    elif found is not None and not why_not:
        target, origin = _configured(found), short_path(found)
    else:
        target = _parsed(text, origin, folder, plugins)
        notes += (why_not,) if why_not else ()
    if target.path is not None:
        notes += _file_store_notes(target.path)
    active = (chosen or {}).get(target.uri)
    if active is None and _is_same(target, state, folder, plugins):
        active = state[process_state.EXPERIMENT]
    wanted = _experiment(experiment, assigned.get("set_experiment"), active, state)
    return Choice(target, origin, wanted, target.notes + notes)


def _parsed(text: str, origin: str, folder: Path, plugins: tuple[str, ...]) -> Target:
    try:
        return parse(text, folder, plugins)
    except ConnectionFailedError as error:
        if origin == "given":
            raise
        raise ConnectionFailedError(error.where, f"{error.reason} (from {origin})", error.hint) from error


def _find_config(folder: Path) -> tuple[Path | None, str]:
    """Return the file in a folder, or above it, that names a store, and a note where that one cannot be used."""
    for plug in plugs():
        if path := plug.find_config(folder):
            return path, plug.why_not(path)
    return None, ""


def _configured(path: Path) -> Target:
    """Return the store that a file names, or the file in a folder."""
    return next(target for plug in plugs() if (target := plug.read_config(path)))


def assignments() -> dict[str, str]:
    """Find the strings that somebody assigned to MLflow's functions, instead of calling them.

    Returns
    -------
    dict of str to str
        The function's name to the string; ``mlflow.set_tracking_uri = "http://…"`` is met in tutorials.
    """
    found = {}
    for name in ("set_tracking_uri", "set_experiment"):
        value: Any = getattr(mlflow, name, None)
        if isinstance(value, (str, os.PathLike)):
            found[name] = os.fspath(value)
    return found


def repair() -> None:
    """Put MLflow's own functions back where a string was assigned over them."""
    for name in assignments():
        setattr(
            mlflow,
            name,
            getattr(tracking_utils if name == "set_tracking_uri" else mlflow.tracking.fluent, name),
        )


def _address(uri: str | None, assigned: Mapping[str, str], state: Mapping[str, str | None]) -> tuple[str, str]:
    if uri:
        return uri, "given"
    if "set_tracking_uri" in assigned:
        return assigned["set_tracking_uri"], "the assignment to mlflow.set_tracking_uri"
    if called := state[process_state.TRACKING_URI]:
        return called, "mlflow.set_tracking_uri"
    if variable := state["MLFLOW_TRACKING_URI"]:
        return variable, "MLFLOW_TRACKING_URI"
    return "local", LOCAL


def _experiment(given: str | None, assigned: str | None, active: str | None, state: Mapping[str, str | None]) -> Wanted:
    if given:
        return Wanted(name=given)
    if assigned:
        return Wanted(name=assigned, origin="the assignment to mlflow.set_experiment")
    if active:
        return Wanted(experiment_id=active, origin="mlflow.set_experiment")
    if name := state["MLFLOW_EXPERIMENT_NAME"]:
        return Wanted(name=name, origin="MLFLOW_EXPERIMENT_NAME")
    variable = state["MLFLOW_EXPERIMENT_ID"]
    # mlflow.set_experiment copies its id there: then it belongs to another store.
    if variable and variable != state[process_state.EXPERIMENT]:
        return Wanted(experiment_id=variable, origin="MLFLOW_EXPERIMENT_ID")
    return Wanted(name="Default", origin="MLflow's default")


def _is_same(target: Target, state: Mapping[str, str | None], folder: Path, plugins: tuple[str, ...]) -> bool:
    # Whether MLflow, left alone, would track to the target: an experiment id means nothing elsewhere.
    current = state[process_state.TRACKING_URI] or state["MLFLOW_TRACKING_URI"]
    if current is None:
        default = getattr(tracking_utils, "DEFAULT_TRACKING_URI", "")  # MLflow 2.22 defaults to a file store
        return bool(default) and parse(default, Path.cwd()).uri == target.uri
    try:
        return parse(current, folder, plugins).uri == target.uri
    except ConnectionFailedError:
        return False


def _repair_note(name: str) -> str:
    # Without the string: it may hold credentials, and where it leads is shown anyway.
    return f"mlflow.{name} had been assigned a string instead of called: taken as meant, and the function is back"


def _file_store_notes(database: Path) -> tuple[str, ...]:
    folder = database.parent
    old = next((place for place in (folder / "mlruns", folder) if is_file_store(place)), None)
    if old is None:
        return ()
    shown = short_path(old)
    if _can_migrate():
        # The tool wants the folder above mlruns, and a database that does not exist yet.
        source = short_path(old.parent) if old.name == "mlruns" else shown
        how = f"to carry them over: mlflow migrate-filestore --source {source} --target sqlite:///migrated.db"
    else:
        how = f"to look at them: mlflow ui --backend-store-uri {shown}"
    return (f"older runs in {shown} (MLflow's file store) are not shown here; {how}",)


def _can_migrate() -> bool:
    from importlib.util import find_spec

    return find_spec("mlflow.store.fs2db") is not None
