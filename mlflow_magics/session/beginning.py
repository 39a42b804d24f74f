"""What a session does to MLflow when a run begins. Imported late: everything here needs mlflow."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from ..capture.notebook import authoring
from ..capture.values import secrets
from ..tracking.connecting import connected
from ..tracking.patches import cellruns, store
from ..tracking.runs import names, run_series, run_tags, runs, system_metrics
from ..vocabulary.errors import MlflowMagicsError, TrackingError
from .openrun import OpenRun, attempt

if TYPE_CHECKING:
    from .state import SessionState

T = TypeVar("T")


def begin(session: SessionState, opened: OpenRun) -> None:
    """Create or resume the run that `opened` asks for, and make it the active one.

    Parameters
    ----------
    session : SessionState
        Connected.
    opened : OpenRun
        Gets its run, its name and its experiment.

    Raises
    ------
    TrackingError
        The store could not be reached.
    MlflowMagicsError
        The experiment or the run that was asked for cannot be used.
    """
    options = opened.options
    assert session.connection is not None
    opened.experiment_id = session.connection.experiment_id
    opened.experiment_name = session.connection.experiment_name
    if chosen := connected.chosen_experiment():
        opened.experiment_id, opened.experiment_name = chosen
    if options.run_id and options.experiment:
        raise MlflowMagicsError("--run-id goes on in the run's own experiment; leave -e out")
    given = session.fluent.given_run_id()
    opened.of_job = bool(given) and not options.nested and options.run_id in ("", given)
    # A pasted cell that sets its experiment itself means the run that it then logs into: this one.
    if opened.of_job:
        opened.notes += _job_notes(opened)
    elif experiment := options.experiment or (opened.flow.sets_experiment if opened.flow is not None else ""):
        opened.experiment_id, _ = connected.use_experiment(experiment)
        opened.experiment_name = experiment
    name = secrets.redact(names.fix_run_name(options.name), session.namespace, "message")
    if name != options.name:
        opened.notes.append(f"the run is named {name!r}: MLflow does not take the name as it was")
    tags = _own_tags(session, opened)
    description = secrets.redact(options.description, session.namespace, "message")
    is_resumed = bool(options.run_id or opened.of_job)
    code = opened.source.code if opened.source is not None else ""
    about_cell = _cell_tags(opened) | tags
    opening = _Opening(session, opened, name, about_cell, description)
    if is_resumed:
        run = runs.resume_run(
            given if opened.of_job else options.run_id,
            name=name,
            tags=tags,
            description=description,
            notes=opened.notes,
            reopen=not opened.of_job,
        )
    elif opened.source is not None and authoring.may_call(authoring.OPENS_RUNS, code, session.namespace):
        run = None
    else:
        run = opening.open()
    opened.run = run
    outbox = store.current()
    assert outbox is not None
    reserve = functools.partial(outbox.opener.reserve, opened.experiment_id, opening.started, opening.tags, name)
    opened.cell_run = entry = cellruns.CellRun(
        outbox,
        open_run=opening.open,
        take=lambda run: _take(opened, run),
        rename=lambda name, tags: _rename(opened, name, tags),
        sample=lambda: _sample(opened),
        series_id=reserve() if run is None else run.info.run_id,
        tags=about_cell | ({runs.NOTE: description} if description else {}),
        name=name,
        run=run,
        adoptable=opened.flow is not None and opened.flow.starts_one_run,
        of_job=opened.of_job,
        experiment_id=opened.experiment_id if options.experiment else "",
    )
    if run is not None:
        _take(opened, run)
        opened.name = (not opened.of_job and name) or opened.name
    if is_resumed or opened.source is None:
        entry.claim()  # it is more than this cell's run: the author's are its children
    opened.open_sink = functools.partial(
        run_series.series_sink,
        entry.series_id,
        asked={*options.watch, *options.choices.metrics} if run is not None else (),
        until_end=run is None or authoring.may_call(authoring.LOGS_METRICS, code, session.namespace),
    )
    try:
        session.fluent.enter(entry, nested=options.nested or is_resumed)
    except BaseException:
        # An interrupt too: nobody else knows of the run yet, and it would stay open for ever.
        abandon(session, opened)
        raise
    if options.system_metrics or system_metrics.samples_system_metrics():
        _sample(opened)


def abandon(session: SessionState, opened: OpenRun) -> None:
    """End a run that could not be begun whole."""
    entry, opened.cell_run = opened.cell_run, None
    run, opened.run = opened.run, None
    if entry is not None:
        session.fluent.leave(entry, "KILLED")
    if run is not None and not opened.of_job:
        with contextlib.suppress(TrackingError):
            runs.close_run(run, "KILLED")


class _Opening:
    """What is known of a cell's run before it is opened, at its beginning, later, or above the author's."""

    def __init__(
        self, session: SessionState, opened: OpenRun, name: str, about_cell: dict[str, str], description: str
    ) -> None:
        self.started = int(time.time() * 1000)
        self.tags = run_tags.context_tags(run_tags.notebook_path(session.namespace)) | about_cell
        self._opened = opened
        self._name = name
        self._description = description
        self._parent_id = "" if opened.options.run_id or opened.of_job else _parent_id(session, opened)

    def open(self) -> Any:
        """Open it, in the experiment that is chosen at this moment."""
        opened = self._opened
        if opened.cell_run is not None and not opened.options.experiment and (chosen := connected.chosen_experiment()):
            opened.experiment_id, opened.experiment_name = chosen
        return runs.open_run(
            opened.experiment_id,
            name=self._name,
            tags=self.tags,
            description=self._description,
            parent_id=self._parent_id,
            started=self.started,
            notes=opened.notes,
        )


def _take(opened: OpenRun, run: Any) -> None:
    """Have what a cell comes to go into a run."""
    opened.run = run
    opened.name = run.info.run_name
    if (experiment_id := run.info.experiment_id) != opened.experiment_id:
        # Gone on with, or the author's in another experiment, or the experiment takes no run any more.
        name_of = functools.partial(connected.experiment_name, experiment_id)
        opened.experiment_name = attempt(opened, "the experiment's name is not known", name_of) or experiment_id
        opened.experiment_id = experiment_id


def _cell_tags(opened: OpenRun) -> dict[str, str]:
    tags = {}
    if opened.source is not None and opened.source.cell_id:
        tags[run_tags.CELL_ID] = opened.source.cell_id
    if opened.source is not None and opened.source.execution_count is not None:
        tags[run_tags.EXECUTION_COUNT] = str(opened.source.execution_count)
    return tags


def _job_notes(opened: OpenRun) -> list[str]:
    typed = [f"the name {opened.options.name!r}"] if opened.options.name else []
    typed += [f"-e {opened.options.experiment}"] if opened.options.experiment else []
    kept = f"; {' and '.join(typed)} not used (--nested makes a run of its own)" if typed else ""
    return [f"logged into the run that MLFLOW_RUN_ID names, which stays open: it is the job's to close{kept}"]


def _own_tags(session: SessionState, opened: OpenRun) -> dict[str, str]:
    safe = {}
    for key, value in opened.options.tags.items():
        if secrets.secret_reason(key, value):
            opened.notes.append(f"tag {key} was not set: it looks like a secret")
        else:
            safe[key] = secrets.redact(value, session.namespace, "message")
    return safe


def _parent_id(session: SessionState, opened: OpenRun) -> str:
    """Return the id of the run that this one is nested in; empty if none."""
    for outer in reversed(session.open_runs):
        if outer.is_tracked:
            return str(outer.tracked.info.run_id)
    if given := session.fluent.given_run_id():
        return given  # --nested in a job: a child of the job's run
    foreign = session.fluent.foreign_run()
    if foreign is not None and opened.options.nested:
        return str(foreign.info.run_id)
    if foreign is not None:
        opened.notes.append(
            f"the run {foreign.info.run_name!r} of mlflow.start_run() is still open: "
            "end it with mlflow.end_run(), or nest this one in it with --nested"
        )
    return ""


def _sample(opened: OpenRun) -> None:
    if opened.system_metrics is None:
        opened.system_metrics = attempt(
            opened, "no system metrics", lambda: system_metrics.start_system_metrics(opened.tracked.info.run_id)
        )


def _rename(opened: OpenRun, name: str, tags: Mapping[str, str]) -> None:
    """Give the cell's run what ``mlflow.start_run(run_name=…, tags=…)`` inside the cell asks for."""
    given = {key: str(value) for key, value in tags.items()}
    if name and not opened.options.name:
        opened.name = given["mlflow.runName"] = names.fix_run_name(name)
    opened.notes += attempt(opened, "tags were not set", lambda: runs.write_tags(opened.tracked, given)) or []
