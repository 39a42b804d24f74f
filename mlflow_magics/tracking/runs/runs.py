"""Open a run, write to it, close it, and wait for what it wrote; all through the outbox."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric as MlflowMetric
from mlflow.entities import Param as MlflowParam
from mlflow.entities import Run, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.tracking._tracking_service.utils import _get_store
from mlflow.utils import validation
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE
from mlflow.utils.uri import add_databricks_profile_info_to_artifact_uri

from ...vocabulary.errors import MlflowMagicsError, TrackingError, UnknownNameError
from ...vocabulary.records import Logged, Metric, Param, Status, Waiting
from ..calls import filters
from ..calls.guards import as_tracking_error, reason
from ..outbox import authored
from ..outbox.authored import MOST_VALUES
from ..outbox.disk.journal import ENDS
from ..outbox.outbox import Outbox
from ..outbox.sending import replay
from ..outbox.series import SeriesSink
from ..patches import store
from .names import fix_metrics, fix_params, fix_tags

NOTE = MLFLOW_RUN_NOTE
"""The tag that holds a run's description."""
_PAGE = 5
_MOST_PAGES = 20


@dataclass(frozen=True)
class Written:
    """What a run holds after a write.

    Attributes
    ----------
    params, metrics : tuple
        Of those given, the ones that the run now holds under the name and value shown.
    auto_params, auto_metrics : mapping
        What only others put into the run while it was open: autolog, the user's own calls.
    notes : tuple of str
        One line for each hint, conflict or refusal.
    """

    params: tuple[Param, ...] = ()
    metrics: tuple[Metric, ...] = ()
    auto_params: Mapping[str, str] = field(default_factory=dict)
    auto_metrics: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settled:
    """What became of a run's writes.

    Attributes
    ----------
    run_id, experiment_id : str
        As the store knows them, if it does by now.
    refused : frozenset of str
        What the store refused: ``"param lr"``.
    waiting : Waiting
        What it has not taken yet.
    notes : tuple of str
        One line for each refusal, and for what the user must know of the outbox.
    """

    run_id: str
    experiment_id: str
    refused: frozenset[str]
    waiting: Waiting
    notes: tuple[str, ...]


def open_run(
    experiment_id: str,
    *,
    name: str = "",
    tags: Mapping[str, str] | None = None,
    description: str = "",
    parent_id: str = "",
    started: int | None = None,
    notes: list[str] | None = None,
) -> Run:
    """Create a run; one request.

    Parameters
    ----------
    experiment_id : str
        Where.
    name : str, optional
        MLflow makes one up where it is empty.
    tags : mapping of str to str, optional
        Context tags and the user's own.
    description : str, optional
        MLflow's note.
    parent_id : str, optional
        The run that this one is nested in.
    started : int, optional
        When it began, in milliseconds since 1970; now, where it is not given.
    notes : list of str, optional
        Gets a line for each tag that was fixed, and one if the run is in another experiment.

    Returns
    -------
    mlflow.entities.Run
        Running; in MLflow's default experiment where its own is deleted or gone.

    Raises
    ------
    TrackingError
        The store could not be reached, or refused.
    """
    wanted = fix_tags(tags or {}, notes if notes is not None else [])
    if description:
        wanted[MLFLOW_RUN_NOTE] = description[: validation.MAX_TAG_VAL_LENGTH]
    if parent_id:
        wanted[MLFLOW_PARENT_RUN_ID] = parent_id
    with as_tracking_error(), _outbox().for_us():
        client = MlflowClient()
        run, moved = replay.create_run(
            experiment_id,
            lambda where: client.create_run(where, start_time=started, tags=wanted, run_name=name or None),
            client.get_experiment_by_name,
        )
    if moved and notes is not None:
        notes.append(f"its experiment was refused: {moved}")
    return run


