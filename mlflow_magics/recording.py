"""What a session does to MLflow when a run begins and when it ends. Imported late: everything here needs mlflow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .capture import failure, secrets
from .errors import MlflowMagicsError, TrackingError
from .openrun import OpenRun
from .records import Captured, Metric, Status
from .tracking import connection, context, files, guards, models, names, runs

if TYPE_CHECKING:
    from .session import Session


def begin(session: Session, opened: OpenRun) -> None:
    """Create or resume the run that `opened` asks for, and make it the active one.

    Parameters
    ----------
    session : Session
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
    if chosen := connection.chosen_experiment():
        opened.experiment_id, opened.experiment_name = chosen
    # A pasted cell that sets its experiment itself means the run that it then logs into: this one.
    if asked := options.experiment or (opened.flow.sets_experiment if opened.flow is not None else ""):
        opened.experiment_id, _ = connection.use_experiment(asked)
        opened.experiment_name = asked
    name = secrets.redact(names.mend_run_name(options.name), session.namespace)
    if name != options.name:
        opened.notes.append(f"the run is named {name!r}: MLflow does not take the name as it was")
    tags = _own_tags(session, opened)
    if options.run_id:
        opened.run = runs.resume_run(options.run_id, name=name, tags=tags)
        opened.experiment_id = opened.run.info.experiment_id
    else:
        opened.run = runs.open_run(
            opened.experiment_id,
            name=name,
            tags=context.context_tags(context.notebook_path(session.namespace)) | _cell_tags(opened) | tags,
            description=secrets.redact(options.description, session.namespace),
            parent_id=_parent_id(session, opened),
            notes=opened.notes,
        )
    opened.name = name or opened.run.info.run_name
    session.fluent.enter(
        opened.run,
        sweep=opened.flow is not None and opened.flow.starts_runs_in_loop,
        rename=lambda name, tags: _rename(opened, name, tags),
    )
    if options.system_metrics:
        with _noted(opened, "no system metrics"):
            opened.system_metrics = runs.start_system_metrics(opened.run.info.run_id)


def record(
    session: Session, opened: OpenRun, captured: Captured, status: Status, error: BaseException | None
) -> dict[str, Any]:
    """Write all that a run comes to, and close it. Each part is tried, whatever became of the others.

    Parameters
    ----------
    session : Session
        Connected.
    opened : OpenRun
        With a run; gets the notes.
    captured : Captured
        What its cell comes to.
    status : {"FINISHED", "FAILED", "KILLED"}
        How the cell ended.
    error : BaseException or None
        What ended it.

    Returns
    -------
    dict
        Fields of :class:`Outcome`.
    """
    run = opened.tracked
    assert session.connection is not None
    facts: dict[str, Any] = {"run_id": run.info.run_id, "where": session.connection.where}
    with guards.unseeded(), connection.held():
        if opened.system_metrics is not None:
            opened.system_metrics.finish()
        try:
            facts["models"] = tuple(_log_models(session, opened))
            with _noted(opened, "params and metrics were not logged"):
                written = runs.write(run, captured.params, captured.metrics)
                opened.notes += written.notes
                facts |= {"params": written.params, "metrics": written.metrics}
                facts |= {"auto_params": written.auto_params, "auto_metrics": written.auto_metrics}
            with _noted(opened, "artifacts were not logged"):
                facts["artifacts"] = _log_artifacts(session, opened, captured, error)
                if facts.get("auto_params") or facts.get("auto_metrics"):
                    facts["artifacts"] += _others_artifacts(opened, facts["artifacts"])
            with _noted(opened, "no comparison with the previous run"):
                facts["previous"] = _previous(session, opened, facts.get("metrics", ()))
        except KeyboardInterrupt:
            # The cell is over: the user means the sending, and gets what is known instead of a traceback of ours.
            opened.notes.append("interrupted while it was being sent: not all of this is in the run")
        finally:
            # Also after any other surprise: the run must not stay open.
            asked = session.fluent.leave(run, status)
            if status == "FINISHED" and asked in ("FAILED", "KILLED"):
                facts["status"] = status = asked  # type: ignore[assignment]  # narrowed by the line above
            with _noted(opened, f"the run was not closed as {status}"):
                runs.close_run(run, status)
    _note_other_experiment(opened)
    facts["run_name"] = opened.name
    facts["run_url"] = connection.run_url(session.connection.uri, opened.experiment_id, run.info.run_id)
    facts["experiment_url"] = connection.experiment_url(session.connection.uri, opened.experiment_id)
    facts["notes"] = tuple(secrets.redact(note, session.namespace) for note in opened.notes)
    return facts


# -- the parts of begin ---------------------------------------------------------------------------------------


def _cell_tags(opened: OpenRun) -> dict[str, str]:
    tags = {}
    if opened.source is not None and opened.source.cell_id:
        tags[context.CELL_ID] = opened.source.cell_id
    if opened.source is not None and opened.source.execution_count is not None:
        tags[context.EXECUTION_COUNT] = str(opened.source.execution_count)
    return tags


