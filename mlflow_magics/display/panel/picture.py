"""Draws the panel as a static picture: a saved notebook shows it, and it stays when the kernel is gone."""

from __future__ import annotations

from datetime import datetime, timezone

from ...vocabulary.panel import Curve, Header, RunView
from ..charts import charts
from ..markup import parts, text
from ..markup.block import Block
from ..markup.html import EMPTY, Markup, element, join, link, safe_url, words
from ..markup.html import text as escaped
from ..markup.pieces import Cell, Piece, beside, block, own, table
from ..markup.words import clean, duration, number
from ..outputs.view import VISIBLE
from .tools.facts import spark, status_facts
from .tools.style import state_pill, status_word


def picture(header: Header, run: RunView | None, name: str = "") -> Block:
    """Draw the panel's state; `name` is the class of the picture, by which the live panel hides it.

    Its HTML has inline styles. Its only rule hides what JupyterLab shows in the panel's place when the panel is no
    longer there; an untrusted notebook strips it.
    """
    made = block([_head(header), *(_run(run) if run else [Piece(html=_quiet("no run yet"))])])
    if not name:
        return made
    gone = f".jp-OutputArea-child:has(+ .jp-OutputArea-child .{name}):not(:has(.mlflow-magics-panel))"
    style = f"<style>{gone}{{display:none}}</style>"
    return Block(made.text, element("div", Markup(style + made.html), **{"class": name}))


def _moment(seconds: float) -> str:
    """Write a time in UTC: the reader of a saved notebook may be anywhere."""
    try:
        return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):  # what no calendar knows
        return ""


def _facts(run: RunView) -> list[str]:
    began = f"began {moment}" if run.began > 0 and (moment := _moment(run.began)) else ""
    took = f"took {duration(run.ended - run.began)}" if run.ended is not None else ""
    return [fact for fact in (began, took) if fact]


def _head(header: Header) -> Piece:
    state = clean(header.said, 200) if header.said else header.state
    where, experiment = clean(header.where), clean(header.experiment_name, 60)
    written = [f"mlflow panel · {state}"]
    facts = []
    if header.where:
        written.append(where)
        facts.append(parts.mono(escaped(where)))
    if header.experiment_name:
        written.append(f"experiment {experiment}")
        facts.append(join((words("experiment "), link(escaped(experiment), header.experiment_url))))
    if header.said and header.said != header.state:
        facts.append(escaped(state))
    shown = parts.line(state_pill(header.state), parts.subdued(join(facts, " · ")))
    return Piece(text.heading(" · ".join(written)), shown)


def _run(run: RunView) -> list[Piece]:
    name = clean(run.name, 60) if run.name else "unnamed run"
    title = element("strong", escaped(name) if run.name else words(name))
    opened = link(words("open run ↗"), run.url) if safe_url(run.url) else parts.mono(escaped(clean(run.run_id, 60)))
    facts = _facts(run)
    shown = parts.line(title, words(" "), status_facts(run, *map(words, facts), opened))
    drawn = {curve.name for curve in run.curves}
    singles = [(clean(key, 60), own(number(value))) for key, value in run.metrics.items() if key not in drawn]
    params = [(clean(key, 60), clean(value)) for key, value in list(run.params.items())[:VISIBLE]]
    return [
        Piece(text.paragraph("run", " · ".join([name, status_word(run.status), *facts])), shown),
        Piece(html=parts.line(escaped(clean(run.note, 300))) if run.note else EMPTY),
        beside(
            table("params", ("param", "value"), params),
            table("metrics", ("metric", "value"), singles[:VISIBLE]),
            table("curves", ("metric", "", "last", "min … max", "points"), list(map(_curve, run.curves[:VISIBLE]))),
        ),
        Piece(html=_more(run, len(singles))),
    ]


def _curve(curve: Curve) -> tuple[Cell, ...]:
    """Write a curve as a row; a terminal has no room for its range."""
    return (
        clean(curve.name, 60),
        (charts.spark(curve.values), spark(curve)),
        own(number(curve.last)),
        ("", words(f"{number(curve.min, 4)} … {number(curve.max, 4)}")),
        ("", words(f"{curve.count:,}")),
    )


def _more(run: RunView, singles: int) -> Markup:
    """Say how much is not in the picture."""
    hidden = [
        f"{many - VISIBLE} more {noun}"
        for many, noun in ((len(run.params), "params"), (singles, "metrics"), (len(run.curves), "curves"))
        if many > VISIBLE
    ]
    return _quiet("… and " + ", ".join(hidden)) if hidden else EMPTY


def _quiet(value: str) -> Markup:
    return parts.line(parts.subdued(words(value)))
