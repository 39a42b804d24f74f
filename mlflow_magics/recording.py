"""What a session does to MLflow when a run begins and when it ends. Imported late: everything here needs mlflow."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from .capture import authoring, failure, provenance, repeated, secrets
from .errors import MlflowMagicsError, NotLoggableError, TrackingError
from .openrun import OpenRun
from .records import Captured, Skipped, Status
from .tracking import authored, connection, context, datasets, files, guards, models, names, runs

if TYPE_CHECKING:
    from .session import Session

T = TypeVar("T")


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
    if options.run_id and options.experiment:
        raise MlflowMagicsError("--run-id goes on in the run's own experiment; leave -e out")
    given = session.fluent.given_run_id()
    opened.of_job = bool(given) and not options.nested and options.run_id in ("", given)
    # A pasted cell that sets its experiment itself means the run that it then logs into: this one.
    if opened.of_job:
        opened.notes += _job_notes(opened)
    elif asked := options.experiment or (opened.flow.sets_experiment if opened.flow is not None else ""):
        opened.experiment_id, _ = connection.use_experiment(asked)
        opened.experiment_name = asked
    name = secrets.redact(names.mend_run_name(options.name), session.namespace)
    if name != options.name:
        opened.notes.append(f"the run is named {name!r}: MLflow does not take the name as it was")
    tags = _own_tags(session, opened)
    description = secrets.redact(options.description, session.namespace)
    if options.run_id or opened.of_job:
        opened.run = runs.resume_run(
            given if opened.of_job else options.run_id,
            name=name,
            tags=tags,
            description=description,
            notes=opened.notes,
            reopen=not opened.of_job,
        )
    else:
        opened.run = runs.open_run(
            opened.experiment_id,
            name=name,
            tags=context.context_tags(context.notebook_path(session.namespace)) | _cell_tags(opened) | tags,
            description=description,
            parent_id=_parent_id(session, opened),
            notes=opened.notes,
        )
    if (found := opened.run.info.experiment_id) != opened.experiment_id:
        # Gone on with, or the experiment takes no run any more.
        name_of = functools.partial(connection.experiment_name, found)
        opened.experiment_name = _attempt(opened, "the experiment's name is not known", name_of) or found
        opened.experiment_id = found
    opened.name = (not opened.of_job and name) or opened.run.info.run_name
    code = opened.source.code if opened.source is not None else ""
    opened.open_sink = functools.partial(
        runs.series_sink,
        opened.run,
        asked={*options.watch, *options.choices.metrics},
        until_end=authoring.may_log_metrics(code, session.namespace),
    )
    try:
        session.fluent.enter(
            opened.run,
            sweep=opened.flow is not None and opened.flow.starts_runs_in_loop,
            rename=lambda name, tags: _rename(opened, name, tags),
            sample=lambda: _sample(opened),
        )
    except BaseException:
        # An interrupt too: nobody else knows of the run yet, and it would stay open for ever.
        session.fluent.leave(opened.run, "KILLED")
        if not opened.of_job:
            with contextlib.suppress(TrackingError):
                runs.close_run(opened.run, "KILLED")
        raise
    if options.system_metrics or runs.samples_system_metrics():
        _sample(opened)


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
        try:
            _attempt(opened, "system metrics were not logged", lambda: _end_sampling(opened))
            captured = _beside_the_author(session, opened, captured)
            facts["series"] = captured.series
            if written := _attempt(
                opened,
                "params and metrics were not logged",
                lambda: runs.write(run, captured.params, captured.metrics),
            ):
                opened.notes += written.notes
                facts |= {"params": written.params, "metrics": written.metrics}
                facts |= {"auto_params": written.auto_params, "auto_metrics": written.auto_metrics}
            data = _log_data(session, opened)
            facts["data"] = tuple(words for _, words in data)
            told = {context.PACKAGES: context.packages(session.namespace), **_hidden_state(session, opened)}
            _attempt(opened, "packages and hidden state were not recorded", lambda: runs.write_tags(run, told))
            own = _attempt(
                opened, "artifacts were not logged", lambda: _log_artifacts(session, opened, captured, error)
            )
            facts["artifacts"] = own or ()
            theirs = _attempt(opened, "models were not listed", lambda: runs.models_of(run)) or []
            logged = _log_models(session, opened)
            facts["models"] = tuple(dict.fromkeys([*(name for _, name in logged), *theirs]))
            # Capture had no role for them, and yet they are in the run.
            taken = {variable for variable, _ in (*data, *logged)}
            skipped = [each for each in captured.skipped if each.name not in taken]
            facts["skipped"] = tuple(authoring.without_advice(skipped, _shown_in(opened), len(theirs)))
            tops = {path.split("/")[0] for path in (*(own or ()), *facts["models"])}
            others = _attempt(opened, "artifacts were not listed", lambda: _others_artifacts(opened, tops))
            facts["artifacts"] += others or ()
        except KeyboardInterrupt:
            # The cell is over: the user means the sending, and gets what is known instead of a traceback of ours.
            opened.notes.append("interrupted while it was being sent: not all of this is in the run")
        finally:
            # Also after any other surprise: the run must not stay open.
            asked = session.fluent.leave(run, status)
            if status == "FINISHED" and asked in ("FAILED", "KILLED"):
                facts["status"] = status = asked  # type: ignore[assignment]  # narrowed by the line above
            final = status
            if not opened.of_job:
                _attempt(opened, f"the run was not closed as {final}", lambda: runs.close_run(run, final))
        try:
            facts |= _settle(session, opened, captured, facts)
        except KeyboardInterrupt:
            # Everything is in the outbox: only the waiting is cut short.
            facts["waiting"] = runs.waiting()
    _note_other_experiment(opened)
    facts["run_name"] = opened.name
    facts["run_url"] = connection.run_url(session.connection.uri, opened.experiment_id, facts["run_id"])
    facts["experiment_url"] = connection.experiment_url(session.connection.uri, opened.experiment_id)
    return facts


# -- the parts of begin ---------------------------------------------------------------------------------------


def _cell_tags(opened: OpenRun) -> dict[str, str]:
    tags = {}
    if opened.source is not None and opened.source.cell_id:
        tags[context.CELL_ID] = opened.source.cell_id
    if opened.source is not None and opened.source.execution_count is not None:
        tags[context.EXECUTION_COUNT] = str(opened.source.execution_count)
    return tags


def _job_notes(opened: OpenRun) -> list[str]:
    typed = [f"the name {opened.options.name!r}"] if opened.options.name else []
    typed += [f"-e {opened.options.experiment}"] if opened.options.experiment else []
    kept = f"; {' and '.join(typed)} not used (--nested makes a run of its own)" if typed else ""
    return [f"logged into the run that MLFLOW_RUN_ID names, which stays open: it is the job's to close{kept}"]


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
        opened.system_metrics = _attempt(
            opened, "no system metrics", lambda: runs.start_system_metrics(opened.tracked.info.run_id)
        )


def _rename(opened: OpenRun, name: str, tags: Mapping[str, str]) -> None:
    """Give the cell's run what ``mlflow.start_run(run_name=…, tags=…)`` inside the cell asks for."""
    asked = {key: str(value) for key, value in tags.items()}
    if name and not opened.options.name:
        opened.name = asked["mlflow.runName"] = names.mend_run_name(name)
    opened.notes += _attempt(opened, "tags were not set", lambda: runs.write_tags(opened.tracked, asked)) or []


