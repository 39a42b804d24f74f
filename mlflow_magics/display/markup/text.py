"""Lays out text for terminals and diffs: columns that line up within 80 characters."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

WIDTH = 80
"""The columns a block may take."""

LISTED = 8
"""The items a list in running text shows before "and 12 more"."""

GUTTER = 11
"""The columns left of labelled lines."""

_GAP = 2


def width(text: str) -> int:
    """Count the terminal columns that `text` takes."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def wrap(text: str, limit: int) -> list[str]:
    """Break a line at spaces, and a word only where it is longer than a line.

    The standard library's ``textwrap`` counts characters, not columns.
    """
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if width(joined) <= limit:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        pieces = _pieces(word, limit)
        lines[-1] = pieces[0]
        lines += pieces[1:]
    return lines


def _pieces(word: str, limit: int) -> list[str]:
    pieces, room = [""], limit
    for char in word:
        room -= _columns(char)
        if room < 0:
            pieces.append("")
            room = limit - _columns(char)
        pieces[-1] += char
    return pieces


def columns(rows: Sequence[Sequence[str]], limit: int = WIDTH - GUTTER) -> list[str]:
    """Line cells up in columns; a cell too long for its column goes on below, and an empty column takes no room.

    The lines have no trailing spaces and are at most `limit` columns of the terminal wide.
    """
    filled = [cells for cells in zip(*rows, strict=True) if any(cells)]
    widths = [max(map(width, cells)) for cells in filled]
    while sum(widths) + _GAP * (len(widths) - 1) > limit:
        widths[widths.index(max(widths))] -= 1
    lines: list[str] = []
    for row in zip(*filled, strict=True):
        wrapped = [wrap(cell, size) for cell, size in zip(row, widths, strict=True)]
        for index in range(max(map(len, wrapped))):
            cells = [cell[index] if index < len(cell) else "" for cell in wrapped]
            padded = [cell + " " * (size - width(cell)) for cell, size in zip(cells, widths, strict=True)]
            lines.append((" " * _GAP).join(padded).rstrip())
    return lines


def listed(items: Sequence[str], total: int | None = None) -> str:
    """Name the first few of many: ``"a, b, c and 12 more"``; `total` says how many, if `items` is only a part."""
    more = (len(items) if total is None else total) - len(items[:LISTED])
    return ", ".join(items[:LISTED]) + (f" and {more} more" if more else "")


def labelled(label: str, lines: Sequence[str]) -> list[str]:
    """Put a label in the gutter to the left of `lines`."""
    labels = [label, *[""] * (len(lines) - 1)]
    return [f"  {tag:<{GUTTER - 2}}{line}" for tag, line in zip(labels, lines, strict=False)]


def paragraph(label: str, text: str) -> list[str]:
    """Put running text behind a label, wrapped within 80 columns. The lines; none where `text` is empty."""
    return labelled(label, wrap(text, WIDTH - GUTTER)) if text else []


def heading(text: str) -> list[str]:
    """Lay out the first line of a block, its continuation indented."""
    first, *rest = wrap(text, WIDTH - 2)
    return [first, *(f"  {line}" for line in rest)]
