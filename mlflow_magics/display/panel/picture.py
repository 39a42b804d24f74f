"""The panel as a static picture: what a saved notebook shows, and what stays when the kernel is gone."""

from __future__ import annotations

from datetime import datetime, timezone

from ...vocabulary.panel import Header, RunView
from ..charts import charts
from ..markup import parts, text
from ..markup.block import Block
from ..markup.html import EMPTY, Markup, element, join, link, safe_url, words
from ..markup.html import text as escaped
from ..markup.words import clean, duration, number
from ..outputs.view import VISIBLE
from .tools.facts import spark, status_facts
from .tools.style import state_pill, status_word


def picture(header: Header, run: RunView | None, name: str = "") -> Block:
    """Draw the panel's state.

    Parameters
    ----------
    header : Header
        Where we are; its strings may hold anything.
    run : RunView or None
        The run that is shown.
    name : str, optional
        The class of the picture, by which the live panel hides it.

    Returns
    -------
    Block
        Text, and HTML with inline styles. Its only rule hides what JupyterLab shows in the panel's place when the
        panel is no longer there; an untrusted notebook strips it.
    """
    body = parts.card(_head(header), *(_run(run) if run else (parts.line(parts.subdued(words("no run yet"))),)))
    if not name:
        return Block(text="\n".join(_text(header, run)), html=body)
    gone = f".jp-OutputArea-child:has(+ .jp-OutputArea-child .{name}):not(:has(.mlflow-magics-panel))"
    style = f"<style>{gone}{{display:none}}</style>"
    framed = element("div", Markup(style + body), **{"class": name})
    return Block(text="\n".join(_text(header, run)), html=framed)


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


# ---- HTML


def _head(header: Header) -> Markup:
    facts = [parts.mono(escaped(clean(header.where)))] if header.where else []
    if header.experiment_name:
        named = link(escaped(clean(header.experiment_name, 60)), header.experiment_url)
        facts.append(join((words("experiment "), named)))
    if header.said and header.said != header.state:
        facts.append(escaped(clean(header.said, 200)))
    return parts.line(state_pill(header.state), parts.subdued(join(facts, " · ")))


def _run(run: RunView) -> tuple[Markup, ...]:
    opened = link(words("open run ↗"), run.url)
    facts = [words(fact) for fact in _facts(run)]
    facts.append(opened if safe_url(run.url) else parts.mono(escaped(clean(run.run_id, 60))))
    title = element("strong", escaped(clean(run.name, 60)) if run.name else words("unnamed run"))
    params = [(escaped(clean(name, 60)), escaped(clean(value))) for name, value in list(run.params.items())[:VISIBLE]]
    drawn = {each.name for each in run.curves}
    singles = [(name, value) for name, value in run.metrics.items() if name not in drawn]
    metrics = [(escaped(clean(name, 60)), words(number(value))) for name, value in singles[:VISIBLE]]
    curves = [
        (
            escaped(clean(each.name, 60)),
            spark(each),
            words(number(each.last)),
            words(f"{number(each.min, 4)} … {number(each.max, 4)}"),
            words(f"{each.count:,}"),
        )
        for each in run.curves[:VISIBLE]
    ]
    return (
        parts.line(title, words(" "), status_facts(run, *facts)),
        parts.line(escaped(clean(run.note, 300))) if run.note else EMPTY,
        parts.beside(
            parts.table(("param", "value"), params) if params else EMPTY,
            parts.table(("metric", "value"), metrics) if metrics else EMPTY,
            parts.table(("metric", "", "last", "min … max", "points"), curves) if curves else EMPTY,
        ),
        _more(run, len(singles)),
    )


def _more(run: RunView, singles: int) -> Markup:
    """Say how much is not in the picture."""
    hidden = [
        f"{many - VISIBLE} more {noun}"
        for many, noun in ((len(run.params), "params"), (singles, "metrics"), (len(run.curves), "curves"))
        if many > VISIBLE
    ]
    return parts.line(parts.subdued(words("… and " + ", ".join(hidden)))) if hidden else EMPTY


# ---- text


def _text(header: Header, run: RunView | None) -> list[str]:
    facts = [f"mlflow panel · {clean(header.said, 200) if header.said else header.state}"]
    facts += [clean(header.where)] if header.where else []
    facts += [f"experiment {clean(header.experiment_name, 60)}"] if header.experiment_name else []
    lines = text.heading(" · ".join(facts))
    if run is None:
        return lines
    name = clean(run.name, 60) if run.name else "unnamed run"
    lines += text.paragraph("run", " · ".join([name, status_word(run.status), *_facts(run)]))
    params = [(clean(key, 60), clean(value)) for key, value in list(run.params.items())[:VISIBLE]]
    drawn = {each.name for each in run.curves}
    metrics = [(clean(key, 60), number(value)) for key, value in run.metrics.items() if key not in drawn][:VISIBLE]
    lines += text.labelled("params", text.columns(params)) if params else []
    lines += text.labelled("metrics", text.columns(metrics)) if metrics else []
    curves = [(clean(each.name, 60), charts.spark(each.values), number(each.last)) for each in run.curves[:VISIBLE]]
    lines += text.labelled("curves", text.columns(curves)) if curves else []
    return lines