def resume_run(
    run_id: str,
    *,
    name: str = "",
    tags: Mapping[str, str] | None = None,
    description: str = "",
    notes: list[str] | None = None,
    reopen: bool = True,
) -> Run:
    """Reopen an existing run.

    Parameters
    ----------
    run_id : str
        The run; it may have ended, but not been deleted.
    name : str, optional
        A new name for it.
    tags : mapping of str to str, optional
        Added to it.
    description : str, optional
        Replaces MLflow's note.
    notes : list of str, optional
        Gets a line for each tag that was fixed or refused.
    reopen : bool, optional
        Whether its status and its end are ours from now on; no for a job's run, which is the job's to close.

    Returns
    -------
    mlflow.entities.Run
        As it was before, with the data it holds.

    Raises
    ------
    MlflowMagicsError
        There is no such run, or it was deleted.
    TrackingError
        The store could not be reached.
    """
    with as_tracking_error():
        try:
            run: Run = MlflowClient().get_run(run_id)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise UnknownNameError("run", run_id, hint="take the id from the run's page in MLflow") from error
            raise
        if run.info.lifecycle_stage == "deleted":
            raise MlflowMagicsError(
                f"run {run_id} was deleted; bring it back with MlflowClient().restore_run({run_id!r})"
            )
        _outbox().begin_account(run)
        if reopen:
            _get_store().update_run_info(run_id, RunStatus.RUNNING, None, name or None)
        wanted = dict(tags or {}) | ({MLFLOW_RUN_NOTE: description} if description else {})
        if wanted:
            said = write_tags(run, wanted)
            if notes is not None:
                notes += said
    return run


def write(run: Run, params: Sequence[Param], metrics: Sequence[Metric]) -> Written:
    """Add what a cell captured to its run, next to what others wrote there meanwhile.

    What autolog or the user already logged under the same name stays as it is. A name MLflow refuses is fixed, with
    a note. What the store refuses is told by :func:`settle`.

    Parameters
    ----------
    run : mlflow.entities.Run
        As :func:`open_run` or :func:`resume_run` returned it: its data tell what was there before the cell.
    params, metrics : sequence
        As captured.

    Returns
    -------
    Written
        What became of them.

    Raises
    ------
    TrackingError
        The store could not be used.
    """
    notes: list[str] = []
    wanted_params = fix_params(params, notes)
    wanted_metrics = fix_metrics(metrics, notes)
    with as_tracking_error():
        account = _outbox().account(run.info.run_id)
        others_params, others_metrics = dict(account.params), dict(account.metrics)
        there = {**run.data.params, **others_params}
        for key, value in wanted_params.items():
            if there.get(key, value) != value:
                notes.append(f"param {key} stays {there[key]!r}, as already logged; the cell's {value!r} was not added")
        with _outbox().authored.by_capture():
            _send(
                run.info.run_id,
                params={k: v for k, v in wanted_params.items() if k not in there},
                metrics={k: v for k, v in wanted_metrics.items() if k not in others_metrics},
            )
    # What somebody else logged under the same name and value is the cell's own all the same.
    shown_params = tuple(
        Param(key, value, param.why)
        for (key, value), param in zip(wanted_params.items(), params, strict=True)
        if there.get(key, value) == value
    )
    shown_metrics = tuple(
        Metric(key, value, metric.why)
        for (key, value), metric in zip(wanted_metrics.items(), metrics, strict=True)
        if key not in others_metrics or others_metrics[key] == value
    )
    own_params = {param.name for param in shown_params}
    own_metrics = {metric.name for metric in shown_metrics}
    return Written(
        params=shown_params,
        metrics=shown_metrics,
        auto_params={k: v for k, v in others_params.items() if k not in own_params},
        auto_metrics={k: v for k, v in others_metrics.items() if k not in own_metrics},
        notes=tuple(notes),
    )


