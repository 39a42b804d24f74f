"""Finds a run as people name it: by its id, the beginning of its id, its name, or as the last of a cell."""

from __future__ import annotations

import re
from collections.abc import Callable

from ...vocabulary.errors import ConnectionFailedError, OptionError, TrackingError, UnknownNameError
from ...vocabulary.panel import RunView
from ...vocabulary.records import LOCAL
from ..calls import filters
from ..outbox.outbox import Outbox
from ..runs import run_tags
from . import browse
from .lookup import SAMPLE, pages

# MLflow's own ids, and those of Azure ML, which have dashes.
_WHOLE_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FEWEST = 4


def find_run(outbox: Outbox, uri: str, experiment: tuple[str, str], word: str) -> RunView:
    """Find a run as a person names it.

    Parameters
    ----------
    outbox : Outbox
        Connected.
    uri : str
        The tracking URI, for links.
    experiment : tuple of (str, str)
        Its id and its name.
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
    if _WHOLE_ID.fullmatch(word) or outbox.is_local(word):
        return browse.details(outbox, uri, word)
    if called := _called(outbox, uri, experiment[0], word, 1):
        return called[0]
    seen = pages(outbox, uri, experiment[0], "", "newest", SAMPLE).runs
    long_enough = len(word) >= _FEWEST
    alike = [run for run in seen if long_enough and run.run_id.removeprefix(LOCAL).startswith(word)]
    if len(alike) == 1:
        return alike[0]
    if alike:
        raise UnknownNameError("run", word, hint=f"{len(alike)} runs begin so; write more of the id")
    if not seen:
        raise UnknownNameError("run", word, hint=f"there are no runs in {experiment[1]!r} yet")
    where = f"it is looked for by id and by name in {experiment[1]!r}; -e for another, or write the whole id"
    raise UnknownNameError("run", word, {run.name for run in seen}, where)


def pair(outbox: Outbox, uri: str, experiment: tuple[str, str], first: str, second: str) -> tuple[RunView, RunView]:
    """Find two runs to be compared.

    Parameters
    ----------
    outbox, uri, experiment
        As for :func:`find_run`.
    first, second : str
        As a person names them, or an id.

    Returns
    -------
    tuple of (RunView, RunView)
        In the order in which they were named.

    Raises
    ------
    UnknownNameError
        One of them is unknown.
    OptionError
        Both are the same run.
    """
    before, after = (find_run(outbox, uri, experiment, word) for word in (first, second))
    if before.run_id == after.run_id:
        others = [
            run.short_id for run in _called(outbox, uri, experiment[0], before.name, 4) if run.run_id != before.run_id
        ]
        there = f"others of that name: {', '.join(others)}" if others else "%mlflow_runs shows the ids"
        raise OptionError(
            f"both are run {before.short_id} ({before.name}); name one by the beginning of its id; {there}"
        )
    return before, after


def last_two(
    outbox: Outbox, uri: str, experiment: tuple[str, str], cell_id: str | None, name: str
) -> tuple[RunView, RunView]:
    """Find the last two runs of a cell.

    Parameters
    ----------
    outbox, uri, experiment
        As for :func:`find_run`.
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
    TrackingError
        There is only one.
    """
    if cell_id:
        key = f"tags.`{run_tags.CELL_ID}`"
        runs = _matching(
            outbox, uri, experiment[0], key, cell_id, lambda run: run.tags.get(run_tags.CELL_ID) == cell_id, 2
        )
    else:
        runs = _called(outbox, uri, experiment[0], name, 2)
    if len(runs) < 2:
        raise TrackingError(
            f"the cell of run {name!r} was run once; run it again, or name two: %mlflow_diff RUN_A RUN_B"
        )
    return runs[1], runs[0]


def newest(outbox: Outbox, uri: str, experiment: tuple[str, str]) -> RunView:
    """Find the newest run of an experiment.

    Parameters
    ----------
    outbox, uri, experiment
        As for :func:`find_run`.

    Returns
    -------
    RunView
        The run.

    Raises
    ------
    TrackingError
        There is none.
    """
    runs = pages(outbox, uri, experiment[0], "", "newest", 1).runs
    if not runs:
        raise TrackingError(f"there are no runs in {experiment[1]!r} yet")
    return runs[0]


def _called(outbox: Outbox, uri: str, experiment_id: str, name: str, most: int) -> list[RunView]:
    return _matching(outbox, uri, experiment_id, "attributes.run_name", name, lambda run: run.name == name, most)


def _matching(
    outbox: Outbox,
    uri: str,
    experiment_id: str,
    key: str,
    value: str,
    matches: Callable[[RunView], bool],
    most: int,
) -> list[RunView]:
    """Return the newest runs that have a value: those that the store does not know yet, and those that it finds."""

    def opened_here() -> list[RunView]:
        return [run for run in browse.runs(outbox, uri, experiment_id, "", "newest", "", 1).runs if matches(run)]

    wanted = filters.equal(key, value)
    try:
        # Most often what the store finds is right; where it is not all right, more is looked at.
        for count in (most, SAMPLE):
            known, more, _ = pages(outbox, uri, experiment_id, wanted, "newest", count)
            known = [run for run in known if matches(run)]
            if len(known) >= most or not more:
                break
    except ConnectionFailedError:
        return opened_here()[:most]
    if any(map(outbox.is_local, list(outbox.accounts))):
        known = [*(run for run in opened_here() if outbox.is_local(run.run_id)), *known]
    return known[:most]
