"""What a session does to MLflow when a run ends. Imported late: everything here needs mlflow."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from ..capture.notebook import authoring, failure, provenance, repeated
from ..capture.values import secrets
from ..tracking.calls import guards, interrupts
from ..tracking.connecting import connected
from ..tracking.location import links
from ..tracking.models import models
from ..tracking.outbox.numbers import authored
from ..tracking.runs import artifacts, datasets, earlier, files, run_series, run_tags, runs, settling
from ..vocabulary.errors import MlflowMagicsError
from ..vocabulary.records import Captured, OpenedRun, Skipped, Status
from .openrun import OpenRun, attempt

if TYPE_CHECKING:
    from .state import SessionState

T = TypeVar("T")


def record(
    session: SessionState, opened: OpenRun, captured: Captured, status: Status, error: BaseException | None
) -> dict[str, Any]:
    """Write all that a run comes to, and close it. Each part is tried, whatever became of the others.

    Parameters
    ----------
    session : SessionState
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
    assert session.connection is not None
    facts: dict[str, Any] = {"where": session.connection.where}
    entry = opened.cell_run
    assert entry is not None
    with guards.unseeded(), connected.held():
        attempt(opened, "the runs that the cell opened are not known", entry.settle)
        if entry.run is None:
            session.fluent.leave(entry, status)
            return {"status": status}
        run, run_ids = entry.run, list(dict.fromkeys(entry.opened))
        facts["run_id"] = run.info.run_id
        try:
            attempt(opened, "system metrics were not logged", lambda: _end_sampling(opened))
            captured = _beside_the_author(session, opened, captured, run_ids)
            facts["series"] = captured.series
            if written := attempt(
                opened,
                "params and metrics were not logged",
                lambda: runs.write(run, captured.params, captured.metrics),
            ):
                opened.notes += written.notes
                facts |= {"params": written.params, "metrics": written.metrics}
                facts |= {"auto_params": _shown(opened, written.auto_params), "auto_metrics": written.auto_metrics}
            # What may take long ends with a Ctrl-C; the rest of this does not.
            with interrupts.interruptible():
                data = _log_data(session, opened)
                facts["data"] = tuple(words for _, words in data)
                tell = functools.partial(_tell_surroundings, session, opened)
                attempt(opened, "packages and hidden state were not recorded", tell)
                own = attempt(
                    opened, "artifacts were not logged", lambda: _log_artifacts(session, opened, captured, error)
                )
                facts["artifacts"] = own or ()
                theirs = attempt(opened, "models were not listed", lambda: artifacts.models_of(run)) or []
                logged = _log_models(session, opened)
                facts["models"] = tuple(dict.fromkeys([*(name for _, name in logged), *theirs]))
                # Capture had no role for them, and yet they are in the run.
                taken = {variable for variable, _ in (*data, *logged)}
                skipped = [each for each in captured.skipped if each.name not in taken]
                facts["skipped"] = tuple(authoring.without_advice(skipped, _shown_in(opened), len(theirs)))
                tops = {path.split("/")[0] for path in (*(own or ()), *facts["models"])}
                others = attempt(opened, "artifacts were not listed", lambda: _others_artifacts(opened, tops))
                facts["artifacts"] += others or ()
        except KeyboardInterrupt:
            # The cell is over: the user means the sending, and gets what is known instead of a traceback of ours.
            opened.notes.append("interrupted while it was being sent: not all of this is in the run")
        finally:
            # Also after any other surprise: the run must not stay open.
            ended_as = session.fluent.leave(entry, status)
            if status == "FINISHED" and ended_as in ("FAILED", "KILLED"):
                facts["status"] = status = ended_as  # type: ignore[assignment]  # narrowed by the line above
            final = status
            # The author's only run, which is the cell's too, ends as he says, and when.
            stays_open = entry.whose == "author" or entry.is_left_open
            is_authors = stays_open and (status == "FINISHED" or entry.is_over())
            if is_authors and not entry.is_over():
                opened.notes.append("the run stays open, as the cell leaves it: mlflow.end_run() ends it")
            if not opened.of_job and not is_authors:
                # Also where a store was waited for in vain: this goes to the outbox, and waits for nobody.
                opened.gave_up = False
                attempt(opened, f"the run was not closed as {final}", lambda: runs.close_run(run, final))
        try:
            facts |= _settle(session, opened, captured, facts)
        except KeyboardInterrupt:
            # Everything is in the outbox: only the waiting is cut short.
            facts["waiting"] = settling.waiting()
    _note_other_experiment(opened)
    if run.info.run_id in run_ids:
        opened.name = next(name for name, _, _ in runs.told([run.info.run_id])) or opened.name
    beside = [run_id for run_id in run_ids if run_id != run.info.run_id]
    facts["runs"] = tuple(
        OpenedRun(name, run_id, links.run_url(session.connection.uri, experiment_id, run_id))
        for name, run_id, experiment_id in runs.told(beside)
    )
    facts["run_name"] = opened.name
    facts["run_url"] = links.run_url(session.connection.uri, opened.experiment_id, facts["run_id"])
    facts["experiment_url"] = links.experiment_url(session.connection.uri, opened.experiment_id)
    return facts