def _own_tags(session: Session, opened: OpenRun) -> dict[str, str]:
    safe = {}
    for key, value in opened.options.tags.items():
        if secrets.secret_reason(key, value):
            opened.notes.append(f"tag {key} was not set: it looks like a secret")
        else:
            safe[key] = secrets.redact(value, session.namespace)
    return safe


def _parent_id(session: Session, opened: OpenRun) -> str:
    """Return the id of the run that this one is nested in; empty if none."""
    for outer in reversed(session.open_runs):
        if outer.run is not None:
            return str(outer.run.info.run_id)
    foreign = session.fluent.foreign_run()
    if foreign is not None and opened.options.nested:
        return str(foreign.info.run_id)
    if foreign is not None:
        opened.notes.append(
            f"the run {foreign.info.run_name!r} of mlflow.start_run() is still open: "
            "end it with mlflow.end_run(), or nest this one in it with --nested"
        )
    return ""


def _rename(opened: OpenRun, name: str, tags: Mapping[str, str]) -> None:
    """Give the cell's run what ``mlflow.start_run(run_name=…, tags=…)`` inside the cell asks for."""
    asked = {key: str(value) for key, value in tags.items()}
    if name and not opened.options.name:
        opened.name = asked["mlflow.runName"] = names.mend_run_name(name)
    with _noted(opened, "tags were not set"):
        opened.notes += runs.write_tags(opened.tracked, asked)


# -- the parts of record --------------------------------------------------------------------------------------


def _log_models(session: Session, opened: OpenRun) -> Iterator[str]:
    for variable, name in opened.options.models:
        if variable not in session.namespace:
            opened.notes.append(f"model {variable} was not logged: the cell did not reach it")
            continue
        inputs, _ = opened.flow.model_inputs.get(variable, ("", "")) if opened.flow else ("", "")
        try:
            logged = models.log_model(
                session.namespace[variable],
                name,
                run_id=opened.tracked.info.run_id,
                signature_inputs=session.namespace.get(inputs),
            )
        except MlflowMagicsError as error:
            opened.notes.append(f"model {variable} was not logged: {error}")
        else:
            opened.notes += logged.notes
            yield logged.name


def _log_artifacts(
    session: Session, opened: OpenRun, captured: Captured, error: BaseException | None
) -> tuple[str, ...]:
    """Stage the run's files in one folder and upload them together."""
    with files.staging() as folder:
        if opened.source is not None and opened.options.source:
            source = secrets.redact(opened.source.text, session.namespace)
            (folder / "cell.py").write_text(source, encoding="utf-8")
        if error is not None:
            text = failure.traceback_text(error, session.namespace)
            (folder / "traceback.txt").write_text(text, encoding="utf-8")
        opened.notes += files.stage_figures(captured.figures, folder / "figures")
        opened.notes += files.stage_paths(opened.options.artifacts, folder)
        runs.upload(opened.tracked, folder)
        return files.staged(folder)


def _others_artifacts(opened: OpenRun, own: Sequence[str]) -> tuple[str, ...]:
    """Return what autolog or the user's own calls put beside our files; asked only where they wrote at all."""
    tops = {path.split("/")[0] for path in own}
    return tuple(name for name in runs.artifact_names(opened.tracked) if name.rstrip("/") not in tops)


def _previous(session: Session, opened: OpenRun, metrics: Sequence[Metric]) -> Mapping[str, float]:
    """Return the metrics of the previous run of this cell, and remember these for the next."""
    source = opened.source
    if source is None or not metrics:
        return {}
    if source.cell_id:
        tag, value = context.CELL_ID, source.cell_id
    elif opened.options.name:
        tag, value = "mlflow.runName", opened.options.name
    else:
        return {}
    key = f"{opened.experiment_id}/{tag}/{value}"
    if key not in session.previous:
        session.previous[key] = runs.previous_metrics(opened.experiment_id, tag, value, opened.tracked.info.run_id)
    previous = session.previous[key]
    session.previous[key] = {metric.name: metric.value for metric in metrics}
    return {metric.name: previous[metric.name] for metric in metrics if metric.name in previous}


def _note_other_experiment(opened: OpenRun) -> None:
    """Say so where the cell itself called ``mlflow.set_experiment``: its run was open by then, and cannot move."""
    chosen = None
    with contextlib.suppress(MlflowMagicsError):
        chosen = None if opened.options.experiment else connection.chosen_experiment()
    if chosen is not None and chosen[0] != opened.experiment_id:
        opened.notes.append(
            f"mlflow.set_experiment({chosen[1]!r}) came after this run was opened in {opened.experiment_name!r}; "
            f"to have it there, write -e {chosen[1]!r} behind %%mlflow_run"
        )


@contextlib.contextmanager
def _noted(opened: OpenRun, what: str) -> Iterator[None]:
    """Turn a failure of tracking into a note: the cell has its result whatever becomes of the run."""
    try:
        yield
    except TrackingError as error:
        opened.notes.append(f"{what}: {error}")
