"""A run between its beginning and its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from ..vocabulary.errors import NotLoggableError, TrackingError
from ..vocabulary.records import CallTable, CellSource, Metric, RunOptions, Status

if TYPE_CHECKING:
    from mlflow.entities import Run

    from ..capture.code.dataflow import Dataflow
    from ..capture.following.following import Following
    from ..capture.following.functions import Functions
    from ..capture.following.series import OpenSink
    from ..capture.roles.roles import Snapshot
    from ..tracking.patches.cellruns import CellRun


T = TypeVar("T")


@dataclass(eq=False)
class OpenRun:
    """A run that is open, and what is known of it so far.

    Attributes
    ----------
    options : RunOptions
        What was asked of it.
    source : CellSource or None
        The cell; None for a run that spans cells.
    experiment_id, experiment_name, name : str
        As MLflow has them; empty until the run is created.
    run : mlflow.entities.Run or None
        None for a dry run, where the store cannot be reached, and while a cell that opens runs needs none of its own.
    began : float
        ``time.perf_counter()`` when the cell's own code began, in seconds.
    flow : Dataflow or None
        What the cell reads and writes; None where it holds no Python.
    before : Snapshot or None
        What the namespace held when the run opened.
    notes : list of str
        What to tell the user when the run ends.
    shown : list of object
        What the cell drew (:class:`Drawn`), once it is over.
    system_metrics : object or None
        MLflow's sampler, while it samples.
    gave_up : bool
        Whether the store was waited for in vain, so that nothing more is sent.
    of_job : bool
        Whether the run is the one that this job was given (``MLFLOW_RUN_ID``): it is the job's to name and to close.
    cell_run : CellRun or None
        Whose the run is, and which runs the cell opens; None where nothing is tracked.
    last_cell : {"FINISHED", "FAILED", "KILLED"}
        How the last cell under a run that spans cells ended.
    open_sink : OpenSink or None
        Where the points of a series go; None where nothing is tracked.
    series : Following or None
        The names that are followed while the run is open.
    functions : Functions or None
        The notebook's functions that are followed meanwhile.
    told : tuple of Metric
        What the cell printed with a label, once.
    calls : tuple of CallTable
        What was tried in the turns of loops, and what came of it.
    collected : collection of str
        Entries of dicts that have series under other names.
    last : object
        The value that the notebook shows below the cell; None where it shows none.
    """

    options: RunOptions
    source: CellSource | None
    experiment_id: str = ""
    experiment_name: str = ""
    run: Run | None = None
    name: str = ""
    began: float = field(default_factory=time.perf_counter)
    flow: Dataflow | None = None
    before: Snapshot | None = None
    notes: list[str] = field(default_factory=list)
    shown: list[object] = field(default_factory=list)
    system_metrics: Any = None
    gave_up: bool = False
    of_job: bool = False
    cell_run: CellRun | None = None
    last_cell: Status = "FINISHED"
    open_sink: OpenSink | None = None
    series: Following | None = None
    functions: Functions | None = None
    told: tuple[Metric, ...] = ()
    calls: tuple[CallTable, ...] = ()
    collected: Collection[str] = ()
    last: object = None

    @property
    def is_tracked(self) -> bool:
        """Tell whether it has a run in MLflow, or will have one."""
        return self.run is not None or self.cell_run is not None

    @property
    def tracked(self) -> Run:
        """The run in MLflow; opened now, if none was needed yet."""
        if self.run is None and self.cell_run is not None:
            self.run = self.cell_run.claim()
        if self.run is None:
            raise TrackingError("this run is not tracked")
        return self.run


def attempt(opened: OpenRun, what: str, job: Callable[[], T]) -> T | None:
    """Do a part of the work; where it fails, a note says so, and the cell has its result all the same.

    After a store that was waited for in vain the other parts are left: each would freeze the cell as long again.
    """
    if opened.gave_up:
        return None
    try:
        return job()
    except Exception as error:  # noqa: BLE001
        from ..tracking.calls.guards import reason

        # Files, figures, models and plugins fail in their own ways. One part must not take the others with it.
        # What is about one value names it, and so does `what`.
        why = error.reason if isinstance(error, NotLoggableError) else reason(error)
        opened.notes.append(f"{what}: {why}")
        if isinstance(error, TrackingError) and error.timed_out:
            opened.gave_up = True
            opened.notes.append("the store does not answer: the rest of this run was not sent")
        return None
