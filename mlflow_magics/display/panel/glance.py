"""The desk as the tabs see it."""

from __future__ import annotations

from typing import Any

from ...vocabulary.boards import Desk, Header, RunView


class Glance:
    """The desk as the tabs have it: while the panel is redrawn, all see the same header and run, asked for once.

    Parameters
    ----------
    desk : Desk
        The real one, which does all else.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._header = Header()
        self._run: RunView | None = None

    def look(self) -> None:
        """Ask how things are."""
        self._header, self._run = self._desk.header(), self._desk.run()

    def header(self) -> Header:
        """Tell where we were at the last look."""
        return self._header

    def run(self) -> RunView | None:
        """Tell of the run at the last look."""
        return self._run

    def __getattr__(self, name: str) -> Any:
        return getattr(self._desk, name)
