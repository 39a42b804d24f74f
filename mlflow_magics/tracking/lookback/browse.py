"""Asks the store for the panel: experiments, runs, one run with its curves. For a worker's thread, never the main one.

The store is MLflow's own, past the outbox's front; each request is waited for no longer than :data:`SECONDS`. What the
store does not know yet, or cannot tell at the moment, is told from what this kernel knows of its runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from mlflow.entities import Run, ViewType

from ...vocabulary.errors import ConnectionFailedError, MlflowMagicsError, TrackingError, UnknownNameError
from ...vocabulary.panel import Page, RunView
from ..calls.guards import reason, timed_out
from ..calls.masking import mask
from ..calls.patience import timeouts
from ..calls.patience.waiting import within
from ..failures.kinds import explain, failure_kind
from ..location.links import run_url
from ..outbox.disk.accounts import Account
from ..outbox.outbox import Outbox
from .curves import histories
from .orders import FilterError, clauses, is_ours, put_in_order

SECONDS = 5.0
"""How long one request may take; the curves of a run may take as long once more, together."""

EXAMPLE = "metrics.accuracy > 0.9 and params.lr = '0.1'"

_MOST_EXPERIMENTS = 500
_MOST_CURVES = 40
_NAMED = 8
_FLUSH_SECONDS = 1.0
_NOTE = "mlflow.note.content"
_NAME = "mlflow.runName"

T = TypeVar("T")


def experiments(outbox: Outbox) -> tuple[str, ...]:
    """List the experiments of a store.

    Parameters
    ----------
    outbox : Outbox
        Connected.

    Returns
    -------
    tuple of str
        Names of those that are not deleted, at most 500; last used first where the store can tell.

    Raises
    ------
    ConnectionFailedError
        The store does not answer.
    TrackingError
        It refuses.
    """
    deadline = time.monotonic() + SECONDS
    try:
        return _experiments(outbox, ["last_update_time DESC"], deadline)
    except TrackingError:  # a store that cannot sort them
        return _experiments(outbox, None, deadline)


def _experiments(outbox: Outbox, order: list[str] | None, deadline: float) -> tuple[str, ...]:
    names: list[str] = []
    token = None
    while True:
        most = _MOST_EXPERIMENTS - len(names)
        ask = partial(outbox.store.search_experiments, ViewType.ACTIVE_ONLY, most, None, order, token)
        experiments = answered(outbox, ask, deadline)
        names += [str(each.name) for each in experiments]
        token = experiments.token or None
        if token is None or not experiments or len(names) >= _MOST_EXPERIMENTS:
            return tuple(names[:_MOST_EXPERIMENTS])


def experiment(outbox: Outbox, name: str) -> tuple[str, str]:
    """Find an experiment by its name; none is made.

    Parameters
    ----------
    outbox : Outbox
        Connected.
    name : str
        Its name.

    Returns
    -------
    tuple of (str, str)
        Its id and its name.

    Raises
    ------
    UnknownNameError
        There is none of that name.
    ConnectionFailedError
        The store does not answer.
    """
    experiment = answered(outbox, partial(outbox.store.get_experiment_by_name, name), time.monotonic() + SECONDS)
    if experiment is None:
        known = experiments(outbox)
        some = ", ".join(known[:_NAMED]) + (f" and {len(known) - _NAMED} more" if len(known) > _NAMED else "")
        raise UnknownNameError("experiment", name, known, f"this store has {some or 'none'}")
    return str(experiment.experiment_id), str(experiment.name)


def runs(outbox: Outbox, uri: str, experiment_id: str, filter: str, order: str, token: str, size: int = 50) -> Page:
    """List runs of an experiment. Those that the store does not know yet come first, where no filter is given.

    Parameters
    ----------
    outbox : Outbox
        Connected.
    uri : str
        The tracking URI, for links.
    experiment_id : str
        As this kernel or as the store knows it.
    filter : str
        In MLflow's syntax; empty for all runs.
    order : str
        As in :mod:`.orders`. No store can sort by duration: a page then holds the newest runs, and is sorted in itself.
    token : str
        A page's `next`; empty for the first one.
    size : int, optional
        How many runs of the store's make a page.

    Returns
    -------
    Page
        While the store does not answer: those that were opened in this kernel, if there are any.

    Raises
    ------
    FilterError
        The filter or the order is not understood.
    ConnectionFailedError
        The store does not answer.
    TrackingError
        It refuses.
    """
    order_by = clauses(order)
    outbox.flush(_FLUSH_SECONDS)
    remote = outbox.ids.get(experiment_id, experiment_id)
    own = [] if filter.strip() or token else _opened_here(outbox, remote)
    unsent = [_of_account(account, uri) for account in own if outbox.is_local(account.run_id)]
    if outbox.is_local(experiment_id):
        return Page(_in_page(unsent, order), of_kernel=True)

    def ask() -> Any:
        return outbox.store.search_runs([remote], filter, ViewType.ACTIVE_ONLY, size, order_by, token or None)

    try:
        found = answered(outbox, ask, time.monotonic() + SECONDS)
    except ConnectionFailedError:
        if not own:
            raise
        return Page(_in_page([_of_account(account, uri) for account in own], order), of_kernel=True)
    except TrackingError as error:
        if not (filter.strip() or ":" in order):
            raise
        reason = str(error).removeprefix(_REFUSED)
        raise FilterError(f"the filter or the order is not understood: {reason}; an example: {EXAMPLE}") from error
    return Page(_in_page([*unsent, *(_of_run(run, uri) for run in found)], order), found.token or "")


def details(outbox: Outbox, uri: str, run_id: str) -> RunView:
    """Tell all of one run.

    Parameters
    ----------
    outbox : Outbox
        Connected.
    uri : str
        The tracking URI, for the link.
    run_id : str
        As this kernel or as the store knows it.

    Returns
    -------
    RunView
        With the curves of 40 metrics at most, those that came within :data:`SECONDS`; without any where the store does
        not know the run yet, or does not answer and the run was opened in this kernel.

    Raises
    ------
    ConnectionFailedError
        The store does not answer.
    TrackingError
        It refuses.
    UnknownNameError
        There is no such run.
    """
    outbox.flush(_FLUSH_SECONDS)
    account = outbox.accounts.get(run_id)
    if outbox.is_local(run_id):
        if account is None:
            raise UnknownNameError("run", run_id, hint="it was made in another kernel, and is not in the store yet")
        return _of_account(account, uri)
    remote = outbox.ids.get(run_id, run_id)
    try:
        run = answered(outbox, lambda: outbox.store.get_run(remote), time.monotonic() + SECONDS)
    except ConnectionFailedError:
        if account is None or not account.experiment_id:
            raise
        return _of_account(account, uri)
    view = _of_run(run, uri)
    deadline = time.monotonic() + SECONDS
    curves = []
    slow: tuple[str, ...] = ()
    names = _worth_drawing(run)
    for at, name in enumerate(names):
        try:
            curve = answered(outbox, partial(histories.curve, outbox.store, remote, name), deadline)
        except ConnectionFailedError:
            slow = tuple(names[at:])
            break  # what is here already is worth more than an error
        except TrackingError:
            continue  # a run's other metrics are no worse for one that cannot be read
        if curve is not None and curve.count > 1:
            curves.append(replace(curve, last=view.metrics[name]))
    return replace(view, curves=tuple(sorted(curves, key=lambda curve: curve.name)), slow=slow)


def expect_sent(outbox: Outbox, run_id: str) -> None:
    """Have what waits sent, and raise where the store does not know a run all the same."""
    outbox.flush(SECONDS)
    if outbox.is_local(run_id):
        raise TrackingError(
            f"run {run_id} is not in the store yet, and its files wait with it; %mlflow_sync sends them"
        )


# -- asking -------------------------------------------------------------------------------------------------------

_REFUSED = "the store refuses: "


def answered(outbox: Outbox, question: Callable[[], T], deadline: float) -> T:
    """Ask the store, and turn whatever it raises into one line."""
    left = deadline - time.monotonic()

    def ask() -> T:
        with timeouts.one_try(left):
            return question()

    try:
        if left <= 0:
            raise TimeoutError("timed out")
        return within(left, ask)
    except Exception as error:
        raise explained(outbox, error) from error


def explained(outbox: Outbox, error: Exception) -> MlflowMagicsError:
    """Return an error of ours for what a store raised."""
    # A TimeoutError is an OSError, so it is none of those that are about the question.
    if failure_kind(error) == "refused" and not timed_out(error):
        return TrackingError(_REFUSED + reason(error))
    hint = "what this kernel writes is kept meanwhile; ask again when the store is back"
    return ConnectionFailedError(mask(outbox.tracking_uri), explain(error), hint)


def _in_page(views: list[RunView], order: str) -> tuple[RunView, ...]:
    """Sort a page in itself where no store can sort like that."""
    return tuple(put_in_order(views, order) if is_ours(order) else views)


def _worth_drawing(run: Run) -> list[str]:
    """Return the metrics to ask for: rather those that have steps, and the long ones last, as they take their time."""
    steps = {each.key: each.step for each in getattr(run.data, "_metric_objs", None) or ()}
    names = sorted(run.data.metrics, key=lambda name: (not steps.get(name), name))[:_MOST_CURVES]
    return sorted(names, key=lambda name: steps.get(name, 0))


# -- runs as views ------------------------------------------------------------------------------------------------


def _opened_here(outbox: Outbox, experiment_id: str) -> list[Account]:
    """Return the accounts of an experiment's runs that this kernel has opened, the newest first."""
    ids = outbox.ids
    accounts = list(outbox.accounts.values())
    own = [
        each
        for each in accounts
        if each.experiment_id and ids.get(each.experiment_id, each.experiment_id) == experiment_id
    ]
    return sorted(own, key=lambda account: account.started, reverse=True)


