"""Looks runs up: by a filter in some order, or the best by a metric."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ...vocabulary.errors import OptionError, TrackingError, UnknownNameError
from ...vocabulary.lookback import Found, least_is_best
from ...vocabulary.panel import RunView
from ..outbox.outbox import Outbox
from . import browse, orders

SAMPLE = 200
"""How many of the newest runs are looked at where the store cannot be asked more precisely."""

OF_KERNEL = "these are only the runs that this kernel opened: the store could not be asked"

_PAGE = 100
_OPERATOR = r"(?:!=|>=|<=|=|>|<|\bI?LIKE\b|\bNOT\b|\bIN\b|\bIS\b)"
_KEY = re.compile(rf"(?:\b(?P<kind>\w+)\.)?(?P<name>`[^`]+`|\"[^\"]+\"|[A-Za-z_][\w./-]*)\s*{_OPERATOR}", re.IGNORECASE)
_PLAIN = re.compile(r"[\w.]+")
_TEXT = re.compile(r"'[^']*'")
_KINDS = {
    **dict.fromkeys(("metric", "metrics"), "metrics"),
    **dict.fromkeys(("param", "params", "parameter", "parameters"), "params"),
    **dict.fromkeys(("tag", "tags"), "tags"),
    **dict.fromkeys(("attribute", "attributes", "attr", "run"), "attributes"),
}
_ATTRIBUTES = ("status", "run_name", "run_id", "start_time", "end_time", "user_id", "artifact_uri", "created")
_STATUSES = ("FINISHED", "FAILED", "KILLED", "RUNNING", "SCHEDULED")
_STATUS = re.compile(r"\bstatus\s*!?=\s*(['\"])(\w+)\1")
_DOLLAR = re.compile(r"'(\$\w+)'")


def search(
    outbox: Outbox,
    uri: str,
    experiment: tuple[str, str],
    filter: str,
    sort: str,
    top: int,
    *,
    columns: Iterable[str] = (),
) -> Found:
    """Search an experiment's runs, in as few pages as they need.

    Parameters
    ----------
    outbox : Outbox
        Connected.
    uri : str
        The tracking URI, for links.
    experiment : tuple of (str, str)
        Its id and its name.
    filter : str
        In MLflow's syntax; empty for all runs.
    sort : str
        ``metrics.NAME``, ``params.NAME``, NAME, or one of :data:`...vocabulary.panel.Order`; ``-`` before it turns it
        round. Empty for the newest first.
    top : int
        How many to return at the most.
    columns : iterable of str, optional
        What to show of each run.

    Returns
    -------
    Found
        The runs.

    Raises
    ------
    UnknownNameError
        The filter, the order or a column names what no run has; the nearest name is offered.
    FilterError
        MLflow does not understand the filter.
    ConnectionFailedError
        The store does not answer.
    """
    if top < 1:
        raise OptionError(f"--top takes a whole number from 1 on, not {top}")
    filter = _spelled_out(filter)
    seen: list[RunView] | None = None

    def sample() -> list[RunView]:
        nonlocal seen
        if seen is None:
            seen = pages(outbox, uri, experiment[0], "", "newest", SAMPLE).runs
        return seen

    try:
        for kind, name in _keys(filter):
            if not kind and name not in _ATTRIBUTES:
                raise _bare(name, sample())
        chosen = tuple(_column(each, sample()) for each in columns)
        order = _order(sort, sample) if sort else "newest"
    except UnknownNameError:
        if sample():
            raise
        return Found(experiment[1], (), empty="new")
    notes: list[str] = []
    try:
        page = _ordered(outbox, uri, experiment[0], filter, order, top, notes)
    except orders.FilterError:
        _check_quoting(filter, sample())
        raise
    if not page.runs and sample():
        _check_keys(filter, sample())
        # IPython's own rule, and MLflow's texts stand in such marks.
        notes += [f"IPython leaves {each} in '…' as it is: write \"{each}\"" for each in _DOLLAR.findall(filter)]
    empty: Any = "filtered" if page.runs or sample() else "not asked" if page.of_kernel else "new"
    return Found(experiment[1], tuple(page.runs), page.more, orders.words(order), chosen, tuple(notes), empty)


def best(
    outbox: Outbox, uri: str, experiment: tuple[str, str], metric: str, filter: str, least: bool
) -> tuple[RunView, tuple[str, ...]]:
    """Find the run with the highest, or the least, last value of a metric.

    Parameters
    ----------
    outbox, uri, experiment, filter
        As for :func:`search`.
    metric : str
        Its name, with or without ``metrics.`` before it.
    least : bool
        Whether the least is the best.

    Returns
    -------
    tuple of (RunView, tuple of str)
        The run, and what else to know, one line each.

    Raises
    ------
    UnknownNameError
        No run has that metric.
    TrackingError
        No run is like the filter.
    """
    name = metric.removeprefix("metrics.").removeprefix("metric.")
    filter = _spelled_out(filter)
    notes: list[str] = []
    order = f"metric:{name}" if least else f"-metric:{name}"
    found = _ordered(outbox, uri, experiment[0], filter, order, 20, notes)
    for run in found.runs:
        if orders.has_number(run, name):
            return run, tuple(notes)
    seen = pages(outbox, uri, experiment[0], "", "newest", SAMPLE).runs
    if not seen:
        raise TrackingError(f"there are no runs in {experiment[1]!r} yet")
    if filter and any(orders.has_number(run, name) for run in seen):
        _check_keys(filter, seen)
        raise TrackingError(f"no run with {name!r} is like that; leave --filter out, or see %mlflow_runs {filter}")
    raise UnknownNameError("metric", name, {key for run in seen for key in run.metrics}, "no run has a number for it")


class Pages(NamedTuple):
    """Runs, in order.

    Attributes
    ----------
    runs : list of RunView
        As many as were asked for, at the most.
    more : bool
        Whether there are more.
    of_kernel : bool
        Whether the store did not answer, so that these are only what this kernel opened.
    """

    runs: list[RunView]
    more: bool
    of_kernel: bool


def pages(outbox: Outbox, uri: str, experiment_id: str, filter: str, order: str, top: int) -> Pages:
    """Ask for as many pages as hold `top` runs."""
    runs: list[RunView] = []
    token = ""
    while True:
        # One more than is asked for tells whether there are more.
        page = browse.runs(outbox, uri, experiment_id, filter, order, token, min(_PAGE, top + 1 - len(runs)))
        runs += page.runs
        token = page.next
        if len(runs) > top or not token:
            return Pages(runs[:top], len(runs) > top, page.of_kernel)


# -- parts ----------------------------------------------------------------------------------------------------------


def _ordered(
    outbox: Outbox, uri: str, experiment_id: str, filter: str, order: str, top: int, notes: list[str]
) -> Pages:
    """Return runs in any order: the store's, or, where no store sorts like that, or this one does not, our own."""
    ours = orders.is_ours(order)
    # Those that the store does not know yet stand before what it has sorted.
    unsent = sum(map(outbox.is_local, list(outbox.accounts)))
    page = Pages([], False, False)
    if not ours:
        try:
            page = pages(outbox, uri, experiment_id, filter, order, top + unsent)
        except orders.FilterError:
            if ":" not in order:
                raise
            ours = True  # Azure ML, for one, sorts by none of its metrics
    if ours:
        page = pages(outbox, uri, experiment_id, filter, "newest", SAMPLE)
        notes += [f"the store cannot sort by that: sorted here, of the newest {SAMPLE} runs"] if page.more else []
    notes += [OF_KERNEL] if page.of_kernel else []
    if ours or unsent or page.of_kernel:
        page = page._replace(runs=orders.put_in_order(page.runs, order))
    return page._replace(runs=page.runs[:top], more=page.more or len(page.runs) > top)


