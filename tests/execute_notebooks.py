"""Run the notebooks and store their outputs: ``python -m tests.execute_notebooks [NAME…]``.

Not a test; to be run when what the notebooks show has changed. Each is run by a fresh kernel in an empty folder, as a
newcomer would, and keeps nothing of the machine that ran it: no paths, no user, no times.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tests.rig.azure import Emulator

AZURE = "azure_ml"
"""The notebook that needs a workspace, and azureml-mlflow: the extra ``azure``."""

# A progress bar's last state depends on the machine's speed.
QUIET = {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
FOLDER = Path(__file__).parent.parent / "notebooks"
# All that a front end needs to open the notebook in colour; the versions of the day are nobody's business.
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "pygments_lexer": "ipython3",
    },
}


def fresh_environment(**more: str) -> dict[str, str]:
    """The environment of a newcomer: nothing in it says where to track, or which notebook this is."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "JPY_"))}
    # A kernel chooses its own matplotlib backend; the tests' "agg" would take the figures out of the notebook.
    kept.pop("MPLBACKEND", None)
    return kept | {"MLFLOW_DISABLE_TELEMETRY": "true", "TQDM_DISABLE": "1", **QUIET} | more


def azure_environment(workspace: Emulator) -> dict[str, str]:
    """The environment of a newcomer's compute instance, in the workspace on loopback."""
    return {name: value for name, value in workspace.environment("compute_instance").items() if value is not None}


def execute(path: Path) -> nbformat.NotebookNode:
    """Run the notebook at `path` in an empty folder; returns it with its outputs. Raises if a cell does."""
    notebook = nbformat.read(path, as_version=4)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        more = {}
        if path.stem == AZURE:
            place = stack.enter_context(tempfile.TemporaryDirectory())
            more = azure_environment(stack.enter_context(Emulator.start(Path(place))))
        client = NotebookClient(
            notebook, kernel_name="python3", timeout=300, record_timing=False, resources={"metadata": {"path": folder}}
        )
        # The user whom a run names is the one who is logged in.
        client.execute(env=fresh_environment(LOGNAME="ada", **more))
        text = nbformat.writes(notebook)
        for trace in (folder, str(Path.home()), sys.prefix):
            if trace in text:
                raise RuntimeError(f"{path.name}: an output holds {trace}, a path of this machine")
    for cell in notebook.cells:
        cell.metadata = {key: value for key, value in cell.metadata.items() if key == "tags"}
    notebook.metadata = METADATA
    nbformat.validate(notebook)
    return notebook


def main(names: list[str]) -> None:
    """Execute the notebooks of these names, or all."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        if not names or path.stem in names:
            nbformat.write(execute(path), path)
            print(f"{path.name}: executed")


if __name__ == "__main__":
    main(sys.argv[1:])
