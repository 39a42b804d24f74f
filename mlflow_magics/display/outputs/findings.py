"""Shows what looking back finds: a table of runs, one run, two runs compared."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence

from ...vocabulary.lookback import Change, Difference, Found
from ...vocabulary.panel import RunView
from ..markup import html, parts, text
from ..markup.block import Block
from ..markup.pieces import Cell, Piece, address, beside, block, indented, own, table
from ..markup.pieces import notes as noted
from ..markup.words import change, clean, count, duration, number

_MOST_COLUMNS = 6
_WIDTH = 118
_FLEXIBLE = 16
_MARKS = {"FINISHED": "✓", "FAILED": "✗", "KILLED": "■", "RUNNING": "…", "SCHEDULED": "…"}
_MOST_LINES = 60
_MOST_PARAMS = 20


def runs(page: Found) -> Block:
    """Show runs as a table.

    Parameters
    ----------
    page : Found
        The runs; their strings may hold anything.

    Returns
    -------
    Block
        Name, state, age, duration, and the params that differ and the metrics that most have, or the columns asked for.
    """
    columns = page.columns or _columns(page.runs)
    shown = f"{count(len(page.runs), 'run')}" if not page.more else f"the first {count(len(page.runs), 'run')}"
    caption = f"{shown} of {clean(page.experiment)}, {page.order}"
    notes = [*page.notes, *(["there are more: --top N"] if page.more else [])]
    if not page.runs:
        experiment = clean(page.experiment)
        caption = {
            "filtered": f"no run of {experiment} is like that",
            "new": f"there are no runs in {experiment} yet",
            "not asked": f"no run of {experiment} is known here",
        }[page.empty]
    pieces = [Piece(text.heading(caption), parts.line(parts.subdued(html.words(caption))))]
    if page.runs:
        narrow = columns if page.columns else _fitting(page.runs, columns)
        lines = text.columns([_head(narrow), *(_row(run, narrow) for run in page.runs)], _WIDTH)
        cells = [_cells(run, *_row(run, columns)) for run in page.runs]
        pieces.append(Piece(indented(lines), parts.beside(parts.table(_head(columns), cells))))
        if hidden := len(columns) - len(narrow):
            also = f"{count(hidden, 'column')} that did not fit; --columns KEY shows what you name"
            pieces.append(Piece(text.paragraph("also", also)))
    return block([*pieces, *noted(notes)])


def best(run: RunView, metric: str, least: bool, notes: Sequence[str] = ()) -> Block:
    """Show the best run.

    Parameters
    ----------
    run : RunView
        The run.
    metric : str
        By what it is the best.
    least : bool
        Whether the least is.
    notes : sequence of str, optional
        One line each.

    Returns
    -------
    Block
        Its name, the value, its params, and where it is.
    """
    word = "least" if least else "highest"
    name, key, value = clean(run.name, 60), clean(metric), number(run.metrics[metric])
    title = parts.line(
        html.element("strong", html.link(html.text(name), run.url)),
        html.words(f" · {word} "),
        html.text(key),
        html.words(f": {value} "),
        parts.subdued(parts.mono(html.text(run.run_id))),
    )
    params = [(clean(name), clean(value)) for name, value in list(run.params.items())[:_MOST_PARAMS]]
    return block(
        [
            Piece(text.heading(f"{name}: {word} {key}, {value}"), title),
            address(html.safe_url(run.url)),
            Piece(text.paragraph("run", run.run_id)),
            beside(table("params", ("param", "value"), params)),
            *noted(notes),
        ]
    )


def difference(differences: Difference) -> Block:
    """Show what two runs differ in.

    Parameters
    ----------
    differences : Difference
        Both runs and their differences.

    Returns
    -------
    Block
        Params, metrics with direction and size of the change, data, packages, and the sources' diff.
    """
    names = f"{clean(differences.before.name, 40)} → {clean(differences.after.name, 40)}"
    ids = f"{differences.before.short_id} → {differences.after.short_id}"
    title = parts.line(html.element("strong", html.text(names)), html.words(" "), parts.subdued(html.words(ids)))
    changes = (("params", differences.params), ("data", differences.data), ("packages", differences.packages))
    tables = [_changes(label, some) for label, some in changes if some]
    diff = [line.replace("\t", "    ")[:200] for line in differences.source]
    more = len(diff) - _MOST_LINES
    cut = [*diff[:_MOST_LINES], *([f"… and {more} lines more"] if more > 0 else [])]
    alike = " and ".join(filter(None, (", ".join(differences.compared[:-1]), *differences.compared[-1:])))
    same = f"the same {alike}" if alike and not (cut or tables) else ""
    return block(
        [
            Piece(text.heading(f"{names} ({ids})"), title),
            beside(*tables, table("metrics", ("metrics", "before → after", "change"), _metrics(differences))),
            Piece(text.labelled("source", cut) if cut else [], _source(cut)),
            Piece(text.paragraph("same", same), parts.line(parts.subdued(html.words(same))) if same else html.EMPTY),
            *noted(differences.notes),
        ]
    )


def _columns(runs: Sequence[RunView]) -> tuple[str, ...]:
    """Choose the params that differ, and the metrics that most runs have."""
    values: dict[str, set[str]] = {}
    for run in runs:
        for name in {name for each in runs for name in each.params}:
            values.setdefault(name, set()).add(run.params.get(name, ""))
    params = [name for name in _often(run.params for run in runs) if len(values[name]) > 1 or len(runs) == 1]
    metrics = _often(run.metrics for run in runs)
    return (
        *(f"params.{name}" for name in params[:_MOST_COLUMNS]),
        *(f"metrics.{name}" for name in metrics[:_MOST_COLUMNS]),
    )


def _often(names: Iterable[Iterable[str]]) -> list[str]:
    """Return names, those that most runs have first."""
    counted = Counter(name for each in names for name in each)
    return sorted(counted, key=lambda name: (-counted[name], name))


def _head(columns: Sequence[str]) -> tuple[str, ...]:
    bare = Counter(column.partition(".")[2] for column in columns)
    # A name that is a param and a metric is told apart.
    names = (column if bare[name := column.partition(".")[2]] > 1 else name for column in columns)
    return ("run", "", "when", "took", *(clean(name, 24) for name in names), "id")


def _fitting(runs: Sequence[RunView], columns: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out columns until a terminal holds the rest, with whole ids; of the params and of the metrics by turns."""

    def room(columns: Sequence[str]) -> int:
        cells = zip(_head(columns), *(_row(run, columns) for run in runs), strict=True)
        return sum(2 + min(_FLEXIBLE, max(map(text.width, each))) for each in cells)

    while len(columns) > 1 and room(columns) > _WIDTH:
        params = [column for column in columns if column.startswith("params.")]
        last = params[-1] if len(params) > len(columns) / 2 else columns[-1]
        columns = tuple(column for column in columns if column != last)
    return columns


