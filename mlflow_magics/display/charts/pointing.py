"""Shows a value under the pointer without a script: each place of a chart has an invisible cell with a title."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from ..markup.html import Markup, words
from ..markup.words import duration
from .lettering import fit, room, said
from .lines import Area, Axis, Line

STYLE = Markup(
    ".mlflow-plot .tip{opacity:0;pointer-events:none}.mlflow-plot g:hover>.tip{opacity:1}"
    ".mlflow-plot .tip path{stroke:currentColor;stroke-opacity:.5}.mlflow-plot .tip rect{fill:#262626}"
    ".mlflow-plot .tip text{fill:#fff}"
)
"""What shows a tip. Its box is dark in every theme: no variable for it is known to all front ends."""

MOST = 6
"""The curves that a tip tells of."""

_MOST_CELLS = 120
_CELL = 8.0  # px: as fine as a hand points
_REACH = 6.0  # px beside the place in which a curve's point belongs to it
_ROW, _EDGE = 15, 6
_SPACE = "\u2002"  # broader than a space, of which SVG shows only one
_INDENT, _DIGIT = 20.0, 7.04  # px for the dot before a name, and for a digit
_AGES = 1e10  # s
_LONG = 1e12  # steps
_NAME, _VALUE = 150.0, 95.0  # px for a name at the most, and for a value at the least


def cells(lines: Sequence[Line], area: Area, axis: Axis) -> Markup:
    """Make the chart tell its values: a group for each place, 120 at the most, to be drawn above all else.

    The first line decides where a place is, the others where it has no points.
    """
    lines = lines[:MOST]
    named = len(lines) > 1
    drawn = [(line, area.x(line.xs)) for line in lines if line.xs]
    names = [fit(line.label, min(_NAME, area.right - _VALUE - 40)) if named else "" for line, _ in drawn]
    rooms = [room(name) + _INDENT if named else 0.0 for name in names]
    marks = [_isolated(name) for name in names]
    places = _places([xs for _, xs in drawn], area)
    spots = [_spots(line, xs, [x for x, *_ in places], area) for line, xs in drawn]
    middles = [(one + other) / 2 for (one, *_), (other, *_) in itertools.pairwise(places)]
    bounds = itertools.pairwise([area.left, *middles, area.right])
    high = f'y="{area.top:.1f}" height="{area.bottom - area.top:.1f}"'
    groups = []
    for (x, which, point), (left, right), there in zip(places, bounds, zip(*spots, strict=True), strict=False):
        where = _where(drawn[which][0], point, axis)
        told = []
        for (line, _), mark, wide, spot in zip(drawn, marks, rooms, there, strict=True):
            if spot is not None:
                value = _told(line, spot[0], named)
                told.append(_Told(line.colour, Markup(mark + value), wide + _DIGIT * len(value), spot[1]))
        tip = _Tip(x, where, told)
        groups.append(
            f'<g><rect x="{left:.1f}" {high} width="{right - left:.1f}"/><title>{tip.title()}</title>'
            f'<g class="tip" opacity="0">{tip.draw(area, named)}</g></g>'
        )
    return Markup(f'<g fill="none" pointer-events="all">{"".join(groups)}</g>')


def _spots(line: Line, xs: list[float], places: list[float], area: Area) -> list[tuple[int, float] | None]:
    """Find a curve's point at each place, and how far down it is; None where it has none there."""
    near = [_nearest(xs, x) for x in places]
    values = [line.drawn[point] for point in near]
    seen = [value if math.isfinite(value) and (value > 0 or not area.up.log) else math.nan for value in values]
    return [
        (point, down) if abs(xs[point] - x) <= _REACH else None
        for point, down, x in zip(near, area.y(seen), places, strict=True)
    ]


def _places(curves: list[list[float]], area: Area) -> list[tuple[float, int, int]]:
    """Choose a point for each cell: how far right, of which curve, its index."""
    many = max(1, min(_MOST_CELLS, int((area.right - area.left) / _CELL)))
    width = (area.right - area.left) / many
    places: list[tuple[float, int, int]] = []
    for cell in range(many):
        middle = area.left + (cell + 0.5) * width
        for which, xs in enumerate(curves):
            point = _nearest(xs, middle)
            if abs(xs[point] - middle) <= width / 2 + 1e-6:
                if (xs[point], which, point) not in places[-1:]:  # as one between two cells is
                    places.append((xs[point], which, point))
                break
    return places


def _nearest(xs: list[float], x: float) -> int:
    right = bisect_left(xs, x)
    return right - 1 if right == len(xs) or (right and x - xs[right - 1] < xs[right] - x) else right


def _where(line: Line, point: int, axis: Axis) -> str:
    step = line.steps[point]
    # Longer ones are no counter's, have no room, and as floats not all of their digits.
    written = f"{int(step):,}" if abs(step) < _LONG and step == int(step) else said(step)
    if axis == "step":
        return f"step {written}"
    seconds = line.xs[point]
    # A time that no run takes is a broken clock's, and in days would fill the chart.
    return f"{duration(seconds) if seconds < _AGES else f'{said(seconds)} s'} · step {written}"


def _told(line: Line, point: int, brief: bool) -> str:
    value = said(line.drawn[point])
    return value if brief or not line.averages else f"{value} (raw {said(line.values[point])})"


def _isolated(name: str) -> Markup:
    # A right-to-left name would move the value to its other side.
    safe = words(name if name.isascii() else f"\u2068{name}\u2069")
    return Markup(f"{safe}{_SPACE}") if name else safe


class _Told(NamedTuple):
    """What is told of one curve, the room that takes, and how far down its point is, NaN for nowhere."""

    colour: str
    text: Markup
    wide: float
    down: float


class _Tip(NamedTuple):
    """What is told at `x`: where that is, and of each curve what."""

    x: float
    where: str
    told: list[_Told]

    def title(self) -> str:
        return "\n".join([self.where, *(each.text for each in self.told)])

    def draw(self, area: Area, named: bool) -> str:
        wide = max([_DIGIT * len(self.where), *(each.wide for each in self.told)]) + 2 * _EDGE
        high = _ROW * (len(self.told) + 1) + 6
        left = self.x + 10 if self.x + 10 + wide <= area.right else self.x - 10 - wide
        left, top = max(left, 1.0), max(min(area.top + 3, area.bottom - high), 0.0)
        dots = [
            f'<circle cx="{self.x:.1f}" cy="{each.down:.1f}" r="3.5" fill="{each.colour}"/>'
            for each in self.told
            if each.down == each.down
        ]
        rows = [
            f'<tspan x="{left + _EDGE:.1f}" dy="{_ROW}"'
            + (f' fill="{each.colour}">● </tspan><tspan>{each.text}</tspan>' if named else f">{each.text}</tspan>")
            for each in self.told
        ]
        return (
            f'<path d="M{self.x:.1f},{area.top:.1f}V{area.bottom:.1f}"/>{"".join(dots)}'
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{high}" rx="3"/>'
            f'<text x="{left + _EDGE:.1f}" y="{top + 13:.1f}">{self.where}{"".join(rows)}</text>'
        )
