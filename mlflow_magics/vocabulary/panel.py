"""What the panel shows, as frozen values, and the backend that it asks for them.

The panel (:mod:`..display.panel`) knows no session and no MLflow: it is handed a :class:`PanelBackend`. Nothing here
computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from .records import LOCAL
from .stores import Integration

State = Literal["not connected", "connected", "sending", "waiting", "offline"]
"""Whether the store takes what is written; ``"waiting"``: not at the moment."""

Order = Literal["newest", "oldest", "name", "status", "duration"]
"""How runs are sorted; ``"metric:NAME"`` and ``"param:NAME"`` are orders too, and ``-`` before any turns it round."""


@dataclass(frozen=True)
class Curve:
    """A metric's course, thinned for the eye: of each stretch of points the least and the greatest are here.

    Attributes
    ----------
    name : str
        The metric.
    steps : tuple of float
        Of the points that are here, ascending.
    times : tuple of float
        Seconds since the epoch.
    values : tuple of float
        May be NaN or infinite.
    count : int
        How many points there are in truth.
    last, min, max : float
        Of all points; NaN where there is no number.
    """

    name: str
    steps: tuple[float, ...]
    times: tuple[float, ...]
    values: tuple[float, ...]
    count: int
    last: float
    min: float
    max: float


@dataclass(frozen=True)
class Header:
    """Where we are.

    Attributes
    ----------
    where : str
        The store, credentials masked; empty if not connected.
    state : State
        See there.
    said : str
        The state in words: ``"214 points waiting: the server refuses the connection"``.
    experiment_name, experiment_id, experiment_url : str
        That new runs go to; the URL is empty where the store has no page.
    busy : bool
        Whether a cell is being run.
    """

    where: str = ""
    state: State = "not connected"
    said: str = "not connected"
    experiment_name: str = ""
    experiment_id: str = ""
    experiment_url: str = ""
    busy: bool = False


@dataclass(frozen=True)
class RunView:
    """A run, as far as it is known.

    Attributes
    ----------
    run_id, name, url : str
        The URL is empty where the store has no page.
    status : str
        MLflow's: ``RUNNING``, ``FINISHED``, ``FAILED``, ``KILLED``, ``SCHEDULED``.
    began : float
        Seconds since the epoch.
    ended : float or None
        The same; None while it runs.
    params, tags : mapping of str to str
        MLflow's own tags (``mlflow.…``) are not among these.
    system_tags : mapping of str to str
        Those.
    metrics : mapping of str to float
        Last values.
    note : str
        MLflow's description of the run (``mlflow.note.content``).
    curves : tuple of Curve
        Of those metrics that have more than one point.
    slow : tuple of str
        The metrics whose curves the store did not bring in time.
    open_here : bool
        Whether this kernel has it open.
    of_cell : bool
        Whether it ends with its cell, so that no button does.
    experiment_id, artifact_uri : str
        As the store knows them; empty where it was not asked.
    """

    run_id: str
    name: str
    status: str
    began: float
    ended: float | None = None
    url: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    curves: tuple[Curve, ...] = ()
    slow: tuple[str, ...] = ()
    open_here: bool = False
    of_cell: bool = False
    system_tags: Mapping[str, str] = field(default_factory=dict)
    experiment_id: str = ""
    artifact_uri: str = ""

    @property
    def short_id(self) -> str:
        """The beginning of its id, by which it can be named; without the word that stands before one made offline."""
        return self.run_id.removeprefix(LOCAL)[:8]


@dataclass(frozen=True)
class Page:
    """Some of an experiment's runs.

    Attributes
    ----------
    runs : tuple of RunView
        Without curves.
    next : str
        What to ask with for those after these; empty where there are none.
    of_kernel : bool
        Whether the store was not asked or did not answer, so that these are only what this kernel opened.
    """

    runs: tuple[RunView, ...] = ()
    next: str = ""
    of_kernel: bool = False


@dataclass(frozen=True)
class Loggable:
    """A name of the kernel's namespace that can be logged. A secret is none.

    Attributes
    ----------
    name : str
        The variable.
    kind : str
        Its type: ``"float"``, ``"DataFrame"``.
    value : str
        On one line, short.
    role : str
        What it was taken for: one of `roles`; empty where it would be skipped.
    why : str
        The reason, in a few words.
    roles : tuple of str
        What it can be logged as: some of ``param``, ``metric``, ``figure``, ``table``, ``text``, ``model``.
    """

    name: str
    kind: str
    value: str
    role: str
    why: str
    roles: tuple[str, ...]


@dataclass(frozen=True)
class LogReport:
    """What logging from the panel came to.

    Attributes
    ----------
    command : str
        The ``%mlflow_log`` lines that do the same, for the reader to copy.
    lines : tuple of str
        A line for each thing that was logged, and for each that was not, with the reason.
    """

    command: str
    lines: tuple[str, ...]


class PanelBackend(Protocol):
    """What the panel asks of the session. All methods may be called from any thread.

    Errors are `MlflowMagicsError`, with one line that says how to go on.
    """

    # -- at once: nothing is asked of the store ---------------------------------------------------------------

    def header(self) -> Header:
        """Tell where we are."""

    def run(self) -> RunView | None:
        """Tell of the innermost run that is open, else of the last one; with live curves. None before the first."""

    def observe(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Have `changed` called when a run begins or ends or the connection changes; the result undoes it.

        It is called in the kernel's main thread and must return at once.
        """

    def loggables(self) -> tuple[Loggable, ...]:
        """List what can be logged."""

    def log(self, chosen: Sequence[tuple[str, str]]) -> LogReport:
        """Log variables, each as the role beside it, into the open run."""

    def integrations(self) -> tuple[Integration, ...]:
        """List what autologging knows, the installed ones first."""

    def switch(self, name: str, on: bool) -> tuple[str, ...]:
        """Turn autologging on or off for one integration; lines for what the user should know."""

    def start(self, name: str) -> None:
        """Open a run that spans cells."""

    def end(self) -> None:
        """End the run that :meth:`start` or ``%mlflow_start`` opened."""

    def rename(self, run_id: str, name: str) -> None:
        """Give a run another name."""

    def describe(self, run_id: str, note: str) -> None:
        """Give a run another note."""

    def tag(self, run_id: str, key: str, value: str) -> None:
        """Set a tag of a run."""

    # -- asked of the store, within a few seconds: never in the kernel's main thread --------------------------

    def experiments(self) -> tuple[str, ...]:
        """List the names of the experiments, last used first."""

    def use_experiment(self, name: str) -> None:
        """Have new runs go to an experiment; created if missing."""

    def runs(self, filter: str, order: str, token: str) -> Page:
        """List runs of the current experiment: a filter in MLflow's syntax, an `Order`, and a page's `next`."""

    def details(self, run_id: str) -> RunView:
        """Tell all of one run, its curves too."""
