"""Who ran what, where: the tags of a run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_SOURCE_NAME, MLFLOW_SOURCE_TYPE, MLFLOW_USER

from mlflow_magics.tracking.runs.run_tags import context_tags, notebook_folder, notebook_path


@pytest.mark.parametrize(
    ("variables", "environ", "path"),
    [
        ({"__vsc_ipynb_file__": "/a/vs.ipynb"}, {}, "/a/vs.ipynb"),
        ({"PAPERMILL_INPUT_PATH": "in/pm.ipynb"}, {}, "in/pm.ipynb"),
        ({}, {"JPY_SESSION_NAME": "/a/lab.ipynb"}, "/a/lab.ipynb"),
        ({}, {"JPY_SESSION_NAME": "/a/Console 1-5c2f"}, None),
        ({"__vsc_ipynb_file__": 3}, {}, None),
        ({}, {}, None),
    ],
)
def test_the_notebook_is_whom_the_front_end_names(variables, environ, path):
    assert notebook_path(variables, environ) == (Path(path) if path else None)


def test_the_commit_is_that_of_the_notebooks_folder(folder):
    project = folder / "project"
    project.mkdir()

    def git(*words):
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *words]
        return subprocess.run(command, cwd=project, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    assert MLFLOW_GIT_COMMIT not in context_tags(project / "train.ipynb")  # nothing committed yet
    git("commit", "--quiet", "--allow-empty", "-m", "first")
    tags = context_tags(project / "train.ipynb")
    assert tags[MLFLOW_GIT_COMMIT] == git("rev-parse", "HEAD")
    assert tags[MLFLOW_SOURCE_TYPE] == "NOTEBOOK"
    assert tags[MLFLOW_SOURCE_NAME] == "train.ipynb"
    assert tags[MLFLOW_USER]
    assert MLFLOW_GIT_COMMIT not in context_tags(None)


def test_a_notebook_that_is_not_on_this_machine_has_no_folder(folder):
    assert notebook_folder({"__vsc_ipynb_file__": str(folder / "train.ipynb")}) == str(folder)
    assert notebook_folder({"__vsc_ipynb_file__": "/nowhere/train.ipynb"}) is None
    assert notebook_folder({"PAPERMILL_INPUT_PATH": "train.ipynb"}) is None
