"""Reads the fields of a metric of MLflow's as the record of a point keeps them."""

from __future__ import annotations

from typing import Any

from mlflow.entities import Metric
from mlflow.utils import validation

from . import mistakes

_LONG = 1 << 63
_EXACT = 1 << 50
"""Milliseconds that a record keeps exactly."""


def fields_of(metric: Metric) -> tuple[int, float, float] | None:
    """Return a point as a record keeps it: step, seconds since 1970, value; None where a record cannot."""
    step, timestamp, value = metric.step, metric.timestamp, metric.value
    if not (type(step) is int and type(timestamp) is int and type(value) is float and 0 <= timestamp < _EXACT):
        validation._validate_metric(metric.key, value, timestamp, step)
        step, timestamp = bare(step), bare(timestamp)
        if isinstance(value, complex) or not (isinstance(step, (int, float)) and isinstance(timestamp, (int, float))):
            raise mistakes.mistake(f"metric {metric.key}: step {step!r} and time {timestamp!r} must be int")
        try:
            value = float(value)
        except OverflowError as error:
            raise mistakes.mistake(f"metric {metric.key}: the value {value!r} is no 64-bit number") from error
        if not (mistakes.is_long(step) and mistakes.is_long(timestamp)):
            raise mistakes.mistake(f"metric {metric.key}: step {step!r} or time {timestamp!r} is no 64-bit number")
        if not (step % 1 == 0 == timestamp % 1 and -_LONG <= step < _LONG and timestamp < _EXACT):
            return None
        step, timestamp = int(step), int(timestamp)
    if not -_LONG <= step < _LONG:
        raise mistakes.mistake(f"metric {metric.key}: the step {step!r} is no 64-bit integer")
    return step, timestamp / 1000, value


def rest_of(metric: Metric) -> dict[str, str]:
    """Return what MLflow 3 knows of a metric besides."""
    names = ("model_id", "dataset_name", "dataset_digest")
    return {name: value for name in names if (value := getattr(metric, name, None)) is not None}


def bare(number: Any) -> Any:
    """Return a number of numpy's as Python's own; any other as it is."""
    return number.item() if hasattr(number, "item") else number