# -- the parts of record --------------------------------------------------------------------------------------


def _beside_the_author(session: Session, opened: OpenRun, captured: Captured) -> Captured:
    """Leave out what the cell has logged itself, and hand on the points of the other series."""
    followed = [one.name for one in captured.series]
    logged = _attempt(opened, "what the cell logs itself is not known", lambda: runs.logged(opened.tracked, followed))
    if logged is None:
        return captured
    options = opened.options
    asked = {*options.watch, *options.choices.metrics, *options.choices.params}
    shown = _shown_in(opened)
    kept = repeated.beside(captured, logged, shown, asked)
    if kept.figures:
        what = "figures are logged as if the cell had not"
        kept = _attempt(opened, what, lambda: _figures_beside(session, opened, kept, shown)) or kept
    opened.notes += kept.notes[len(captured.notes) :]
    withdrawn = set(followed) - {one.name for one in kept.series}
    _attempt(opened, "points of series were not sent", lambda: runs.end_series(opened.tracked, withdrawn))
    return kept


def _shown_in(opened: OpenRun) -> authoring.Shown:
    return authoring.shown_in(opened.source.code if opened.source is not None else "")


def _figures_beside(session: Session, opened: OpenRun, captured: Captured, shown: authoring.Shown) -> Captured:
    """Leave out the figures that the cell has logged itself."""
    paths, pictures = runs.own_files(opened.tracked)
    if not paths:
        return captured
    names = [one.name for one in captured.figures]
    theirs = authoring.logged_figures(names, shown, paths, session.namespace)
    drawn = (one for one in captured.figures if one.library == "matplotlib" and one.name not in theirs)
    theirs |= {one.name for one in drawn if authored.is_drawn(one.figure, pictures)}
    figures = tuple(one for one in captured.figures if one.name not in theirs)
    said = (Skipped(name, "logged by the cell itself") for name in names if name in theirs)
    return replace(captured, figures=figures, skipped=(*said, *captured.skipped))


