"""Finds what the same cell came to last time."""

from __future__ import annotations

from mlflow import MlflowClient

from ..calls import filters
from ..calls.guards import as_tracking_error

_PAGE = 5
_MOST_PAGES = 20


def previous(experiment_id: str, tag: str, value: str, not_run: str) -> tuple[dict[str, str], dict[str, float]] | None:
    """Return params and metrics of the latest earlier run that carries a tag; one request, mostly.

    Parameters
    ----------
    experiment_id : str
        Where to look.
    tag, value : str
        The tag that marks the runs of one cell.
    not_run : str
        The id of the current run.

    Returns
    -------
    tuple of (dict of str to str, dict of str to float), or None
        None where there is no such run.

    Raises
    ------
    TrackingError
        The store could not be reached.
    """
    token: str | None = None
    with as_tracking_error():
        for _ in range(_MOST_PAGES):
            earlier_runs = MlflowClient().search_runs(
                [experiment_id],
                filters.equal(f"tags.`{tag}`", value),
                max_results=_PAGE,
                order_by=["attributes.start_time DESC"],
                page_token=token,
            )
            for run in earlier_runs:
                if run.info.run_id != not_run and run.data.tags.get(tag) == value:
                    return dict(run.data.params), dict(run.data.metrics)
            if not (token := earlier_runs.token):
                break
    return None
