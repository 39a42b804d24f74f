"""Cuts params, tags and points into requests, as few as the store's limits allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from mlflow.entities import Metric, Param, RunTag
from mlflow.utils import validation


def batches(entries: Sequence[Any], most: int, rows_of_one_metric: int | None = None) -> Iterator[list[Any]]:
    """Cut entries into batches that keep MLflow's limits: of a batch, 100 may be params and 100 tags."""
    params = [e for e in entries if isinstance(e, Param)]
    tags = [e for e in entries if isinstance(e, RunTag)]
    metrics = [e for e in entries if isinstance(e, Metric)]
    small = validation.MAX_PARAMS_TAGS_PER_BATCH
    while params or tags or metrics:
        some_params = params[: min(small, most)]
        some_tags = tags[: min(small, most - len(some_params))]
        room = most - len(some_params) - len(some_tags)
        some_metrics, metrics = _take(metrics, room, most, rows_of_one_metric)
        yield [*some_params, *some_tags, *some_metrics]
        del params[: len(some_params)], tags[: len(some_tags)]


def _take(
    metrics: list[Metric], room: int, most: int, rows_of_one_metric: int | None
) -> tuple[list[Metric], list[Metric]]:
    """Choose the points of the next batch; return them and the rest."""
    if rows_of_one_metric is None:
        return metrics[:room], metrics[room:]
    counts = Counter(metric.key for metric in metrics)
    # As few requests as can be: a metric with more points than the later ones can take must have some in this one.
    later = max(-(-max(0, len(metrics) - room) // most), -(-max(counts.values(), default=0) // rows_of_one_metric) - 1)
    must = {key: count - later * rows_of_one_metric for key, count in counts.items()}
    free = room - sum(count for count in must.values() if count > 0)
    taken: Counter[str] = Counter()
    chosen: list[Metric] = []
    rest: list[Metric] = []
    for metric in metrics:
        key = metric.key
        due = taken[key] < must[key]
        if len(chosen) < room and taken[key] < rows_of_one_metric and (due or free > 0):
            free -= not due
            taken[key] += 1
            chosen.append(metric)
        else:
            rest.append(metric)
    return chosen, rest
