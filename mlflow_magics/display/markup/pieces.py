"""Builds a block from pieces: what each shows is said once, and written for terminals and as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from . import html, parts, text
from .block import Block
from .html import EMPTY, Markup
from .words import clean

Cell = str | tuple[str, Markup]
"""A clean string from outside, or a text and the HTML that says the same."""


@dataclass(frozen=True)
class Piece:
    """A part of a block: lines of text, and HTML. One of them is missing where the other form says it elsewhere."""

    lines: Sequence[str] = ()
    html: Markup = EMPTY


def block(pieces: Iterable[Piece]) -> Block:
    """Put pieces below each other, framed in HTML."""
    pieces = list(pieces)
    return Block(
        text="\n".join(line for piece in pieces for line in piece.lines),
        html=parts.card(*(piece.html for piece in pieces)),
    )


def own(value: str) -> Cell:
    """Make a cell of words or a number of our own."""
    return value, html.words(value)


def table(label: str, head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Piece:
    """Write rows as columns behind a label, and as a table with a head. Nothing where there are none."""
    if not rows:
        return Piece()
    both = [[(cell, html.text(cell)) if isinstance(cell, str) else cell for cell in row] for row in rows]
    return Piece(
        text.labelled(label, text.columns([[cell for cell, _ in row] for row in both])),
        parts.table(head, [[cell for _, cell in row] for row in both]),
    )


def beside(*pieces: Piece) -> Piece:
    """Put pieces side by side in HTML where there is room; in text they stay below each other."""
    lines = [line for piece in pieces for line in piece.lines]
    return Piece(lines, parts.beside(*(piece.html for piece in pieces)))


def note(value: str, marker: str = "note", of: str = "") -> Piece:
    """Write a note, its marker a word; `of` is what it is about. Both are clean."""
    strings = [of, value] if of else [value]
    return Piece(text.paragraph(marker, ": ".join(strings)), parts.note(marker, *strings))


def notes(values: Iterable[str]) -> list[Piece]:
    """Write notes as they came."""
    return [note(clean(value, 300)) for value in values]


def address(url: str) -> Piece:
    """Write a checked URL whole on a line of its own: what is broken cannot be clicked. HTML has it as a link."""
    return Piece([f"  {url}"] if url else [])


def indented(lines: Iterable[str]) -> list[str]:
    """Set lines in under a block's head."""
    return [f"  {line}" for line in lines]
