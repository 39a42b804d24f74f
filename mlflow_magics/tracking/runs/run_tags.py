"""Sets the tags of who runs what, and where, that MLflow itself would set, corrected for a notebook."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from mlflow.tracking.context import registry
from mlflow.utils.mlflow_tags import (
    MLFLOW_GIT_COMMIT,
    MLFLOW_SOURCE_NAME,
    MLFLOW_SOURCE_TYPE,
)

CELL_ID = "mlflow_magics.cell_id"
EXECUTION_COUNT = "mlflow_magics.execution_count"
PACKAGES = "mlflow_magics.packages"
READS = "mlflow_magics.reads"
_MOST_PACKAGES = 40


def notebook_path(variables: Mapping[str, object], environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the notebook's path as the front end tells it.

    Parameters
    ----------
    variables : mapping
        The kernel's namespace: VS Code and papermill put the path there.
    environ : mapping, optional
        The environment: jupyter_server sets ``JPY_SESSION_NAME``.

    Returns
    -------
    pathlib.Path or None
        None where nobody says: a terminal, a bare ``jupyter execute``.
    """
    for found in (
        variables.get("__vsc_ipynb_file__"),
        variables.get("PAPERMILL_INPUT_PATH"),
        environ.get("JPY_SESSION_NAME"),
        environ.get("__vsc_ipynb_file__"),
    ):
        # A console's session name is not a notebook: jupyter_server makes up "Console 1-uuid" for it.
        if type(found) is str and found.endswith(".ipynb"):
            return Path(found)
    return None


def packages(roots: Iterable[str]) -> str:
    """Return the versions of Python and of the packages that a notebook's names come from.

    Parameters
    ----------
    roots : iterable of str
        Those packages, by the names they are imported by.

    Returns
    -------
    str
        ``"python=3.11.7 numpy=2.1.0 sklearn=1.6.1"``, by the names they are imported by.
    """
    versions = {name: _version(name) for name in sorted(roots)}
    requirements = [f"{name}={version}" for name, version in versions.items() if version]
    ours = [each for each in requirements if not each.startswith("mlflow_magics=")]
    return " ".join([f"python={platform.python_version()}", *ours[:_MOST_PACKAGES]])


def _version(root: str) -> str:
    """Return the version of a package in use, without waking a lazy module; empty where it tells none."""
    module = sys.modules.get(root)
    if not issubclass(type(module), ModuleType):
        return ""
    words: Any = ModuleType.__dict__
    version = words["__dict__"].__get__(module).get("__version__")
    if type(version) is not str and root not in sys.stdlib_module_names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError, ValueError):
            version = importlib.metadata.version(root)
    return version if type(version) is str else ""


def context_tags(notebook: Path | None) -> dict[str, str]:
    """Return MLflow's context tags: user, source, git commit, and what its plugins add.

    Parameters
    ----------
    notebook : pathlib.Path or None
        The notebook, where known.

    Returns
    -------
    dict of str to str
        Ready for ``create_run``.
    """
    # MLflow 3's Jupyter provider asks every Jupyter server on the machine (0.5 s each) for what we know already.
    slow: list[Any] = [type(p) for p in registry._run_context_provider_registry if "Jupyter" in type(p).__name__]
    tags: dict[str, str] = registry.resolve_tags(ignore=slow)
    tags[MLFLOW_SOURCE_TYPE] = "NOTEBOOK"
    tags[MLFLOW_SOURCE_NAME] = notebook.name if notebook else "notebook"
    # MLflow looks the commit up where the kernel's launcher is installed; the notebook's folder is meant.
    tags.pop(MLFLOW_GIT_COMMIT, None)
    if commit := _git_commit(notebook.parent if notebook and notebook.parent.is_dir() else Path.cwd()):
        tags[MLFLOW_GIT_COMMIT] = commit
    return tags


def _git_commit(folder: Path) -> str | None:
    try:
        import git
    except ImportError:  # GitPython raises it too where the git program is missing
        return None
    try:
        return str(git.Repo(folder, search_parent_directories=True).head.commit.hexsha)
    except (git.exc.GitError, ValueError, OSError):  # no repository, no commit yet, an unreadable one
        return None


def notebook_folder(variables: Mapping[str, object]) -> str | None:
    """Return the folder of the notebook, if it is known and exists on this machine.

    Parameters
    ----------
    variables : mapping
        The kernel's namespace.

    Returns
    -------
    str or None
        None where the current folder must do.
    """
    notebook = notebook_path(variables)
    return (
        str(notebook.parent) if notebook is not None and notebook.is_absolute() and notebook.parent.is_dir() else None
    )