def _row(run: RunView, columns: Sequence[str]) -> tuple[str, ...]:
    ended = run.ended if run.ended is not None else time.time()
    state = f"{_MARKS.get(run.status, '')} {clean(run.status.lower(), 20)}"
    values = []
    for column in columns:
        kind, _, name = column.partition(".")
        if kind == "metrics":
            values.append(number(run.metrics[name]) if name in run.metrics else "")
        else:
            value = (run.params if kind == "params" else run.tags).get(name)
            values.append("" if value is None else clean(value, 40))
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.began))
    return (clean(run.name, 40), state, when, duration(max(0.0, ended - run.began)), *values, run.short_id)


def _cells(run: RunView, name: str, *others: str) -> list[html.Markup]:
    """Write a row as HTML: its name a link, what is short in one piece."""
    short, values = others[:3], others[3:]
    return [
        html.link(html.text(name), run.url),
        *(parts.unbroken(html.text(value)) for value in short),
        *(html.text(value) if value else html.EMPTY for value in values),
    ]


def _metrics(differences: Difference) -> list[tuple[Cell, ...]]:
    rows: list[tuple[Cell, ...]] = []
    for name, (old, new) in differences.metrics.items():
        values = f"{'—' if old is None else number(old)} → {'—' if new is None else number(new)}"
        moved = change(new, old) if new is not None and old is not None else ""
        if moved and moved != "=" and old:
            moved += f" ({(new - old) / abs(old):+.1%})" if new is not None else ""
        rows.append((clean(name), values, own(moved)))
    return rows


def _changes(label: str, changes: Iterable[Change]) -> Piece:
    rows = [(clean(changed.name), _word(changed.before), _word(changed.after)) for changed in changes]
    return Piece(
        text.labelled(label, text.columns([(name, before, "→", after) for name, before, after in rows])),
        parts.table((label, "before", "after"), [list(map(html.text, row)) for row in rows]),
    )


def _word(value: str) -> str:
    return clean(value, 60) if value else "—"


def _source(lines: Sequence[str]) -> html.Markup:
    if not lines:
        return html.EMPTY
    tints = {"+": parts.GREEN, "-": parts.RED}
    shown = []
    for line in lines:
        colour = tints.get(line[:1])
        style = f"color:{colour}" if colour else "opacity:0.65"
        shown.append(html.element("div", html.text(line) if line.strip() else html.words(" "), style=style))
    body = html.element("div", *shown, style="white-space:pre-wrap;font-size:12px;font-family:monospace")
    return parts.fold(html.words("source"), body, unfolded=True)
