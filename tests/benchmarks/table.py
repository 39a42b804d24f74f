"""The one table that the benchmarks print: a row for each figure, its bound beside it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes
    ----------
    what : str
        What was measured.
    figure : str
        With its unit.
    bound : str
        What it should be; empty where nothing was promised (a peer).
    met : bool or None
        Whether it is; None where nothing was promised.
    kept : str
        How many of how many points were there after ``kill -9``; empty where nobody was killed.
    """

    what: str
    figure: str
    bound: str = ""
    met: bool | None = None
    kept: str = ""

    def cells(self) -> tuple[str, ...]:
        """The row as it is printed."""
        conclusion = {True: "met", False: "MISSED", None: ""}[self.met]
        return self.what, self.figure, self.bound, conclusion, self.kept


HEAD = ("what", "measured", "to reach", "", "kept through kill -9")


def at_most(what: str, figure: float, bound: float, unit: str, *, digits: int = 2, kept: str = "") -> Row:
    """A figure that should be small."""
    return Row(what, f"{figure:,.{digits}f} {unit}", f"<= {bound:,g} {unit}", figure <= bound, kept)


def at_least(what: str, figure: float, bound: float, unit: str, *, digits: int = 1, kept: str = "") -> Row:
    """A figure that should be large."""
    return Row(what, f"{figure:,.{digits}f} {unit}", f">= {bound:,g} {unit}", figure >= bound, kept)


def render(rows: Iterable[Row]) -> str:
    """The table, as Markdown, so that it can go into the README as it is printed."""
    cells = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
