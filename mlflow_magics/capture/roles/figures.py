"""Finds the figures of a cell, each once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from ...vocabulary.records import Drawn, Figure, Metric, Param, Skipped
from ..values.inspection import is_a
from ..values.kinds import figure_behind, figure_library

Record = Param | Metric | Figure | Skipped


def with_figures(records: list[Record], shown: Sequence[object]) -> list[Record]:
    """Name every figure once: after the file it was saved to, else its own variable, that of its axes, or by number.

    Parameters
    ----------
    records : list
        What was decided on the cell's variables.
    shown : sequence
        What the cell drew: :class:`Drawn`, or figures.

    Returns
    -------
    list
        The records, with a figure for each picture.
    """
    drawn = list({(id(one.figure), one.path): one for one in map(_as_drawn, shown)}.values())
    variables: dict[int, str] = {}
    own = [one for one in records if isinstance(one, Figure)]
    for made in sorted(own, key=lambda one: figure_library(one.figure) is None):
        variables.setdefault(id(figure_behind(made.figure)), made.name)
    saved = {id(one.figure) for one in drawn if one.path and one.figure is not None}
    kept: list[Record] = []
    for one in records:
        if not isinstance(one, Figure):
            kept.append(one)
        elif variables[id(figure_behind(one.figure))] == one.name and id(figure_behind(one.figure)) not in saved:
            kept.append(Figure(one.name, figure_behind(one.figure), one.library))
    taken = {one.name for one in kept if isinstance(one, Figure)}
    number = 0
    for each in drawn:
        variable = variables.get(id(each.figure), "") if each.figure is not None else ""
        library = "matplotlib" if each.figure is None else figure_library(each.figure)
        if library is None or (variable and not each.path):
            continue
        if each.path:
            name = _free_name(PurePath(each.path), taken)
        else:
            number += 1
            name = f"figure_{number}"
        taken.add(name)
        kept.append(Figure(name, each.figure, library, variable, PurePath(each.path).name, each.picture))
    return kept


def _as_drawn(one: object) -> Drawn:
    return one if is_a(one, Drawn) else Drawn(one)  # type: ignore[return-value]  # it is one


def _free_name(path: PurePath, taken: set[str]) -> str:
    """Name a picture after its file; of two files of a name, the second after its folder too."""
    if path.stem not in taken:
        return path.stem
    name, number = f"{path.parent.name}_{path.stem}" if path.parent.name else path.stem, 2
    while name in taken:
        name, number = f"{path.stem}_{number}", number + 1
    return name
