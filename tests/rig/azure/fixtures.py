"""The workspace as a fixture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..servers import MlflowServer


@pytest.fixture
def azure_ml(mlflow_server: MlflowServer, tmp_path: Path) -> Iterator[object]:
    """An Azure ML workspace on loopback, before the session's MLflow server; see :mod:`tests.rig.azure`."""
    pytest.importorskip("azureml.mlflow")
    from . import Emulator

    with Emulator.start(tmp_path / "azure_ml", mlflow_server.url) as workspace:
        yield workspace
