"""Shows what a cell logged: an :class:`...vocabulary.records.Outcome` as text and as HTML."""

from __future__ import annotations

from collections.abc import Sequence

from ...vocabulary.records import Outcome, Skipped, Status
from ..charts import charts
from ..markup import html, parts, text
from ..markup.block import Block
from ..markup.pieces import Piece, address, beside, block, note
from ..markup.words import count
from .calls import tried
from .view import FOLDED, VISIBLE, Row, Rows, SeriesView, View, view_of

_LOOKS: dict[Status, tuple[str, str, str]] = {
    "FINISHED": ("✓ finished", "in", parts.GREEN),
    "FAILED": ("✗ failed", "after", parts.RED),
    "KILLED": ("■ killed", "after", parts.AMBER),
}


def render(outcome: Outcome) -> Block:
    """Show what became of a run.

    Parameters
    ----------
    outcome : Outcome
        The run; its strings may hold anything.

    Returns
    -------
    Block
        Status, links, params, metrics with their change, curves of series, files, models, notes, and what was skipped.
    """
    view = view_of(outcome)
    return block(
        [
            *_head(view),
            beside(_rows("params", view.params), _rows("metrics", view.metrics)),
            beside(_series(view)),
            *tried(outcome.calls),
            _opened(view),
            Piece(text.paragraph("also", _text_also(view))),
            _kept(view),
            Piece(text.paragraph("why", _text_why(view))),
            Piece(text.paragraph("skipped", text.listed(list(map(_text_skipped, view.skipped))))),
            *map(note, view.notes),
            Piece(html=_folds(view)),
        ]
    )


def _head(view: View) -> list[Piece]:
    word, joint, colour = _LOOKS[view.status]
    glyph, bare = word.split()
    written = [f"{glyph} {view.name}", f"{bare} {joint} {view.time}"]
    facts = [html.words(f"{joint} {view.time}")]
    if view.experiment:
        written.append(f"experiment {view.experiment}")
        label = html.link(html.text(view.experiment), view.experiment_url)
        facts.append(html.join((html.words("experiment "), label)))
    if view.run_url:
        facts.append(html.link(html.words("open run ↗"), view.run_url))
    elif view.run:
        facts.append(html.join((html.words("run "), parts.mono(html.text(view.run)))))
    line = parts.line(
        parts.pill(word, colour),
        html.element("strong", html.text(view.name), style="font-weight:600"),
        html.words(" "),
        parts.subdued(html.join(facts, " · ")),
        html.words(" "),
        parts.pill(view.banner, parts.AMBER) if view.banner else html.EMPTY,
    )
    error = parts.callout(colour, parts.mono(html.text(view.error))) if view.error else html.EMPTY
    return [
        Piece(text.heading(" · ".join(written)), line),
        address(view.run_url) if view.run_url else Piece(text.paragraph("run", view.run)),
        Piece(text.paragraph("note", view.banner)),
        Piece(text.paragraph("error", view.error), error),
    ]


def _rows(label: str, rows: Rows) -> Piece:
    if not rows.rows:
        return Piece()
    lines = text.columns([(row.name, row.value, row.change) for row in rows.visible])
    return Piece(text.labelled(label, _and_more(lines, rows.more)), _rows_table(rows))


def _and_more(lines: list[str], more: int) -> list[str]:
    return [*lines, f"… and {more} more"] if more else lines


def _rows_table(rows: Rows) -> html.Markup:
    seen = [_table(rows.visible, rows.noun)]
    if rows.more:
        # What a fold does not hold either is in MLflow: say how much.
        unseen = rows.total - len(rows.rows)
        title = f"{rows.more} more {rows.noun}s" + (f", the first {FOLDED} here" if unseen else "")
        seen.append(parts.fold(html.words(title), _table(rows.folded, rows.noun)))
    return html.join(seen)


def _table(rows: Sequence[Row], noun: str) -> html.Markup:
    moved = any(row.change for row in rows)
    head = (noun, "value", "vs previous") if moved else (noun, "value")
    cells = ((html.text(row.name), html.text(row.value), parts.subdued(html.text(row.change))) for row in rows)
    return parts.table(head, (cell[: len(head)] for cell in cells))


def _series(view: View) -> Piece:
    if not view.curves:
        return Piece()
    seen, folded = view.curves[:VISIBLE], view.curves[VISIBLE:]
    more = len(folded) + view.more_curves
    shown = _curves(seen)
    if folded:
        title = f"{more} more series" + (f", the first {FOLDED} here" if view.more_curves else "")
        shown = html.join((shown, parts.fold(html.words(title), _curves(folded, drawn=False))))
    return Piece(text.labelled("series", _and_more(_text_curves(seen), more)), shown)


def _text_curves(curves: Sequence[SeriesView]) -> list[str]:
    """Give each series two lines: its curve from the first value to the last, and the rest of it."""
    rows = [(curve.name, charts.spark(curve.values), f"{curve.first} → {curve.last}", curve.change) for curve in curves]
    aligned = text.columns(rows)
    if len(aligned) != len(rows):  # a name so long that it is wrapped: then each line for itself
        aligned = ["\n".join(text.columns([row])) for row in rows]
    lines = []
    for curve, line in zip(curves, aligned, strict=True):
        lines += line.split("\n")
        rest = f"min {curve.least} · max {curve.most} · {curve.points}"
        lines += [f"  {part}" for part in text.wrap(rest, text.WIDTH - text.GUTTER - 2)]
    return lines


