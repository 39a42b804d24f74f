"""Runs looked up as people name them: by a filter, by a metric, by the beginning of an id."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from ..boards import RunView
from ..errors import OptionError, UnknownNameError
from ..findings import Found, least_is_best
from . import browse, context
from .outbox import Outbox

_PAGE = 100
_SAMPLE = 200
_OPERATOR = r"(?:!=|>=|<=|=|>|<|\bI?LIKE\b|\bNOT\b|\bIN\b|\bIS\b)"
_KEY = re.compile(rf"(?:\b(?P<kind>\w+)\.)?(?P<name>`[^`]+`|\"[^\"]+\"|[A-Za-z_][\w./-]*)\s*{_OPERATOR}", re.IGNORECASE)
_TEXT = re.compile(r"'[^']*'")
_KINDS = {
    **dict.fromkeys(("metric", "metrics"), "metrics"),
    **dict.fromkeys(("param", "params", "parameter", "parameters"), "params"),
    **dict.fromkeys(("tag", "tags"), "tags"),
    **dict.fromkeys(("attribute", "attributes", "attr", "run"), "attributes"),
}
_ATTRIBUTES = ("status", "run_name", "run_id", "start_time", "end_time", "user_id", "artifact_uri", "created")
_ID = re.compile(r"^[0-9a-f]{4,32}$")


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
        ``metrics.NAME``, ``params.NAME``, NAME, or one of :data:`.boards.Order`; ``-`` before it turns it round.
        Empty for the newest first.
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
            seen, _ = _pages(outbox, uri, experiment[0], "", "newest", _SAMPLE)
        return seen

    for kind, name in _keys(filter):
        if not kind and name not in _ATTRIBUTES:
            raise _bare(name, sample())
    chosen = tuple(_column(each, sample()) for each in columns)
    order, words = _order(sort, sample) if sort else ("newest", "newest first")
    notes: list[str] = []
    try:
        runs, more = _pages(outbox, uri, experiment[0], filter, order, top)
    except browse.FilterError:
        if ":" not in order:
            raise
        # Azure ML, for one, sorts by none of its metrics.
        runs, _ = _pages(outbox, uri, experiment[0], filter, "newest", _SAMPLE)
        runs, more = _sorted(runs, order)[:top], len(runs) > top
        notes.append(f"this store cannot sort by that: sorted here, of the newest {_SAMPLE} runs")
    if not runs:
        _check_keys(filter, sample())
    return Found(experiment[1], tuple(runs), more, words, chosen, tuple(notes))


def best(outbox: Outbox, uri: str, experiment: tuple[str, str], metric: str, filter: str, least: bool) -> RunView:
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
    RunView
        The run.

    Raises
    ------
    UnknownNameError
        No run has that metric.
    """
    name = metric.removeprefix("metrics.").removeprefix("metric.")
    order = f"metric:{name}" if least else f"-metric:{name}"
    try:
        runs, _ = _pages(outbox, uri, experiment[0], _spelled_out(filter), order, 20)
    except browse.FilterError:
        runs, _ = _pages(outbox, uri, experiment[0], _spelled_out(filter), "newest", _SAMPLE)
        runs = _sorted(runs, order)
    for run in runs:
        if run.metrics.get(name) == run.metrics.get(name, float("nan")):  # neither missing nor NaN
            return run
    seen, _ = _pages(outbox, uri, experiment[0], "", "newest", _SAMPLE)
    raise UnknownNameError("metric", name, {key for run in seen for key in run.metrics}, "no run has a number for it")


def find_run(outbox: Outbox, uri: str, experiment: tuple[str, str], word: str) -> RunView:
    """Find a run as a person names it.

    Parameters
    ----------
    outbox, uri, experiment
        As for :func:`search`.
    word : str
        Its id, the beginning of its id (four characters or more), or its name; of several of that name the newest.

    Returns
    -------
    RunView
        The run, without its curves.

    Raises
    ------
    UnknownNameError
        There is none, or several begin so.
    """
    if (len(word) == 32 and _ID.match(word)) or outbox.is_local(word):
        return browse.details(outbox, uri, word)
    quoted = next((f"{mark}{word}{mark}" for mark in "'\"" if mark not in word), "")
    if quoted:
        named, _ = _pages(outbox, uri, experiment[0], f"attributes.run_name = {quoted}", "newest", 1)
        if named:
            return named[0]
    seen, _ = _pages(outbox, uri, experiment[0], "", "newest", _SAMPLE)
    alike = [run for run in seen if _ID.match(word) and run.run_id.startswith(word)]
    if len(alike) == 1:
        return alike[0]
    if alike:
        raise UnknownNameError("run", word, mend=f"{len(alike)} runs begin so; write more of the id")
    names = {run.name for run in seen}
    raise UnknownNameError(
        "run", word, names, f"it is looked for by id and by name in {experiment[1]!r}; -e for another"
    )


def last_two(
    outbox: Outbox, uri: str, experiment: tuple[str, str], cell_id: str | None, name: str
) -> tuple[RunView, RunView]:
    """Find the last two runs of a cell.

    Parameters
    ----------
    outbox, uri, experiment
        As for :func:`search`.
    cell_id : str or None
        The front end's id of the cell; without one, runs of the same name count.
    name : str
        The name of the cell's last run.

    Returns
    -------
    tuple of (RunView, RunView)
        The earlier and the later one.

    Raises
    ------
    UnknownNameError
        There is only one.
    """
    quoted = "'{}'".format((cell_id or name).replace("'", ""))
    key = f"tags.`{context.CELL_ID}`" if cell_id else "attributes.run_name"
    runs, _ = _pages(outbox, uri, experiment[0], f"{key} = {quoted}", "newest", 2)
    if len(runs) < 2:
        raise UnknownNameError(
            "second run of the cell", name, mend="run it again, or name two: %mlflow_diff RUN_A RUN_B"
        )
    return runs[1], runs[0]


