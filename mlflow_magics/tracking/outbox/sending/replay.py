"""The writes that a journal keeps, as calls of a store: how each is written down, and how it is done.

Each may be done twice: the answer to the first time may have been lost. Where that is harmless by itself (points,
params, tags, states, most stores' files), nothing is added; a run carries a tag of its own by which it is found again.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import DatasetInput, Experiment, Metric, Run, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.protos import service_pb2
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST

from ...calls import filters
from ...calls.guards import reason
from ...failures.kinds import failure_kind
from ...location.plugs import plugs
from ..disk.addresses import LOCAL_ID, SCHEME, repository_at
from ..disk.damage import setaside
from ..disk.entries import Row

Data = Mapping[str, Any]
TAKEN = "the run holds a file of this name already, and its store replaces none"
_LOCAL_URI = re.compile(rf"{SCHEME}:/({LOCAL_ID.pattern})/artifacts")


def packed(datasets: Sequence[DatasetInput]) -> list[str]:
    """Write the datasets of a run down."""
    return [base64.b64encode(dataset.to_proto().SerializeToString()).decode() for dataset in datasets]


def do(op: str, store: Any, run_id: str, data: Data) -> None:
    """Do a write that is neither a point nor a value."""
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

        given["models"] = [LoggedModelInput(data["remote"](model_id)) for model_id in data["models"]]
    store.log_inputs(run_id, **given)


def _outputs(store: Any, run_id: str, data: Data) -> None:
    from mlflow.entities import LoggedModelOutput

    models = [LoggedModelOutput(model_id=data["remote"](model_id), step=step) for model_id, step in data["models"]]
    store.log_outputs(run_id, models)


def _model(store: Any, run_id: str, data: Data) -> None:
    from mlflow.models import Model

    store.record_logged_model(run_id, Model.from_dict(json.loads(_named(json.dumps(data["model"]), data))))


def _artifact(store: Any, run_id: str, data: Data) -> None:
    staged = Path(data["staged"])
    if not staged.exists():
        if setaside.sent_mark(staged).exists():
            return  # an earlier try has sent it
        raise MlflowException("its file is gone from the outbox", error_code=RESOURCE_DOES_NOT_EXIST)
    _name_model(staged, data)
    uri = data["uri"] or data["place"](run_id)
    repository = data["repositories"].get(uri) or repository_at(uri, data["tracking_uri"])
    taken: list[str] = []
    for plug in plugs():
        repository = plug.resumable(repository, data["begun"][data["staged"]], taken)
    if data["folder"]:
        repository.log_artifacts(str(staged), data["path"])
    else:
        for file in staged.iterdir():  # one, or none where an earlier try was killed while it tidied up
            stem = re.sub(r"_\d+$", "", file.stem)  # of ours; an earlier try may have named it so
            sent = _with_free_name(file, repository, None, stem) if data.get("fresh") else file
            repository.log_artifact(str(sent), data["path"])
    if taken:
        _beside(sorted(taken), staged, repository, data)


def _beside(taken: Sequence[str], staged: Path, repository: Any, data: Data) -> None:
    """Send files whose names the run holds already under free ones, and tell."""
    files = {path: staged / path.removeprefix(f"{data['path']}/") for path in taken}
    # The files of a model find each other by their names.
    if (staged / "MLmodel").exists() or not all(file.is_file() for file in files.values()):
        raise MlflowException(f"{TAKEN}: {', '.join(taken[:3])}", error_code=RESOURCE_ALREADY_EXISTS)
    for path, file in files.items():
        folder = path.rpartition("/")[0] or None
        sent = _with_free_name(file, repository, folder, file.stem)
        data["refuse"](f"artifact {path}", f"{TAKEN}; it is there as {sent.name}")
        repository.log_artifact(str(sent), folder)


def _with_free_name(file: Path, repository: Any, folder: str | None, stem: str) -> Path:
    """Give a file a name that the run does not hold yet: some stores take none twice, also from a try that failed."""
    taken = {Path(each.path).name for each in repository.list_artifacts(folder)}
    name, number = f"{stem}{file.suffix}", 1
    while name in taken:
        number += 1
        name = f"{stem}_{number}{file.suffix}"
    return file.rename(file.with_name(name))


def _name_model(staged: Path, data: Data) -> None:
    """Put the store's ids into the description of a model that was made while the store could not be reached."""
    description = staged / "MLmodel"
    if not description.is_file():
        return
    text = description.read_bytes().decode("utf-8", "surrogateescape")
    if (named := _named(text, data)) != text:
        # In one step: an interrupt must not leave half a file, and a reader may hold a link to the old one.
        fresh = staged.with_suffix(".MLmodel")
        fresh.write_bytes(named.encode("utf-8", "surrogateescape"))
        os.replace(fresh, description)