def _spelled_out(filter: str) -> str:
    """Put MLflow's own word in place of a near one, outside of quoted texts: ``metric.x`` is ``metrics.x``."""
    parts = re.split(r"('[^']*'|\"[^\"]*\"|`[^`]*`)", filter.strip())
    for index in range(0, len(parts), 2):
        parts[index] = re.sub(r"\b(metric|param|parameter|tag|attribute|attr)\.", _long, parts[index])
    return "".join(parts)


def _long(match: re.Match[str]) -> str:
    return f"{_KINDS[match[1]]}."


def _keys(filter: str) -> list[tuple[str, str]]:
    """Return the kinds and names that a filter compares."""
    keys = _KEY.finditer(_TEXT.sub("''", filter))
    return [(_KINDS.get((each["kind"] or "").lower(), each["kind"] or ""), each["name"].strip('`"')) for each in keys]


def _known(runs: list[RunView]) -> dict[str, set[str]]:
    return {
        "metrics": {name for run in runs for name in run.metrics},
        "params": {name for run in runs for name in run.params},
        "tags": {name for run in runs for name in (*run.tags, *run.system_tags)},
    }


def _bare(name: str, runs: list[RunView]) -> UnknownNameError:
    known = _known(runs)
    exact = [f"{kind}.{name}" for kind, names in known.items() if name in names]
    everything = exact or [f"{kind}.{each}" for kind, names in known.items() for each in names]
    hint = "a filter names what it means: metrics.NAME, params.NAME, tags.NAME or attributes.NAME"
    error = UnknownNameError("key", name, (), hint)
    if exact:
        return UnknownNameError("key", name, (), f"did you mean {exact[0]}?")
    near = UnknownNameError("key", f"metrics.{name}", everything)
    return UnknownNameError("key", name, (), f"did you mean {near.suggestions[0]}?") if near.suggestions else error


