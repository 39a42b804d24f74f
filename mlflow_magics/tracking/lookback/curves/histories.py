"""Reads a metric's points out of a store; the store thins them where it can."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Any

import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.protos.service_pb2 import GetMetricHistoryBulkInterval
from mlflow.store.tracking.abstract_store import AbstractStore
from mlflow.store.tracking.rest_store import RestStore

from ....vocabulary.panel import Curve
from ...failures.kinds import failure_kind
from .curves import thinned

MOST = 2000
"""How many points of a metric are asked for."""

_PAGE = 25_000
_BUCKETS = MOST // 2

_OWN = "WHERE run_uuid = :run AND key = :key"
_COUNT = f"SELECT count(*), min(step), max(step), min(timestamp), max(timestamp), sum(is_nan) FROM metrics {_OWN}"
_ALL = f"SELECT step, timestamp, CASE WHEN is_nan THEN NULL ELSE value END FROM metrics {_OWN}"
_PLACED = f"(SELECT *, row_number() OVER (ORDER BY step, timestamp) AS place FROM metrics {_OWN})"
# SQLite's own: beside min() or max(), the other columns are those of that row.
_PICKS = (
    ("step, timestamp, min(value)", "NOT is_nan"),
    ("step, timestamp, max(value)", "NOT is_nan"),
    ("step, min(timestamp), NULL", "is_nan"),
)
_FEW = 200


def curve(store: Any, run_id: str, name: str) -> Curve | None:
    """Return the curve of a metric.

    An SQLite store tells each stretch's least and greatest point, and how many there are. Others sample evenly, as
    MLflow's own pages do; then `count`, `min` and `max` are of the sample, and a lone spike may be missing.

    Parameters
    ----------
    store : mlflow.store.tracking.AbstractStore
        MLflow's own.
    run_id, name : str
        The run, as the store knows it, and the metric.

    Returns
    -------
    Curve or None
        None where there is no point.
    """
    if getattr(store, "db_type", "") == "sqlite" and hasattr(store, "engine"):
        return _of_sqlite(store, run_id, name)
    sampled = getattr(type(store), "get_metric_history_bulk_interval", None)
    if isinstance(store, RestStore):
        points = _of_server(store, run_id, name)
    elif sampled is not None and sampled is not getattr(AbstractStore, "get_metric_history_bulk_interval", None):
        points = store.get_metric_history_bulk_interval([run_id], name, MOST, None, None)
    else:
        points = _all(store, run_id, name)
    return _curve(name, [(point.step, point.timestamp, point.value) for point in points])


def as_written(value: float) -> float:
    """Return a value as it was before the store took it: the SQL stores keep an infinite one as the greatest float."""
    return float(np.copysign(np.inf, value)) if abs(value) >= sys.float_info.max else value


def _of_server(store: RestStore, run_id: str, name: str) -> Any:
    body = json.dumps({"run_ids": [run_id], "metric_key": name, "max_results": MOST})
    try:
        return store._call_endpoint(GetMetricHistoryBulkInterval, body).metrics
    except MlflowException as error:
        if failure_kind(error) == "unauthorized" or not _is_unknown(error):
            raise
    return _all(store, run_id, name)  # a server that does not know how to sample


def _is_unknown(error: MlflowException) -> bool:
    status = str(getattr(error, "get_http_status_code", lambda: "")())
    return error.error_code in ("ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED", "FEATURE_DISABLED") or status in (
        "404",
        "405",
        "501",
    )


def _all(store: Any, run_id: str, name: str) -> list[Any]:
    """Return all points, page by page where the store has pages."""
    try:
        page = store.get_metric_history(run_id, name, _PAGE, None)
    except TypeError:  # a plugin's store of before there were pages
        return list(store.get_metric_history(run_id, name))
    points = list(page)
    while token := getattr(page, "token", None):
        page = store.get_metric_history(run_id, name, _PAGE, token)
        points += page
    return points


def _of_sqlite(store: Any, run_id: str, name: str) -> Curve | None:
    query = {"run": run_id, "key": name}
    connection = store.engine.raw_connection()
    try:
        cursor = connection.cursor()
        count, *bounds, missing = cursor.execute(_COUNT, query).fetchone()
        if count <= MOST:
            return _curve(name, cursor.execute(_ALL, query).fetchall())
        picks = _PICKS if missing else _PICKS[:2]
        # What was logged without steps is all at step 0.
        axis, (low, high) = ("step", bounds[:2]) if bounds[0] != bounds[1] else ("timestamp", bounds[2:])
        rows = _extremes(cursor, picks, "metrics", axis, query, low, high)
        if len(rows) < _FEW:  # nearly all in one place: dealt by their order, which takes several times as long
            rows = _extremes(cursor, picks, _PLACED, "place", query, 1, count)
    finally:
        connection.close()
    return _curve(name, rows, count)


def _extremes(cursor: Any, picks: Any, source: str, axis: str, asked: dict[str, str], low: int, high: int) -> list[Any]:
    """Return the points that `picks` says of each stretch of an axis."""
    stretches = asked | {"low": low, "width": (high - low) // _BUCKETS + 1}
    rows: set[Any] = set()
    for columns, which in picks:
        question = f"SELECT {columns} FROM {source} {_OWN} AND {which} GROUP BY ({axis} - :low) / :width"
        rows.update(cursor.execute(question, stretches).fetchall())
    return list(rows)


def _curve(name: str, rows: list[Any], count: int | None = None) -> Curve | None:
    if not rows:
        return None
    rows.sort(key=lambda row: row[:2])
    steps = np.array([row[0] for row in rows], np.int64)
    times = np.array([row[1] for row in rows], float) / 1000
    values = np.array([row[2] for row in rows], float)  # None becomes NaN
    values[np.abs(values) >= sys.float_info.max] *= np.inf
    curve = thinned(name, steps, times, values)
    if count is None:
        return curve
    return replace(curve, count=count)
