"""Artifact repositories that write through the outbox: a file is staged, and uploaded in the background.

Put in place through MLflow's registry of repositories, for every scheme behind which a network lies. Files of a local
store are written straight, where they belong at once, after a look at them: to read a pipe would wait for ever.
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.store.artifact.artifact_repo import verify_artifact_path
from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry as registry
from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository
from mlflow.utils.async_logging.run_operations import RunOperations

from ..calls.patching import Patches, StandIn
from ..outbox.disk import copying

if TYPE_CHECKING:
    from ..outbox.outbox import Outbox

_LOCAL = frozenset({"", "file"})
_BY_REFERENCE = frozenset({"runs", "models"})
_SECONDS = 5.0

_patches = Patches()


class OutboxRepository(StandIn):
    """A repository whose files are staged.

    Parameters
    ----------
    repository : mlflow.store.artifact.artifact_repo.ArtifactRepository
        What it stands for.
    artifact_uri : str
        Its URI.
    outbox : Outbox
        Where files go.
    """

    def __init__(self, repository: Any, artifact_uri: str, outbox: Outbox) -> None:
        super().__init__(repository)
        self._uri = artifact_uri
        self._outbox = outbox

    def __getattr__(self, name: str) -> Any:
        # Whatever else is asked of it is a read: first send what is pending.
        if not name.startswith("__") and not self._outbox.foreign:
            self._outbox.flush(_SECONDS)
        return super().__getattr__(name)

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """Take in a file."""
        self._expect(artifact_path)
        self._stage(local_file, artifact_path, lambda: self._wrapped.log_artifact(local_file, artifact_path))

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """Take in all that is in a folder."""
        if not os.path.isdir(local_dir):
            self._wrapped.log_artifacts(local_dir, artifact_path)  # says so, or does nothing
            return
        self._expect(artifact_path)
        self._stage(local_dir, artifact_path, lambda: self._wrapped.log_artifacts(local_dir, artifact_path))

    def _expect(self, path: str | None) -> None:
        """Raise what MLflow's own repository raises for a path that leaves the run's folder, before it is staged."""
        if isinstance(self._wrapped, HttpArtifactRepository):
            verify_artifact_path(path)

    def _log_artifact_async(self, filename: str, artifact_path: str | None = None, artifact: Any = None) -> Any:
        """Take in an image that is still in memory (``mlflow.log_image`` at a step)."""
        return log_image(self, filename, artifact_path, artifact)

    def _stage(self, source: str, path: str | None, straight: Callable[[], None]) -> None:
        verify_artifact_path(path)
        self._outbox.delivery.repositories[self._uri] = self._wrapped
        run_id = _run_of(self._uri, self._outbox)
        if self._outbox.foreign or not self._outbox.staging.stage(run_id, self._uri, Path(source), path):
            copying.check_all(Path(source))
            straight()
            if run_id:
                self._outbox.staging.note_files(run_id, Path(source), path)


def install(outbox: Outbox) -> None:
    """Put the outbox before every repository behind which a network lies.

    Parameters
    ----------
    outbox : Outbox
        Where files go.
    """
    for scheme, previous in list(registry._registry.items()):
        if scheme in _BY_REFERENCE:
            continue
        ours = _checking(previous) if scheme in _LOCAL else _staging(previous, outbox)
        _patches.replace(registry._registry, scheme, ours)


def remove() -> None:
    """Put MLflow's own repositories back."""
    _patches.put_back()


def _staging(previous: Callable[..., Any], outbox: Outbox) -> Callable[..., Any]:
    def build(artifact_uri: str, *args: Any, **kwargs: Any) -> Any:
        return OutboxRepository(previous(artifact_uri, *args, **kwargs), artifact_uri, outbox)

    return build


def _checking(previous: Callable[..., Any]) -> Callable[..., Any]:
    def build(artifact_uri: str, *args: Any, **kwargs: Any) -> Any:
        repository = previous(artifact_uri, *args, **kwargs)
        for name in ("log_artifact", "log_artifacts"):
            setattr(repository, name, _after_a_look(getattr(repository, name)))
        return repository

    return build


def _after_a_look(log: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(log)
    def log_what_can_be_read(source: str, artifact_path: str | None = None) -> None:
        if os.path.exists(source):  # MLflow says so itself where it does not
            copying.check_all(Path(source))
        log(source, artifact_path)

    return log_what_can_be_read


def log_image(repository: Any, filename: str, path: str | None, image: Any) -> RunOperations:
    """Take in an image that is still in memory; MLflow's own queue for these forgets what it could not send."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / filename
        image.save(place)
        repository.log_artifact(str(place), path)
    return RunOperations([])


def _run_of(artifact_uri: str, outbox: Outbox) -> str:
    """Return the run that files at an artifact URI belong to; empty where they are nobody's that we know."""
    known = list(outbox.accounts.items())
    return next((run for run, account in known if account.artifact_uri and artifact_uri == account.artifact_uri), "")