def _check_keys(filter: str, runs: list[RunView]) -> None:
    """Say so where a filter that found nothing compares what no run has."""
    known = _known(runs)
    for kind, name in _keys(filter):
        if kind in known and name not in known[kind] and not name.startswith("mlflow."):
            raise UnknownNameError(kind.removesuffix("s"), name, known[kind], "no run of this experiment has it")
    for _, status in _STATUS.findall(filter):
        if status not in _STATUSES:
            raise UnknownNameError("status", status, hint=f"MLflow's are {', '.join(_STATUSES)}")


def _check_quoting(filter: str, runs: list[RunView]) -> None:
    """Say so where a filter that is not understood names, as it is, what has to stand in backticks."""
    for kind, names in _known(runs).items():
        for name in sorted(names, key=len, reverse=True):
            if not _PLAIN.fullmatch(name) and f"{kind}.{name}" in filter and "`" not in name:
                raise orders.FilterError(f"{kind}.{name} has to stand in backticks: {kind}.`{name}`")


def _order(sort: str, sample: Callable[[], list[RunView]]) -> str:
    """Return the order, as :mod:`.orders` takes it, that somebody has typed."""
    plain, turned = sort.removeprefix("-"), sort.startswith("-")
    plain = plain.removeprefix("attributes.")
    aliases = {"start_time": "newest", "when": "newest", "run_name": "name", "took": "duration"}
    plain = aliases.get(plain, plain)
    if plain in orders.NAMES:
        return ("-" if turned else "") + plain
    kind, dot, name = plain.partition(".")
    kind = _KINDS.get(kind, "") if dot else ""
    if kind not in ("metrics", "params"):
        kind, name = "", plain
    known = _known(sample())
    if not kind:
        kind = next((each for each in ("metrics", "params") if name in known[each]), "")
    if not kind or name not in known[kind]:
        names = known[kind] if kind else known["metrics"] | known["params"]
        raise UnknownNameError("sort key", name, names, "as metrics.accuracy, params.lr, newest, name or duration")
    # What people look for comes first: the highest, but the least of a loss; of params the least.
    descending = kind == "metrics" and not least_is_best(name)
    descending = descending != turned
    return f"{'-' if descending else ''}{kind.removesuffix('s')}:{name}"


def _column(word: str, runs: list[RunView]) -> str:
    kind, dot, name = word.partition(".")
    known = _known(runs)
    kind = _KINDS.get(kind, "") if dot else ""
    if kind in known and name in known[kind]:
        return f"{kind}.{name}"
    column = next((f"{each}.{word}" for each in known if word in known[each]), "")
    if not column:
        everything = [f"{each}.{name}" for each in known for name in known[each]]
        always = "a metric, a param or a tag; name, state, start, duration and id are always shown"
        raise UnknownNameError("column", word, [*everything, *(each.partition(".")[2] for each in everything)], always)
    return column
