"""Connects a shell's session, probes the connection, and turns autologging on.

All rooms below are imported when first needed, so that a magic imports no more than it needs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..vocabulary.errors import ConnectionFailedError, MlflowMagicsError, TrackingError
from .state import SessionState

if TYPE_CHECKING:
    from ..vocabulary.stores import CheckStep, Connection, Integration, SignIn

EVERYTHING = "*"
"""Stands for all integrations among those that were turned on."""

_STEP_BY_STEP = "see it step by step with --check"


class Connecting(SessionState):
    """Where a shell tracks to: connect, check, autolog."""

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
            Where; found by the rules of :func:`.tracking.connecting.connection.connect` if not given.
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
        from ..tracking.calls.masking import mask
        from ..tracking.connecting import connected, connection
        from ..tracking.models import models
        from ..tracking.patches import fluent
        from ..tracking.runs import run_tags
        from . import sending

        def put_in_place(made: Connection) -> None:
            self.connection, self.refused = made, None
            self._fluent = self._fluent or fluent.FluentRuns(self._named_run)
            self._fluent.install()
            models.install_alias()

        try:
            with unseeded():
                connected_to = connection.connect(
                    uri,
                    experiment=experiment,
                    registry_uri=registry_uri,
                    folder=run_tags.notebook_folder(self.namespace),
                    config=config,
                    sign_in=sign_in,
                    offline=offline,
                    within_seconds=within_seconds,
                    then=put_in_place,
                )
        except BaseException as error:
            # An interrupt too. The user named a place: what comes next must not go to another one unasked.
            if self.connection is None and (uri or config or experiment or registry_uri):
                why = str(error) if isinstance(error, MlflowMagicsError) else "it was interrupted"
                self.refused = why, connected.user_set()
            self.tell()
            if isinstance(error, Exception) and not isinstance(error, MlflowMagicsError):
                # What a plugin, a file system or a strange machine comes up with.
                raise ConnectionFailedError(mask(uri or "the store"), reason(error), _STEP_BY_STEP) from error
            raise
        sending.recover(self)  # what waits for this store may have waited for these credentials
        self.tell()
        return connected_to

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

        from ..tracking.connecting import connected

        found, url = connected.change_experiment(name)
        self.connection = replace(self.connection, experiment_id=found, experiment_name=name, experiment_url=url)
        self.tell()

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
                    notes += connected_notes(self.connect())
                notes += autologging.turn_on(words, options).notes
                self._autologged.update(words or [EVERYTHING])
            rows = autologging.integrations()
        if words != ("status",):
            rows = tuple(row for row in rows if row.installed)
        return rows, tuple(notes)

    def leave_job(self) -> None:
        """Have MLflow not end the job's run with the kernel: a plain ``mlflow.log_metric`` made it the active one."""
        if self._fluent is not None and os.getpid() == self._pid:
            self._fluent.leave_job()


def connected_notes(connection: Connection) -> list[str]:
    """Return the lines that tell of a connection which was made unasked."""
    return [f"connected to {connection.where} ({connection.origin})", *connection.notes]
