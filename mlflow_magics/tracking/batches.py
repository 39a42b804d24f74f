"""Values on their way into a run: batches within MLflow's limits, and what is refused takes no neighbour with it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from mlflow.entities import Metric as MlflowMetric
from mlflow.entities import Param as MlflowParam
from mlflow.entities import RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service.utils import _get_store
from mlflow.utils import validation

from .guards import reason


def send(
    run_id: str,
    *,
    params: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
    tags: Mapping[str, str] | None = None,
    step: int = 0,
) -> dict[tuple[str, str], str]:
    """Send values to a run in as few batches as the protocol allows.

    Parameters
    ----------
    run_id : str
        The run.
    params, metrics, tags : mapping, optional
        By names that MLflow accepts.
    step : int, optional
        The step of the metrics; their time is now.

    Returns
    -------
    dict of (str, str) to str
        By kind and name, a note for each value that the store refused; the others are in the run.
    """
    now = int(time.time() * 1000)
    entries: list[Any] = [MlflowParam(k, v) for k, v in (params or {}).items()]
    entries += [RunTag(k, v) for k, v in (tags or {}).items()]
    entries += [MlflowMetric(k, v, now, step) for k, v in (metrics or {}).items()]
    refused: dict[tuple[str, str], str] = {}
    # A batch takes 1000 entries, and of them 100 params and 100 tags: with params and tags in front, slices of 100
    # until they are used up, then of 1000, keep every limit.
    start, small = 0, len(params or {}) + len(tags or {})
    while start < len(entries):
        size = 100 if start < small else validation.MAX_METRICS_PER_BATCH
        if len(entries) <= validation.MAX_METRICS_PER_BATCH and small <= 100:
            size = len(entries)
        _send_batch(run_id, entries[start : start + size], refused)
        start += size
    return refused


def _send_batch(run_id: str, entries: list[Any], refused: dict[tuple[str, str], str]) -> None:
    """Send one batch; where it is refused, halve it until what is refused stands alone."""
    try:
        _get_store().log_batch(
            run_id,
            metrics=[e for e in entries if isinstance(e, MlflowMetric)],
            params=[e for e in entries if isinstance(e, MlflowParam)],
            tags=[e for e in entries if isinstance(e, RunTag)],
        )
    except MlflowException as error:
        if error.error_code not in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
            raise
        if len(entries) > 1:
            middle = len(entries) // 2
            _send_batch(run_id, entries[:middle], refused)
            _send_batch(run_id, entries[middle:], refused)
            return
        (entry,) = entries
        kind = {MlflowParam: "param", MlflowMetric: "metric", RunTag: "tag"}[type(entry)]
        refused[kind, entry.key] = f"{kind} {entry.key} was refused: {reason(error)}"
