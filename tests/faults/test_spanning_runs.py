"""A run that spans cells and that nobody ended: it ends with its kernel, as what happened under it says."""

from __future__ import annotations

import os
import signal
import time

import pytest

from mlflow_magics.tracking.connecting import recovery
from tests.rig import stored
from tests.rig.kernels import KernelProcess

pytestmark = pytest.mark.slow

LONG = 300.0


def _gone(kernel):
    until = time.monotonic() + LONG
    while kernel.manager.is_alive() and time.monotonic() < until:
        time.sleep(0.05)


def _shut_down(kernel):
    kernel.manager.shutdown_kernel(now=False)
    _gone(kernel)


def _signalled(number):
    def end(kernel):
        os.kill(kernel.manager.provisioner.pid, number)
        _gone(kernel)

    return end


OK, FAILED, BUSY = "a = 1", "1 / 0", "print('busy', flush=True)\nimport time\ntime.sleep(600)"


@pytest.mark.parametrize(
    ("last", "end", "status", "kind"),
    [
        pytest.param(OK, _shut_down, "FINISHED", "sqlite", id="shut down after a cell that ended well"),
        pytest.param(FAILED, _shut_down, "FAILED", "server", id="shut down after a cell that failed"),
        pytest.param(BUSY, _shut_down, "KILLED", "sqlite", id="shut down while a cell is busy"),
        pytest.param(OK, _signalled(signal.SIGTERM), "FINISHED", "sqlite", id="terminated while it is idle"),
        pytest.param(FAILED, _signalled(signal.SIGKILL), "FAILED", "sqlite", id="killed after a cell that failed"),
        pytest.param(BUSY, _signalled(signal.SIGKILL), "KILLED", "server", id="killed while a cell is busy"),
    ],
)
def test_a_spanning_run_ends_with_its_kernel(tmp_path, request, last, end, status, kind, state):
    uri, database = f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "mlflow.db"
    if kind == "server":  # for one that ends by itself, and one that is killed
        server = request.getfixturevalue("mlflow_server")
        uri, database = server.url, server.folder / "server.db"
    experiment = f"ends {status} {request.node.callspec.id}".replace("/", " ")
    with KernelProcess(tmp_path / "kernel", state) as kernel:
        for cell in ("%load_ext mlflow_magics", f'%mlflow_connect {uri} -e "{experiment}"', "%mlflow_start long"):
            assert kernel.run(cell, LONG).status == "ok"
        if last == BUSY:
            kernel.start(last)
            while "busy" not in str(kernel.client.get_iopub_msg(timeout=LONG)["content"].get("text")):
                pass
        else:
            kernel.run(last, LONG)
        end(kernel)
    recovery.recover()  # as the next %load_ext does; there is nothing to do where the kernel could
    (run,) = stored.runs(database, experiment)
    assert run.status == status
