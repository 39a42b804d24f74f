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
    return any(name == one.name or name.endswith(f".{one.name}") for one in found.settings)


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
            if full not in taken:
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
    if not group:
        return []
    if not _differ(group) and taken.get(name, group[0].text) == group[0].text:
        return [(name, group[0])]
    named = []
    for callee in dict.fromkeys(one.callee for one in group):
        named += _of_one_callee(callee, name, [one for one in group if one.callee == callee])
    return named


def _of_one_callee(callee: str, name: str, group: list[Setting]) -> list[tuple[str, Setting]]:
    if not _differ(group):
        return [(f"{callee}.{name}", group[0])]
    by_variable: dict[str, list[Setting]] = {}
    for one in group:
        by_variable.setdefault(one.variable, []).append(one)
    if "" not in by_variable and not any(map(_differ, by_variable.values())):
        return [(f"{variable}.{name}", same[0]) for variable, same in by_variable.items()]
    values = {one.text: one for one in group}
    if len(values) > _MOST:
        return []
    return [(f"{callee}_{number}.{name}", one) for number, one in enumerate(values.values(), 1)]


def _differ(group: list[Setting]) -> bool:
    return len({one.text for one in group}) > 1