def _log_data(session: Session, opened: OpenRun) -> list[tuple[str, str]]:
    """Log the datasets asked for; return the variables of those that were, and the datasets in words."""
    found = []
    for variable, use in opened.options.data:
        if variable not in session.namespace:
            opened.notes.append(f"data {variable} was not logged: the cell did not reach it")
            continue
        log = functools.partial(_log_dataset, session, opened, variable, use)
        if words := _attempt(opened, f"data {variable} was not logged", log):
            found.append((variable, words))
    return found


def _log_dataset(session: Session, opened: OpenRun, variable: str, use: str) -> str:
    described = datasets.describe(variable, session.namespace[variable])
    datasets.log(opened.tracked, described, use, opened.tracked.data.tags)
    return described.words if use == "training" else f"{described.words}, for {use}"


def _hidden_state(session: Session, opened: OpenRun) -> dict[str, str]:
    """Return the tag that says which cells made what this one read; note where one of them reads otherwise by now."""
    if opened.flow is None or opened.before is None:
        return {}
    names_read = provenance.read_from_outside(opened.flow.reads, session.namespace, session.hidden)
    if not names_read:
        return {}
    history: Any = session.namespace.get("In") or ()
    origins = provenance.origins(names_read, [str(each) for each in history[:-1]])
    notebook = context.notebook_path(session.namespace)
    moved = provenance.changed(set(origins.values()), session.executed, notebook)
    stale = [name for name in names_read if origins.get(name) in moved]
    if stale:
        cells = ", ".join(f"[{number}]" for number in sorted({origins[name] for name in stale}))
        some = ", ".join(stale[:4]) + (f" and {len(stale) - 4} more" if len(stale) > 4 else "")
        verb = "comes" if len(stale) == 1 else "come"
        opened.notes.append(
            f"{some} {verb} from {cells}, a cell that reads otherwise now: run it again, or this run cannot be repeated"
        )
    return {context.READS: provenance.tag(names_read, origins)}


def _log_models(session: Session, opened: OpenRun) -> list[tuple[str, str]]:
    """Log the models asked for; return the variables of those that were, and the models' names."""
    found = []
    for variable, name in opened.options.models:
        if variable not in session.namespace:
            opened.notes.append(f"model {variable} was not logged: the cell did not reach it")
            continue
        logged = _attempt(
            opened,
            f"model {variable} was not logged",
            functools.partial(_log_model, session, opened, variable, name),
        )
        if logged is not None:
            opened.notes += logged.notes
            found.append((variable, logged.name))
    return found


def _log_model(session: Session, opened: OpenRun, variable: str, name: str) -> models.LoggedModel:
    inputs, _ = opened.flow.model_inputs.get(variable, ("", "")) if opened.flow else ("", "")
    return models.log_model(
        session.namespace[variable],
        name,
        run_id=opened.tracked.info.run_id,
        signature_inputs=session.namespace.get(inputs),
    )


def _log_artifacts(
    session: Session, opened: OpenRun, captured: Captured, error: BaseException | None
) -> tuple[str, ...]:
    """Stage the run's files in one folder and upload them together."""
    with files.staging() as folder:
        if opened.source is not None and opened.options.source:
            source = secrets.redact(opened.source.text, session.namespace)
            # A job's run gets every cell of the notebook, each beside the others.
            count = f"_{opened.source.execution_count or 0}" if opened.of_job else ""
            (folder / f"cell{count}.py").write_text(source, encoding="utf-8", errors="backslashreplace")
        if error is not None:
            text = failure.traceback_text(error, session.namespace)
            (folder / "traceback.txt").write_text(text, encoding="utf-8", errors="backslashreplace")
        opened.notes += files.stage_figures(captured.figures, folder / "figures")
        opened.notes += files.stage_paths(opened.options.artifacts, folder)
        runs.upload(opened.tracked, folder)
        return files.staged(folder)


def _others_artifacts(opened: OpenRun, tops: Collection[str]) -> tuple[str, ...]:
    """Return what autolog or the user's own calls put beside what is listed already, by the names at the top."""
    return tuple(name for name in runs.artifact_names(opened.tracked) if name.rstrip("/") not in tops)


