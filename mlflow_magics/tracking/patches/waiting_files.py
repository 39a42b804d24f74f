"""The files of runs and models that wait for their store: taken in, and readable meanwhile."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import verify_artifact_path
from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry as registry
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from ..calls.patching import Patches
from ..outbox.disk import addresses
from ..outbox.disk.addresses import LOCAL_ID, repository_at
from .artifacts import log_image

if TYPE_CHECKING:
    from ..outbox.outbox import Outbox

_BY_REFERENCE = ("runs", "models")

_patches = Patches()


class WaitingRepository:
    """The files of a run or a model that the store does not know yet, readable as far as they are staged here.

    Once it does, they are where the store says.
    """

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
        return log_image(self, filename, artifact_path, artifact)

    def _stage(self, source: str, path: str | None) -> None:
        verify_artifact_path(path)  # as the repositories of a server and of a local store do
        if not self._outbox.staging.stage(self._run_id, "", Path(source), path):
            raise MlflowException(
                f"{Path(source).name} was not logged: the run waits for its store, and the outbox has no room for it"
            )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self._outbox.flush()
        if not self._outbox.is_local(self._run_id):
            place = self._outbox.delivery.creator.place(self._run_id)
            return getattr(repository_at(place, self._outbox.tracking_uri), name)

        def read(*args: Any, **kwargs: Any) -> Any:
            with _view(self._outbox, self._run_id) as folder:
                return getattr(LocalArtifactRepository(folder.as_uri()), name)(*args, **kwargs)

        return read

    def download_artifacts(self, artifact_path: str, dst_path: str | None = None) -> str:
        """Copy files, so that nobody changes what is to be sent."""
        return str(self.__getattr__("download_artifacts")(artifact_path, dst_path or tempfile.mkdtemp()))


def install(outbox: Outbox) -> None:
    """Let files be read while they wait, and local ids be used in ``runs:/`` and ``models:/`` URIs for ever.

    Parameters
    ----------
    outbox : Outbox
        Whose.
    """
    entries = registry._registry
    _patches.replace(entries, addresses.SCHEME, lambda artifact_uri, *_, **__: WaitingRepository(artifact_uri, outbox))
    for scheme in _BY_REFERENCE:
        _patches.replace(entries, scheme, _naming(entries[scheme], outbox))


def remove() -> None:
    """Put MLflow's own repositories back."""
    _patches.put_back()


def _naming(previous: Callable[..., Any], outbox: Outbox) -> Callable[..., Any]:
    def build(artifact_uri: str, *args: Any, **kwargs: Any) -> Any:
        ids = outbox.ids
        return previous(LOCAL_ID.sub(lambda local: ids.get(local[0], local[0]), artifact_uri), *args, **kwargs)

    return build


@contextlib.contextmanager
def _view(outbox: Outbox, run_id: str) -> Iterator[Path]:
    """Lay out what is staged for a run or a model as its store will have it."""
    with tempfile.TemporaryDirectory() as name:
        for row in outbox.journal.rows():
            if row.run == run_id and row.op == "artifact":
                place = Path(name, row.data["path"] or "")
                shutil.copytree(row.data["staged"], place, dirs_exist_ok=True, copy_function=_link)
        yield Path(name)


def _link(source: str, destination: str) -> None:
    # Models are large: where the file system allows it, nothing is copied.
    Path(destination).unlink(missing_ok=True)
    try:
        os.link(source, destination)
    except OSError:
        shutil.copy2(source, destination)
