"""Guesses how much room a chart's texts take: an SVG neither wraps nor clips them."""

from __future__ import annotations

import math

from ..markup.text import width
from ..markup.words import clean, number

SMALL = 11.0
"""The size of most of them, in pixels."""

# Of the size, as in DejaVu Sans, the broadest of the fonts that a front end may fall back to.
_LETTER, _BROAD, _NARROW = 0.64, 0.35, -0.3


def room(text: str, size: float = SMALL) -> float:
    """Guess how much room a text takes, rather too much than too little."""
    letters = max(width(text), len(text))  # Not every font sets a mark above its letter.
    broad, narrow = sum(map(text.count, "mwMW@%#&<>=+~∞…")), sum(map(text.count, " .,·:()ijltfI"))
    return size * (_LETTER * letters + _BROAD * broad + _NARROW * narrow)


def fit(name: str, limit: float, size: float = SMALL) -> str:
    """Shorten a clean name until it fits `limit` pixels: two characters at the least."""
    characters = max(int(limit / (size * _LETTER)), 2)
    while room(name, size) > limit and characters >= 2:
        name = clean(name, characters)
        characters = characters * 4 // 5
    return name


def said(value: float, digits: int = 6) -> str:
    """Write any value as people say it: ``"0.132"``, ``"∞"``, ``"not a number"``."""
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return number(value, digits)
