"""Shows what was tried in the turns of a loop, and what came of each: a few rows, the best one marked."""

from __future__ import annotations

from collections.abc import Sequence

from ...vocabulary.records import CallTable
from ..markup import html, parts, text
from ..markup.pieces import Piece, table
from ..markup.words import clean, number

ROWS, COLUMNS = 8, 6
"""What is shown; all of it is in the run's ``calls.csv``."""


def tried(tables: Sequence[CallTable]) -> list[Piece]:
    """Write a table for each loop or function."""
    return [piece for one in tables for piece in _tried(one)]


def _tried(calls: CallTable) -> list[Piece]:
    heads = [*calls.settings, *calls.results]
    shown = list(range(len(heads)))[:COLUMNS]
    if calls.by and heads.index(calls.by) not in shown:
        shown = [*shown[:-1], heads.index(calls.by)]
    places = list(range(min(ROWS, len(calls.rows))))
    if calls.best >= 0 and calls.best not in places:
        places = [*places[:-1], calls.best]
    marked = f"← best {clean(calls.by, 30)}"
    rows = [
        [*(_written(calls.rows[place][column]) for column in shown), marked if place == calls.best else ""]
        for place in places
    ]
    more = len(calls.rows) - len(places)
    named = [*(clean(heads[column], 30) for column in shown), ""]
    # In text, too, the columns have heads: a number without a name says nothing.
    pieces = [Piece(text.labelled("calls", text.columns([named, *rows])), table("calls", named, rows).html)]
    if more or len(shown) < len(heads):
        rest = f"{more} more rows" if more else "all columns"
        line = f"… {rest} in calls.csv"
        pieces.append(Piece(text.labelled("", [line]), parts.line(parts.subdued(html.words(line)))))
    return pieces


def _written(cell: str | float) -> str:
    return clean(cell, 30) if isinstance(cell, str) else number(cell)
