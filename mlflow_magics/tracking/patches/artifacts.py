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

from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import verify_artifact_path
from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry as registry
from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository
from mlflow.utils.async_logging.run_operations import RunOperations

from ..outbox.disk import copying
from ..outbox.disk.addresses import SCHEME, repository_at

if TYPE_CHECKING:
    from ..outbox.outbox import Outbox

_LOCAL = frozenset({"", "file"})
_BY_REFERENCE = frozenset({"runs", "models"})
_SECONDS = 5.0

_previous: dict[str, Callable[..., Any]] = {}
_ours: dict[str, Callable[..., Any]] = {}


class OutboxRepository:
    """A repository whose files are staged; ``isinstance`` takes it for one of the class it stands for.

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
        self._wrapped = repository
        self._uri = artifact_uri
        self._outbox = outbox

    @property
    def __class__(self) -> type:
        return type(self._wrapped)

    @__class__.setter
    def __class__(self, value: type) -> None:
        raise TypeError("a repository's class cannot be changed")

    def __getattr__(self, name: str) -> Any:
        # Whatever else is asked of it is a read: first send what is pending.
        if not name.startswith("__") and not self._outbox.foreign:
            self._outbox.flush(_SECONDS)
        return getattr(self._wrapped, name)

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
        return _log_image(self, filename, artifact_path, artifact)

    def _stage(self, source: str, path: str | None, straight: Callable[[], None]) -> None:
        verify_artifact_path(path)
        self._outbox.delivery.repositories[self._uri] = self._wrapped
        run_id = _run_of(self._uri, self._outbox)
        if self._outbox.foreign or not self._outbox.staging.stage(run_id, self._uri, Path(source), path):
            copying.check_all(Path(source))
            straight()
            if run_id:
                self._outbox.staging.note_files(run_id, Path(source), path)


class WaitingRepository:
    """The files of a run that the store does not know yet. Once it does, they are where the store says."""

    def __init__(self, artifact_uri: str, outbox: Outbox) -> None:
        self.artifact_uri = artifact_uri
        self._outbox = outbox
        self._run_id = artifact_uri.partition(":/")[2].partition("/")[0]

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """Take in a file."""
        self._stage(local_file, artifact_path)

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """Take in all that is in a folder."""
        os.listdir(local_dir)  # raises for what is no folder, as the bare call does
        self._stage(local_dir, artifact_path)

    def _log_artifact_async(self, filename: str, artifact_path: str | None = None, artifact: Any = None) -> Any:
        """Take in an image that is still in memory (``mlflow.log_image`` at a step)."""
        return _log_image(self, filename, artifact_path, artifact)

    def _stage(self, source: str, path: str | None) -> None:
        verify_artifact_path(path)  # as the repositories of a server and of a local store do
        if not self._outbox.staging.stage(self._run_id, "", Path(source), path):
            raise MlflowException(
                f"{Path(source).name} was not logged: the run waits for its store, and the outbox has no room for it"
            )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self._outbox.flush(_SECONDS)
        if self._outbox.is_local(self._run_id):
            raise MlflowException("the files of this run wait for its store; %mlflow_sync sends them")
        run = self._outbox.store.get_run(self._outbox.ids[self._run_id])
        return getattr(repository_at(run.info.artifact_uri, self._outbox.tracking_uri), name)


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
        _previous[scheme] = previous
        _ours[scheme] = _checking(previous) if scheme in _LOCAL else _staging(previous, outbox)
        registry.register(scheme, _ours[scheme])
    registry.register(SCHEME, lambda artifact_uri, *_, **__: WaitingRepository(artifact_uri, outbox))


def remove() -> None:
    """Put MLflow's own repositories back."""
    for scheme, previous in _previous.items():
        if registry._registry.get(scheme) is _ours[scheme]:
            registry.register(scheme, previous)
    _previous.clear()
    _ours.clear()
    registry._registry.pop(SCHEME, None)


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


def _log_image(repository: Any, filename: str, path: str | None, image: Any) -> RunOperations:
    # MLflow's own queue for these forgets what it could not send.
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / filename
        image.save(place)
        repository.log_artifact(str(place), path)
    return RunOperations([])


def _run_of(artifact_uri: str, outbox: Outbox) -> str:
    """Return the run that files at an artifact URI belong to; empty where they are nobody's that we know."""
    known = list(outbox.accounts.items())
    return next((run for run, account in known if account.artifact_uri and artifact_uri == account.artifact_uri), "")
