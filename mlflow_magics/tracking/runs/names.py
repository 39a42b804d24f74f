"""Fixes names and values that MLflow refuses, so that it takes them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

from mlflow.utils import validation

from ...vocabulary.records import Metric, Param

# What `mlflow.utils.validation` allows in the name of a param, metric or tag.
_REFUSED = re.compile(r"[^\w\-. :/]")
_MAX_KEY: int = validation.MAX_ENTITY_KEY_LENGTH
_MAX_PARAM: int = validation.MAX_PARAM_VAL_LENGTH
_MAX_TAG: int = validation.MAX_TAG_VAL_LENGTH
_MAX_RUN_NAME = 250
"""``runs.name`` is a VARCHAR(250) in MLflow's SQL schema."""


def fix_key(name: str) -> str:
    """Return the nearest name that MLflow accepts for a param, metric or tag."""
    fixed = _REFUSED.sub("_", name)[:_MAX_KEY]
    parts = [part for part in fixed.split("/") if part not in ("", ".", "..")]
    # MLflow takes every name that begins with two dots for one that leaves the folder.
    return re.sub(r"^\.\.", "__", "/".join(parts)) or "_"


def fix_run_name(name: str) -> str:
    """Return `name` on one line, without the blanks around it, and no longer than MLflow's column.

    Parameters
    ----------
    name : str
        Any text.

    Returns
    -------
    str
        At most 250 characters; may be empty.
    """
    return _storable(" ".join(name.split()))[:_MAX_RUN_NAME]


def fix_params(params: Iterable[Param], notes: list[str]) -> dict[str, str]:
    """Return what to send for `params`: names and values that MLflow accepts."""
    sent: dict[str, str] = {}
    for param in params:
        key = _free_key(param.name, sent, "param", notes)
        if len(param.value) > _MAX_PARAM:
            notes.append(f"param {key}: value cut from {len(param.value)} to {_MAX_PARAM} characters")
        sent[key] = _storable(param.value[:_MAX_PARAM])
    return sent


def fix_metrics(metrics: Iterable[Metric], notes: list[str]) -> dict[str, float]:
    """Return what to send for `metrics`, as :func:`fix_params` does for params."""
    sent: dict[str, float] = {}
    for metric in metrics:
        key = _free_key(metric.name, sent, "metric", notes)
        if math.isinf(metric.value):
            notes.append(f"metric {key} is {metric.value}: MLflow's SQL stores keep it as ±1.797e+308")
        sent[key] = metric.value
    return sent


def fix_tags(tags: Mapping[str, str], notes: list[str]) -> dict[str, str]:
    """Return what to send for `tags`."""
    sent: dict[str, str] = {}
    for name, value in tags.items():
        key = _free_key(name, sent, "tag", notes)
        if len(value) > _MAX_TAG:
            notes.append(f"tag {key}: value cut from {len(value)} to {_MAX_TAG} characters")
        sent[key] = _storable(value[:_MAX_TAG])
    return sent


def _free_key(name: str, taken: Mapping[str, object], kind: str, notes: list[str]) -> str:
    key = base = fix_key(name)
    number = 2
    while key in taken:
        key = f"{base[: _MAX_KEY - 5]}_{number}"
        number += 1
    if key != name:
        notes.append(f"{kind} {_short(name)!r} is logged as {_short(key)!r}: MLflow does not take the name as it was")
    return key


def _storable(text: str) -> str:
    """Half characters, as of a file name that is not UTF-8, would make the whole batch fail: they become ``?``."""
    return text.encode("utf-8", "replace").decode()


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"