def write_one(run: Run, *, params: Sequence[Param] = (), metrics: Sequence[Metric] = (), step: int = 0) -> list[str]:
    """Add params or metrics to a run that is open, at once.

    Parameters
    ----------
    run : mlflow.entities.Run
        The run.
    params, metrics : sequence
        What to add.
    step : int, optional
        The step of the metrics.

    Returns
    -------
    list of str
        A note for each hint, and for each param that has another value already.

    Raises
    ------
    TrackingError
        The store could not be used.
    """
    notes: list[str] = []
    with as_tracking_error():
        wanted = fix_params(params, notes)
        there = {**run.data.params, **_outbox().account(run.info.run_id).params}
        changed = [key for key, value in wanted.items() if there.get(key, value) != value]
        notes += [f"param {key} was refused: it is {there[key]!r} already, and params do not change" for key in changed]
        _send(
            run.info.run_id,
            params={key: value for key, value in wanted.items() if key not in changed},
            metrics=fix_metrics(metrics, notes),
            step=step,
        )
    return notes


def write_tags(run: Run, tags: Mapping[str, str]) -> list[str]:
    """Set tags on a run.

    Parameters
    ----------
    run : mlflow.entities.Run
        The run.
    tags : mapping of str to str
        What to set.

    Returns
    -------
    list of str
        A note for each hint.

    Raises
    ------
    TrackingError
        The store could not be used.
    """
    notes: list[str] = []
    with as_tracking_error():
        _send(run.info.run_id, tags=fix_tags(tags, notes))
    return notes


def own_tags(run: Run) -> dict[str, str]:
    """Return the tags that this kernel has set on a run, MLflow's own left out.

    Parameters
    ----------
    run : mlflow.entities.Run
        The run.

    Returns
    -------
    dict of str to str
        Those that a cell, or who writes for it, has set.
    """
    tags = _outbox().account(run.info.run_id).tags
    return {key: value for key, value in tags.items() if not key.startswith(("mlflow.", "mlflow_magics."))}


def settle(run: Run) -> Settled:
    """Send what a run has waiting, and wait for it, but not for a store that does not answer.

    Parameters
    ----------
    run : mlflow.entities.Run
        The run.

    Returns
    -------
    Settled
        What is left, and what the store refused.
    """
    outbox = _outbox()
    outbox.series.end(run.info.run_id)
    outbox.flush()
    refused = outbox.telling.refusals(run.info.run_id)
    notes = [f"{what} was refused: {why}" for what, why in refused] + outbox.telling.trimmed(run.info.run_id)
    notes += outbox.telling.warnings()
    return Settled(
        run_id=outbox.ids.get(run.info.run_id, run.info.run_id),
        experiment_id=outbox.ids.get(run.info.experiment_id, run.info.experiment_id),
        refused=frozenset(what for what, _ in refused),
        waiting=outbox.telling.waiting(),
        notes=tuple(notes),
    )


def waiting() -> Waiting:
    """Count what the store has not taken yet, of all runs."""
    return _outbox().telling.waiting()


def series_sink(run_id: str, name: str, *, asked: Collection[str] = (), until_end: bool = False) -> SeriesSink:
    """Return where the points of a series go.

    Parameters
    ----------
    run_id : str
        The run, or an id that is reserved for it.
    name : str
        The variable.
    asked : collection of str, optional
        Variables that the user asked for by name: their points are sent as they come. Those of others are kept back
        until it is plain that the author does not log the same.
    until_end : bool, optional
        Whether the cell's code looks as if it logged metrics itself.

    Returns
    -------
    SeriesSink
        Each point is durable when it returns.
    """
    (fixed,) = fix_metrics([Metric(name, 0.0, "")], [])
    return _outbox().series.sink(run_id, fixed, keep_back=name not in asked, until_end=until_end)


def logged(run: Run, series: Sequence[str], others: Sequence[str] = ()) -> Logged:
    """Return what others than capture have put into a run, and what of ours can still be left out.

    Parameters
    ----------
    run : mlflow.entities.Run
        The run.
    series : sequence of str
        The variables that were followed.
    others : sequence of str, optional
        Other runs that the cell opened: what they hold is not said once more above them.

    Returns
    -------
    Logged
        As this kernel took it in.

    Raises
    ------
    TrackingError
        Not connected.
    """
    outbox, run_id = _outbox(), run.info.run_id
    params: dict[str, str] = {}
    metrics: dict[str, tuple[float, ...]] = {}
    for each in dict.fromkeys((run_id, *others)):
        own, last = outbox.authored.of(each), outbox.account(each).metrics
        params = {**own.params, **params}
        for key, some in own.metrics.items():
            end = (last[key],) if len(some) == MOST_VALUES and key in last else ()
            metrics[key] = (*metrics.get(key, ()), *some, *end)
    kept = {name: tuple(outbox.series.kept_values(run_id, name)) for name in series}
    late = frozenset(name for name in series if (run_id, name) in outbox.series.late)
    return Logged(params, metrics, kept, late)


