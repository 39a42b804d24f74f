"""The notebooks: each runs top to bottom in a fresh kernel and shows what it showed when it was stored."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import nbformat
import pytest
from mlflow import MlflowClient

from tests.execute_notebooks import AZURE, FOLDER, METADATA, azure_environment, fresh_environment

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SANITIZE = Path(__file__).parent / "nbval_sanitize.cfg"
# The outputs were stored with the newest libraries. On the oldest set the notebooks must run; what they show differs.
NEWEST = int(mlflow.__version__.split(".")[0]) >= 3


def nbval(notebook: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run nbval on a notebook, in the folder where it lies."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no", "--rootdir", "."]
    command += ["--nbval" if NEWEST else "--nbval-lax", "--nbval-sanitize-with", str(SANITIZE)]
    command += ["--nbval-current-env", "--nbval-cell-timeout", "120", notebook.name]
    environment = fresh_environment(**more)
    environment.pop("PYTEST_ADDOPTS", None)
    environment["TQDM_DISABLE"] = "1"  # a bar shows only where a machine takes long
    return subprocess.run(
        command,
        cwd=notebook.parent,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=280,
    )


def outputs(path: Path) -> list[dict]:
    return [output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", ())]


def blocks(path: Path) -> list[str]:
    """What our commands show, as text."""
    bundles = [output["data"] for output in outputs(path) if output["output_type"] == "display_data"]
    return [bundle["text/plain"] for bundle in bundles if "text/html" in bundle]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def stored(request):
    return request.param


@pytest.mark.slow
def test_azure_ml_runs_as_stored(azure_ml, mlflow_server, tmp_path):
    # `azure_ml` skips where azureml-mlflow is not installed; CI runs this where it is.
    shutil.copy(FOLDER / f"{AZURE}.ipynb", tmp_path)
    done = nbval(tmp_path / f"{AZURE}.ipynb", **azure_environment(azure_ml))
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    client = MlflowClient(mlflow_server.url)
    runs = client.search_runs([client.get_experiment_by_name("magics-on-azure").experiment_id])
    assert len(runs) == 3
    assert {run.info.status for run in runs} == {"FINISHED"}


@pytest.mark.slow
def test_runs_as_stored(stored, tmp_path):
    if stored.stem == AZURE:
        pytest.skip("needs a workspace: see the test above")
    shutil.copy(stored, tmp_path)
    done = nbval(tmp_path / stored.name)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    cells = sum(cell.cell_type == "code" for cell in nbformat.read(stored, 4).cells)
    assert f"{cells} passed" in done.stdout
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (experiment,) = (each for each in client.search_experiments() if each.name != "Default")
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == sum("· finished in" in block for block in blocks(stored))
    assert {run.info.status for run in runs} == {"FINISHED"}


@pytest.mark.slow
@pytest.mark.skipif(not NEWEST, reason="the outputs are not compared on the oldest set")
def test_a_changed_output_is_found(tmp_path):
    # Without it, a pattern that replaces too much would let everything pass.
    notebook = nbformat.read(FOLDER / "quickstart.ipynb", 4)
    changes = {
        "connect": ("text/plain", "experiment breast-cancer", "experiment other"),
        "logistic": ("text/plain", "params   C       0.1", "params   C       0.2"),
        "logistic-strong": ("text/html", "<bdi>auc</bdi>", "<bdi>roc</bdi>"),
        "forest": ("text/plain", "figures/roc.png", "figures/figure_1.png"),
        "table": ("text/plain", "0.94152", "0.95152"),
    }
    for cell in notebook.cells:
        if cell.id in changes:
            kind, was, becomes = changes[cell.id]
            data = cell.outputs[-1].data
            assert was in data[kind]
            data[kind] = data[kind].replace(was, becomes)
    nbformat.write(notebook, tmp_path / "changed.ipynb")
    done = nbval(tmp_path / "changed.ipynb")
    assert done.returncode == 1, done.stdout[-6000:]
    failed = [int(number) for number in re.findall(r"^FAILED .*::Cell (\d+)", done.stdout, re.M)]
    code = [cell.id for cell in notebook.cells if cell.cell_type == "code"]
    assert {code[number] for number in failed} == set(changes)


def test_outputs_are_stored(stored):
    notebook = nbformat.read(stored, 4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert len(blocks(stored)) >= 4
    for output in outputs(stored):
        # What goes to stderr would be a warning or a log line: none belongs into a newcomer's first minutes.
        assert output["output_type"] in ("display_data", "execute_result") or output["name"] == "stdout"
    assert not [block for block in blocks(stored) if "not logged" in block or "without a" in block]


def test_nothing_of_the_machine_is_stored(stored):
    text = stored.read_text(encoding="utf-8")
    assert not re.findall(r"""(?:/(?:home|root|tmp|work|usr|Users|var|private|opt)/|[A-Z]:\\)[^\s"\\]*""", text)
    assert "file:/" not in text
    notebook = json.loads(text)
    assert notebook["metadata"] == METADATA
    assert not [cell["id"] for cell in notebook["cells"] if cell["metadata"]]


def test_cells_have_names_for_ids(stored):
    # Made-up ids would change whenever a notebook is rebuilt.
    ids = [cell.id for cell in nbformat.read(stored, 4).cells]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", cell_id) for cell_id in ids)


def test_quickstart_is_short_and_compares_three_runs():
    path = FOLDER / "quickstart.ipynb"
    notebook = nbformat.read(path, 4)
    assert len(notebook.cells) < 15
    runs = [cell for cell in notebook.cells if cell.source.startswith("%%mlflow_run")]
    assert len(runs) == 3
    assert all("· finished in" in cell.outputs[-1].data["text/plain"] for cell in runs)
    assert not [cell.id for cell in notebook.cells if re.search(r"\blog_\w+\(|start_run", cell.source)]
    table = notebook.cells[-2].outputs[0].data["text/plain"].splitlines()
    assert [line.split()[0] for line in table[2:]] == ["forest", "logistic", "logistic-strong"]


def test_autolog_and_capture_share_a_run():
    ridge, boosted = (block for block in blocks(FOLDER / "autolog.ipynb") if "· finished in" in block)
    assert "params   n_features  4" in ridge
    assert "alpha       0.1" in ridge  # logged by autolog, and the cell's own
    assert "also     7 params: copy_X=True" in ridge
    assert "validation_0-rmse=" in " ".join(boosted.split())
