"""The one table of plugs: kinds of stores that need more than MLflow's own client, and what each of them does for us.

A plug is named here and nowhere else, and imported when the table is first asked: it stands above this floor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ...vocabulary.stores import SignIn

if TYPE_CHECKING:
    from .store_limits import StoreLimits
    from .uris import Target

_ROOMS = ("mlflow_magics.tracking.azure.hooks",)
"""Each has its plug as ``PLUG``."""

FailureKind = Literal["refused", "unauthorized", "unavailable"]
"""What a failed write means: never send it again, sign in first, or send it again later."""


@dataclass(frozen=True)
class Entered:
    """A store that MLflow's plugin for it can be asked for from now on.

    Attributes
    ----------
    target : Target
        With its URI.
    user : str
        Who is signed in; empty where the token does not say, or nobody is yet.
    notes : tuple of str
        What the user should know.
    variables : dict of str to str
        What was set in the environment.
    trouble : str
        Why nobody is signed in yet; empty if somebody is, and offline.
    """

    target: Target
    user: str = ""
    notes: tuple[str, ...] = ()
    variables: Mapping[str, str] = ()  # type: ignore[assignment]  # never written to
    trouble: str = ""


class StorePlug(Protocol):
    """A kind of store.

    Attributes
    ----------
    kind : str
        Its :attr:`.uris.Target.kind`, and the scheme of its tracking URIs.
    example : str
        What to type instead of its bare name, for a message.
    variables : tuple of str
        The environment variables that :meth:`enter` may set.
    limits : StoreLimits
        What such a store takes at most.
    """

    kind: str
    example: str
    variables: tuple[str, ...]
    limits: StoreLimits

    # -- where a store is ---------------------------------------------------------------------------------------------

    def read(self, text: str) -> Target | None:
        """Read an address as a person writes it; None where it is not meant as one of this kind."""

    def find_config(self, folder: Path) -> Path | None:
        """Look, in a folder and above it, for a file that names a store of this kind."""

    def read_config(self, path: Path) -> Target | None:
        """Read such a file, or the one in a folder; None where it is not meant as one of this kind."""

    def why_not(self, config: Path) -> str:
        """Say what must be installed to track where a file says; empty where nothing is missing."""

    def experiment_url(self, uri: str, experiment_id: str) -> str:
        """Link to an experiment; empty where it has no page."""

    def run_url(self, uri: str, run_id: str) -> str:
        """Link to a run; empty where it has no page."""

    # -- the way in and out -------------------------------------------------------------------------------------------

    def enter(
        self,
        target: Target,
        environ: Mapping[str, str | None],
        *,
        asking: bool = True,
        waiting: bool = False,
        how: SignIn | None = None,
    ) -> Entered:
        """Sign in, asking nobody, or going on where nobody is signed in, if so wanted."""

    def enter_later(self, uri: str) -> None:
        """Have somebody sign in, asked by nobody, when a token is first needed."""

    def reach(self, target: Target, environ: Mapping[str, str | None]) -> str:
        """See whether an entered store lets us in; return its version, or raise a ``ReachError``."""

    def leave(self, target: Target) -> None:
        """Take back what :meth:`enter` has placed."""

    def remember(self) -> Callable[[], None]:
        """Remember who is signed in, and return what puts that back."""

    # -- writes -------------------------------------------------------------------------------------------------------

    def failure_kind(self, error: BaseException) -> FailureKind | None:
        """Judge a failure of any store; None where it says nothing that only this kind of store says."""

    def explain(self, error: BaseException) -> str:
        """Return why nobody is let in, on one line; empty for any other failure."""

    def resumable(self, repository: Any, begun: dict[str, Any], taken: list[str]) -> Any:
        """Make a repository that goes on with an upload that was tried before; any other is returned as it is."""


@cache
def plugs() -> tuple[StorePlug, ...]:
    """Return all plugs."""
    return tuple(import_module(name).PLUG for name in _ROOMS)


def plug_of(store: str) -> StorePlug | None:
    """Return the plug of a store.

    Parameters
    ----------
    store : str
        Its tracking URI, or the kind of a target.

    Returns
    -------
    StorePlug or None
        None where MLflow's own client is all that it needs.
    """
    return next((plug for plug in plugs() if plug.kind == store.partition(":")[0].lower()), None)
