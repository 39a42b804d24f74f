"""Keeps the panels that are open: each is made for a cell, and closed with it or with the extension."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.display import display

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..display.panel import Panel
    from ..session.session import Session
    from .cell.cells import CellRuns


class Panels:
    """Those of one shell.

    Parameters
    ----------
    shell : InteractiveShell
        The shell.
    session : Session
        What they show.
    cells : CellRuns
        Knows which cell is being run.
    """

    def __init__(self, shell: InteractiveShell, session: Session, cells: CellRuns) -> None:
        self._shell = shell
        self._session = session
        self._cells = cells
        self._open: list[tuple[str, Panel]] = []

    def show(self, *, compact: bool) -> None:
        """Show a panel below the cell; one that the same cell showed before is closed, as its output is gone."""
        from ..display.panel import Panel
        from ..session.panel_backend import SessionBackend

        cell = self._cells.cell_id()
        for place, panel in self._open:
            if cell and place == cell:
                panel.close()
        kernel = getattr(self._shell, "kernel", None)
        backend = SessionBackend(self._session, self._cells.busy, self._history, lambda job: _in_main(kernel, job))
        panel = Panel(backend, compact=compact, clicks_while_busy=lambda: _has_subshells(kernel))
        self._open = [(place, other) for place, other in self._open if not (cell and place == cell)]
        self._open.append((cell, panel))
        panel.show(display)

    def close(self) -> None:
        """Close all of them."""
        while self._open:
            self._open.pop()[1].close()

    def _history(self) -> list[str]:
        manager = self._shell.history_manager
        return list(manager.input_hist_parsed) if manager is not None else []


def _in_main(kernel: Any, job: Callable[[], None]) -> None:
    """Run a job in the kernel's main thread: MLflow's active run is one of a thread."""
    if kernel is None or threading.current_thread() is threading.main_thread():
        job()
    else:
        kernel.io_loop.add_callback(job)


def _has_subshells(kernel: Any) -> bool:
    """Tell whether clicks reach Python while a cell is being run: ipykernel 7, and a front end that made a subshell."""
    if not getattr(kernel, "_supports_kernel_subshells", False):
        return False
    return bool(kernel.shell_channel_thread.manager.list_subshell())