def end_series(run: Run, withdrawn: Collection[str]) -> None:
    """Hand on the points of a run's series that were kept back.

    Parameters
    ----------
    run : mlflow.entities.Run
        The run.
    withdrawn : collection of str
        Variables whose points are the author's to log: those that no store has seen yet are left out.

    Raises
    ------
    TrackingError
        Not connected.
    """
    outbox = _outbox()
    for name in withdrawn:
        outbox.series.withdraw(run.info.run_id, name)
    outbox.series.end(run.info.run_id)


def upload(run: Run, folder: Path) -> None:
    """Hand all that is in `folder` over as the run's artifacts; one request a file, later.

    Parameters
    ----------
    run : mlflow.entities.Run
        The run.
    folder : pathlib.Path
        Its layout is kept.

    Raises
    ------
    TrackingError
        The artifact store could not be reached, or refused.
    """
    if not any(folder.iterdir()):
        return
    with as_tracking_error(), _outbox().authored.by_capture():
        _artifacts_of(run).log_artifacts(str(folder))


def artifact_names(run: Run) -> list[str]:
    """Return the names at the top of a run's artifacts, as far as this kernel wrote them; no request.

    Parameters
    ----------
    run : mlflow.entities.Run
        The run.

    Returns
    -------
    list of str
        Folders end in ``/``.

    Raises
    ------
    TrackingError
        The folder of a local store could not be read.
    """
    with as_tracking_error():
        repository = _artifacts_of(run)
        if isinstance(repository, LocalArtifactRepository):
            return [file.path + "/" * file.is_dir for file in repository.list_artifacts()]
        paths = _outbox().account(run.info.run_id).artifacts
        return sorted({path.partition("/")[0] + "/" * ("/" in path) for path in paths})


def models_of(run: Run) -> list[str]:
    """Return the names of the models that this kernel logged into a run, ours among them; no request.

    Parameters
    ----------
    run : mlflow.entities.Run
        The run.

    Returns
    -------
    list of str
        In the order of their coming.

    Raises
    ------
    TrackingError
        Not connected.
    """
    return list(_outbox().authored.of(run.info.run_id).models)


def own_files(run: Run) -> tuple[list[str], list[authored.Picture]]:
    """Return the paths of the files that a run got since it began, and what its pictures look like; no request.

    Parameters
    ----------
    run : mlflow.entities.Run
        The run, before ours are staged.

    Returns
    -------
    tuple of (list of str, list of Picture)
        As far as this kernel wrote them.

    Raises
    ------
    TrackingError
        The folder of a local store could not be read.
    """
    outbox, run_id = _outbox(), run.info.run_id
    with as_tracking_error():
        repository = _artifacts_of(run)
        if not isinstance(repository, LocalArtifactRepository):
            own = outbox.authored.of(run_id)
            return list(own.files), list(own.pictures)
        # Files of a local store are where they belong at once, and pass nobody.
        folder = Path(repository.artifact_dir)
        began = (run.info.start_time or 0) / 1000 - 1
        found = [file for file in folder.rglob("*") if file.is_file() and file.stat().st_mtime >= began]
        pictures = [one for file in found if (one := authored.picture(file)) is not None]
        return [file.relative_to(folder).as_posix() for file in found], pictures


def close_run(run: Run, status: Status) -> None:
    """End a run; one request.

    Parameters
    ----------
    run : mlflow.entities.Run
        The run.
    status : {"FINISHED", "FAILED", "KILLED"}
        How it ended.

    Raises
    ------
    TrackingError
        The store could not be reached.
    """
    with as_tracking_error():
        _get_store().update_run_info(run.info.run_id, RunStatus.from_string(status), int(time.time() * 1000), None)


