"""The writes that a journal keeps, as calls of a store: how each is written down, and how it is done.

Each may be done twice: the answer to the first time may have been lost. Where that is harmless by itself (points,
params, tags, states, files), nothing is added; a run carries a tag of its own by which it is found again.
"""

from __future__ import annotations

import base64
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import DatasetInput, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.protos import service_pb2
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

Data = Mapping[str, Any]


def packed(datasets: Sequence[DatasetInput]) -> list[str]:
    """Write the datasets of a run down.

    Parameters
    ----------
    datasets : sequence of mlflow.entities.DatasetInput
        With their tags.

    Returns
    -------
    list of str
        What the operation "inputs" takes.
    """
    return [base64.b64encode(dataset.to_proto().SerializeToString()).decode() for dataset in datasets]


def do(op: str, store: Any, run_id: str, data: Data) -> None:
    """Do a write that is neither a point nor a value.

    Parameters
    ----------
    op : str
        What; see the table at the end of this module.
    store : mlflow.store.tracking.AbstractStore
        Where.
    run_id : str
        The run, as the store knows it.
    data : mapping
        With what.
    """
    _OPS[op](store, run_id, data)


def ends_run(op: str, data: Data) -> bool:
    """Tell whether a write is the last word on its run, so that all the others must come first."""
    return op == "update" and data.get("end_time") is not None


def _update(store: Any, run_id: str, data: Data) -> None:
    status = RunStatus.from_string(data["status"]) if data.get("status") else None
    store.update_run_info(run_id, status, data.get("end_time"), data.get("name"))


def _untag(store: Any, run_id: str, data: Data) -> None:
    try:
        store.delete_tag(run_id, data["key"])
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise  # otherwise an earlier try has done it


def _inputs(store: Any, run_id: str, data: Data) -> None:
    protos = [service_pb2.DatasetInput.FromString(base64.b64decode(text)) for text in data["datasets"]]
    given: dict[str, Any] = {"datasets": [DatasetInput.from_proto(proto) for proto in protos]}
    if data["models"]:  # MLflow 3
        from mlflow.entities import LoggedModelInput

        given["models"] = [LoggedModelInput(model_id) for model_id in data["models"]]
    store.log_inputs(run_id, **given)


def _outputs(store: Any, run_id: str, data: Data) -> None:
    from mlflow.entities import LoggedModelOutput

    models = [LoggedModelOutput(model_id=model_id, step=step) for model_id, step in data["models"]]
    store.log_outputs(run_id, models)


def _model(store: Any, run_id: str, data: Data) -> None:
    from mlflow.models import Model

    store.record_logged_model(run_id, Model.from_dict(dict(data["model"])))


def _artifact(store: Any, run_id: str, data: Data) -> None:
    staged = Path(data["staged"])
    if not staged.exists():
        return  # an earlier try has sent it
    uri = data["uri"] or store.get_run(run_id).info.artifact_uri
    repository = data["repositories"].get(uri) or repository_at(uri, data["tracking_uri"])
    if data["folder"]:
        repository.log_artifacts(str(staged), data["path"])
    else:
        (file,) = staged.iterdir()
        repository.log_artifact(str(file), data["path"])


def repository_at(uri: str, tracking_uri: str) -> Any:
    """Return MLflow's own repository of an artifact URI, whatever its version.

    Parameters
    ----------
    uri : str
        Of a run's artifacts.
    tracking_uri : str
        The store that the run is in.

    Returns
    -------
    mlflow.store.artifact.artifact_repo.ArtifactRepository
        Not ours.
    """
    from .artifacts import unwrapped

    # MLflow 2 takes the tracking URI from its global; MLflow 3 takes it as an argument.
    known = "tracking_uri" in inspect.signature(get_artifact_repository).parameters
    return unwrapped(get_artifact_repository(uri, **({"tracking_uri": tracking_uri} if known else {})))


_OPS: Mapping[str, Callable[[Any, str, Data], None]] = {
    "update": _update,
    "untag": _untag,
    "inputs": _inputs,
    "outputs": _outputs,
    "model": _model,
    "artifact": _artifact,
}
