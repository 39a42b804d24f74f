"""Facts of a run as the panel, its strip and its picture write them."""

from __future__ import annotations

import math

from ....vocabulary.panel import Curve, RunView
from ...charts.charts import curve as drawn
from ...markup.html import Markup, join, words
from ...markup.parts import subdued
from ...markup.words import duration
from .style import status_pill

_MOST = 480  # values of which a sparkline is drawn


def elapsed(run: RunView, now: float) -> str:
    """Say how long a run has taken.

    In whole seconds while it runs, so that it changes once a second; empty where its beginning is unknown.
    """
    if not math.isfinite(run.began) or run.began <= 0:
        return ""
    if run.ended is not None:
        return duration(run.ended - run.began)
    whole = math.floor(max(0.0, now - run.began))
    return f"{whole} s" if whole < 60 else duration(whole)


def status_facts(run: RunView, *facts: Markup) -> Markup:
    """Write a run's status and facts beside it."""
    return join((status_pill(run.status), subdued(join(facts, " · ")) if any(facts) else words("")))


def spark(curve: Curve) -> Markup:
    """Draw a curve small."""
    values = curve.values
    if len(values) > _MOST:
        # A live curve is drawn four times a second: the eye sees no more than this.
        values = (*values[:: -(-len(values) // _MOST)], values[-1])
    return drawn(values)


def mark_of(curve: Curve) -> tuple[object, ...]:
    """Tell whether a curve is still the same, without looking at its points."""
    at = (curve.steps[-1], curve.times[-1]) if curve.steps and curve.times else ()
    return (curve.name, curve.count, len(curve.values), *map(repr, (curve.last, curve.min, curve.max, *at)))
