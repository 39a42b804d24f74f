"""Finds the figures of a cell, each once."""

from __future__ import annotations

from collections.abc import Sequence

from ...vocabulary.records import Figure, Metric, Param, Skipped
from ..values.kinds import figure_behind, figure_library

Record = Param | Metric | Figure | Skipped


def with_figures(records: list[Record], shown: Sequence[object]) -> list[Record]:
    """Name every figure once: after its own variable, else that of its axes, else by number."""
    names: dict[int, str] = {}
    own = [one for one in records if isinstance(one, Figure)]
    for made in sorted(own, key=lambda one: figure_library(one.figure) is None):
        names.setdefault(id(figure_behind(made.figure)), made.name)
    kept: list[Record] = []
    for one in records:
        if not isinstance(one, Figure):
            kept.append(one)
        elif names[id(figure_behind(one.figure))] == one.name:
            kept.append(Figure(one.name, figure_behind(one.figure), one.library))
    fresh = [figure for figure in dict.fromkeys(map(id, shown)) if figure not in names]
    by_id = {id(figure): figure for figure in shown}
    for number, ident in enumerate(fresh, 1):
        library = figure_library(by_id[ident])
        if library is not None:
            kept.append(Figure(f"figure_{number}", by_id[ident], library))
    return kept
