"""Refuses at once what no store can take, with the error that plain MLflow raises in the cell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from mlflow.entities import Param, RunTag
from mlflow.environment_variables import MLFLOW_TRUNCATE_LONG_VALUES
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST
from mlflow.utils import validation

_LONG = 1 << 63


def check_values(params: Sequence[Param], tags: Sequence[RunTag]) -> None:
    """Check the names and texts of params and tags."""
    for param in params:
        validation._validate_param_name(param.key)
        validation._validate_param(param.key, _cut(param.value, validation.MAX_PARAM_VAL_LENGTH))
    for tag in tags:
        validation._validate_tag_name(tag.key)
    check_texts(*(p.key for p in params), *(p.value for p in params), *(t.key for t in tags), *(t.value for t in tags))


def _cut(text: Any, most: int) -> Any:
    """Return what MLflow would cut a text to: its warning comes with the request."""
    return text[:most] if isinstance(text, str) and MLFLOW_TRUNCATE_LONG_VALUES.get() else str(text)


def check_texts(*texts: object) -> None:
    """Check that texts, numbers or None can be written as text: half of a surrogate pair is no character."""
    for text in texts:
        if not isinstance(text, (str, int, float, type(None))):
            raise mistake(f"{ascii(text)[:100]} is no text")
        if isinstance(text, str) and not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise mistake(f"{text[:100]!a} cannot be stored: {error.reason}") from error


def check_run(run_id: object) -> None:
    """Check that a run's id may be one."""
    if not isinstance(run_id, str) or not validation._RUN_ID_REGEX.match(run_id):
        raise MlflowException(f"Run with id={run_id} not found", error_code=RESOURCE_DOES_NOT_EXIST)


def check_time(*times: object) -> None:
    """Check that times in milliseconds, or None, can be kept."""
    for time in times:
        if isinstance(time, (int, float)) and not (math.isfinite(time) and -_LONG <= time < _LONG):
            raise mistake(f"the time {time!r} cannot be stored: it is no 64-bit number of milliseconds")


def is_long(number: Any) -> bool:
    """Tell whether MLflow's own stores keep a number as a step or a time: a 64-bit integer, or any float."""
    return not math.isnan(number) if isinstance(number, float) else bool(-_LONG <= number < _LONG)


def check_keys(keys: Iterable[object]) -> None:
    """Check the names of metrics."""
    for key in keys:
        validation._validate_metric_name(key)
        check_texts(key)


def mistake(words: str) -> MlflowException:
    """Return the error to raise for what the caller gave."""
    return MlflowException(words, error_code=INVALID_PARAMETER_VALUE)
