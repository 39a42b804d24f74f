"""One object per shell: where it tracks to, which runs are open, and the path that a cell's data takes.

The path is :meth:`Session.close`: cell source + namespace -> data flow -> roles -> records -> MLflow. All rooms below
are imported when first needed, so that a magic imports no more than it needs.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from ..vocabulary.errors import (
    ConnectionFailedError,
    ExperimentError,
    MlflowMagicsError,
    TrackingError,
)
from .connecting import EVERYTHING, Connecting, connected_notes

if TYPE_CHECKING:
    from ..capture.following.plan import Plan
    from ..vocabulary.records import (
        CellSource,
        Outcome,
        RunOptions,
        Status,
    )
    from .openrun import OpenRun


_CELL_SECONDS = 2.5


class Session(Connecting):
    """The state of one shell, and what can be done with it: connect, autolog, open and close runs."""

    # -- a run's life -------------------------------------------------------------------------------------------

    def open(self, options: RunOptions, source: CellSource | None = None, plan: Plan | None = None) -> OpenRun:
        """Open a run, for a cell or until :meth:`close`.

        Parameters
        ----------
        options : RunOptions
            What is asked of it.
        source : CellSource, optional
            The cell, if the run is one.
        plan : Plan, optional
            What is followed in the cell's code, where that was prepared for it.

        Returns
        -------
        OpenRun
            To be given to :meth:`close`. Where the store could not be reached it has no `run`, and a note that says so.

        Raises
        ------
        MlflowMagicsError
            What was asked makes no sense, so that the cell should not run at all.
        """
        from ..capture.code import dataflow
        from ..capture.roles import roles
        from . import capturing
        from .openrun import OpenRun

        opened = OpenRun(options, source)
        if source is not None and source.code:
            try:
                opened.flow = dataflow.analyse(source.code)
                opened.before = roles.snapshot(opened.flow, self.namespace)
            except RecursionError:
                opened.notes.append("the cell is nested too deeply to be read, so no variable was logged")
            capturing.expect_variables(self, opened)
        capturing.expect_assignments(self, opened)
        if not options.dry_run:
            self._begin(opened)
        self.open_runs.append(opened)
        try:
            capturing.follow(self, opened, plan)
        except Exception as trouble:  # noqa: BLE001
            # A mistake of ours must not fail the cell, nor leave the run to nobody.
            opened.notes.append(f"the cell's assignments were not followed ({trouble!r}); please report this")
        self.tell()
        opened.began = time.perf_counter()
        return opened

    def open_spanning(self, options: RunOptions) -> OpenRun:
        """Open a run that spans cells; a Ctrl-C meanwhile ends it as KILLED.

        Parameters
        ----------
        options : RunOptions
            What is asked of it.

        Returns
        -------
        OpenRun
            As of :meth:`open`, whose errors are raised here too.
        """
        opened = None
        try:
            with self.uninterrupted():
                opened = self.open(options)
        except KeyboardInterrupt:
            if opened is not None and opened in self.open_runs:
                self.close(opened, "KILLED")
            raise
        return opened

    def close(self, opened: OpenRun, status: Status, error: BaseException | None = None) -> Outcome:
        """End a run with its true outcome, and log what its cell comes to.

        Parameters
        ----------
        opened : OpenRun
            As :meth:`open` returned it.
        status : {"FINISHED", "FAILED", "KILLED"}
            How the cell ended.
        error : BaseException, optional
            What ended it, if it did not finish.

        Returns
        -------
        Outcome
            All there is to show.
        """
        with self.uninterrupted():
            return self._close(opened, status, error)

    def _close(self, opened: OpenRun, status: Status, error: BaseException | None) -> Outcome:
        duration = time.perf_counter() - opened.began
        from ..capture.notebook import failure
        from ..capture.values import secrets
        from ..vocabulary.records import Outcome
        from . import capturing

        self.open_runs.remove(opened)
        captured = capturing.capture(self, opened, error)
        facts: dict[str, Any] = {"params": captured.params, "metrics": captured.metrics}
        if opened.is_tracked:
            from . import recording

            facts = recording.record(self, opened, captured, status, error)
        opened.shown.clear()
        opened.last = None
        opened.notes += capturing.nothing_told(opened, {"series": captured.series, **facts}, status)
        news = self.take_news()
        source = opened.source.text if opened.source is not None else ""
        outcome = Outcome(
            **{
                "run_id": "",
                "run_name": opened.name or opened.options.name,
                "experiment_name": opened.experiment_name,
                "status": status,
                "duration": duration,
                "skipped": captured.skipped,
                "series": captured.series,
                "calls": captured.calls,
                "error": failure.last_line(error, self.namespace, source) if status != "FINISHED" else "",
                "dry_run": opened.options.dry_run,
                **facts,
                "notes": tuple(
                    secrets.redact(note, self.namespace, "message", secrets.told_in(source))
                    for note in (*news, *opened.notes)
                ),
            }
        )
        if opened.is_tracked:
            self.last = opened, outcome
        self.tell()
        return outcome

    # -- runs that span cells, and the end of all ------------------------------------------------------------------

    def note_cell(self, status: Status) -> None:
        """Keep on disk how a cell ended, or that one is running (``"KILLED"``), for the runs that span cells.

        Parameters
        ----------
        status : {"FINISHED", "FAILED", "KILLED"}
            What such a run ends as, should the kernel end now.
        """
        spanning = [opened for opened in self.open_runs if opened.source is None and opened.run is not None]
        if not spanning:
            return
        from . import recording

        recording.note_ends(spanning, status)

    def note_end_of_cell(self, status: Status) -> None:
        """Remember how a cell ended, for the runs that span cells."""
        for opened in self.open_runs:
            opened.last_cell = status
        self.note_cell(status)

    def disconnect(self, status: Status | None = None) -> None:
        """End the runs that are open and take back all that :meth:`connect` put in place.

        Parameters
        ----------
        status : {"FINISHED", "FAILED", "KILLED"}, optional
            How the runs end; each as the last cell under it, if not given.
        """
        if os.getpid() != self._pid:
            return  # a forked child at its exit: the runs are its parent's
        while self.open_runs:
            opened = self.open_runs[-1]
            self.close(opened, status or opened.last_cell)
        if self._autologged:
            from ..tracking.models import autologging

            autologging.turn_off([] if EVERYTHING in self._autologged else sorted(self._autologged))
            self._autologged.clear()
        if self._fluent is not None:
            from ..tracking.connecting import connection
            from ..tracking.models import models

            self._fluent.remove()
            models.remove_alias()
            connection.disconnect()
        self._fluent = None
        self.connection = self.refused = None
        self.tell()

    # -- the parts ----------------------------------------------------------------------------------------------

    def _begin(self, opened: OpenRun) -> None:
        """Connect if need be, and create or resume the run. Only a mistake of the user's stops the cell."""
        from ..tracking.calls.guards import reason, unseeded
        from ..tracking.connecting import connected
        from . import beginning

        chosen = bool(opened.options.run_id or opened.options.experiment)
        with unseeded():
            try:
                self.expect_place()
                if self.connection is None or (not self.open_runs and connected.has_moved()):
                    opened.notes += connected_notes(self.connect(within_seconds=_CELL_SECONDS))
                beginning.begin(self, opened)
            except Exception as error:
                # An unreachable store, and whatever a plugin or a strange machine comes up with, must not stop the
                # cell. A mistake in what was typed on the magic's line must, before the cell runs for hours.
                if opened.is_tracked:
                    beginning.abandon(self, opened)
                mistake = isinstance(error, MlflowMagicsError) and not isinstance(
                    error, (TrackingError, ConnectionFailedError)
                )
                if chosen and (mistake or isinstance(error, ExperimentError)):
                    raise
                opened.run = opened.cell_run = None
                opened.notes.append(f"not tracked: {reason(error)}")
