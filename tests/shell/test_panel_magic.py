"""``%mlflow_panel`` in a shell, and the backend before a connection and without a server."""

from __future__ import annotations

import pytest

from mlflow_magics.session.panel_backend import SessionBackend
from mlflow_magics.vocabulary.errors import MlflowMagicsError


class TestDesk:
    def test_not_connected(self, shell):
        session = shell.magics_manager.registry["MlflowMagics"].session
        backend = SessionBackend(session, lambda: False, list, lambda job: job())
        assert backend.header().state == "not connected"
        assert backend.run() is None
        with pytest.raises(MlflowMagicsError, match="not connected"):
            backend.runs("", "newest", "")

    def test_offline_counts_what_waits(self, shell, folder):
        for source in ("%mlflow_connect --offline http://127.0.0.1:9 -e away", "%%mlflow_run one\nlr = 0.1"):
            assert shell.run_cell(source).success
        session = shell.magics_manager.registry["MlflowMagics"].session
        backend = SessionBackend(session, lambda: False, list, lambda job: job())
        header = backend.header()
        assert header.state == "offline"
        assert "waiting for %mlflow_sync" in header.said
        assert backend.run().params == {"lr": "0.1"}
