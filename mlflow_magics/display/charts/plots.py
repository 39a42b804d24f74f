"""Draws charts: one metric of one run, or of several, as an SVG without scripts or anything from elsewhere.

What moves under the pointer is CSS; where a front end strips that, titles tell the same. Text and grid have the
colour of the text around them, and the curves hues that read on white as on black.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

from ...vocabulary.panel import Curve
from ..markup.html import EMPTY, Markup, element, words
from ..markup.words import clean
from . import scales
from .lettering import SMALL, fit, room, said
from .lines import Area, Axis, Line, read, trace
from .pointing import MOST, STYLE, cells
from .scales import Tick

_SANS = "system-ui,-apple-system,Segoe UI,Helvetica,Arial,sans-serif"
_BIG, _BOLD = 13.0, 14.5  # px, and what it takes as bold
_ROW, _EDGE = 15.0, 4.0
_LEAST_WIDTH, _LEAST_HEIGHT = 280, 140
_LEAST_LEFT = 38.0  # px for the labels of the axis that goes up, and below them the name of the other
_LEAST_UP, _GAP = 24.0, 14.0  # px between ticks, at the least
_FEET = 20.0  # px for the labels of the axis that goes along
_LEGEND = 165.0  # px for one run


def plot(
    curves: Sequence[tuple[str, Curve]],
    *,
    width: int = 560,
    height: int = 220,
    axis: Axis = "step",
    log: bool = False,
    smoothing: float = 0.0,
) -> Markup:
    """Draw a metric. An ``<svg>``, valid as XML too; empty without a curve."""
    if not curves:
        return EMPTY
    width, height = max(width, _LEAST_WIDTH), max(height, _LEAST_HEIGHT)
    lines = [read(label, curve, place, axis, smoothing) for place, (label, curve) in enumerate(curves)]
    name = clean(curves[0][1].name)
    dropped = ["zero or less left out"] if log and any(min(line.values, default=1) <= 0 for line in lines) else []
    head, top = _head(name, lines[0], dropped, width, height)
    legend, top = _legend(lines, top, width, height) if len(lines) > 1 else (EMPTY, top)
    about = [_about(line, len(lines) > 1) for line in lines[:MOST]]
    return element(
        "svg",
        element("title", words(name)),
        element("desc", words("; ".join(about + dropped))),
        element("style", STYLE),
        head,
        legend,
        _body(lines, (top, float(width), float(height)), axis, log),
        role="img", width=str(width), height=str(height), viewBox=f"0 0 {width} {height}", fill="currentColor",
        # MathJax would take "$5 and $6" for a formula, and knows no SVG.
        **{"class": "mlflow-plot mathjax_ignore tex2jax_ignore", "font-family": _SANS, "font-size": f"{SMALL:g}"},
        direction="ltr", style="display:block;max-width:100%",
    )  # fmt: skip


def _about(line: Line, named: bool) -> str:
    first = next(iter(line.values), math.nan)
    facts = (("first", first), ("last", line.curve.last), ("min", line.curve.min), ("max", line.curve.max))
    label = f"{line.label}: " if named else ""
    return label + ", ".join([*(f"{what} {said(value)}" for what, value in facts), _points(line.curve)])


def _brief(value: float) -> str:
    return said(value, 4 if abs(value) < 1000 else 6)


def _points(curve: Curve) -> str:
    return f"{curve.count:,} point{'' if curve.count == 1 else 's'}"


def _text(x: float, y: float, *children: Markup, **attributes: str) -> Markup:
    return element("text", *children, x=f"{x:.1f}", y=f"{y:.1f}", **attributes)


def _name(name: str) -> Markup:
    # Isolated, as a right-to-left name would move the number beside it to its other side.
    return element("tspan", words(name), **{"unicode-bidi": "isolate"})


def _head(name: str, line: Line, notes: list[str], width: int, height: int) -> tuple[Markup, float]:
    """Write the metric's name and numbers; tell how far down that goes."""
    curve = line.curve
    last = said(curve.last) if curve.count else ""
    facts = [] if math.isnan(curve.min) else [f"min {_brief(curve.min)}", f"max {_brief(curve.max)}"]
    facts = [*notes, *facts, _points(curve)]
    across = width - 2 * _EDGE
    short = fit(name, across - room(last, _BOLD) - 24, _BOLD)
    bold = {"font-size": f"{_BIG:g}", "font-weight": "600"}
    title = _text(_EDGE, 14, _name(short), element("tspan", words(last), dx="10"), **bold)
    beside = across - room(short, _BOLD) - room(last, _BOLD) - 30
    quiet = {"opacity": "0.7"}
    if room(" · ".join(facts)) <= beside:
        words_beside = words(" · ".join(facts))
        return Markup(title + _text(width - _EDGE, 14, words_beside, **quiet, **{"text-anchor": "end"})), 24.0
    rows = [facts[0]]
    for fact in facts[1:]:
        if room(f"{rows[-1]} · {fact}") <= across:
            rows[-1] += f" · {fact}"
        else:
            rows.append(fact)
    # What a low chart has no room for is told by its description.
    rows = rows[: max(int((height - _LEAST_HEIGHT) / _ROW), 1)]
    texts = [_text(_EDGE, 14 + _ROW * row, words(text), **quiet) for row, text in enumerate(rows, 1)]
    return Markup(title + "".join(texts)), 24 + _ROW * len(rows)


