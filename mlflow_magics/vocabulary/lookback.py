"""What looking back brings: the vocabulary of ``%mlflow_runs`` and its neighbours, as frozen values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .panel import RunView

_LEAST_IS_BEST = re.compile(
    r"(?:^|[^a-z])(?:loss|error|err|mse|rmse|mae|mape|msle|rmsle|logloss|perplexity|ppl|wer|cer|fid|latency|time|seconds"
    r"|duration|distance|deviance|regret)(?:$|[^a-z])"
)


def least_is_best(metric: str) -> bool:
    """Guess by its name whether a metric is better the less it is.

    Parameters
    ----------
    metric : str
        Its name.

    Returns
    -------
    bool
        Whether it reads as a loss, an error or a time.
    """
    return _LEAST_IS_BEST.search(metric[:500].lower().replace("_", " ")) is not None


@dataclass(frozen=True)
class Found:
    """Runs that were looked for.

    Attributes
    ----------
    experiment : str
        Its name.
    runs : tuple of RunView
        In order.
    more : bool
        Whether there are more than these.
    order : str
        How they are sorted, in words.
    columns : tuple of str
        What to show of each, as ``metrics.accuracy``; chosen by what the runs have if empty.
    notes : tuple of str
        One line each.
    empty : {"filtered", "new", "not asked"}
        Why there are none, where there are none: none is like the filter, the experiment has none at all, or the store
        could not be asked.
    """

    experiment: str
    runs: tuple[RunView, ...]
    more: bool = False
    order: str = "newest first"
    columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    empty: Literal["filtered", "new", "not asked"] = "filtered"


@dataclass(frozen=True)
class Change:
    """A param, a package or a dataset that two runs have differently.

    Attributes
    ----------
    name : str
        Its name.
    before, after : str
        Empty where the run has none.
    """

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Difference:
    """What two runs differ in.

    Attributes
    ----------
    before, after : RunView
        The earlier and the later run.
    params, packages, data : tuple of Change
        Only what differs.
    metrics : mapping of str to tuple of (float or None, float or None)
        Of both runs; None where a run has none.
    source : tuple of str
        The lines of a unified diff of the cells' sources; empty where they are the same.
    compared : tuple of str
        What was, in words.
    notes : tuple of str
        What could not be compared, and why.
    """

    before: RunView
    after: RunView
    params: tuple[Change, ...] = ()
    packages: tuple[Change, ...] = ()
    data: tuple[Change, ...] = ()
    metrics: Mapping[str, tuple[float | None, float | None]] = ()  # type: ignore[assignment]  # never written to
    source: tuple[str, ...] = ()
    compared: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
