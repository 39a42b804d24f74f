"""Names the settings in calls: by their parameter, and where two calls disagree by what they were given to as well."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from ...vocabulary.records import Param
from .figures import Record
from .settings import Found, Setting

_MOST: Final = 4
"""Calls of one kind that get a number each; where there are more, none is a setting of the run."""


def is_given(name: str, found: Found) -> bool:
    """Tell whether a name that the user asked for is that of a setting, also as ``ridge.alpha``."""
    logged = (one.name for one in found.settings if not one.is_silent)
    return any(name == one or name.endswith(f".{one}") for one in logged)


def beside(records: Sequence[Record], found: Found, skip: Collection[str]) -> list[Record]:
    """Add the settings in calls to what the names of a cell come to.

    Parameters
    ----------
    records : sequence
        What the names come to: none of these is renamed, and what one of them says is not said again.
    found : Found
        The settings.
    skip : collection of str
        Parameters that the user does not want.

    Returns
    -------
    list
        The records, then the settings.
    """
    taken = {one.name: one.value if isinstance(one, Param) else None for one in records}
    groups: dict[str, list[Setting]] = {}
    for one in found.settings:
        if one.name not in skip:
            groups.setdefault(one.name, []).append(one)
    added: dict[str, Record] = {}
    for name, group in groups.items():
        for full, one in _named(name, group, taken):
            if full not in taken and one.text is not None and not one.is_silent:
                added.setdefault(full, Param(full, one.text, one.why))
    for name, secret in found.secrets.items():
        if name not in taken:
            added.setdefault(name, secret)
    return [*records, *added.values()]


def _named(name: str, group: list[Setting], taken: dict[str, str | None]) -> list[tuple[str, Setting]]:
    """Give the settings of one parameter names that tell them apart."""
    if _differ(group) and any(one.is_layer for one in group):
        # Of the many layers of a network no one's size is the run's.
        group = [one for one in group if not one.is_layer]
    heard = [one for one in group if not one.is_silent]
    if not heard:
        return []
    if not _differ(group) and taken.get(name, heard[0].text) == heard[0].text:
        return [(name, heard[0])]
    named = []
    for callee in dict.fromkeys(one.callee for one in group):
        named += _of_one_callee(callee, name, [one for one in group if one.callee == callee])
    return named


def _of_one_callee(callee: str, name: str, group: list[Setting]) -> list[tuple[str, Setting]]:
    values = {one.text: one for one in group if not one.is_silent}
    if not _differ(group):
        return [(f"{callee}.{name}", one) for one in values.values()]
    by_variable: dict[str, list[Setting]] = {}
    for one in group:
        by_variable.setdefault(one.variable, []).append(one)
    if "" not in by_variable and not any(map(_differ, by_variable.values())):
        return [(f"{one.variable}.{name}", one) for one in group if not one.is_silent]
    if len(values) > _MOST:
        return []
    numbers = [f"_{number}" if len(values) > 1 else "" for number in range(1, len(values) + 1)]
    return [(f"{callee}{number}.{name}", one) for number, one in zip(numbers, values.values(), strict=True)]


def _differ(group: list[Setting]) -> bool:
    return len({one.text for one in group}) > 1
