"""Says where the points of a run's series go, and which of them are the author's own."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from mlflow.entities import Run

from ...vocabulary.records import Logged, Metric
from ..outbox.numbers.authored import MOST_VALUES
from ..outbox.numbers.series import SeriesSink
from ..patches.store import connected
from .names import fix_metrics


def series_sink(run_id: str, name: str, *, asked: Collection[str] = (), until_end: bool = False) -> SeriesSink:
    """Return where the points of a series go.

    Parameters
    ----------
    run_id : str
        The run, or an id that is reserved for it.
    name : str
        The variable.
    asked : collection of str, optional
        Variables that the user asked for by name: their points are sent as they come. Those of others are kept back
        until it is plain that the author does not log the same.
    until_end : bool, optional
        Whether the cell's code looks as if it logged metrics itself.

    Returns
    -------
    SeriesSink
        Each point is durable when it returns.
    """
    (fixed,) = fix_metrics([Metric(name, 0.0, "")], [])
    return connected().series.sink(run_id, fixed, keep_back=name not in asked, until_end=until_end)


def logged(run: Run, series: Sequence[str], others: Sequence[str] = ()) -> Logged:
    """Return what others than capture have put into a run, and what of ours can still be left out.

    Parameters
    ----------
    run : mlflow.entities.Run
        The run.
    series : sequence of str
        The variables that were followed.
    others : sequence of str, optional
        Other runs that the cell opened: what they hold is not said once more above them.

    Returns
    -------
    Logged
        As this kernel took it in.

    Raises
    ------
    TrackingError
        Not connected.
    """
    outbox, run_id = connected(), run.info.run_id
    params: dict[str, str] = {}
    metrics: dict[str, tuple[float, ...]] = {}
    for each in dict.fromkeys((run_id, *others)):
        own, last = outbox.authored.of(each), outbox.account(each).metrics
        params = {**own.params, **params}
        for key, some in own.metrics.items():
            end = (last[key],) if len(some) == MOST_VALUES and key in last else ()
            metrics[key] = (*metrics.get(key, ()), *some, *end)
    kept = {name: tuple(outbox.series.kept_values(run_id, name)) for name in series}
    late = frozenset(name for name in series if (run_id, name) in outbox.series.late)
    return Logged(params, metrics, kept, late)


def end_series(run: Run, withdrawn: Collection[str]) -> None:
    """Hand on the points of a run's series that were kept back.

    Parameters
    ----------
    run : mlflow.entities.Run
        The run.
    withdrawn : collection of str
        Variables whose points are the author's to log: those that no store has seen yet are left out.

    Raises
    ------
    TrackingError
        Not connected.
    """
    outbox = connected()
    for name in withdrawn:
        outbox.series.withdraw(run.info.run_id, name)
    outbox.series.end(run.info.run_id)
