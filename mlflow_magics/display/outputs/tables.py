"""The other commands' blocks: connection, check, integrations, status, notes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...vocabulary.records import CheckStep, Connection, Integration, Sync, Waiting
from ..markup import html, parts, text, words
from ..markup.block import Block
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
    return Block(text="\n".join(_text_connection(connection)), html=parts.card(*_html_connection(connection)))


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
    hints = [(clean(step.name), clean(step.hint, 300)) for step in steps if step.hint]
    lines = text.columns([(result, name, detail) for name, (result, _), detail in rows], text.WIDTH - 2)
    written = [
        f"{mark} · {conclusion}",
        *(f"  {line}" for line in lines),
        *(line for name, hint in hints for line in text.paragraph("hint", f"{name}: {hint}")),
    ]
    cells = (
        (html.text(name), _result(result, colour), html.text(detail) if detail else html.EMPTY)
        for name, (result, colour), detail in rows
    )
    return Block(
        text="\n".join(written),
        html=parts.card(
            parts.line(parts.pill(mark, parts.RED if failed else parts.GREEN), parts.subdued(html.words(conclusion))),
            parts.beside(parts.table(("step", "result", "seen"), cells)),
            *(parts.note("hint", name, hint) for name, hint in hints),
        ),
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
    cleaned = [clean(note, 300) for note in notes]
    head = ("integration", "autolog", "package", "tested with", "logs")
    lines = text.columns([head, *here], text.WIDTH - 2) if here else []
    missing = [f"{name} ({package}{' ' if versions else ''}{versions})" for name, _, package, versions, _ in away]
    written = [
        f"autolog · {conclusion}",
        *(f"  {line}" for line in lines),
        *(f"  {line}" for line in text.wrap("not installed " + ", ".join(missing), text.WIDTH - 2) if missing),
        *_text_notes(cleaned),
    ]
    shown = [parts.beside(parts.table(head, [tuple(map(_cell, row)) for row in here]))] if here else []
    if away:
        table = parts.table(head, [tuple(map(_cell, row)) for row in away])
        shown.append(parts.beside(parts.fold(html.words(f"{len(away)} not installed"), table, unfolded=not here)))
    title = parts.line(html.element("strong", html.words("autolog")), parts.subdued(html.words(f" · {conclusion}")))
    return Block(text="\n".join(written), html=parts.card(title, *shown, *_html_notes(cleaned)))


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
    written = _text_connection(connection) if connection else text.wrap(missing, text.WIDTH)
    shown = _html_connection(connection) if connection else [parts.line(html.text(missing))]
    for name, run_id, url in runs:
        written += text.paragraph("open run", f"{name} ({run_id})") + ([f"  {url}"] if url else [])
        label = html.link(html.element("strong", html.text(name)), url)
        shown.append(parts.line(parts.pill("open run", parts.GREEN), label, html.words(" "), _id(run_id)))
    if not runs:
        written += text.paragraph("open run", _NO_RUN)
        shown.append(parts.line(parts.subdued(html.words(f"open run: {_NO_RUN}"))))
    for kind, said in [*_waiting(waiting), *(("note", clean(each, 300)) for each in news)]:
        written += text.paragraph(kind, said)
        shown.append(parts.line(parts.subdued(html.words(f"{kind}: ")), html.text(said)))
    return Block(text="\n".join(written), html=parts.card(*shown))


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
    # The address on a line of its own, and whole: what is broken cannot be clicked or copied.
    written = [
        *text.heading(label),
        f"  {html.safe_url(url)}",
        *([f"  {path} at Jupyter's own address"] if path else []),
    ]
    head = html.words(f"{label} ↗")
    here = html.link(html.words("on this machine ↗"), url)
    links = [html.local_link(head, path), html.words(" · "), here] if path else [html.link(head, url)]
    return Block(
        text="\n".join([*written, *text.paragraph("note", note)]),
        html=parts.card(parts.line(*links, html.words(" "), parts.subdued(html.words(note)))),
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
    written: list[str] = []
    shown: list[html.Markup] = []
    for name, what, examples in magics:
        written += [*text.heading(f"{name}: {what}"), *(f"    {example}" for example in examples)]
        shown.append(parts.line(html.element("strong", html.text(name)), html.words(" "), html.text(what)))
        shown += [parts.line(html.words("\u2003"), parts.mono(html.text(example))) for example in examples]
    written += text.wrap(tail, text.WIDTH)
    return Block(text="\n".join(written), html=parts.card(*shown, parts.line(parts.subdued(html.words(tail)))))


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
    cleaned = [clean(line, 300) for line in lines]
    written = [part for line in cleaned for part in text.heading(line)]
    return Block(text="\n".join(written), html=parts.card(*(parts.line(html.text(line)) for line in cleaned)))


_NOT_CONNECTED = "not connected: %mlflow_connect connects, and so does the first %%mlflow_run"
_REFUSED = "not connected, and runs are not tracked until %mlflow_connect succeeds"
_NO_RUN = "none; %%mlflow_run opens one for a cell, %mlflow_start for several"


def _text_connection(connection: Connection) -> list[str]:
    url = html.safe_url(connection.experiment_url)
    facts = (
        f"experiment {clean(connection.experiment_name)}",
        f"as {clean(connection.user)}",
        f"mlflow {clean(connection.mlflow_version)}",
    )
    return [
        *text.heading(f"{_head(connection)} {clean(connection.where)} ({clean(connection.origin)})"),
        *(f"  {line}" for line in text.wrap(" · ".join(facts), text.WIDTH - 2)),
        *([f"  {url}"] if url else []),
        *_text_notes([clean(note, 300) for note in connection.notes]),
    ]


def _head(connection: Connection) -> str:
    return "✓ connected to" if connection.connected else "not connected; the next run goes to"


def _html_connection(connection: Connection) -> list[html.Markup]:
    experiment = html.link(html.text(clean(connection.experiment_name)), connection.experiment_url)
    facts = (
        html.join((html.words("experiment "), experiment)),
        html.join((html.words("as "), html.text(clean(connection.user)))),
        html.join((html.words("mlflow "), html.text(clean(connection.mlflow_version)))),
    )
    return [
        parts.line(
            parts.pill(_head(connection), parts.GREEN if connection.connected else parts.AMBER),
            html.element("strong", html.text(clean(connection.where)), style="font-weight:600"),
            parts.subdued(html.words(" ("), html.text(clean(connection.origin)), html.words(")")),
        ),
        parts.line(parts.subdued(html.join(facts, " · "))),
        *_html_notes([clean(note, 300) for note in connection.notes]),
    ]


def _text_notes(cleaned: Sequence[str]) -> list[str]:
    return [line for note in cleaned for line in text.paragraph("note", note)]


def _html_notes(cleaned: Sequence[str]) -> list[html.Markup]:
    return [parts.note("note", note) for note in cleaned]


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


def _cell(value: str) -> html.Markup:
    return html.text(value) if value else html.EMPTY
