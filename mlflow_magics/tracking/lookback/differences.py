"""Compares two runs: params, metrics, the cells' sources, data and packages."""

from __future__ import annotations

import difflib
import re
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ...vocabulary.errors import MlflowMagicsError, TrackingError
from ...vocabulary.lookback import Change, Difference
from ...vocabulary.panel import RunView
from ..outbox.disk.addresses import repository_at
from ..outbox.outbox import Outbox
from ..runs import run_tags
from . import browse

_SOURCE = re.compile(r"^cell(?:_(\d+))?\.py$")


def difference(outbox: Outbox, before: RunView, after: RunView) -> Difference:
    """Compare two runs.

    Parameters
    ----------
    outbox : Outbox
        Connected.
    before, after : RunView
        The earlier and the later one.

    Returns
    -------
    Difference
        Only what differs; metrics of both.
    """
    notes: list[str] = []
    sources = [_attempt(notes, "the sources", partial(source, outbox, run.run_id)) for run in (before, after)]
    lines: list[str] = []
    if all(sources):
        old, new = (text.splitlines() for text in sources if text)
        lines = list(difflib.unified_diff(old, new, before.name, after.name, lineterm="", n=2))
    data = [_attempt(notes, "the data", partial(_datasets, outbox, run.run_id)) for run in (before, after)]
    names = dict.fromkeys((*before.metrics, *after.metrics))
    return Difference(
        before,
        after,
        params=_changes(before.params, after.params),
        packages=_changes(*(_packages(run) for run in (before, after))),
        data=_changes(*data) if all(data) else (),  # where both have a fingerprint
        metrics={name: (before.metrics.get(name), after.metrics.get(name)) for name in names},
        source=tuple(lines),
        compared=("params", *(["data"] if None not in data else []), "packages", *(["source"] if all(sources) else [])),
        notes=tuple(dict.fromkeys(notes)),
    )


def source(outbox: Outbox, run_id: str) -> str:
    """Return the source of the cell that a run is of; of a job's run, all its cells in order.

    Parameters
    ----------
    outbox : Outbox
        Connected.
    run_id : str
        The run.

    Returns
    -------
    str
        Its text.

    Raises
    ------
    TrackingError
        It was not logged, or is not sent yet.
    ConnectionFailedError
        The store does not answer.
    """
    return "\n".join(_sources(outbox, run_id))


def last_source(outbox: Outbox, run_id: str) -> tuple[str, tuple[str, ...]]:
    """Return one cell to be run again.

    Parameters
    ----------
    outbox, run_id
        As for :func:`source`; the same is raised.

    Returns
    -------
    tuple of (str, tuple of str)
        The run's cell, of several the last; and what to know of it, one line each.
    """
    texts = _sources(outbox, run_id)
    notes = [f"the run is of {len(texts)} cells: this is the last"] if len(texts) > 1 else []
    # As it was logged: what it was before is nowhere.
    notes += ["what looked like a secret was logged as ***: put it back"] if "***" in texts[-1] else []
    return texts[-1], tuple(notes)


def _sources(outbox: Outbox, run_id: str) -> list[str]:
    browse.expect_sent(outbox, run_id)
    place = browse.answered(outbox, partial(outbox.delivery.creator.place, run_id), time.monotonic() + browse.SECONDS)
    repository = repository_at(place, outbox.tracking_uri)

    def number(path: str) -> int:
        number = _SOURCE.match(path)
        return int(number[1] or 0) if number is not None else 0

    def read() -> list[str]:
        files = sorted((each.path for each in repository.list_artifacts(None) if _SOURCE.match(each.path)), key=number)
        if not files:
            raise TrackingError(f"run {run_id} holds no cell.py: its source was not logged")
        with tempfile.TemporaryDirectory() as folder:
            # Not download_artifacts: it draws a progress bar into the cell.
            for file in files:
                repository._download_file(file, str(Path(folder, file)))
            return [Path(folder, file).read_text(encoding="utf-8", errors="replace") for file in files]

    try:
        return browse.answered(outbox, read, time.monotonic() + 2 * browse.SECONDS)
    except MlflowMagicsError as error:
        if isinstance(error.__cause__, TrackingError):
            raise error.__cause__ from None
        raise


def _datasets(outbox: Outbox, run_id: str) -> Mapping[str, str]:
    browse.expect_sent(outbox, run_id)
    remote = outbox.ids.get(run_id, run_id)
    run = browse.answered(outbox, partial(outbox.store.get_run, remote), time.monotonic() + browse.SECONDS)
    inputs: Any = getattr(run.inputs, "dataset_inputs", None) or ()
    return {each.dataset.name: each.dataset.digest for each in inputs}


def _packages(run: RunView) -> dict[str, str]:
    words = run.tags.get(run_tags.PACKAGES, "").split()
    return {name: version for name, _, version in (word.partition("=") for word in words)}


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Change, ...]:
    names = dict.fromkeys((*before, *after))
    return tuple(
        Change(name, str(before.get(name, "")), str(after.get(name, "")))
        for name in names
        if before.get(name) != after.get(name)
    )


def _attempt(notes: list[str], what: str, job: Any) -> Any:
    try:
        return job()
    except MlflowMagicsError as error:
        notes.append(f"{what} could not be compared: {error}")
        return None