def told(run_ids: Iterable[str]) -> list[tuple[str, str, str]]:
    """Return name, id and experiment of runs that this kernel has seen opened, as the store knows them; no request."""
    outbox = _outbox()
    accounts = [outbox.account(run_id) for run_id in run_ids]
    ids = outbox.ids
    return [
        (one.name, ids.get(one.run_id, one.run_id), ids.get(one.experiment_id, one.experiment_id)) for one in accounts
    ]


def note_ends(ends: Mapping[str, Status]) -> None:
    """Keep beside what is waiting what runs end as, should nobody live to end them.

    Parameters
    ----------
    ends : mapping of str to {"FINISHED", "FAILED", "KILLED"}
        By the run's id.
    """
    outbox = store.current()
    if outbox is not None:
        outbox.journal.note(ENDS, json.dumps(dict(ends)))


def previous(experiment_id: str, tag: str, value: str, not_run: str) -> tuple[dict[str, str], dict[str, float]] | None:
    """Return params and metrics of the latest earlier run that carries a tag; one request, mostly.

    Parameters
    ----------
    experiment_id : str
        Where to look.
    tag, value : str
        The tag that marks the runs of one cell.
    not_run : str
        The id of the current run.

    Returns
    -------
    tuple of (dict of str to str, dict of str to float), or None
        None where there is no such run.

    Raises
    ------
    TrackingError
        The store could not be reached.
    """
    token: str | None = None
    with as_tracking_error():
        for _ in range(_MOST_PAGES):
            found = MlflowClient().search_runs(
                [experiment_id],
                filters.equal(f"tags.`{tag}`", value),
                max_results=_PAGE,
                order_by=["attributes.start_time DESC"],
                page_token=token,
            )
            for run in found:
                if run.info.run_id != not_run and run.data.tags.get(tag) == value:
                    return dict(run.data.params), dict(run.data.metrics)
            if not (token := found.token):
                break
    return None


def samples_system_metrics() -> bool:
    """Return whether the user has asked MLflow itself to sample system metrics into every run."""
    from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING

    return bool(MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.get())


def start_system_metrics(run_id: str) -> Any:
    """Start MLflow's sampling of CPU, memory and GPU into a run.

    Parameters
    ----------
    run_id : str
        The run.

    Returns
    -------
    object
        Its ``finish()`` ends the sampling.

    Raises
    ------
    TrackingError
        psutil, which MLflow samples with, is not installed.
    """
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    try:
        monitor = SystemMetricsMonitor(run_id)
    except (ImportError, MlflowException) as error:
        raise TrackingError(f"no system metrics: {reason(error)}; pip install psutil") from error
    monitor.start()
    return monitor


def _send(
    run_id: str,
    *,
    params: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
    tags: Mapping[str, str] | None = None,
    step: int = 0,
) -> None:
    now = int(time.time() * 1000)
    _get_store().log_batch(
        run_id,
        metrics=[MlflowMetric(key, value, now, step) for key, value in (metrics or {}).items()],
        params=[MlflowParam(key, value) for key, value in (params or {}).items()],
        tags=[RunTag(key, value) for key, value in (tags or {}).items()],
    )


def _outbox() -> Outbox:
    outbox = store.current()
    if outbox is None:
        raise TrackingError("not connected; type %mlflow_connect")
    return outbox


def _artifacts_of(run: Run) -> ArtifactRepository:
    """Return where a run's artifacts are, without asking the server for what the run tells."""
    tracking_uri = MlflowClient().tracking_uri
    uri = add_databricks_profile_info_to_artifact_uri(run.info.artifact_uri, tracking_uri)
    # MLflow 2 takes the tracking URI from its global; MLflow 3 takes it as an argument.
    known = "tracking_uri" in inspect.signature(get_artifact_repository).parameters
    return get_artifact_repository(uri, **({"tracking_uri": tracking_uri} if known else {}))
