"""What is connected and open in one shell, and the questions that can be answered from it.

All rooms below are imported when first needed, so that a magic imports no more than it needs.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from ..vocabulary.errors import TrackingError

if TYPE_CHECKING:
    from ..tracking.patches.fluent import FluentRuns
    from ..vocabulary.records import Outcome
    from ..vocabulary.stores import Connection, Waiting
    from .openrun import OpenRun


class SessionState:
    """The state of the extension in one shell.

    Parameters
    ----------
    namespace : mapping
        The kernel's namespace, live.
    hidden : collection of str, optional
        Names in it that are IPython's, not the user's.
    executed : mapping of int to (str, str, float), optional
        By execution count: each cell's id and text, and when it ended; live.
    run_id : str, optional
        The run that a job named by ``MLFLOW_RUN_ID``, where that is known.

    Attributes
    ----------
    connection : Connection or None
        Where this kernel tracks to, once decided.
    refused : tuple of (str, tuple), or None
        Why the place that the user named could not be connected, and what the user had named himself then; None where
        nothing was refused, or something is connected.
    open_runs : list of OpenRun
        Outermost first.
    news : list of str
        What happened in the background and nobody was told yet.
    last : tuple of (OpenRun, Outcome), or None
        The run that ended last, if it was tracked.
    observers : list of callable
        Called, without arguments, when a run began or ended or the connection changed; must return at once.
    """

    def __init__(
        self,
        namespace: Mapping[str, Any],
        hidden: Collection[str] = (),
        executed: Mapping[int, tuple[str, str, float]] | None = None,
        run_id: str = "",
    ) -> None:
        self.namespace = namespace
        self.hidden = hidden
        self.connection: Connection | None = None
        self.refused: tuple[str, tuple[str | None, str | None]] | None = None
        self.open_runs: list[OpenRun] = []
        self.previous: dict[str, tuple[Mapping[str, str], Mapping[str, float]] | None] = {}
        self.executed = {} if executed is None else executed
        self._fluent: FluentRuns | None = None
        self._autologged: set[str] = set()
        self.news: list[str] = []
        self.last: tuple[OpenRun, Outcome] | None = None
        self.observers: list[Callable[[], None]] = []
        self._pid = os.getpid()
        self._named_run = run_id or _named_run()

    def expect_place(self) -> None:
        """See that what follows does not go to a store that nobody named.

        Raises
        ------
        TrackingError
            The place that the user named was refused, and none was named since.
        """
        if self.refused is None or self.connection is not None:
            return
        from ..tracking.connecting import connected

        why, tracked_to = self.refused
        if connected.user_set() != tracked_to:
            self.refused = None  # mlflow.set_tracking_uri names one, or the variable
            return
        raise TrackingError(f"%mlflow_connect failed: connect again, or %mlflow_connect local ({why})")

    def next_run(self) -> Connection:
        """Return where the next run goes: also after ``mlflow.set_experiment`` and ``mlflow.set_tracking_uri``.

        Nothing is asked of a store: an experiment whose name nobody has seen is told by its id.

        Returns
        -------
        Connection
            The connection; or, with ``connected`` false, as much as is known of the one that the next run will make.

        Raises
        ------
        MlflowMagicsError
            The place that the user named was refused, or none can be read in what he said.
        """
        from ..tracking.connecting import connected
        from ..tracking.runs import run_tags

        self.expect_place()
        if self.connection is None or (not self.open_runs and connected.has_moved()):
            return connected.expected(run_tags.notebook_folder(self.namespace))
        return connected.with_chosen_experiment(self.connection)

    @property
    def fluent(self) -> FluentRuns:
        """The open runs as MLflow's fluent functions see them.

        Raises
        ------
        TrackingError
            Not connected yet.
        """
        if self._fluent is None:
            raise TrackingError("not connected; type %mlflow_connect")
        return self._fluent

    @staticmethod
    def uninterrupted(*, forget: bool = False) -> AbstractContextManager[None]:
        """Have a Ctrl-C come when the block is over, so that no run is opened, or closed, by half.

        Parameters
        ----------
        forget : bool, optional
            Whether it has had its effect then, and does not come.
        """
        from ..tracking.calls.interrupts import uninterrupted

        return uninterrupted(forget=forget)

    def redact(self, text: str) -> str:
        """Return `text` without secrets: those the namespace holds, and those recognised by their form.

        Parameters
        ----------
        text : str
            What is about to be shown.

        Returns
        -------
        str
            With ``***`` in their place.
        """
        from ..capture.values import secrets

        return secrets.redact(text, self.namespace, "message")

    def find_open(self) -> OpenRun:
        """Return the innermost run that is open and tracked."""
        for opened in reversed(self.open_runs):
            if opened.is_tracked:
                return opened
        raise TrackingError(
            "no run is open; put %%mlflow_run on the first line of the cell, or open one with %mlflow_start NAME"
        )

    def find_spanning(self) -> OpenRun:
        """Return the innermost run that ``%mlflow_start`` opened.

        Raises
        ------
        TrackingError
            There is none.
        """
        for opened in reversed(self.open_runs):
            if opened.source is None:
                return opened
        raise TrackingError("no run is open; open one with %mlflow_start NAME")

    def take_news(self) -> list[str]:
        """Return what happened in the background since the last call."""
        news, self.news[:] = list(self.news), []
        if self.connection is not None:
            from ..tracking.patches import store

            outbox = store.current()
            open_runs = {opened.run.info.run_id for opened in self.open_runs if opened.run is not None}
            if outbox is not None:
                news += [*outbox.telling.late_refusals(open_runs), *outbox.telling.warnings()]
        return news

    def set_aside(self) -> list[str]:
        """Return a line that says where what could not be read or sent is; none if there is nothing."""
        from ..tracking.outbox.disk.damage import setaside

        return setaside.listed()

    def waiting(self) -> Waiting | None:
        """Count what the store has not taken yet; None if nothing is connected."""
        if self.connection is None:
            return None
        from ..tracking.patches import store

        outbox = store.current()
        return outbox.telling.waiting() if outbox is not None else None

    def describe_open(self) -> list[tuple[str, str, str]]:
        """Return name, id and link of each open run, outermost first; empty texts where there is none."""
        described = []
        for opened in self.open_runs:
            run_id = opened.run.info.run_id if opened.run else ""
            url = ""
            if opened.run is not None and self.connection is not None:
                from ..tracking.location import links

                url = links.run_url(self.connection.uri, opened.experiment_id, run_id)
            described.append((opened.name or opened.options.name or "(not tracked)", run_id, url))
        if not described and (job := self._fluent.given_run_id() if self._fluent is not None else ""):
            described.append(("the job's run, which the cells log into", job, ""))
        return described

    def known_names(self) -> list[str]:
        """Return the user's own names, for "did you mean"."""
        texts = [name for name in self.namespace if type(name) is str]  # a namespace may hold any key
        return [name for name in texts if not name.startswith("_") and name not in self.hidden]

    def tell(self) -> None:
        """Call the observers."""
        for observer in tuple(self.observers):
            observer()


def _named_run() -> str:
    """Return the run that a job named by ``MLFLOW_RUN_ID``, also where MLflow has taken the variable away since."""
    if named := os.environ.get("MLFLOW_RUN_ID"):
        return named
    with contextlib.suppress(OSError), open("/proc/self/environ", "rb") as file:  # as the kernel was started; Linux
        found = [entry for entry in file.read().split(b"\0") if entry.startswith(b"MLFLOW_RUN_ID=")]
        return os.fsdecode(found[0].partition(b"=")[2]) if found else ""
    return ""
