"""The vocabulary: what is asked of a run, what a cell comes to, and what became of the run, as frozen values.

Nothing here computes, and nothing here imports more than the standard library, so every room may use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .stores import Waiting

Status = Literal["FINISHED", "FAILED", "KILLED"]
"""How a run ended, in MLflow's words."""

LOCAL = "offline-"
"""How the id of a run begins that the store does not know yet."""


@dataclass(frozen=True)
class CellSource:
    """A cell that is a run.

    Attributes
    ----------
    text : str
        The cell as it was typed, magic line included.
    code : str
        The Python that belongs to the run, lines numbered as in the cell (what lies outside the run is blank).
        Empty where the cell holds no Python (``%%bash`` below the magic, for example).
    execution_count : int or None
        The number of the cell in ``In [n]``, where the front end counts.
    cell_id : str or None
        The front end's id of the cell, where it tells one.
    """

    text: str
    code: str
    execution_count: int | None = None
    cell_id: str | None = None


@dataclass(frozen=True)
class Choices:
    """What the user said about names, which wins over what is inferred.

    Attributes
    ----------
    params, metrics, skip : tuple of str
        Names given with ``--params``, ``--metrics`` and ``--skip``.
    """

    params: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunOptions:
    """What was asked of one run.

    Attributes
    ----------
    name, experiment, description, run_id : str
        As typed; empty where not given.
    choices : Choices
        Names whose role the user decided.
    artifacts : tuple of str
        Paths (or patterns) of files and folders to log when the run ends.
    models : tuple of (str, str)
        Variable and the name to log it under.
    data : tuple of (str, str)
        Variable of a dataset, and what it is for: ``"training"``.
    tags : mapping of str to str
        Tags given with ``--tags``.
    nested : bool
        Whether to be a child of the run that ``mlflow.start_run()`` opened.
    system_metrics : bool
        Whether MLflow samples CPU, memory and GPU meanwhile.
    capture, source : bool
        Whether to log the cell's variables, and its source.
    dry_run : bool
        Whether to show what would be logged, and log nothing.
    watch : tuple of str
        Names whose every assignment is a point of a series.
    every : int
        Of how many points of a series one is kept.
    """

    name: str = ""
    experiment: str = ""
    description: str = ""
    run_id: str = ""
    choices: Choices = Choices()
    artifacts: tuple[str, ...] = ()
    models: tuple[tuple[str, str], ...] = ()
    data: tuple[tuple[str, str], ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    nested: bool = False
    system_metrics: bool = False
    capture: bool = True
    source: bool = True
    dry_run: bool = False
    watch: tuple[str, ...] = ()
    every: int = 1


@dataclass(frozen=True)
class Param:
    """An input of the run.

    Attributes
    ----------
    name : str
        Dotted for a value inside a configuration: ``"cfg.optimizer.lr"``.
    value : str
        As MLflow stores it.
    why : str
        The reason it was taken for a param, in a few words for the summary.
    """

    name: str
    value: str
    why: str


@dataclass(frozen=True)
class Metric:
    """A result of the run.

    Attributes
    ----------
    name : str
        Dotted for a value inside a dict of results: ``"report.macro avg.f1-score"``.
    value : float
        May be NaN or infinite.
    why : str
        The reason it was taken for a metric, in a few words for the summary.
    """

    name: str
    value: float
    why: str


@dataclass(frozen=True)
class Series:
    """A metric that was assigned again and again: its last point is the metric's value.

    Attributes
    ----------
    name : str
        The variable.
    why : str
        The reason it was taken for a series, in a few words for the summary.
    count, kept : int
        Points that were assigned, and those of them that were kept.
    first, last, min, max : float
        Of all points; NaN counts in neither `min` nor `max`, which are NaN where there is nothing else.
    sample : tuple of float
        Some of the values, evenly spaced from the first on, for a sparkline.
    thinned : int
        Of how many points one was kept by the end; 1 where all were.
    """

    name: str
    why: str
    count: int
    kept: int
    first: float
    last: float
    min: float
    max: float
    sample: tuple[float, ...] = ()
    thinned: int = 1


@dataclass(frozen=True)
class Figure:
    """A figure that the cell made or showed. Held no longer than the cell.

    Attributes
    ----------
    name : str
        The variable that holds it, or ``"figure_1"`` for one that was only shown.
    figure : object
        The matplotlib, plotly or altair figure itself.
    library : {"matplotlib", "plotly", "altair"}
        Who knows how to save it.
    variable : str
        The variable that holds it, where it is named after the file that the cell saved it to.
    file : str
        The name of that file.
    picture : bytes
        What was saved; empty where the figure is to be drawn now.
    """

    name: str
    figure: Any
    library: Literal["matplotlib", "plotly", "altair"]
    variable: str = ""
    file: str = ""
    picture: bytes = b""


@dataclass(frozen=True)
class Drawn:
    """What a cell drew with matplotlib, whether or not a variable holds it.

    Attributes
    ----------
    figure : object or None
        The figure; None where it is gone, and only what was saved is left.
    path : str
        The file that it was saved to; empty where it was not.
    picture : bytes
        What was saved there, or into memory; empty where the figure is to be drawn now.
    """

    figure: Any
    path: str = ""
    picture: bytes = b""


@dataclass(frozen=True)
class Skipped:
    """A name that was looked at and not logged.

    Attributes
    ----------
    name : str
        The name.
    reason : str
        Why not, in a few words: ``"a loop variable"``, ``"data (DataFrame)"``.
    option : str
        The option that would log it, ``"--metrics epoch"``; empty where none would (a secret).
    """

    name: str
    reason: str
    option: str = ""


@dataclass(frozen=True)
class CallTable:
    """What was tried in the turns of a loop, or the calls of a function, and what came of it.

    Attributes
    ----------
    name : str
        The function; empty for a loop of the cell.
    settings, results : tuple of str
        The heads of the columns.
    rows : tuple of tuple
        One for each turn: settings, then results; an empty string where there is none.
    best : int
        The number of the best row; -1 where none can be told.
    by : str
        The result that says so.
    """

    name: str
    settings: tuple[str, ...]
    results: tuple[str, ...]
    rows: tuple[tuple[str | float, ...], ...]
    best: int = -1
    by: str = ""


@dataclass(frozen=True)
class Captured:
    """What a cell and its namespace come to.

    Attributes
    ----------
    params, metrics, figures, skipped : tuple
        In the order in which the cell first mentions them; the settings in its calls after the other params.
    notes : tuple of str
        One line each for what the user should know of the capture itself.
    series : tuple of Series
        In the order of their first points; none of them is among the metrics.
    calls : tuple of CallTable
        What was tried in the turns of loops.
    """

    params: tuple[Param, ...] = ()
    metrics: tuple[Metric, ...] = ()
    figures: tuple[Figure, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    series: tuple[Series, ...] = ()
    calls: tuple[CallTable, ...] = ()


@dataclass(frozen=True)
class Logged:
    """What others than capture have put into a run: the cell's own calls, and autologging.

    Attributes
    ----------
    params : mapping of str to str
        As MLflow has them.
    metrics : mapping of str to tuple of float
        The first values of each and the last, in the order of their coming.
    series : mapping of str to tuple of float
        Of the variables that were followed, the values that no store has seen yet: these can be left out.
    late : frozenset of str
        Variables that were logged by the cell only after points of them had been sent.
    """

    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    series: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    late: frozenset[str] = frozenset()


@dataclass(frozen=True)
class OpenedRun:
    """A run that the author opened in his cell, beside the cell's own.

    Attributes
    ----------
    name, run_id : str
        As MLflow has them; the name is empty where it is not known.
    url : str
        Its page; empty where the store has none.
    """

    name: str
    run_id: str
    url: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a run, in full: the one value from which every front end's summary is made.

    Attributes
    ----------
    run_id, run_name, experiment_name : str
        Empty `run_id` for a dry run, or where the run could not be opened.
    status : {"FINISHED", "FAILED", "KILLED"}
        The true outcome of the cell.
    duration : float
        Seconds from the magic line to the end of the cell.
    where : str
        The store, credentials masked.
    run_url, experiment_url : str
        Links for people; empty where the store has no page.
    params, metrics, skipped : tuple
        What capture logged, and what it did not.
    previous : mapping of str to float
        The same metrics (of a series, the last value) in the previous run of this cell; empty where there was none.
    auto_params, auto_metrics : mapping
        What autolog or the user's own ``mlflow.log_*`` calls put into the run.
    artifacts : tuple of str
        Paths inside the run: figures, files, the cell's source.
    waiting : Waiting
        What the store has not taken yet when the block is shown.
    models : tuple of str
        Names of the logged models.
    data : tuple of str
        The datasets that the run was given, in words.
    runs : tuple of OpenedRun
        The runs that the cell opened beside this one.
    notes : tuple of str
        One line each: a name that was fixed, a param that conflicted, a value the store refused.
    error : str
        The last line of the cell's traceback; empty for FINISHED.
    dry_run : bool
        Whether nothing was logged on purpose.
    series : tuple of Series
        Variables that were followed through their assignments.
    calls : tuple of CallTable
        What was tried in the turns of loops, also in ``calls.csv``.
    """

    run_id: str
    run_name: str
    experiment_name: str
    status: Status
    duration: float
    where: str = ""
    run_url: str = ""
    experiment_url: str = ""
    params: tuple[Param, ...] = ()
    metrics: tuple[Metric, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    previous: Mapping[str, float] = field(default_factory=dict)
    auto_params: Mapping[str, str] = field(default_factory=dict)
    auto_metrics: Mapping[str, float] = field(default_factory=dict)
    artifacts: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    error: str = ""
    dry_run: bool = False
    waiting: Waiting = field(default_factory=Waiting)
    series: tuple[Series, ...] = ()
    calls: tuple[CallTable, ...] = ()
    runs: tuple[OpenedRun, ...] = ()
