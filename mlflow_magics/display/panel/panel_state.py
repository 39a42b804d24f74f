"""Keeps what the backend said at the last look, for all tabs."""

from __future__ import annotations

from typing import Any

from ...vocabulary.panel import Header, PanelBackend, RunView


class PanelState:
    """The backend as the tabs have it: while the panel is redrawn, all see the same header and run, asked for once."""

    def __init__(self, backend: PanelBackend) -> None:
        self._backend = backend
        self._header = Header()
        self._run: RunView | None = None

    def look(self) -> None:
        """Ask how things are."""
        self._header, self._run = self._backend.header(), self._backend.run()

    def header(self) -> Header:
        """Tell where we were at the last look."""
        return self._header

    def run(self) -> RunView | None:
        """Tell of the run at the last look."""
        return self._run

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)
