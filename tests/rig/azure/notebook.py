"""A notebook in the workspace: a real kernel, as somebody who works there."""

from __future__ import annotations

import os
import shutil
import sys

import pytest

from ..kernels import KernelProcess

LOAD = "%load_ext mlflow_magics"


class Notebook:
    """A kernel in the workspace, and a look at what arrived there."""

    def __init__(self, kernel, workspace, server):
        self.kernel = kernel
        self.workspace = workspace
        from mlflow import MlflowClient  # late: every test process imports this module

        self.client = MlflowClient(server)

    def run(self, *cells):
        """Run cells, which must work; return what they showed, on one line."""
        shown = []
        for cell in cells:
            reply = self.kernel.run(cell)
            assert reply.status == "ok", reply.printed
            shown.append(reply.printed)
        return " ".join(" ".join(shown).split())

    def refused(self, cell):
        """Run a cell that must end in one line; return it."""
        reply = self.kernel.run(cell)
        assert (reply.status, reply.error) == ("error", "UsageError"), reply
        assert "Traceback" not in reply.printed
        return " ".join(reply.printed.split())

    def runs(self, experiment):
        """The runs of an experiment, oldest first, as the server behind the workspace has them."""
        found = self.client.get_experiment_by_name(experiment)
        return self.client.search_runs([found.experiment_id], order_by=["attributes.start_time ASC"])

    def files(self, run):
        """All files of a run, through the workspace's own history service."""
        return sorted(self.workspace._artifacts._names.get(run.info.run_id, ()))


@pytest.fixture
def azure_notebook(azure_ml, mlflow_server, tmp_path, monkeypatch):
    """Start a notebook as somebody who works in the workspace."""
    kernels = []

    def start(kind, *, run_id="", config=False, **more):
        # Nobody's home, and none of this machine's tools: neither a kept sign-in nor az.
        tools = tmp_path / "bin"
        tools.mkdir(exist_ok=True)
        for tool in filter(None, (shutil.which("git"),)):
            (tools / "git").symlink_to(tool) if not (tools / "git").exists() else None
        wanted = {**azure_ml.environment(kind, run_id), "HOME": str(tmp_path)}
        wanted |= {"PATH": f"{os.path.dirname(sys.executable)}:{tools}", **more}
        folder = tmp_path / "notebook"
        if config:
            azure_ml.config_json(folder / ".azureml")
        for name in (name for name, value in wanted.items() if value is None):
            monkeypatch.delenv(name, raising=False)  # what another test of this worker has left
        kept = {name: value for name, value in wanted.items() if value is not None}
        kernel = KernelProcess(folder, tmp_path / "state", **kept)
        kernels.append(kernel)
        return Notebook(kernel, azure_ml, mlflow_server.url)

    yield start
    for kernel in kernels:
        kernel.__exit__(None, None, None)
