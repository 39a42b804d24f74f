"""``%mlflow_panel`` in a shell, and the desk before a connection and without a server."""

from __future__ import annotations

import pytest

from mlflow_magics.session.desk import SessionDesk
from mlflow_magics.vocabulary.errors import MlflowMagicsError


class TestDesk:
    def test_not_connected(self, shell):
        session = shell.magics_manager.registry["MlflowMagics"].session
        desk = SessionDesk(session, lambda: False, list, lambda job: job())
        assert desk.header().state == "not connected"
        assert desk.run() is None
        with pytest.raises(MlflowMagicsError, match="not connected"):
            desk.runs("", "newest", "")

    def test_offline_counts_what_waits(self, shell, folder):
        for source in ("%mlflow_connect --offline http://127.0.0.1:9 -e away", "%%mlflow_run one\nlr = 0.1"):
            assert shell.run_cell(source).success
        session = shell.magics_manager.registry["MlflowMagics"].session
        desk = SessionDesk(session, lambda: False, list, lambda job: job())
        header = desk.header()
        assert header.state == "offline"
        assert "waiting for %mlflow_sync" in header.said
        assert desk.run().params == {"lr": "0.1"}
