"""Shows what the other commands say: connection, check, integrations, status, notes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...vocabulary.stores import CheckStep, Connection, Integration, Sync, Waiting
from ..markup import html, parts, text, words
from ..markup.block import Block
from ..markup.pieces import Piece, address, block, indented, note
from ..markup.pieces import notes as noted
from ..markup.words import clean, count

_RESULTS = {
    "ok": ("✓ ok", parts.GREEN),
    "failed": ("✗ failed", parts.RED),
    "not reached": ("· not reached", ""),
    "not applicable": ("· not applicable", ""),
}


def connection(connection: Connection) -> Block:
    """Show where runs go from now on.

    Parameters
    ----------
    connection : Connection
        Its ``uri`` is not looked at: it may hold credentials.

    Returns
    -------
    Block
        Where, as whom, the experiment with its link, MLflow's version, and the connection's notes.
    """
    return block(_connection(connection))


def check(steps: Sequence[CheckStep]) -> Block:
    """Show what ``%mlflow_connect --check`` found.

    Parameters
    ----------
    steps : sequence of CheckStep
        In the order of the probes.

    Returns
    -------
    Block
        A conclusion, a table with a row for each step, and what to do about each that failed.
    """
    failed = sum(step.result == "failed" for step in steps)
    conclusion = f"{failed} of {count(len(steps), 'step')} failed" if failed else "nothing failed"
    mark = f"{'✗' if failed else '✓'} connection check"
    rows = [(clean(step.name), _RESULTS[step.result], clean(step.detail, 300) if step.detail else "") for step in steps]
    written = text.columns([(result, name, detail) for name, (result, _), detail in rows], text.WIDTH - 2)
    cells = [(html.text(name), _result(*result), _cell(detail)) for name, result, detail in rows]
    colour = parts.RED if failed else parts.GREEN
    return block(
        [
            Piece(
                [f"{mark} · {conclusion}"],
                parts.line(parts.pill(mark, colour), parts.subdued(html.words(conclusion))),
            ),
            Piece(indented(written), parts.beside(parts.table(("step", "result", "seen"), cells))),
            *(note(clean(step.hint, 300), "hint", clean(step.name)) for step in steps if step.hint),
        ]
    )


def integrations(rows: Sequence[Integration], notes: Sequence[str] = ()) -> Block:
    """Show what autologging is on for.

    Parameters
    ----------
    rows : sequence of Integration
        In the order to show.
    notes : sequence of str, optional
        One line each.

    Returns
    -------
    Block
        A table of what is installed; what is not is folded (in text, named).
    """
    here = [_integration(row) for row in rows if row.installed]
    away = [_integration(row) for row in rows if not row.installed]
    on = sum(row.on for row in rows)
    conclusion = f"on for {on} of {count(len(rows), 'integration')}"
    head = ("integration", "autolog", "package", "tested with", "logs")
    title = html.join((html.element("strong", html.words("autolog")), parts.subdued(html.words(f" · {conclusion}"))))
    pieces = [Piece([f"autolog · {conclusion}"], parts.line(title))]
    if here:
        written = indented(text.columns([head, *here], text.WIDTH - 2))
        pieces.append(Piece(written, parts.beside(_integrations_table(head, here))))
    if away:
        missing = [f"{name} ({package}{' ' if versions else ''}{versions})" for name, _, package, versions, _ in away]
        folded = html.words(f"{len(away)} not installed")
        pieces.append(
            Piece(
                indented(text.wrap("not installed " + ", ".join(missing), text.WIDTH - 2)),
                parts.beside(parts.fold(folded, _integrations_table(head, away), unfolded=not here)),
            )
        )
    return block([*pieces, *noted(notes)])


def status(
    connection: Connection | None,
    open_runs: Sequence[tuple[str, str, str]],
    waiting: Waiting | None = None,
    news: Sequence[str] = (),
    refused: str = "",
) -> Block:
    """Show where runs go and which are open.

    Parameters
    ----------
    connection : Connection or None
        Where the next run goes; None where it goes nowhere.
    open_runs : sequence of (str, str, str)
        Name, run id and URL (may be empty) of each open run, the outermost first.
    waiting : Waiting, optional
        What the store has not taken yet.
    news : sequence of str, optional
        What happened in the background.
    refused : str, optional
        Why the place that the user named could not be connected, where nothing is.

    Returns
    -------
    Block
        The connection, then the runs; where there is none, how to get one; then what is waiting, run by run.
    """
    runs = [(clean(name), clean(run_id), html.safe_url(url)) for name, run_id, url in open_runs]
    missing = f"{_REFUSED} ({clean(refused, 300)})" if refused else _NOT_CONNECTED
    pieces = _connection(connection) if connection else [Piece(text.wrap(missing, text.WIDTH), _line(missing))]
    for name, run_id, url in runs:
        label = html.link(html.element("strong", html.text(name)), url)
        shown = parts.line(parts.pill("open run", parts.GREEN), label, html.words(" "), _id(run_id))
        pieces += [Piece(text.paragraph("open run", f"{name} ({run_id})"), shown), address(url)]
    if not runs:
        none = parts.line(parts.subdued(html.words(f"open run: {_NO_RUN}")))
        pieces.append(Piece(text.paragraph("open run", _NO_RUN), none))
    for kind, line in [*_waiting(waiting), *(("note", clean(line, 300)) for line in news)]:
        labelled = parts.line(parts.subdued(html.words(f"{kind}: ")), html.text(line))
        pieces.append(Piece(text.paragraph(kind, line), labelled))
    return block(pieces)


def sync(done: Sync, news: Iterable[str] = ()) -> Block:
    """Show what ``%mlflow_sync`` came to.

    Parameters
    ----------
    done : Sync
        What was sent, which runs were created, and what is left.
    news : iterable of str, optional
        What was found besides.

    Returns
    -------
    Block
        A line for each.
    """
    lines = [f"✓ sent {count(done.sent, 'write')}" if done.sent else "nothing was waiting"]
    if done.waiting.total:
        lines = [f"✗ sent {count(done.sent, 'write')}, {words.waiting(done.waiting)}"]
    lines += [f"{local} → {remote}" for local, remote in done.created.items()]
    return notes([*lines, *news])


def _waiting(waiting: Waiting | None) -> list[tuple[str, str]]:
    if waiting is None or not (waiting.total or waiting.state != "sending"):
        return []
    lines = [("waiting", clean(words.waiting(waiting), 300))]
    return lines + [("waiting", f"{clean(name)}: {count(many, 'write')}") for name, many in waiting.runs]


def page(label: str, url: str, note: str = "", path: str = "") -> Block:
    """Show where a page is.

    Parameters
    ----------
    label : str
        What it is, in words of our own.
    url : str
        Its address.
    note : str, optional
        What else to know.
    path : str, optional
        Where the host that shows the notebook has the same page: what its reader can reach.

    Returns
    -------
    Block
        A link.
    """
    head = html.words(f"{label} ↗")
    here = html.link(html.words("on this machine ↗"), url)
    links = [html.local_link(head, path), html.words(" · "), here] if path else [html.link(head, url)]
    return block(
        [
            Piece(text.heading(label), parts.line(*links, html.words(" "), parts.subdued(html.words(note)))),
            Piece([f"  {html.safe_url(url)}"]),
            Piece([f"  {path} at Jupyter's own address"] if path else []),
            Piece(text.paragraph("note", note)),
        ]
    )


def help(magics: Sequence[tuple[str, str, Sequence[str]]], tail: str) -> Block:
    """Show commands by example.

    Parameters
    ----------
    magics : sequence of (str, str, sequence of str)
        Each with what it does and what to type.
    tail : str
        Where there is more.

    Returns
    -------
    Block
        A paragraph each.
    """
    pieces = []
    for name, what, examples in magics:
        head = parts.line(html.element("strong", html.text(name)), html.words(" "), html.text(what))
        pieces.append(Piece(text.heading(f"{name}: {what}"), head))
        for example in examples:
            shown = parts.line(html.words("\u2003"), parts.mono(html.text(example)))
            pieces.append(Piece([f"    {example}"], shown))
    pieces.append(Piece(text.wrap(tail, text.WIDTH), parts.line(parts.subdued(html.words(tail)))))
    return block(pieces)


def notes(lines: Iterable[str]) -> Block:
    """Show a report of a few lines.

    Parameters
    ----------
    lines : iterable of str
        One thing each.

    Returns
    -------
    Block
        The lines, each on its own.
    """
    return block(Piece(text.heading(line), _line(line)) for line in (clean(line, 300) for line in lines))


_NOT_CONNECTED = "not connected: %mlflow_connect connects, and so does the first %%mlflow_run"
_REFUSED = "not connected, and runs are not tracked until %mlflow_connect succeeds"
_NO_RUN = "none; %%mlflow_run opens one for a cell, %mlflow_start for several"


def _connection(connection: Connection) -> list[Piece]:
    head = "✓ connected to" if connection.connected else "not connected; the next run goes to"
    where, origin = clean(connection.where), clean(connection.origin)
    title = parts.line(
        parts.pill(head, parts.GREEN if connection.connected else parts.AMBER),
        html.element("strong", html.text(where), style="font-weight:600"),
        parts.subdued(html.words(" ("), html.text(origin), html.words(")")),
    )
    facts = [
        ("experiment", clean(connection.experiment_name), connection.experiment_url),
        ("as", clean(connection.user), ""),
        ("mlflow", clean(connection.mlflow_version), ""),
    ]
    written = " · ".join(f"{label} {value}" for label, value, _ in facts)
    linked = (html.join((html.words(f"{label} "), html.link(html.text(value), url))) for label, value, url in facts)
    return [
        Piece(text.heading(f"{head} {where} ({origin})"), title),
        Piece(indented(text.wrap(written, text.WIDTH - 2)), parts.line(parts.subdued(html.join(linked, " · ")))),
        address(html.safe_url(connection.experiment_url)),
        *noted(connection.notes),
    ]


def _line(value: str) -> html.Markup:
    return parts.line(html.text(value))


def _id(run_id: str) -> html.Markup:
    return parts.subdued(parts.mono(html.text(run_id)))


def _result(result: str, colour: str) -> html.Markup:
    if not colour:
        return parts.subdued(html.words(result))
    glyph, word = result.split(" ", 1)
    mark = html.element("span", html.words(glyph), style=f"color:{colour};font-weight:600")
    return html.join((mark, html.words(f" {word}")))


def _integration(row: Integration) -> tuple[str, str, str, str, str]:
    package = clean(f"{row.package} {row.installed}")
    versions = clean(row.versions) if row.versions else ""
    return (
        clean(row.name),
        "● on" if row.on else "○ off",
        package,
        versions,
        clean(row.logs) if row.logs else "",
    )


def _integrations_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> html.Markup:
    return parts.table(head, [tuple(map(_cell, row)) for row in rows])


def _cell(value: str) -> html.Markup:
    return html.text(value) if value else html.EMPTY
