"""Imports the commands that look back when one of them is first typed, or asked for its help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..session.session import Session
    from .lookback import MlflowLookback

NAMES = tuple(f"mlflow_{name}" for name in ("runs", "best", "diff", "load", "restore", "ui", "help"))
"""Those of :class:`.lookback.MlflowLookback`; its table is what a test holds this against."""


class LookbackMagics:
    """Stands in the shell's table for the magics that look back.

    Parameters
    ----------
    shell : InteractiveShell
        The shell.
    session : Session
        The state that they share with the commands that track.
    """

    def __init__(self, shell: InteractiveShell, session: Session) -> None:
        self._shell = shell
        self._session = session
        self._made: MlflowLookback | None = None
        self._stubs = {name: _Stub(self, name) for name in NAMES}

    def register(self) -> None:
        """Put the names into the shell's table."""
        self._shell.magics_manager.magics["line"].update(self._stubs)

    def unregister(self) -> None:
        """Take them out again."""
        for name, stub in self._stubs.items():
            if self._shell.magics_manager.magics["line"].get(name) is stub:
                del self._shell.magics_manager.magics["line"][name]
        made: object = self._made
        # IPython keeps every Magics object among those that %config lists.
        self._shell.configurables[:] = [each for each in self._shell.configurables if each is not made]

    def magic(self, name: str) -> Any:
        """Return the magic itself."""
        if self._made is None:
            from .lookback import MlflowLookback

            self._made = MlflowLookback(self._shell, self._session)
        return getattr(self._made, name)


class _Stub:
    # One magic's name, until it is typed. Its docstring is the magic's help, for %quickref and ?.

    def __init__(self, magics: LookbackMagics, name: str) -> None:
        self._magics = magics
        self.__name__ = name

    def __call__(self, line: str) -> Any:
        return self.made(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.made, name)

    @property
    def made(self) -> Any:
        """The magic itself."""
        return self._magics.magic(self.__name__)

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        """The magic's whole help."""
        from .arguments import help_of

        return help_of(self.made)
