"""Draws sparklines: a few hundred values as block characters, or as a small SVG without a script."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from ..markup.html import Markup, element, words

BLOCKS = "▁▂▃▄▅▆▇█"
GAP = "·"
"""Stands where nothing is a number."""

_WIDTH, _HEIGHT, _EDGE = 120, 18, 2.5
_POINTS = 120


def spark(values: Sequence[float], width: int = 16) -> str:
    """Draw a curve in characters."""
    heights = _heights(_fewer(values, width))
    return "".join(GAP if h is None else BLOCKS[min(int(h * len(BLOCKS)), len(BLOCKS) - 1)] for h in heights)


def curve(values: Sequence[float]) -> Markup:
    """Draw a curve as SVG, in the colour of the text around it, the last value a dot.

    Where a front end strips it (an untrusted notebook), its title remains: the curve in characters.
    """
    heights = _heights(_fewer(values, _POINTS))
    across = (_WIDTH - 2 * _EDGE) / max(len(heights) - 1, 1)
    points = [None if h is None else (_EDGE + i * across, _down(h)) for i, h in enumerate(heights)]
    drawn = [_line(piece) for piece in _pieces(points) if len(piece) > 1]
    drawn += [_dot(*piece[0], 1.2) for piece in _pieces(points) if len(piece) == 1]
    if points and points[-1] is not None:
        drawn.append(_dot(*points[-1], 2))
    return element(
        "svg",
        element("title", words(spark(values))),
        *drawn,
        width=str(_WIDTH),
        height=str(_HEIGHT),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
    )


def _line(points: list[tuple[float, float]]) -> Markup:
    path = " ".join(f"{x:.5g},{y:.4g}" for x, y in points)
    # `currentColor` is the theme's: black on white, white on black.
    return element(
        "polyline", points=path, fill="none", stroke="currentColor", opacity="0.75", **{"stroke-width": "1.3"}
    )


def _dot(x: float, y: float, radius: float) -> Markup:
    return element("circle", cx=f"{x:.5g}", cy=f"{y:.4g}", r=f"{radius:g}", fill="currentColor")


def _down(height: float) -> float:
    return _HEIGHT - _EDGE - height * (_HEIGHT - 2 * _EDGE)


def _pieces(points: Sequence[tuple[float, float] | None]) -> list[list[tuple[float, float]]]:
    """Part a line where values are missing."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if point is not None:
            pieces[-1].append(point)
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _fewer(values: Sequence[float], most: int) -> list[float]:
    """Take the mean of neighbours until there are few enough; the first and the last stay what they are."""
    if len(values) <= most:
        return list(values)
    bounds = [i * len(values) // most for i in range(most + 1)]
    means = [_mean(values[begin:end]) for begin, end in itertools.pairwise(bounds)]
    return [values[0], *means[1:-1], values[-1]]


def _mean(values: Sequence[float]) -> float:
    numbers = [value for value in values if not math.isnan(value)]
    if not numbers:
        return math.nan
    # Divided first: the sum of two great floats is none. Two opposite infinities have no mean: NaN.
    mean = sum(value / len(numbers) for value in numbers)
    # Within their range, or rounding would draw a zigzag of equal values.
    return min(max(mean, min(numbers)), max(numbers)) if mean == mean else mean


def _heights(values: Sequence[float]) -> list[float | None]:
    """Put each value between 0, the least of them, and 1, the greatest; a constant in the middle."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    return [_height(value, low, high) for value in values]


def _height(value: float, low: float, high: float) -> float | None:
    if math.isnan(value):
        return None
    if math.isinf(value):
        return 1.0 if value > 0 else 0.0
    if low == high:
        return 0.5
    if math.isinf(high - low):  # 1e308 and -1e308 are farther apart than a float can say
        value, low, high = value / 2, low / 2, high / 2
    return (value - low) / (high - low)