def _of_run(run: Run, uri: str) -> RunView:
    info, tags = run.info, run.data.tags
    return RunView(
        run_id=info.run_id,
        name=info.run_name or tags.get(_NAME, ""),
        status=info.status,
        began=(info.start_time or 0) / 1000,
        ended=info.end_time / 1000 if info.end_time else None,
        url=run_url(uri, info.experiment_id, info.run_id),
        params=dict(run.data.params),
        metrics={name: histories.as_written(value) for name, value in run.data.metrics.items()},
        tags=_own_tags(tags),
        note=tags.get(_NOTE, ""),
        system_tags=_system_tags(tags),
        experiment_id=info.experiment_id,
        artifact_uri=info.artifact_uri or "",
    )


def _of_account(account: Account, uri: str) -> RunView:
    return RunView(
        run_id=account.run_id,
        name=account.name,
        status=account.status,
        began=account.started / 1000,
        ended=account.ended / 1000 if account.ended is not None else None,
        url=run_url(uri, account.experiment_id, account.run_id),
        params=dict(account.params),
        metrics=dict(account.metrics),
        tags=_own_tags(account.tags),
        note=account.tags.get(_NOTE, ""),
        system_tags=_system_tags(account.tags),
        experiment_id=account.experiment_id,
    )


def _own_tags(tags: Mapping[str, str]) -> dict[str, str]:
    # Copied first: another thread may write to an account.
    return {name: value for name, value in dict(tags).items() if not name.startswith("mlflow.")}


def _system_tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in dict(tags).items() if name.startswith("mlflow.")}
