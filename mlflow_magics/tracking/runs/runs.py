"""Opens a run, writes to it, closes it; all through the outbox."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mlflow import MlflowClient
from mlflow.entities import Metric as MlflowMetric
from mlflow.entities import Param as MlflowParam
from mlflow.entities import Run, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service.utils import _get_store
from mlflow.utils import validation
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from ...vocabulary.errors import MlflowMagicsError, UnknownNameError
from ...vocabulary.records import Metric, Param, Status
from ..calls.guards import as_tracking_error
from ..outbox.disk.journal import ENDS
from ..outbox.sending import replay
from ..patches import store
from ..patches.store import connected
from .names import fix_metrics, fix_params, fix_tags

NOTE = MLFLOW_RUN_NOTE
"""The tag that holds a run's description."""


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
    with as_tracking_error(), connected().for_us():
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
        connected().begin_account(run)
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
    a note. What the store refuses is told by
    :func:`.settling.settle`.

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
        account = connected().account(run.info.run_id)
        others_params, others_metrics = dict(account.params), dict(account.metrics)
        there = {**run.data.params, **others_params}
        for key, value in wanted_params.items():
            if there.get(key, value) != value:
                notes.append(f"param {key} stays {there[key]!r}, as already logged; the cell's {value!r} was not added")
        with connected().authored.by_capture():
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
        there = {**run.data.params, **connected().account(run.info.run_id).params}
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
    tags = connected().account(run.info.run_id).tags
    return {key: value for key, value in tags.items() if not key.startswith(("mlflow.", "mlflow_magics."))}


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
    outbox = connected()
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
