"""Logs a value as the user's options say: no inference, and no secret either."""

from __future__ import annotations

from typing import Any

from ...vocabulary.records import Metric, Param, Skipped
from ..values.flatten import dotted, flatten
from ..values.inspection import is_a
from ..values.kinds import is_scalar, kind_of
from ..values.secrets import secret_reason
from ..values.writing import describe, number_of, text_of


def forced(name: str, value: object, *, as_metric: bool) -> list[Param | Metric | Skipped]:
    """Give a value the role that the user named."""
    if kind_of(value) == "config":
        if secret_reason(name, value):
            return [Skipped(name, "a secret")]
        leaves = flatten(value).leaves
        return [forced_one(dotted(name, leaf.path), leaf.value, as_metric=as_metric) for leaf in leaves]
    return [forced_one(name, value, as_metric=as_metric)]


def forced_one(name: str, value: object, *, as_metric: bool) -> Param | Metric | Skipped:
    """Give a single value the role that the user named."""
    if secret_reason(name, value):
        return Skipped(name, "a secret")
    if as_metric:
        number = 1.0 * value if is_a(value, bool) else number_of(value)  # type: ignore[operator]
        return Skipped(name, f"not a number ({_shown(value)})") if number is None else Metric(name, number, "--metrics")
    if kind_of(value) in {"scalar", "short"} or number_of(value) is not None:
        text = text_of(value)
        return Skipped(name, "too long a number to write") if text is None else Param(name, text, "--params")
    return _forced_data(name, value)


def _forced_data(name: str, value: object) -> Param | Metric | Skipped:
    """Write out a list of scalars; arrays, models and functions are not text."""
    bases: tuple[Any, ...] = (tuple, list)
    for base in bases:
        if is_a(value, base):
            parts = base.__iter__(value)
            texts = [text_of(part) if is_scalar(part) else None for part in parts]
            if all(text is not None for text in texts):
                return Param(name, "[" + ", ".join(str(text) for text in texts) + "]", "--params")
    return Skipped(name, f"not a value that a param can hold ({describe(value)})")


def _shown(value: object) -> str:
    if is_a(value, str):
        text = str.__str__(value)
        return f"str {text[:30]!r}"
    return "None" if value is None else describe(value, "data" if kind_of(value) == "scalar" else None)
