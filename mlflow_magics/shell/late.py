"""Stands for the magics until one is typed, or asked for its help: ``%load_ext`` imports none of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

TRACKING = tuple(
    f"mlflow_{name}" for name in ("connect", "run", "log", "autolog", "start", "end", "panel", "status", "sync")
)
"""The magics of :class:`.magics.MlflowMagics`, in the order in which they are explained; a test holds it to that."""

LOOKBACK = tuple(f"mlflow_{name}" for name in ("runs", "best", "diff", "load", "restore", "ui", "help"))
"""Those of :class:`.lookback.MlflowLookback`."""


class Stub:
    """One magic in the shell's table, before it is imported.

    Parameters
    ----------
    name : str
        The magic's name.
    magics : callable
        Imports the object that the magic is a method of.
    """

    def __init__(self, name: str, magics: Callable[[], Any]) -> None:
        self.__name__ = name
        self._magics = magics

    def __call__(self, *typed: str) -> Any:
        """Run the magic: its line, and the cell below it if there is one."""
        return self.__wrapped__(*typed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    @property
    def __wrapped__(self) -> Any:
        """The magic itself; under this name IPython and `inspect` look for its signature and its file."""
        return getattr(self._magics(), self.__name__)

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        """The magic's whole help, for ``%quickref``."""
        from .arguments import help_of

        return help_of(self.__wrapped__)
