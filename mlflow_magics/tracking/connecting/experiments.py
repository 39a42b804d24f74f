"""Finds experiments by name, makes missing ones, and explains deleted ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service.utils import _get_store

from ...vocabulary.errors import ConnectionFailedError, ExperimentError
from ..calls.masking import mask, one_line
from ..location import store_limits
from ..location.discover import Wanted
from ..location.localstore import without_log_lines
from ..location.uris import Target
from ..patches import store
from .probe_local import NEWER, is_known


@dataclass(frozen=True)
class Experiment:
    """An experiment that takes runs.

    Attributes
    ----------
    experiment_id, name : str
        MLflow's id and name of it.
    created : bool
        Whether it was made just now.
    """

    experiment_id: str
    name: str
    created: bool = False


def opened(target: Target, wanted: Wanted) -> Any:
    """Open a store as MLflow itself does; a new SQLite store is made.

    Parameters
    ----------
    target : Target
        The store.
    wanted : Wanted
        The experiment that will be asked for.

    Returns
    -------
    mlflow.store.tracking.AbstractStore
        MLflow's own.

    Raises
    ------
    ConnectionFailedError
        If it cannot be opened.
    """
    try:
        with without_log_lines():
            return store.plain(target.uri)
    except Exception as error:  # stores and plugins raise what they like; all end as one error of ours
        raise explained(error, target, wanted) from error


def find_or_create(target: Target, wanted: Wanted, asked: Any = None) -> Experiment:
    """Find the experiment; make it if its name is new."""
    if target.kind == "databricks" and wanted.origin == "MLflow's default":
        hint = "name one by its workspace path: -e /Users/you@example.com/name"
        raise ConnectionFailedError(target.where, "Databricks has no default experiment", hint)
    if wanted.name is not None:
        store_limits.check_experiment(target.uri, wanted.name)
    try:
        with without_log_lines():
            return _find_or_create(asked or _get_store(target.uri), target, wanted)
    except ConnectionFailedError:
        raise
    except Exception as error:  # stores and plugins raise what they like; all end as one error of ours
        raise explained(error, target, wanted) from error


def unasked(wanted: Wanted) -> Experiment:
    """Return the experiment as far as it is known without asking the store.

    With an empty id where only its name is known.
    """
    if wanted.experiment_id is not None and wanted.name is None:
        return Experiment(wanted.experiment_id, f"experiment {wanted.experiment_id}")
    return Experiment("", wanted.name or "Default")


def _find_or_create(client: Any, target: Target, wanted: Wanted) -> Experiment:
    if wanted.experiment_id is not None:
        try:
            return _active(client.get_experiment(wanted.experiment_id), target)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST" or wanted.origin != "mlflow.set_experiment":
                raise
            # MLflow 2 keeps the id of the active experiment when its user calls set_tracking_uri.
            wanted = Wanted(origin="MLflow's default")
    name = wanted.name or "Default"
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        return _active(experiment, target)
    try:
        return Experiment(str(client.create_experiment(name, None, None)), name, created=True)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        # Somebody else was faster.
        return _active(client.get_experiment_by_name(name), target)


def _active(experiment: Any, target: Target) -> Experiment:
    if experiment.lifecycle_stage == "deleted":
        restore = f'mlflow.MlflowClient("{mask(target.uri)}").restore_experiment("{experiment.experiment_id}")'
        raise ExperimentError(
            target.where,
            f"the experiment {experiment.name!r} (id {experiment.experiment_id}) is deleted",
            f"bring it back with {restore}, or take another name",
        )
    return Experiment(str(experiment.experiment_id), str(experiment.name))


def explained(error: Exception, target: Target, wanted: Wanted) -> ConnectionFailedError:
    """Turn a store's failure into one line with its hint."""
    text = str(error)
    which = repr(wanted.name) if wanted.name is not None else f"with id {wanted.experiment_id}"
    if "out-of-date database schema" in text or "locate revision" in text:
        return ConnectionFailedError(target.where, "its schema is not that of this MLflow", _schema_hint(target, text))
    if getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
        hint = "name one with -e" + ("" if wanted.origin == "given" else f", or unset {wanted.origin}")
        return ExperimentError(target.where, f"there is no experiment {which} (from {wanted.origin})", hint)
    if re.search(r"\b403\b", text) or getattr(error, "error_code", "") == "PERMISSION_DENIED":
        hint = "ask for permission on it, or name another with -e"
        return ExperimentError(target.where, f"no permission for the experiment {which}", hint)
    return ConnectionFailedError(
        target.where,
        f"the experiment {which} cannot be used: {one_line(text)}",
        "see it step by step with --check",
    )


def _schema_hint(target: Target, text: str) -> str:
    # A revision this MLflow ships a migration for is older than it; an unknown one was written by a newer MLflow.
    version = re.search(r"found version (\w+)", text)
    if version is not None and is_known(version[1]):
        return f"it was made by an older MLflow: back it up, then run `mlflow db upgrade {mask(target.uri)}`"
    return ": ".join(NEWER)
