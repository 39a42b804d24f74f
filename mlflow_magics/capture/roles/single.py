"""Logs one value because the user asks for it with ``%mlflow_log``: no inference, but clear refusals."""

from __future__ import annotations

from ...vocabulary.errors import NotLoggableError
from ...vocabulary.records import Figure, Metric, Param, Skipped
from ..values.inspection import MISSING
from ..values.kinds import figure_behind, figure_library
from ..values.writing import describe
from .chosen import forced


def as_params(name: str, value: object) -> list[Param]:
    """Return a value as params: one, or one for each entry of a configuration.

    Parameters
    ----------
    name : str
        Its name.
    value : object
        A scalar, a list of scalars, or a configuration.

    Returns
    -------
    list of Param
        At least one.

    Raises
    ------
    NotLoggableError
        It holds nothing that a param can hold.
    """
    return [one for one in _logged(name, value, as_metric=False) if isinstance(one, Param)]


def as_metrics(name: str, value: object) -> list[Metric]:
    """Return a value as metrics: one, or one for each entry of a dict.

    Parameters
    ----------
    name : str
        Its name.
    value : object
        A number of any library, or a dict of such.

    Returns
    -------
    list of Metric
        At least one.

    Raises
    ------
    NotLoggableError
        It is no number; the message says what it was.
    """
    return [one for one in _logged(name, value, as_metric=True) if isinstance(one, Metric)]


def as_figure(name: str, value: object) -> Figure:
    """Return a figure, also from the axes drawn on it.

    Parameters
    ----------
    name : str
        Its name.
    value : object
        A matplotlib, plotly or altair figure, or matplotlib axes.

    Returns
    -------
    Figure
        Ready to be saved.

    Raises
    ------
    NotLoggableError
        It is none.
    """
    figure = figure_behind(value)
    library = figure_library(figure) if figure is not MISSING else None
    if library is None:
        raise NotLoggableError(name, f"not a matplotlib, plotly or altair figure but {describe(value)}")
    return Figure(name, figure, library)


def _logged(name: str, value: object, *, as_metric: bool) -> list[Param | Metric]:
    found = forced(name, value, as_metric=as_metric)
    logged = [one for one in found if isinstance(one, Param | Metric)]
    if not logged:
        refused = next((one.reason for one in found if isinstance(one, Skipped)), "it holds nothing to log")
        raise NotLoggableError(name, f"a metric must be numeric; this is {refused}" if as_metric else refused)
    return logged
