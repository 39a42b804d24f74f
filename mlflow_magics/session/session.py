"""One object per shell: where it tracks to, which runs are open, and the path that a cell's data takes.

The path is :meth:`Session.close`: cell source + namespace -> data flow -> roles -> records -> MLflow. All rooms below
are imported when first needed, so that loading the extension costs nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..vocabulary.errors import (
    ConnectionFailedError,
    ExperimentError,
    MlflowMagicsError,
    TrackingError,
)
from .state import SessionState

if TYPE_CHECKING:
    from ..capture.following.plan import Plan
    from ..vocabulary.records import (
        CellSource,
        CheckStep,
        Connection,
        Integration,
        Outcome,
        RunOptions,
        SignIn,
        Status,
    )
    from .openrun import OpenRun


_EVERYTHING = "*"
_CELL_SECONDS = 2.5
_STEP_BY_STEP = "see it step by step with --check"


class Session(SessionState):
    """The state of one shell, and what can be done with it: connect, autolog, open and close runs."""

    # -- connection ---------------------------------------------------------------------------------------------

    def connect(
        self,
        uri: str | None = None,
        experiment: str | None = None,
        registry_uri: str | None = None,
        *,
        config: str | None = None,
        sign_in: SignIn | None = None,
        offline: bool = False,
        within_seconds: float | None = None,
    ) -> Connection:
        """Decide where this kernel tracks to, and put MLflow's fluent functions in our hands.

        Parameters
        ----------
        uri : str, optional
            Where; found by the rules of :func:`tracking.connection.connect` if not given.
        experiment : str, optional
            Name of the experiment; created if missing.
        registry_uri : str, optional
            Where models are registered, if elsewhere.
        config : str, optional
            The config.json of an Azure ML workspace, or a folder to look in.
        sign_in : SignIn, optional
            How a person may sign in to Azure.
        offline : bool, optional
            Whether to ask the store nothing, and to send only when told to.
        within_seconds : float, optional
            How long a server may take; then what is written waits for it. Without it, it is an error.

        Returns
        -------
        Connection
            What was decided.

        Raises
        ------
        MlflowMagicsError
            A run is open, or the store cannot be used; an earlier connection then stays as it was.
        """
        if any(opened.is_tracked for opened in self.open_runs):
            raise MlflowMagicsError("a run is open; end it (%mlflow_end) before connecting elsewhere")
        from ..tracking.calls.guards import reason, unseeded
        from ..tracking.connecting import connection
        from ..tracking.models import models
        from ..tracking.patches import fluent
        from ..tracking.runs import run_tags
        from . import sending

        def made(connected: Connection) -> None:
            self.connection, self.refused = connected, None
            self._fluent = self._fluent or fluent.FluentRuns(self._named_run)
            self._fluent.install()
            models.install_alias()

        try:
            with unseeded():
                found = connection.connect(
                    uri,
                    experiment=experiment,
                    registry_uri=registry_uri,
                    folder=run_tags.notebook_folder(self.namespace),
                    config=config,
                    sign_in=sign_in,
                    offline=offline,
                    within_seconds=within_seconds,
                    then=made,
                )
        except BaseException as error:
            # An interrupt too. The user named a place: what comes next must not go to another one unasked.
            if self.connection is None and (uri or config or experiment or registry_uri):
                why = str(error) if isinstance(error, MlflowMagicsError) else "it was interrupted"
                self.refused = why, connection.user_set()
            self.tell()
            if isinstance(error, Exception) and not isinstance(error, MlflowMagicsError):
                # What a plugin, a file system or a strange machine comes up with.
                raise ConnectionFailedError(
                    connection.mask(uri or "the store"), reason(error), _STEP_BY_STEP
                ) from error
            raise
        sending.recover(self)  # what waits for this store may have waited for these credentials
        self.tell()
        return found

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

            autologging.turn_off([] if _EVERYTHING in self._autologged else sorted(self._autologged))
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

    def leave_job(self) -> None:
        """Have MLflow not end the job's run with the kernel: a plain ``mlflow.log_metric`` made it the active one."""
        if self._fluent is not None and os.getpid() == self._pid:
            self._fluent.leave_job()

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

    def check(self, uri: str | None, experiment: str | None, config: str | None = None) -> tuple[CheckStep, ...]:
        """Probe a connection, or the current one, step by step.

        Parameters
        ----------
        uri, experiment, config : str or None
            As for :meth:`connect`.

        Returns
        -------
        tuple of CheckStep
            Each with a hint where it failed.

        Raises
        ------
        MlflowMagicsError
            The URI is none at all.
        """
        from ..tracking.calls.guards import unseeded
        from ..tracking.connecting import check
        from ..tracking.runs import run_tags

        if uri is None and config is None and self.connection is not None:
            uri = self.connection.uri
            experiment = experiment or self.connection.experiment_name
        with unseeded():
            return check.check(uri, experiment, folder=run_tags.notebook_folder(self.namespace), config=config)

    def autolog(
        self, words: Sequence[str], options: Mapping[str, Any]
    ) -> tuple[tuple[Integration, ...], tuple[str, ...]]:
        """Turn autologging on or off, and tell its state.

        Parameters
        ----------
        words : sequence of str
            Integrations, then ``off``; or ``status``; none: all that MLflow knows.
        options : mapping
            MLflow's options of ``autolog()``.

        Returns
        -------
        tuple of (tuple of Integration, tuple of str)
            The state (of what is installed, unless it was asked for), and a line for each thing the user should know.

        Raises
        ------
        MlflowMagicsError
            An integration that MLflow does not know.
        """
        from ..tracking.calls.guards import unseeded
        from ..tracking.models import autologging

        words = tuple(words)
        notes: list[str] = []
        with unseeded():
            if words[-1:] == ("off",):
                notes += autologging.turn_off(words[:-1]).notes
            elif words != ("status",):
                self.expect_place()
                if self.connection is None:
                    notes += _connected(self.connect())
                notes += autologging.turn_on(words, options).notes
                self._autologged.update(words or [_EVERYTHING])
            rows = autologging.integrations()
        if words != ("status",):
            rows = tuple(row for row in rows if row.installed)
        return rows, tuple(notes)

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
        capturing.expect_assignments(opened)
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

    def use_experiment(self, name: str) -> None:
        """Have new runs go to another experiment of the connected store.

        Parameters
        ----------
        name : str
            Its name; created if missing.

        Raises
        ------
        MlflowMagicsError
            Not connected yet, or the experiment cannot be used.
        """
        if self.connection is None:
            raise TrackingError("not connected; type %mlflow_connect")
        from dataclasses import replace

        from ..tracking.connecting import connection

        found, url = connection.change_experiment(name)
        self.connection = replace(self.connection, experiment_id=found, experiment_name=name, experiment_url=url)
        self.tell()

    # -- the parts ----------------------------------------------------------------------------------------------

    def _begin(self, opened: OpenRun) -> None:
        """Connect if need be, and create or resume the run. Only a mistake of the user's stops the cell."""
        from ..tracking.calls.guards import reason, unseeded
        from ..tracking.connecting import connection
        from . import beginning

        asked = bool(opened.options.run_id or opened.options.experiment)
        with unseeded():
            try:
                self.expect_place()
                if self.connection is None or (not self.open_runs and connection.has_moved()):
                    opened.notes += _connected(self.connect(within_seconds=_CELL_SECONDS))
                beginning.begin(self, opened)
            except Exception as error:
                # An unreachable store, and whatever a plugin or a strange machine comes up with, must not stop the
                # cell. A mistake in what was typed on the magic's line must, before the cell runs for hours.
                if opened.is_tracked:
                    beginning.abandon(self, opened)
                mistake = isinstance(error, MlflowMagicsError) and not isinstance(
                    error, (TrackingError, ConnectionFailedError)
                )
                if asked and (mistake or isinstance(error, ExperimentError)):
                    raise
                opened.run = opened.cell_run = None
                opened.notes.append(f"not tracked: {reason(error)}")


def _connected(connection: Connection) -> list[str]:
    return [f"connected to {connection.where} ({connection.origin})", *connection.notes]