def _settle(session: Session, opened: OpenRun, captured: Captured, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Wait for what is on its way, and take out of `facts` what the store refused."""
    settled = _attempt(opened, "what became of the writes is not known", lambda: runs.settle(opened.tracked))
    if settled is None:
        return {}
    opened.notes += settled.notes
    opened.experiment_id = settled.experiment_id
    params = tuple(one for one in facts.get("params", ()) if f"param {one.name}" not in settled.refused)
    metrics = tuple(one for one in facts.get("metrics", ()) if f"metric {one.name}" not in settled.refused)
    # Of a curve it was only some points.
    series = tuple(one for one in captured.series if one.kept > 1 or f"metric {one.name}" not in settled.refused)
    curves = {name for name, values in runs.logged(opened.tracked, ()).metrics.items() if len(values) > 1}
    auto_params, auto_metrics = (
        {name: value for name, value in facts.get(f"auto_{kind}s", {}).items() if f"{kind} {name}" not in gone}
        for kind, gone in (
            ("param", settled.refused),
            ("metric", settled.refused - {f"metric {one}" for one in curves}),
        )
    )
    final = {metric.name: metric.value for metric in metrics} | {one.name: one.last for one in series}
    # All that the store has of it, as the next kernel will read it.
    now = {**auto_params, **{param.name: param.value for param in params}}
    # A store that does not answer is not asked for more.
    previous = None
    if not settled.waiting.total:
        compare = functools.partial(_previous, session, opened, now, final)
        previous = _attempt(opened, "no comparison with the previous run", compare)
    return {
        "run_id": settled.run_id,
        "params": params,
        "metrics": metrics,
        "series": series,
        "auto_params": auto_params,
        "auto_metrics": auto_metrics,
        "waiting": settled.waiting,
        "previous": previous or {},
    }


def _previous(
    session: Session, opened: OpenRun, params: Mapping[str, str], metrics: Mapping[str, float]
) -> Mapping[str, float]:
    """Return the metrics of the previous run of this cell, and remember this one for the next."""
    source = opened.source
    if source is None:
        return {}
    if source.cell_id:
        tag, value = context.CELL_ID, source.cell_id
    elif opened.options.name:
        tag, value = "mlflow.runName", opened.name
    else:
        return {}
    key = f"{opened.experiment_id}/{tag}/{value}"
    if key not in session.previous:
        session.previous[key] = runs.previous(opened.experiment_id, tag, value, opened.tracked.info.run_id)
    previous = session.previous[key]
    session.previous[key] = params, metrics
    if previous is None:
        return {}
    same = {name: previous[1][name] for name in metrics if name in previous[1]}
    line = _against(previous[0], params, same, metrics)
    opened.notes += [line] if line else []
    return same


def _against(
    before: Mapping[str, str], now: Mapping[str, str], old: Mapping[str, float], new: Mapping[str, float]
) -> str:
    """Say on one line what a run has otherwise than the one before it; empty where nothing differs."""
    differs = {name: value for name, value in now.items() if before.get(name) != value}
    changed = [f"{name} {before.get(name, '(none)')} → {value}" for name, value in differs.items()]
    changed += [f"{name} {value} → (none)" for name, value in before.items() if name not in now]
    moving = (name for name in old if old[name] and new[name] != old[name])
    moved = [f"{name} {(new[name] - old[name]) / abs(old[name]):+.1%}" for name in moving]
    if not (changed or moved):
        return ""
    changed = changed or ["the same params"]
    some = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
    return "; ".join(filter(None, (f"against the run before: {some}", ", ".join(moved[:3]), "%mlflow_diff shows all")))


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


def _end_sampling(opened: OpenRun) -> None:
    if opened.system_metrics is not None:
        opened.system_metrics.finish()


def _attempt(opened: OpenRun, what: str, job: Callable[[], T]) -> T | None:
    """Do a part of the work; where it fails, a note says so, and the cell has its result all the same.

    After a store that was waited for in vain the other parts are left: each would freeze the cell as long again.
    """
    if opened.gave_up:
        return None
    try:
        return job()
    except Exception as error:  # noqa: BLE001
        # Files, figures, models and plugins fail in their own ways. One part must not take the others with it.
        # What is about one value names it, and so does `what`.
        why = error.reason if isinstance(error, NotLoggableError) else guards.reason(error)
        opened.notes.append(f"{what}: {why}")
        if isinstance(error, TrackingError) and error.timed_out:
            opened.gave_up = True
            opened.notes.append("the store does not answer: the rest of this run was not sent")
        return None
