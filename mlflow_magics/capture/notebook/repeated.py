"""Leaves out what of ours would say a second time what the author has logged himself.

What he logs is known when the run ends, by whose function ever; the cell's text tells more of the names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from ...vocabulary.records import Captured, Logged, Metric, Param, Series, Skipped
from .authoring import Shown


def beside(captured: Captured, logged: Logged, shown: Shown, asked: Collection[str] = ()) -> Captured:
    """Leave out of what was captured all that the run holds already because others logged it.

    A param or metric is the same if it has the name of what was logged, or, with the same value, nearly the name:
    ``config.lr`` and ``lr``, ``learning_rate`` and ``Learning-Rate``, or a name that the cell's text shows for it. A
    series also if all values that were logged under another name are values of it in the same order.

    Parameters
    ----------
    captured : Captured
        What the cell comes to.
    logged : Logged
        What others put into the run.
    shown : Shown
        What the cell's text shows.
    asked : collection of str, optional
        Variables that the user asked for: only their very name counts.

    Returns
    -------
    Captured
        With a reason for each that was left out. A param or metric of the very name stays: it is not written again.
    """
    params: list[Param] = []
    metrics: list[Metric] = []
    series: list[Series] = []
    skipped: list[Skipped] = []
    numbers = {key: _numbers_of(values) for key, values in logged.metrics.items()}

    def leave(name: str, key: str) -> None:
        skipped.append(Skipped(name, f"already logged as {key}" if key != name else "logged by the cell itself"))

    grouped = _under_another_group(captured.params, logged)

    def elsewhere(name: str, value: str | float) -> str:
        if _is_asked(name, asked):
            return ""
        return grouped.get(name, "") or _elsewhere(name, value, logged, numbers, shown)

    for param in captured.params:
        if param.name in logged.metrics:
            leave(param.name, param.name)
        elif param.name not in logged.params and (key := elsewhere(param.name, param.value)):
            leave(param.name, key)
        elif _is_written_otherwise(param, logged):
            leave(param.name, param.name)
        else:
            params.append(param)
    for metric in captured.metrics:
        if metric.name in logged.params:
            leave(metric.name, metric.name)
        elif metric.name not in logged.metrics and (key := elsewhere(metric.name, metric.value)):
            leave(metric.name, key)
        else:
            metrics.append(metric)
    for one in captured.series:
        key = one.name if one.name in logged.metrics or one.name in logged.params else ""
        if not key and not _is_asked(one.name, asked):
            key = _course_of(one, logged, numbers, shown)
        leave(one.name, key) if key else series.append(one)
    if not skipped:
        return captured
    notes = [
        f"{one.name}: the cell began to log it itself when points of it were in the store already; these are ours"
        for one in captured.series
        if one.name in logged.late
    ]
    return replace(
        captured,
        params=tuple(params),
        metrics=tuple(metrics),
        series=tuple(series),
        skipped=(*skipped, *captured.skipped),
        notes=(*captured.notes, *notes),
    )


def _under_another_group(params: Iterable[Param], logged: Logged) -> dict[str, str]:
    """Find groups that were logged whole under another prefix: ``config.lr`` and the rest of it as ``cfg_lr``."""
    groups: dict[str, list[Param]] = {}
    for param in params:
        if "." in param.name:
            groups.setdefault(param.name.partition(".")[0], []).append(param)
    found: dict[str, str] = {}
    for group, members in groups.items():
        leaves = {param.name: param.name[len(group) + 1 :] for param in members}
        first = leaves[members[0].name]
        for prefix in [key[: -len(first)] for key in logged.params if key.endswith(first)]:
            keys = {name: prefix + leaf for name, leaf in leaves.items()}
            if prefix[-1:] in {"_", ".", "-", "/"} and all(
                logged.params.get(keys[param.name]) == param.value for param in members
            ):
                found |= keys
    return found


def _is_written_otherwise(param: Param, logged: Logged) -> bool:
    """Tell whether a number is logged in another text, ``1`` as ``1.0``: that is no other value."""
    text = logged.params.get(param.name, param.value)
    return text != param.value and _number(text) == _number(param.value) is not None


def _is_asked(name: str, asked: Collection[str]) -> bool:
    return name in asked or name.partition(".")[0] in asked


def _elsewhere(
    name: str, value: str | float, logged: Logged, numbers: Mapping[str, Collection[object]], shown: Shown
) -> str:
    """Return the other spelling of a name under which its value was logged; empty where there is none."""
    number = _number(value)
    keys = [key for key, text in logged.params.items() if text == value or _number(text) == number is not None]
    keys += [key for key, found in numbers.items() if number in found]
    return _name_for(name, keys, shown)


def _name_for(name: str, keys: Iterable[str], shown: Shown) -> str:
    """Return which of some keys is another spelling of a name; empty where none is."""
    named = shown.keys.get(name, frozenset())
    return next((key for key in keys if key == name or key in named or alike(name, key)), "")


def _course_of(series: Series, logged: Logged, numbers: Mapping[str, Collection[object]], shown: Shown) -> str:
    """Return the metric that holds the curve of a series of which no point has been sent; empty where none does."""
    values = logged.series.get(series.name, ())
    if not values:
        return ""
    ours = _numbers_of(values)
    ends = (key for key, theirs in logged.metrics.items() if _number(theirs[-1]) in ours)
    if key := _name_for(series.name, ends, shown):
        return key
    for key, theirs in logged.metrics.items():
        # Whole numbers are alike by chance: 0, 1, 2 are the steps of anything.
        telling = {value for value in theirs if not float(value).is_integer() and not math.isnan(value)}
        if len(telling) > 1 and _in_order(theirs, values):
            return key
    return ""


def _in_order(some: Sequence[float], values: Sequence[float]) -> bool:
    """Tell whether all of some values are among others, in their order."""
    rest = iter(map(_number, values))
    return all(_number(value) in rest for value in some)


def _number(value: str | float) -> object:
    """Return a number that is equal to itself, NaN too; None for a text that is no number."""
    try:
        number = float(value)
    except ValueError:
        return None
    return "nan" if math.isnan(number) else number


def _numbers_of(values: Iterable[float]) -> frozenset[object]:
    return frozenset(map(_number, values))


def alike(name: str, key: str) -> bool:
    """Tell whether two names are spellings of one: case, ``-``, ``_`` and the groups before it make no difference.

    Return whether one of them, as a whole, is the end of the other, from the beginning of one of its parts on.
    """
    return _plain(key) in _ends(name) or _plain(name) in _ends(key)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def _ends(name: str) -> set[str]:
    parts = [part for part in re.split(r"[./]", name) if part]
    return {_plain("".join(parts[at:])) for at in range(len(parts))} - {""}
