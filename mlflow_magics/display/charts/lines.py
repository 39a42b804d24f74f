"""Draws a curve as one path: averaged, and thinned to what can be seen."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ...vocabulary.panel import Curve
from ..markup.html import Markup
from ..markup.words import clean
from .scales import Scale

Axis = Literal["step", "time"]

# Okabe and Ito's palette (https://jfly.uni-koeln.de/color/): the four of it that stand out from white as from black.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
# Five, so that with four colours the first twenty curves differ.
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2")

_GREATEST_WEIGHT = 0.9999  # With 1, nothing new would ever count.
_LABEL = 60  # characters: more than the widest of places shows


@dataclass(frozen=True)
class Area:
    """The frame that curves are drawn in, in pixels, and the scales of its axes."""

    left: float
    top: float
    right: float
    bottom: float
    across: Scale
    up: Scale

    def x(self, places: Sequence[float]) -> list[float]:
        """Tell how far from the left edge places on the first axis are."""
        return self.across.place(places, self.left, self.right)

    def y(self, values: Sequence[float]) -> list[float]:
        """Tell how far from the upper edge values are, a line's width inside the frame."""
        return self.up.place(values, self.bottom - 2, self.top + 2)


@dataclass(frozen=True)
class Line:
    """A curve with all that drawing needs; `averages` are None where nothing is smoothed."""

    label: str
    curve: Curve
    colour: str
    dash: str
    xs: list[float]  # ascending, finite: steps, or seconds since the run's first point
    steps: list[float]
    values: list[float]
    averages: list[float] | None

    @property
    def drawn(self) -> list[float]:
        """The values of the line that is seen first."""
        return self.averages or self.values


def read(label: str, curve: Curve, place: int, axis: Axis, smoothing: float) -> Line:
    """Make a curve ready to be drawn, without points that are nowhere on the axis.

    `place` tells which curve it is, for its colour and dash; `smoothing` is the weight of :func:`smooth`.
    """
    steps, values = list(curve.steps), list(curve.values)
    if axis == "step":
        xs = steps
    else:
        first = next(filter(math.isfinite, curve.times), 0.0)
        xs = [time - first for time in curve.times]
    points = None
    if not all(map(math.isfinite, xs)):
        points = [point for point in zip(xs, steps, values, strict=True) if math.isfinite(point[0])]
    if not all(map(operator.le, xs, xs[1:])):  # a clock that was set back
        points = sorted(zip(xs, steps, values, strict=True) if points is None else points, key=lambda point: point[0])
    if points is not None:
        xs, steps, values = ([point[column] for point in points] for column in range(3))
    averages = smooth(values, min(smoothing, _GREATEST_WEIGHT)) if smoothing > 0 else None
    colour, dash = COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)]
    return Line(clean(label, _LABEL), curve, colour, dash, xs, steps, values, averages)


def columns(xs: Sequence[float], values: Sequence[float]) -> list[list[tuple[float, float]]]:
    """Thin a curve to what can be seen: the least and the greatest value of each pixel column.

    Gives the pieces of the line: it parts where a column has values, but none that is drawn, as none is finite.
    """
    pieces: list[list[tuple[float, float]]] = [[]]
    column: int | None = None
    low: tuple[float, float] | None = None
    high: tuple[float, float] | None = None
    for x, value, here in zip(xs, values, map(int, xs), strict=True):
        if here != column:
            _close(pieces, column, low, high)
            column, low, high = here, None, None
        if value - value != 0.0:  # NaN or infinite
            continue
        if low is None or high is None:
            low = high = (x, value)
        elif value < low[1]:
            low = (x, value)
        elif value > high[1]:
            high = (x, value)
    _close(pieces, column, low, high)
    return [piece for piece in pieces if piece]


def _close(
    pieces: list[list[tuple[float, float]]],
    column: int | None,
    low: tuple[float, float] | None,
    high: tuple[float, float] | None,
) -> None:
    if column is None:
        return
    if low is None or high is None:
        if pieces[-1]:
            pieces.append([])
    elif low is high:
        pieces[-1].append(low)
    else:
        pieces[-1] += (low, high) if low[0] <= high[0] else (high, low)


def smooth(values: Sequence[float], weight: float) -> list[float]:
    """Take the exponential moving average, freed of its bias towards zero.

    This is what TensorBoard draws, so that a slider's 0.6 means the same here: ``classicSmoothing`` in
    https://github.com/tensorflow/tensorboard/blob/master/tensorboard/webapp/widgets/line_chart_v2/data_transformer.ts
    and, like there, of the points that are drawn, not of those that were thinned out before.
    """
    numbers = [value for value in values if math.isfinite(value)]
    low, high = min(numbers, default=0.0), max(numbers, default=0.0)
    if low == high:
        return list(values)
    average, remains, averages = 0.0, 1.0, []
    for value in values:
        if value - value == 0.0:
            average = average * weight + (1 - weight) * value
            remains *= weight
            value = min(max(average / (1 - remains), low), high)  # not beyond, by rounding
        averages.append(value)
    return averages


def trace(line: Line, area: Area, first: bool) -> Markup:
    """Draw a curve."""
    xs = area.x(line.xs)
    drawn = []
    if line.averages:
        pale, _ = _path(xs, line.values, area)
        drawn.append(f'<path d="{pale}" stroke="{line.colour}" stroke-opacity="0.4"/>')
    path, end = _path(xs, line.drawn, area)
    dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
    drawn.append(f'<path d="{path}" stroke="{line.colour}" stroke-width="{1.6 if first else 1.3}"{dash}/>')
    if infinite := _edges(xs, line.values, area):
        drawn.append(f'<path d="{infinite}" fill="{line.colour}"/>')
    if end is not None:
        drawn.append(f'<circle cx="{end[0]:.1f}" cy="{end[1]:.1f}" r="2.6" fill="{line.colour}"/>')
    return Markup("".join(drawn))


def _path(xs: list[float], values: list[float], area: Area) -> tuple[str, tuple[float, float] | None]:
    """Write a line in SVG's language, and where it ends."""
    if area.up.log:
        values = [value if value > 0 else math.nan for value in values]
    written, end = [], None
    for piece in columns(xs, values):
        downs = area.y([value for _, value in piece])
        column = -1
        for (x, _), down in zip(piece, downs, strict=True):
            # Two values in one column of pixels are one stroke, up or down.
            written.append(f"V{down:.1f}" if int(x) == column else f"{'M' if column < 0 else 'L'}{x:.1f},{down:.1f}")
            column = int(x)
        if len(piece) == 1:  # A line of no length is a dot, as its ends are round.
            written.append("h0")
        end = (piece[-1][0], downs[-1])
    return "".join(written), end


def _edges(xs: list[float], values: list[float], area: Area) -> str:
    """Write triangles that point out of the frame where values are infinite, as far apart as can be told apart."""
    if math.inf not in values and -math.inf not in values:
        return ""
    marks, last = [], {True: -math.inf, False: -math.inf}
    for x, value in zip(xs, values, strict=True):
        if not math.isinf(value) or x - last[value > 0] < 6 or (area.up.log and value < 0):
            continue
        last[value > 0] = x
        x = min(max(x, area.left + 4), area.right - 4)
        tip, back = (area.top, 7) if value > 0 else (area.bottom, -7)
        marks.append(f"M{x:.1f},{tip:.1f}l4,{back}h-8z")
    return "".join(marks)
