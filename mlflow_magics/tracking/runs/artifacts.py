"""Hands over a run's files and models, and lists what this kernel knows of them."""

from __future__ import annotations

import inspect
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.utils.uri import add_databricks_profile_info_to_artifact_uri

from ..calls.guards import as_tracking_error
from ..outbox.numbers import authored
from ..patches.store import connected


def upload(run: Run, folder: Path) -> None:
    """Hand all that is in `folder` over as the run's artifacts; one request a file, later.

    Parameters
    ----------
    run : mlflow.entities.Run
        The run.
    folder : pathlib.Path
        Its layout is kept.

    Raises
    ------
    TrackingError
        The artifact store could not be reached, or refused.
    """
    if not any(folder.iterdir()):
        return
    with as_tracking_error(), connected().authored.by_capture():
        _artifacts_of(run).log_artifacts(str(folder))


def artifact_names(run: Run) -> list[str]:
    """Return the names at the top of a run's artifacts, as far as this kernel wrote them; no request.

    Parameters
    ----------
    run : mlflow.entities.Run
        The run.

    Returns
    -------
    list of str
        Folders end in ``/``.

    Raises
    ------
    TrackingError
        The folder of a local store could not be read.
    """
    with as_tracking_error():
        repository = _artifacts_of(run)
        if isinstance(repository, LocalArtifactRepository):
            return [file.path + "/" * file.is_dir for file in repository.list_artifacts()]
        paths = connected().account(run.info.run_id).artifacts
        return sorted({path.partition("/")[0] + "/" * ("/" in path) for path in paths})


def models_of(run: Run) -> list[str]:
    """Return the names of the models that this kernel logged into a run, ours among them; no request.

    Parameters
    ----------
    run : mlflow.entities.Run
        The run.

    Returns
    -------
    list of str
        In the order of their coming.

    Raises
    ------
    TrackingError
        Not connected.
    """
    return list(connected().authored.of(run.info.run_id).models)


def own_files(run: Run) -> tuple[list[str], list[authored.Picture]]:
    """Return the paths of the files that a run got since it began, and what its pictures look like; no request.

    Parameters
    ----------
    run : mlflow.entities.Run
        The run, before ours are staged.

    Returns
    -------
    tuple of (list of str, list of Picture)
        As far as this kernel wrote them.

    Raises
    ------
    TrackingError
        The folder of a local store could not be read.
    """
    outbox, run_id = connected(), run.info.run_id
    with as_tracking_error():
        repository = _artifacts_of(run)
        if not isinstance(repository, LocalArtifactRepository):
            own = outbox.authored.of(run_id)
            return list(own.files), list(own.pictures)
        # Files of a local store are where they belong at once, and pass nobody.
        folder = Path(repository.artifact_dir)
        began = (run.info.start_time or 0) / 1000 - 1
        files = [file for file in folder.rglob("*") if file.is_file() and file.stat().st_mtime >= began]
        pictures = [one for file in files if (one := authored.picture(file)) is not None]
        return [file.relative_to(folder).as_posix() for file in files], pictures


def _artifacts_of(run: Run) -> ArtifactRepository:
    """Return where a run's artifacts are, without asking the server for what the run tells."""
    tracking_uri = MlflowClient().tracking_uri
    uri = add_databricks_profile_info_to_artifact_uri(run.info.artifact_uri, tracking_uri)
    # MLflow 2 takes the tracking URI from its global; MLflow 3 takes it as an argument.
    known = "tracking_uri" in inspect.signature(get_artifact_repository).parameters
    return get_artifact_repository(uri, **({"tracking_uri": tracking_uri} if known else {}))