def note_ends(spanning: Sequence[OpenRun], status: Status) -> None:
    """Keep on disk what the runs that span cells end as, should the kernel be killed now."""
    runs.note_ends({opened.tracked.info.run_id: status for opened in spanning})


def _beside_the_author(session: SessionState, opened: OpenRun, captured: Captured, run_ids: Sequence[str]) -> Captured:
    """Leave out what the cell has logged itself, and hand on the points of the other series."""
    followed = [one.name for one in captured.series]
    find = functools.partial(run_series.logged, opened.tracked, followed, run_ids)
    logged = attempt(opened, "what the cell logs itself is not known", find)
    if logged is None:
        return captured
    options = opened.options
    named = {*options.watch, *options.choices.metrics, *options.choices.params}
    shown = _shown_in(opened)
    kept = repeated.beside(captured, logged, shown, named)
    if kept.figures:
        what = "figures are logged as if the cell had not"
        kept = attempt(opened, what, lambda: _figures_beside(session, opened, kept, shown)) or kept
    opened.notes += kept.notes[len(captured.notes) :]
    withdrawn = set(followed) - {one.name for one in kept.series}
    attempt(opened, "points of series were not sent", lambda: run_series.end_series(opened.tracked, withdrawn))
    return kept


def _shown(opened: OpenRun, params: Mapping[str, str]) -> Mapping[str, str]:
    """Return what the block shows of params that others logged; a note names those that look like secrets.

    The author's own ``mlflow.log_param("db_password", …)`` is stored as he wrote it.
    """
    tags = attempt(opened, "the run's tags were not looked at", lambda: runs.own_tags(opened.tracked)) or {}
    by_kind = {"param": params, "tag": tags}
    doubtful = {
        kind: [key for key, value in each.items() if secrets.secret_reason(key, value)]
        for kind, each in by_kind.items()
    }
    for kind, keys in doubtful.items():
        if keys:
            verb = "looks like a secret and is" if len(keys) == 1 else "look like secrets and are"
            opened.notes.append(
                f"{kind} {', '.join(keys)} {verb} stored as the cell logged it; if that was not meant, delete the run"
            )
    return {key: "***" if key in doubtful["param"] else value for key, value in params.items()}


def _shown_in(opened: OpenRun) -> authoring.Shown:
    return authoring.shown_in(opened.source.code if opened.source is not None else "")