def _curves(curves: Sequence[SeriesView], *, drawn: bool = True) -> html.Markup:
    cells = (
        (
            html.text(curve.name),
            # A hundred drawings would be most of a saved notebook.
            charts.curve(curve.values) if drawn else html.words(charts.spark(curve.values)),
            html.join((html.words(f"{curve.first} → {curve.last}"), parts.subdued(html.words(curve.change))), " "),
            html.words(f"{curve.least} … {curve.most}"),
            parts.subdued(html.words(curve.points)),
        )
        for curve in curves
    )
    moved = any(curve.change for curve in curves)
    return parts.table(("series", "", "first → last" + ", vs previous" * moved, "min … max", "points"), cells)


def _opened(view: View) -> Piece:
    """Name the runs that the cell opened beside its own, on one line; the rest of many is folded."""
    if not view.runs:
        return Piece()
    title = count(len(view.runs), "more run")
    links = [html.link(html.text(name), url) for name, url in view.runs[:FOLDED]]
    line = parts.line(parts.subdued(html.words(f"opened {title} ")), html.join(links[: text.LISTED], ", "))
    if rest := links[text.LISTED :]:
        fold = parts.fold(html.words(f"{len(view.runs) - text.LISTED} more runs"), html.join(rest, ", "))
        line = html.join((line, fold))
    return Piece(text.paragraph("opened", f"{title}: {text.listed([name for name, _ in view.runs])}"), line)


def _kept(view: View) -> Piece:
    """Name the files, models and datasets; in HTML on one line."""
    kept = (("files", view.files), ("models", view.models), ("data", view.data))
    shown = [
        html.join((parts.subdued(html.words(f"{label} ")), _names(names[: text.LISTED])))
        for label, names in kept
        if names
    ]
    lines = [line for label, names in kept for line in text.paragraph(label, text.listed(names))]
    return Piece(lines, parts.line(html.join(shown, " · ")) if shown else html.EMPTY)


def _names(names: Sequence[str]) -> html.Markup:
    return html.join((parts.mono(html.text(name)) for name in names), ", ")


# ---- said at the end: in text a paragraph each, in HTML a fold


def _text_also(view: View) -> str:
    kinds = []
    for rows in (view.auto_params, view.auto_metrics):
        if rows.rows:
            items = [f"{row.name}={row.value}" + (f" {row.change}" if row.change else "") for row in rows.rows]
            kinds.append(f"{count(rows.total, rows.noun)}: {text.listed(items[: text.LISTED], rows.total)}")
    return "; ".join(kinds) + " (autolog, mlflow.log_*)" if kinds else ""


def _text_why(view: View) -> str:
    reasons: dict[str, list[str]] = {}
    rows: tuple[Row | SeriesView, ...] = (*view.params.visible, *view.metrics.visible, *view.curves[:VISIBLE])
    for row in rows:
        if row.why:
            reasons.setdefault(row.why, []).append(row.name)
    return "; ".join(f"{why}: {text.listed(names[:4], len(names))}" for why, names in reasons.items())


def _text_skipped(skipped: Skipped) -> str:
    return f"{skipped.name} ({skipped.reason}{'; ' if skipped.option else ''}{skipped.option})"


def _folds(view: View) -> html.Markup:
    return parts.beside(
        _also_fold(view),
        _more_fold("files", view.files),
        _more_fold("models", view.models),
        _skipped_fold(view.skipped),
        _why_fold(view),
    )


def _more_fold(label: str, names: Sequence[str]) -> html.Markup:
    if not (rest := names[text.LISTED :]):
        return html.EMPTY
    return parts.fold(html.words(f"{len(rest)} more {label}"), _names(rest[:FOLDED]))


def _also_fold(view: View) -> html.Markup:
    some = [rows for rows in (view.auto_params, view.auto_metrics) if rows.rows]
    if not some:
        return html.EMPTY
    title = "also " + ", ".join(count(rows.total, rows.noun) for rows in some) + " (autolog, mlflow.log_*)"
    tables = parts.beside(*(_rows_table(rows) for rows in some))
    # Where capture found nothing, this is all the cell has to show.
    return parts.fold(html.words(title), tables, unfolded=not (view.params.rows or view.metrics.rows or view.curves))


def _skipped_fold(skipped: Sequence[Skipped]) -> html.Markup:
    if not skipped:
        return html.EMPTY
    shown = skipped[:FOLDED]
    has_options = any(skip.option for skip in shown)
    rows = ([skip.name, skip.reason, *([skip.option] if has_options else [])] for skip in shown)
    head = ("name", "why not", "to log it") if has_options else ("name", "why not")
    table = parts.table(head, ([html.text(cell) if cell else html.EMPTY for cell in row] for row in rows))
    more = len(skipped) - FOLDED
    tail = parts.line(html.words(f"… and {more} more")) if more > 0 else html.EMPTY
    return parts.fold(html.words(f"{len(skipped)} skipped"), html.join((table, tail)))


def _why_fold(view: View) -> html.Markup:
    rows = [
        (html.text(row.name), html.words(rows.noun), html.text(row.why))
        for rows in (view.params, view.metrics)
        for row in rows.rows
        if row.why
    ]
    rows += [(html.text(curve.name), html.words("series"), html.text(curve.why)) for curve in view.curves if curve.why]
    return parts.fold(html.words("why these"), parts.table(("name", "logged as", "why"), rows)) if rows else html.EMPTY
