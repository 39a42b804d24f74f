"""Writes and reads artifact URIs of runs that the store does not know yet; finds MLflow's repository behind any."""

from __future__ import annotations

import contextlib
import inspect
import re
from typing import Any

from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

from ....vocabulary.records import LOCAL

SCHEME = "mlflow-magics-outbox"
"""Of the artifact URI of a run that the store does not know yet."""

LOCAL_ID = re.compile(rf"{LOCAL}[0-9a-f]{{32}}")
"""An id that was given out while the store could not be reached."""


def uri(run_id: str) -> str:
    """Return the artifact URI of a run that the store does not know yet."""
    return f"{SCHEME}:/{run_id}/artifacts"


def repository_at(uri: str, tracking_uri: str) -> Any:
    """Return MLflow's own repository of an artifact URI, whatever its version."""
    if "tracking_uri" in inspect.signature(get_artifact_repository).parameters:
        return unwrapped(get_artifact_repository(uri, tracking_uri=tracking_uri))
    if uri.startswith("mlflow-artifacts:"):
        # MLflow 2 takes the server from its global, which the user may have moved, and which a recovery has not set.
        uri = MlflowArtifactsRepository.resolve_uri(uri, tracking_uri)
    return unwrapped(get_artifact_repository(uri))


def unwrapped(repository: Any) -> Any:
    """Return MLflow's own repository behind one of ours."""
    with contextlib.suppress(AttributeError):
        return object.__getattribute__(repository, "_wrapped")
    return repository
