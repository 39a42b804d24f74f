"""Says whether azureml-mlflow is installed, and fits the MLflow that is."""

from __future__ import annotations

import inspect
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version

from packaging.version import InvalidVersion, Version

from ...vocabulary.errors import ConnectionFailedError

WANTED = "azureml-mlflow>=1.62.0.post6"
# What that version allows of MLflow, by its own metadata.
NEWEST_MLFLOW = "3.15.0"
_WHERE = "Azure ML"


def check() -> None:
    """See whether the plugin is there and fits.

    Where the package is missing nothing of it is imported; else its entry points are.

    Raises
    ------
    ConnectionFailedError
        If not; the message holds the one command that hints it.
    """
    try:
        installed = version("azureml-mlflow")
    except PackageNotFoundError as error:
        raise ConnectionFailedError(_WHERE, "the package azureml-mlflow is not installed", hint()) from error
    builder = _builder()
    if builder is None:
        raise ConnectionFailedError(_WHERE, f"azureml-mlflow {installed} has no artifact store", hint())
    try:
        function = builder.load()
    except ImportError as error:
        raise ConnectionFailedError(
            _WHERE, f"azureml-mlflow {installed} cannot be imported ({error})", hint(again=True)
        ) from error
    lacking = unknown_arguments(function)
    if lacking:
        raise ConnectionFailedError(
            _WHERE,
            f"azureml-mlflow {installed} is too old for MLflow {_mlflow()}: its artifacts take no {lacking[0]}",
            hint(),
        )


def is_installed() -> bool:
    """Say whether the plugin is there, fit or not."""
    try:
        version("azureml-mlflow")
    except PackageNotFoundError:
        return False
    return True


def hint(*, again: bool = False) -> str:
    """Say how to install a plugin that fits the MLflow that is here.

    Parameters
    ----------
    again : bool, optional
        Whether to install it even if that version is there already.

    Returns
    -------
    str
        One command, and what to do after it.
    """
    # A plugin for a newer MLflow does not exist, and pip alone would settle for an old one that breaks.
    pin = f'"mlflow=={NEWEST_MLFLOW}" ' if _is_newer_than_allowed() else ""
    force = "--force-reinstall " if again else ""
    return f'%pip install {force}{pin}"{WANTED}", then restart the kernel'


def unknown_arguments(builder: object) -> list[str]:
    """Find what MLflow hands to an artifact store's builder and this one does not take.

    The arguments' names; empty where it fits.
    """
    from mlflow.store.artifact.artifact_repository_registry import ArtifactRepositoryRegistry

    assert callable(builder)
    handed = list(inspect.signature(ArtifactRepositoryRegistry.get_artifact_repository).parameters)[1:]
    taken = inspect.signature(builder).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
        return []
    return [name for name in handed if name not in taken]


def _builder() -> EntryPoint | None:
    return next(iter(entry_points(group="mlflow.artifact_repository", name="azureml")), None)


def _mlflow() -> str:
    for name in ("mlflow", "mlflow-skinny"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return ""


def _is_newer_than_allowed() -> bool:
    try:
        return Version(_mlflow()) > Version(NEWEST_MLFLOW)
    except InvalidVersion:
        return False  # a build of one's own