def _legend(lines: list[Line], top: float, width: int, height: int) -> tuple[Markup, float]:
    """Name the runs; tell how far down that goes."""
    across = width - 2 * _EDGE
    beside = min(max(int(across / _LEGEND), 1), len(lines))
    most = max(int((height * 0.45 - top) / _ROW), 1) * beside
    shown = lines if len(lines) <= most else lines[: max(most - 1, 1)]
    each = across / beside
    drawn = []
    for place, line in enumerate(shown):
        x, y = _EDGE + place % beside * each, top + 9 + place // beside * _ROW
        dash = {"stroke-dasharray": line.dash} if line.dash else {}
        stroke = {"stroke": line.colour, "stroke-width": "2.2", **dash}
        drawn.append(element("path", d=f"M{x:.1f},{y - 4:.1f}h22", **stroke))
        last = said(line.curve.last)
        short = fit(line.label, each - room(last) - 46)
        drawn.append(_text(x + 27, y, _name(short), element("tspan", words(last), dx="6", opacity="0.7")))
    rows = -(-len(shown) // beside)
    if more := len(lines) - len(shown):
        rows = len(shown) // beside + 1
        x, y = _EDGE + len(shown) % beside * each, top + 9 + len(shown) // beside * _ROW
        drawn.append(_text(x, y, words(f"and {more} more"), opacity="0.7"))
    return Markup("".join(drawn)), top + rows * _ROW + 4


def _body(lines: list[Line], box: tuple[float, float, float], axis: Axis, log: bool) -> Markup:
    top, width, height = box
    # Averages lie within the values, but not always within those above zero.
    drawn = [line.values for line in lines] + [line.averages for line in lines if log and line.averages]
    up = scales.around(itertools.chain.from_iterable(drawn), log)
    xs = [x for line in lines for x in (line.xs[:1] + line.xs[-1:])]
    across = scales.around(xs if axis == "step" else [*xs, 0.001])
    bottom = height - _FEET
    if up is None or across is None:
        anything = any(line.values for line in lines)
        why = ("nothing above zero" if log else "no number yet") if anything else "no points yet"
        return _text(width / 2, (top + height) / 2, words(why), opacity="0.7", **{"text-anchor": "middle"})
    rungs = scales.numbered(up, max(int((bottom - top) / _LEAST_UP), 2))
    left = max(max(room(tick.label) for tick in rungs) + 10, _LEAST_LEFT) if rungs else _LEAST_LEFT
    area = Area(left, top, width - 8, bottom, across, up)
    whole = axis == "step" and across.high - across.low < 40 and all(x % 1 == 0 for line in lines for x in line.xs)
    along: Callable[[int], list[Tick]] = (
        (lambda most: scales.timed(across, most))
        if axis == "time"
        else lambda most: scales.numbered(across, most, whole)
    )
    order = list(enumerate(lines))[::-1]  # The first lies above the others.
    curves = Markup("".join(trace(line, area, place == 0) for place, line in order))
    return Markup(
        _ladder(rungs, area)
        + _feet(_fewer(along, area), area, axis, width)
        + element("g", curves, fill="none", **{"stroke-linejoin": "round", "stroke-linecap": "round"})
        + cells(lines, area, axis)
    )


def _ladder(rungs: list[Tick], area: Area) -> Markup:
    downs = [area.bottom - 2 - tick.at * (area.bottom - area.top - 4) for tick in rungs]
    grid = "".join(f"M{area.left:.1f},{down:.1f}H{area.right:.1f}" for down in downs)
    labels = [_text(area.left - 6, down + 3.8, words(tick.label)) for tick, down in zip(rungs, downs, strict=True)]
    return Markup(
        element("path", d=grid, stroke="currentColor", opacity="0.15")
        + element("g", *labels, opacity="0.75", **{"text-anchor": "end"})
    )


def _feet(ticks: list[Tick], area: Area, axis: Axis, width: float) -> Markup:
    rights = [area.left + tick.at * (area.right - area.left) for tick in ticks]
    grid = "".join(f"M{right:.1f},{area.top:.1f}V{area.bottom:.1f}" for right in rights)
    y = area.bottom + 15
    labels = []
    for tick, right in zip(ticks, rights, strict=True):
        half = room(tick.label) / 2
        labels.append(_text(min(max(right, half), width - half), y, words(tick.label)))
    frame = f"M{area.left:.1f},{area.bottom:.1f}H{area.right:.1f}"
    first = min((right - room(tick.label) / 2 for tick, right in zip(ticks, rights, strict=True)), default=area.right)
    # The units of times say what they are.
    named = axis == "step" and first > _EDGE + room("step") + 4
    return Markup(
        element("path", d=grid, stroke="currentColor", opacity="0.1")
        + element("path", d=frame, stroke="currentColor", opacity="0.4")
        + element("g", *labels, opacity="0.75", **{"text-anchor": "middle"})
        + (_text(_EDGE, y, words("step"), opacity="0.55") if named else "")
    )


def _fewer(along: Callable[[int], list[Tick]], area: Area) -> list[Tick]:
    """Find as many ticks as their labels have room beside each other."""
    length = area.right - area.left
    for most in range(min(int(length / 44), 10), 1, -1):
        ticks = along(most)
        needed = max((room(tick.label) for tick in ticks), default=0.0) + _GAP
        if all((after.at - tick.at) * length >= needed for tick, after in itertools.pairwise(ticks)):
            return ticks
    return along(1)[:1]