def _figures_beside(session: SessionState, opened: OpenRun, captured: Captured, shown: authoring.Shown) -> Captured:
    """Leave out the figures that the cell has logged itself."""
    paths, pictures = artifacts.own_files(opened.tracked)
    if not paths:
        return captured
    names = [one.variable or one.name for one in captured.figures]
    theirs = authoring.logged_figures(names, shown, paths, session.namespace)
    ends = {path.rpartition("/")[2] for path in paths}
    own = [
        one
        for one in captured.figures
        if (one.variable or one.name) in theirs
        or one.file in ends
        or (one.library == "matplotlib" and authored.is_drawn(one.figure, pictures, one.picture))
    ]
    figures = tuple(one for one in captured.figures if one not in own)
    skipped = (Skipped(name, "logged by the cell itself") for name in dict.fromkeys(o.variable or o.name for o in own))
    return replace(captured, figures=figures, skipped=(*skipped, *captured.skipped))


def _log_data(session: SessionState, opened: OpenRun) -> list[tuple[str, str]]:
    """Log the datasets asked for; return the variables of those that were, and the datasets in words."""
    found = []
    for variable, use in opened.options.data:
        if variable not in session.namespace:
            opened.notes.append(f"data {variable} was not logged: the cell did not reach it")
            continue
        log = functools.partial(_log_dataset, session, opened, variable, use)
        if words := attempt(opened, f"data {variable} was not logged", log):
            found.append((variable, words))
    return found


def _log_dataset(session: SessionState, opened: OpenRun, variable: str, use: str) -> str:
    described = datasets.describe(variable, session.namespace[variable])
    datasets.log(opened.tracked, described, use, opened.tracked.data.tags)
    return described.words if use == "training" else f"{described.words}, for {use}"


def _tell_surroundings(session: SessionState, opened: OpenRun) -> None:
    """Tag the run with the packages in use, and with the cells that made what its cell read."""
    used = run_tags.packages(provenance.packages(session.namespace))
    runs.write_tags(opened.tracked, {run_tags.PACKAGES: used, **_hidden_state(session, opened)})


def _hidden_state(session: SessionState, opened: OpenRun) -> dict[str, str]:
    """Return the tag that says which cells made what this one read; note where one of them reads otherwise by now."""
    if opened.flow is None or opened.before is None:
        return {}
    names_read = provenance.read_from_outside(opened.flow.reads, session.namespace, session.hidden)
    if not names_read:
        return {}
    history: Any = session.namespace.get("In")  # IPython's, unless the user has put something else there
    known = history[:-1] if type(history) is list else []
    origins = provenance.origins(names_read, [each if type(each) is str else "" for each in known])
    notebook = run_tags.notebook_path(session.namespace)
    moved = provenance.changed(set(origins.values()), session.executed, notebook)
    stale = [name for name in names_read if origins.get(name) in moved]
    if stale:
        cells = ", ".join(f"[{number}]" for number in sorted({origins[name] for name in stale}))
        some = ", ".join(stale[:4]) + (f" and {len(stale) - 4} more" if len(stale) > 4 else "")
        verb = "comes" if len(stale) == 1 else "come"
        opened.notes.append(
            f"{some} {verb} from {cells}, a cell that reads otherwise now: run it again, or this run cannot be repeated"
        )
    return {run_tags.READS: provenance.tag(names_read, origins)}


def _log_models(session: SessionState, opened: OpenRun) -> list[tuple[str, str]]:
    """Log the models asked for; return the variables of those that were, and the models' names."""
    found = []
    for variable, name in opened.options.models:
        if variable not in session.namespace:
            opened.notes.append(f"model {variable} was not logged: the cell did not reach it")
            continue
        logged = attempt(
            opened,
            f"model {variable} was not logged",
            functools.partial(_log_model, session, opened, variable, name),
        )
        if logged is not None:
            opened.notes += logged.notes
            found.append((variable, logged.name))
    return found


def _log_model(session: SessionState, opened: OpenRun, variable: str, name: str) -> models.LoggedModel:
    inputs, _ = opened.flow.model_inputs.get(variable, ("", "")) if opened.flow else ("", "")
    return models.log_model(
        session.namespace[variable],
        name,
        run_id=opened.tracked.info.run_id,
        signature_inputs=session.namespace.get(inputs),
    )


