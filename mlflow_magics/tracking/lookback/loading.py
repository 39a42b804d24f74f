"""Loads a run's model as the object it was."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import mlflow
from mlflow import MlflowClient

from ...vocabulary.errors import TrackingError, UnknownNameError
from ..calls.guards import as_tracking_error
from ..calls.quiet import quiet
from ..outbox.outbox import Outbox
from . import browse


def models(outbox: Outbox, run_id: str) -> dict[str, str]:
    """Return the models of a run.

    Parameters
    ----------
    outbox : Outbox
        Connected.
    run_id : str
        The run.

    Returns
    -------
    dict of str to str
        Name to the URI that loads it.

    Raises
    ------
    TrackingError
        The store fails.
    """
    browse.expect_sent(outbox, run_id)
    remote = outbox.ids.get(run_id, run_id)
    client = MlflowClient()
    models: dict[str, str] = {}
    try:
        run = client.get_run(remote)
        for output in getattr(run.outputs, "model_outputs", None) or () if hasattr(run, "outputs") else ():
            model = client.get_logged_model(output.model_id)
            models[model.name] = f"models:/{output.model_id}"
        # The older form: a folder of the run with an MLmodel in it.
        for folder in (each.path for each in client.list_artifacts(remote) if each.is_dir):
            inside = [each.path for each in client.list_artifacts(remote, folder)]
            if f"{folder}/MLmodel" in inside:
                models.setdefault(folder, f"runs:/{remote}/{folder}")
    except Exception as error:
        raise browse.explained(outbox, error) from error
    return models


def load(available: Mapping[str, str], name: str) -> tuple[str, Any, str]:
    """Load one of a run's models.

    Parameters
    ----------
    available : mapping of str to str
        As :func:`models` returns it.
    name : str
        Which; empty where there is only one.

    Returns
    -------
    tuple of (str, object, str)
        Its name, the model, and MLflow's name of the flavor it came back as.

    Raises
    ------
    UnknownNameError
        There is none of that name, or there are several and none was named.
    TrackingError
        There is no model, or it does not load.
    """
    if not available:
        raise TrackingError("this run holds no model; log one with --model, %mlflow_log model or autolog")
    if not name and len(available) > 1:
        raise TrackingError(f"this run holds {len(available)} models; name one: {', '.join(sorted(available))}")
    chosen = name or next(iter(available))
    if chosen not in available:
        raise UnknownNameError("model", chosen, available, f"the run holds {', '.join(sorted(available))}")
    with as_tracking_error(), quiet():
        flavors = mlflow.models.get_model_info(available[chosen]).flavors
        flavor = next((each for each in flavors if each != "python_function"), "pyfunc")
        module = importlib.import_module(f"mlflow.{flavor}")
        return chosen, module.load_model(available[chosen]), flavor