def _named(text: str, data: Data) -> str:
    text = _LOCAL_URI.sub(lambda uri: data["place"](uri[1]), text)
    return LOCAL_ID.sub(lambda local: data["remote"](local[0]), text)


def create_run(
    experiment: str, create: Callable[[str], Run], named: Callable[[str], Experiment | None]
) -> tuple[Run, str]:
    """Create a run in its experiment, or in MLflow's default one where that takes none any more: deleted, or gone.

    The run, and why it is not where it should be; empty if it is.
    """
    try:
        return create(experiment), ""
    except Exception as error:
        default = named(Experiment.DEFAULT_EXPERIMENT_NAME) if failure_kind(error) == "refused" else None
        if default is None or default.experiment_id == experiment:
            raise
        return create(default.experiment_id), f"{reason(error)} The run is in {default.name!r}."


def create_model(
    store: Any, experiment: str, run_id: str | None, creation: Data, origin: tuple[str, str] | None
) -> str:
    """Create a logged model (MLflow 3)."""
    from mlflow.entities import LoggedModelParameter, LoggedModelTag

    if origin is not None:
        wanted = filters.equal(f"tags.`{origin[0]}`", origin[1])
        models = store.search_logged_models([experiment], wanted, max_results=1)
        if models:
            _model_params(store, models[0].model_id, creation)  # a long list of them is sent in several requests
            return str(models[0].model_id)
    tags = [LoggedModelTag(key, value) for key, value in creation["tags"].items()]
    params = [LoggedModelParameter(key, value) for key, value in creation["params"].items()]
    made = store.create_logged_model(experiment, creation["name"], run_id, tags, params, creation["type"])
    return str(made.model_id)


def before_files(rows: Sequence[Row]) -> list[Row]:
    """Return what can be done while files are not taken: a model is not ready before its files have arrived."""
    waiting = {row.run for row in rows if row.op == "artifact"}
    return [row for row in rows if row.op != "artifact" and not (row.op == "model status" and row.run in waiting)]


def _model_params(store: Any, model_id: str, data: Data) -> None:
    from mlflow.entities import LoggedModelParameter

    there = store.get_logged_model(model_id).params
    for key, value in data["params"].items():
        if there.get(key, value) != value:
            raise MlflowException(f"param {key} is {there[key]!r} already", error_code=INVALID_PARAMETER_VALUE)
    fresh = [LoggedModelParameter(key, value) for key, value in data["params"].items() if key not in there]
    if fresh:
        store.log_logged_model_params(model_id, fresh)


def _model_tags(store: Any, model_id: str, data: Data) -> None:
    from mlflow.entities import LoggedModelTag

    store.set_logged_model_tags(model_id, [LoggedModelTag(key, value) for key, value in data["tags"].items()])


def _model_untag(store: Any, model_id: str, data: Data) -> None:
    try:
        store.delete_logged_model_tag(model_id, data["key"])
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise  # otherwise an earlier try has done it


def _model_status(store: Any, model_id: str, data: Data) -> None:
    from mlflow.entities import LoggedModelStatus

    store.finalize_logged_model(model_id, LoggedModelStatus(data["status"]))


def _metric(store: Any, run_id: str, data: Data) -> None:
    rest = {**data["rest"]}
    if "model_id" in rest:
        rest["model_id"] = data["remote"](rest["model_id"])
    store.log_batch(run_id, [Metric(data["key"], data["value"], data["timestamp"], data["step"], **rest)], [], [])


_OPS: Mapping[str, Callable[[Any, str, Data], None]] = {
    "update": _update,
    "metric": _metric,
    "untag": _untag,
    "inputs": _inputs,
    "outputs": _outputs,
    "model": _model,
    "artifact": _artifact,
    "model params": _model_params,
    "model tags": _model_tags,
    "model untag": _model_untag,
    "model status": _model_status,
}
