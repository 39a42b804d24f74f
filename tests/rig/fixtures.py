"""Fixtures around the rig; tests/conftest.py names this module in ``pytest_plugins``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .children import Zygote
from .servers import CountingProxy, MlflowServer


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory, _store: Path, _tables: Path) -> Iterator[MlflowServer]:
    """One real MLflow server for the whole session; tests keep apart by their experiments' names."""
    folder = tmp_path_factory.mktemp("mlflow_server")
    # It finds its tables, made with the session's store; in tests/rig/test_servers.py it makes them itself.
    shutil.copy(_tables, folder / "server.db")
    with MlflowServer(folder) as server:
        yield server


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """One process that has imported IPython and MLflow, which takes it three seconds, and forks every child."""
    with Zygote() as zygote:
        yield zygote


@pytest.fixture
def counting_proxy(mlflow_server: MlflowServer) -> Iterator[CountingProxy]:
    """A proxy before that server, which counts the requests of one test."""
    with CountingProxy(mlflow_server.url) as proxy:
        yield proxy


@pytest.fixture
def mlflow_as_found(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLflow and its environment variables as in a fresh kernel, and put back afterwards."""
    import os

    import mlflow

    from mlflow_magics.tracking.connecting import connection
    from mlflow_magics.tracking.location import process_state

    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    connection.disconnect()
    functions = mlflow.set_tracking_uri, mlflow.set_experiment
    before = process_state.take()
    process_state.put(dict.fromkeys(before))
    yield
    while mlflow.active_run() is not None:
        mlflow.end_run()
    connection.disconnect()
    mlflow.set_tracking_uri, mlflow.set_experiment = functions
    process_state.put(before)
