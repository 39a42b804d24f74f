"""Puts the extension in place in a shell, and takes it out again.

``%load_ext`` takes no longer than an empty extension's, nearly: what it puts in place is small, and imports the rest
when a magic is typed, or a run begins.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from functools import cached_property
from typing import TYPE_CHECKING

from .cell.cells import CellRuns
from .completion import OptionCompleter
from .late import LOOKBACK, TRACKING, Stub

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..session.session import Session
    from ..vocabulary.records import RunOptions
    from .lookback import MlflowLookback
    from .magics import MlflowMagics

_KEY = "MlflowMagics"
"""Where IPython keeps the extension, among its own magics."""

_RECOVERY_SECONDS = 0.2
"""How long after loading it is looked for what dead kernels left: the cell that loads is over by then."""


class Extension:
    """What one shell has of ours.

    Parameters
    ----------
    shell : InteractiveShell
        The shell.

    Attributes
    ----------
    cells : CellRuns
        What knows where a run cell begins and ends.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.cells = CellRuns(shell, self._read_run)
        self._completer = OptionCompleter(shell)
        self._hidden = {*shell.user_ns_hidden, "In", "Out", "exit", "quit", "get_ipython", "open"}
        self._run_id = os.environ.get("MLFLOW_RUN_ID", "")  # MLflow takes it away when it has read it
        self._stubs = {
            **{name: Stub(name, lambda: self.magics) for name in TRACKING},
            **{name: Stub(name, lambda: self.lookback) for name in LOOKBACK},
        }
        self._making = threading.Lock()
        self._recovery = threading.Timer(_RECOVERY_SECONDS, lambda: self.session)
        self._recovery.name = "mlflow_magics recovery"
        self._recovery.daemon = True

    @property
    def session(self) -> Session:
        """The shell's session. Making it begins to send what dead kernels left."""
        with self._making:
            if self.cells.session is None:
                from ..session import sending
                from ..session.session import Session

                self.cells.session = Session(self.shell.user_ns, self._hidden, self.cells.executed, self._run_id)
                sending.recover(self.cells.session)
            return self.cells.session

    @cached_property
    def magics(self) -> MlflowMagics:
        """The magics that track."""
        from .magics import MlflowMagics

        return MlflowMagics(self.shell, self.session, self.cells)

    @cached_property
    def lookback(self) -> MlflowLookback:
        """The magics that look back."""
        from .lookback import MlflowLookback

        return MlflowLookback(self.shell, self.session)

    def register(self) -> None:
        """Put everything in place."""
        manager = self.shell.magics_manager
        manager.registry[_KEY] = self
        manager.magics["line"].update(self._stubs)
        manager.magics["cell"]["mlflow_run"] = self._stubs["mlflow_run"]
        self.cells.register()
        self._completer.register()
        self._recovery.start()
        # MLflow would end open runs at exit by itself, but not through our hands.
        atexit.register(self.cells.kernel_ends)

    def unregister(self) -> None:
        """Take everything back: magics, events, transformer, completer, MLflow's functions, environment."""
        self._recovery.cancel()
        manager = self.shell.magics_manager
        for table in manager.magics.values():
            for name, stub in self._stubs.items():
                if table.get(name) is stub:
                    del table[name]
        if "mlflow_magics.tracking.lookback.webui" in sys.modules:
            sys.modules["mlflow_magics.tracking.lookback.webui"].stop()
        self._completer.unregister()
        made = [vars(self).get("magics"), vars(self).get("lookback")]
        if made[0] is not None:
            made[0].close_panels()
        if self.cells.session is not None:
            self.cells.session.disconnect()
        self.cells.unregister()
        # IPython keeps every Magics object among those that %config lists.
        self.shell.configurables[:] = [one for one in self.shell.configurables if not any(one is of for of in made)]
        atexit.unregister(self.cells.kernel_ends)

    def _read_run(self, line: str) -> RunOptions:
        """Read a magic's line before the magic is run: the tree of its cell is rewritten by what is typed there."""
        return self.magics.read_run(line)


def register(shell: InteractiveShell) -> None:
    """Put the extension in place; an earlier one is taken out first, so that loading twice is harmless.

    Parameters
    ----------
    shell : InteractiveShell
        The shell to extend.
    """
    unregister(shell)
    Extension(shell).register()


def unregister(shell: InteractiveShell) -> None:
    """Take the extension out of a shell; harmless where it is not loaded."""
    extension = shell.magics_manager.registry.pop(_KEY, None)
    if extension is not None:
        extension.unregister()