def frame(found: Found, text: str, html: str) -> Any:
    """Make a DataFrame of runs that shows as our table.

    Parameters
    ----------
    found : Found
        The runs.
    text, html : str
        How it shows.

    Returns
    -------
    pandas.DataFrame
        Its columns are named as ``mlflow.search_runs`` names them. What is made of it is a plain DataFrame.
    """
    import pandas

    rows = []
    for run in found.runs:
        row: dict[str, Any] = {
            "run_id": run.run_id,
            "run_name": run.name,
            "status": run.status,
            "start_time": pandas.Timestamp(run.began, unit="s", tz="UTC"),
            "end_time": pandas.NaT if run.ended is None else pandas.Timestamp(run.ended, unit="s", tz="UTC"),
        }
        row |= {f"metrics.{name}": value for name, value in run.metrics.items()}
        row |= {f"params.{name}": value for name, value in run.params.items()}
        row |= {f"tags.{name}": value for name, value in run.tags.items()}
        rows.append(row)
    table = _frame_class()(rows, columns=None if rows else ["run_id", "run_name", "status", "start_time", "end_time"])
    object.__setattr__(table, "_shown", (text, html))
    return table


@lru_cache(maxsize=1)
def _frame_class() -> type:
    import pandas

    class Runs(pandas.DataFrame):  # type: ignore[misc]  # pandas has no types here
        """A DataFrame of runs; what is made of it is a plain one."""

        _shown = ("", "")

        @property
        def _constructor(self) -> Any:
            return pandas.DataFrame

        def __repr__(self) -> str:
            return self._shown[0]

        def _repr_html_(self) -> str:
            return self._shown[1]

        def __reduce__(self) -> Any:
            return pandas.DataFrame, (dict(self.items()),)

    return Runs


# -- parts ----------------------------------------------------------------------------------------------------------


def _pages(
    outbox: Outbox, uri: str, experiment_id: str, filter: str, order: str, top: int
) -> tuple[list[RunView], bool]:
    """Return up to `top` runs, and whether there are more."""
    runs: list[RunView] = []
    token = ""
    while True:
        # One more than is asked for tells whether there are more.
        page = browse.runs(outbox, uri, experiment_id, filter, order, token, min(_PAGE, top + 1 - len(runs)))
        runs += page.runs
        token = page.next
        if len(runs) > top or not token:
            return runs[:top], len(runs) > top


def _spelled_out(filter: str) -> str:
    """Put MLflow's own word in place of a near one, outside of quoted texts: ``metric.x`` is ``metrics.x``."""
    parts = re.split(r"('[^']*'|\"[^\"]*\"|`[^`]*`)", filter.strip())
    for index in range(0, len(parts), 2):
        parts[index] = re.sub(r"\b(metric|param|parameter|tag|attribute|attr)\.", _long, parts[index])
    return "".join(parts)


def _long(found: re.Match[str]) -> str:
    return f"{_KINDS[found[1]]}."


def _keys(filter: str) -> list[tuple[str, str]]:
    """Return the kinds and names that a filter compares."""
    found = _KEY.finditer(_TEXT.sub("''", filter))
    return [(_KINDS.get((each["kind"] or "").lower(), each["kind"] or ""), each["name"].strip('`"')) for each in found]


def _known(runs: list[RunView]) -> dict[str, set[str]]:
    return {
        "metrics": {name for run in runs for name in run.metrics},
        "params": {name for run in runs for name in run.params},
        "tags": {name for run in runs for name in run.tags},
    }


def _bare(name: str, runs: list[RunView]) -> UnknownNameError:
    known = _known(runs)
    exact = [f"{kind}.{name}" for kind, names in known.items() if name in names]
    everything = exact or [f"{kind}.{each}" for kind, names in known.items() for each in names]
    mend = "a filter names what it means: metrics.NAME, params.NAME, tags.NAME or attributes.NAME"
    error = UnknownNameError("key", name, (), mend)
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


def _order(sort: str, sample: Any) -> tuple[str, str]:
    """Return an order in the words of :func:`.browse.runs`, and in words for people."""
    plain, turned = sort.removeprefix("-"), sort.startswith("-")
    aliases = {"start_time": "newest", "when": "newest", "run_name": "name"}
    plain = aliases.get(plain, plain)
    if plain in ("newest", "oldest", "name", "status", "duration"):
        return ("-" if turned else "") + plain, f"by {plain}" + (", the other way round" if turned else "")
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
    words = f"by {kind}.{name}, {'highest' if descending else 'lowest'} first"
    return f"{'-' if descending else ''}{kind.removesuffix('s')}:{name}", words


def _sorted(runs: list[RunView], order: str) -> list[RunView]:
    kind, _, name = order.removeprefix("-").partition(":")
    have = [run for run in runs if name in (run.metrics if kind == "metric" else run.params)]
    rest = [run for run in runs if run not in have]

    def value(run: RunView) -> Any:
        return run.metrics[name] if kind == "metric" else run.params[name]

    return [*sorted(have, key=value, reverse=order.startswith("-")), *rest]


def _column(word: str, runs: list[RunView]) -> str:
    kind, dot, name = word.partition(".")
    known = _known(runs)
    kind = _KINDS.get(kind, "") if dot else ""
    if kind in known and name in known[kind]:
        return f"{kind}.{name}"
    found = next((f"{each}.{word}" for each in known if word in known[each]), "")
    if not found:
        everything = [f"{each}.{name}" for each in known for name in known[each]]
        raise UnknownNameError("column", word, [*everything, *(each.partition(".")[2] for each in everything)])
    return found
