"""Registering a model, on a store that keeps none beside its runs too, and without leaving half of it behind.

MLflow first creates the registered model, then looks for the version's files; if those are not found, an empty
registered model stays. Its one function for this stands behind ``mlflow.register_model`` and
``log_model(registered_model_name=…)`` alike; ours stands in its place while connected.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.tracking._model_registry import DEFAULT_AWAIT_MAX_SLEEP_SECONDS, fluent

from ...calls import filters
from ...calls.patching import Patches
from . import older_models

if TYPE_CHECKING:
    from ...outbox.outbox import Outbox

_SECONDS = 60.0
_patches = Patches()


def install(outbox: Outbox) -> None:
    """Put it in place.

    Parameters
    ----------
    outbox : Outbox
        Where a model's files may still wait.
    """
    remove()
    original = fluent._register_model

    def register(model_uri: str, name: str, *args: Any, **options: Any) -> Any:
        started = int(time.time() * 1000)
        try:
            if not outbox.foreign and (place := _older_place(outbox, model_uri)):
                return _register(outbox, place, name, *args, **options)
            return original(model_uri, name, *args, **options)
        except BaseException:
            _take_back(name, started)
            raise

    _patches.replace(fluent, "_register_model", register)


def remove() -> None:
    """Put MLflow's own function back. Harmless without ours."""
    _patches.put_back()


def _older_place(outbox: Outbox, model_uri: str) -> tuple[str, str] | None:
    """Return run and name of a model that is in its run's files because the store keeps none elsewhere."""
    place = older_models.run_and_name(model_uri)
    if place is None and model_uri.startswith("runs:/"):
        run_id, _, name = model_uri.removeprefix("runs:/").lstrip("/").partition("/")
        place = outbox.ids.get(run_id, run_id), name
    if place is None or type(outbox.store) is not older_models.OlderModels:
        return None  # MLflow 2, or a local store: nothing is amiss
    run = MlflowClient().get_run(place[0])
    return None if outbox.store.keeps_models(run.info.experiment_id) else place


def _register(
    outbox: Outbox,
    place: tuple[str, str],
    name: str,
    await_registration_for: int = DEFAULT_AWAIT_MAX_SLEEP_SECONDS,
    *,
    tags: dict[str, Any] | None = None,
    **_: Any,
) -> Any:
    run_id, path = place
    if not outbox.flush(_SECONDS) and outbox.telling.waiting().total:
        raise MlflowException(
            f"the model {path!r} waits for its store: register it once %mlflow_status shows that all is sent"
        )
    client = MlflowClient()
    files = [file.path for file in client.list_artifacts(run_id, path)]
    if f"{path}/MLmodel" not in files:
        there = ", ".join(sorted(file.path for file in client.list_artifacts(run_id) if file.is_dir)) or "none"
        raise MlflowException(f"run {run_id} has no model {path!r}; its folders: {there}")
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):
            raise
    source = f"{client.get_run(run_id).info.artifact_uri.rstrip('/')}/{path}"
    return client.create_model_version(name, source, run_id, tags=tags, await_creation_for=await_registration_for)


def _take_back(name: str, started: int) -> None:
    """Delete a registered model that was made a moment ago and has no version."""
    client = MlflowClient()
    try:
        made = client.get_registered_model(name)
        if made.creation_timestamp >= started - 1000 and not client.search_model_versions(filters.equal("name", name)):
            client.delete_registered_model(name)
    except Exception:  # noqa: BLE001, S110
        # It is not there, or the registry cannot be asked: the error that led here is the one to show.
        pass
