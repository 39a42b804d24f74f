"""What MLflow's client says of runs; what is really in the database is in :mod:`.stored`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # late: every test process imports this folder
    from mlflow.entities import Run


def runs(experiment: str = "Default", uri: str | None = None) -> list[Run]:
    """All runs of an experiment, newest first; none where there is no such experiment."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return []
    return list(client.search_runs([found.experiment_id], order_by=["attributes.start_time DESC"]))


def only_run(experiment: str = "Default", uri: str | None = None) -> Run:
    """The one run of an experiment."""
    (run,) = runs(experiment, uri)
    return run


def artifacts(run: Run, path: str | None = None, uri: str | None = None) -> list[str]:
    """The files and folders at the top of a run, or in a folder of it, by name."""
    from mlflow import MlflowClient

    return sorted(file.path for file in MlflowClient(uri).list_artifacts(run.info.run_id, path))


def artifact(run: Run, path: str, uri: str | None = None) -> str:
    """The text of a run's file."""
    import mlflow

    place = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=path, tracking_uri=uri)
    return Path(place).read_text(encoding="utf-8")