def _log_artifacts(
    session: SessionState, opened: OpenRun, captured: Captured, error: BaseException | None
) -> tuple[str, ...]:
    """Stage the run's files in one folder and upload them together."""
    with files.staging() as folder:
        # A job's run gets what every cell of the notebook has, each beside the others.
        count = f"_{opened.source.execution_count or 0}" if opened.of_job and opened.source is not None else ""
        if opened.source is not None and opened.options.source:
            source = secrets.redact(opened.source.text, session.namespace)
            (folder / f"cell{count}.py").write_text(source, encoding="utf-8", errors="backslashreplace")
        if error is not None:
            text = failure.traceback_text(error, session.namespace, opened.source.text if opened.source else "")
            (folder / "traceback.txt").write_text(text, encoding="utf-8", errors="backslashreplace")
        files.stage_calls(captured.calls, folder, count)
        opened.notes += files.stage_figures(captured.figures, folder / "figures")
        opened.notes += files.stage_paths(opened.options.artifacts, folder)
        artifacts.upload(opened.tracked, folder)
        return files.staged(folder)


def _others_artifacts(opened: OpenRun, tops: Collection[str]) -> tuple[str, ...]:
    """Return what autolog or the user's own calls put beside what is listed already, by the names at the top."""
    return tuple(name for name in artifacts.artifact_names(opened.tracked) if name.rstrip("/") not in tops)


def _settle(session: SessionState, opened: OpenRun, captured: Captured, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Wait for what is on its way, and take out of `facts` what the store refused."""
    settled = attempt(opened, "what became of the writes is not known", lambda: settling.settle(opened.tracked))
    if settled is None:
        return {}
    opened.notes += settled.notes
    opened.experiment_id = settled.experiment_id
    params = tuple(one for one in facts.get("params", ()) if f"param {one.name}" not in settled.refused)
    metrics = tuple(one for one in facts.get("metrics", ()) if f"metric {one.name}" not in settled.refused)
    # Of a curve it was only some points.
    series = tuple(one for one in captured.series if one.kept > 1 or f"metric {one.name}" not in settled.refused)
    curves = {name for name, values in run_series.logged(opened.tracked, ()).metrics.items() if len(values) > 1}
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
        previous = attempt(opened, "no comparison with the previous run", compare)
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
    session: SessionState, opened: OpenRun, params: Mapping[str, str], metrics: Mapping[str, float]
) -> Mapping[str, float]:
    """Return the metrics of the previous run of this cell, and remember this one for the next."""
    source = opened.source
    if source is None:
        return {}
    if source.cell_id:
        tag, value = run_tags.CELL_ID, source.cell_id
    elif opened.options.name and not opened.of_job:  # all cells share the job's run, and its name
        tag, value = "mlflow.runName", opened.name
    else:
        return {}
    key = f"{opened.experiment_id}/{tag}/{value}"
    if key not in session.previous:
        session.previous[key] = earlier.previous(opened.experiment_id, tag, value, opened.tracked.info.run_id)
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
    shown = {
        name: "***" for values in (before, now) for name, value in values.items() if secrets.secret_reason(name, value)
    }
    changed = [
        f"{name} {shown.get(name) or before.get(name, '(none)')} → {shown.get(name, value)}"
        for name, value in differs.items()
    ]
    changed += [f"{name} {shown.get(name, value)} → (none)" for name, value in before.items() if name not in now]
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
        chosen = None if opened.options.experiment else connected.chosen_experiment()
    if chosen is not None and chosen[0] != opened.experiment_id:
        opened.notes.append(
            f"mlflow.set_experiment({chosen[1]!r}) came after this run was opened in {opened.experiment_name!r}; "
            f"to have it there, write -e {chosen[1]!r} behind %%mlflow_run"
        )


def _end_sampling(opened: OpenRun) -> None:
    if opened.system_metrics is not None:
        opened.system_metrics.finish()
