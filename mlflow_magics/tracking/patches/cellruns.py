"""Whose a cell's run is: the cell's own, or the only run that its author opens in it.

Nobody knows beforehand how many runs a cell opens. So the first run that its author opens is the cell's run too. If he
opens a second one, a run of its own is opened for the cell, and both of his become its children. A cell that writes
into its run itself keeps it; the author's runs are then its children from the first.

A cell that looks as if it opened runs gets none before it is needed: the author's is then created as he asks for it.
Any other cell's run is there at once, and is given to the author should he ask for one after all.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mlflow import MlflowClient
from mlflow.entities import Run, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

from ..outbox.opening import made_up_name
from ..outbox.outbox import Outbox
from . import children

Make = Callable[[Sequence[RunTag]], Run]
"""Creates the run that the author asks for, with some tags more."""


@dataclass
class CellRun:
    """The run of a cell while it is open.

    Attributes
    ----------
    outbox : Outbox
        Where it is written.
    open_run : callable
        Opens a run for the cell itself.
    take : callable
        Called with each run that becomes the cell's.
    rename, sample : callable
        What ``start_run(run_name=…, tags=…)`` and ``start_run(log_system_metrics=True)`` ask of the cell's own run.
    series_id : str
        The run that the points of series are written for, until the cell is over.
    tags : mapping of str to str
        Those that are about the cell.
    name : str
        As the cell's line has it; may be empty.
    run : mlflow.entities.Run or None
        Where goes what the cell itself comes to; None as long as that is not decided.
    adoptable : bool
        Whether the first ``start_run`` at the cell's top level means this run.
    of_job : bool
        Whether it is the job's run, which every first ``start_run`` means.
    experiment_id : str
        The experiment that the cell's line names, where the author's runs are too; empty where it names none.
    whose : {"free", "author", "cell"}
        Whose the run is; free while neither the author has opened a run nor the cell has written into this one.
    adopted : bool
        Whether a ``start_run`` meant it.
    left : bool
        Whether the block of its ``with`` was left.
    implicit, ends_implicit : bool
        Whether the author has it because he logged without opening a run, as MLflow opens one then; whether he has
        ended such a one, so that each further is his own too.
    ended_as : str
        What the cell's own ``end_run`` said; empty if it said nothing.
    tops, resumed, opened : list of str
        The author's runs by id: those that stand in no other run of this cell, those that were there before, and all.
    stacks : list
        The threads' stacks of active runs on which we put it.
    before : mapping
        The variables of the environment that are put back when the cell is over.
    """

    outbox: Outbox
    open_run: Callable[[], Run]
    take: Callable[[Run], None]
    rename: Callable[[str, Mapping[str, str]], None]
    sample: Callable[[], None]
    series_id: str
    tags: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    run: Run | None = None
    adoptable: bool = False
    of_job: bool = False
    whose: Literal["free", "author", "cell"] = "free"
    experiment_id: str = ""
    adopted: bool = False
    left: bool = False
    implicit: bool = False
    ends_implicit: bool = False
    ended_as: str = ""
    tops: list[str] = field(default_factory=list)
    resumed: list[str] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    stacks: list[list[Any]] = field(default_factory=list)
    before: Mapping[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self._tags_at_first = dict(self.outbox.account(self.id).tags) if self.run is not None else {}
        self._author_named = False
        self.chosen_before: str | None = None

    @property
    def id(self) -> str:
        """The id of the run; empty while there is none."""
        return str(self.run.info.run_id) if self.run is not None else ""

    @property
    def is_left_open(self) -> bool:
        """Tell whether the cell has called ``start_run`` for it, and leaves the ending to another cell."""
        return self.adopted and not (self.left or self.ended_as or self.of_job)

    def claim(self) -> Run:
        """Return the run for the cell to write into: from now on what is the author's stays his."""
        with self.lock:
            if self.run is None:
                self._become(self.open_run())
                self.whose = "cell"
            elif self.whose == "author" and self.is_over():
                self._divide()
            elif self.whose == "free":
                self.whose = "cell"
            assert self.run is not None
            return self.run

    def log_implicitly(self) -> Run:
        """Return the run for the author to log into, who has opened none: as MLflow opens one then, it may be his."""
        with self.lock:
            self.implicit |= self.whose == "free" and not self.of_job
            return self.claim()

    def end_implicit(self, status: str) -> bool:
        """Leave a run to the author who ends what he has logged into; tell whether it is his.

        In the bare cell what he logs afterwards goes into another run.
        """
        with self.lock:
            logged = self.whose == "free" and not (self.of_job or self.is_empty())
            if not (logged or (self.implicit and self.whose == "cell")):
                return False
            self.implicit, self.ends_implicit = False, True
            self.whose = "author"
            self.ended_as = status
            self.tops.append(self.id)
            self.opened.append(self.id)
            return True

    def create(self, experiment_id: str, tags: Sequence[RunTag], name: str | None, make: Make) -> Run:
        """Answer to the author, who asks for a new run."""
        given = {tag.key: tag.value for tag in tags}
        name = name or given.get(MLFLOW_RUN_NAME)
        parent = given.get(MLFLOW_PARENT_RUN_ID)
        with self.lock:
            if parent is not None and parent in (self.id, *self.opened):
                if self.whose == "free":
                    self.whose = "cell"
                run = make(())
            else:
                run = self._create_top(experiment_id, given, name, make)
                self.tops.append(run.info.run_id)
            self.opened.append(run.info.run_id)
        return run

    def resume(self, run_id: str) -> None:
        """Note that the author goes on with a run that was there before."""
        with self.lock:
            if run_id in (*self.opened, *self.resumed, self.id):
                return
            self._above_several()
            self.resumed.append(run_id)

    def settle(self) -> Run:
        """Decide whose the run is, now that the cell is over; runs of child processes count too."""
        in_children = children.take()
        with self.lock:
            for one in in_children:
                account = self.outbox.account(one.run_id)
                account.name, account.experiment_id = one.name, one.experiment_id
            self.opened += [one.run_id for one in in_children if one.run_id]
            tops = [one.run_id for one in in_children if one.run_id and not one.nested]
            if children.LOGS in in_children:
                self.claim()
            all_tops = [*self.tops, *self.resumed, *tops]
            if len(all_tops) == 1 and self.is_empty() and not self.outbox.is_local(self.id):
                self._become_authors(all_tops[0])
            for run_id in tops if self.whose != "author" or self.tops else ():
                if above := self._above_several():
                    self.outbox.values(run_id, {}, {MLFLOW_PARENT_RUN_ID: above})
                self.tops.append(run_id)
            if self.run is None:
                self._become(self.open_run())
            assert self.run is not None
            if self.whose == "author" and self.name and not self._author_named:
                self._rename(self.name)
            if self.series_id != self.id:
                self.outbox.move_series(self.series_id, self.id)
            return self.run

    def is_over(self) -> bool:
        """Tell whether somebody has ended the run."""
        return self.outbox.account(self.id).status != "RUNNING"

    def is_empty(self) -> bool:
        """Tell whether nobody has written into the run since it was opened."""
        if self.run is None or self.whose != "free":
            return self.whose == "free"
        account = self.outbox.account(self.id)
        written = account.params or account.metrics or account.artifacts or account.tags != self._tags_at_first
        return not (written or self.outbox.series.has_sent(self.series_id))

    def forget(self) -> None:
        """Take the run off every thread's stack of active runs where we put it."""
        for stack in self.stacks:
            stack[:] = [active for active in stack if active.info.run_id != self.id]

    def _create_top(self, experiment_id: str, given: Mapping[str, str], name: str | None, make: Make) -> Run:
        """Create a run that stands in no other one of this cell, or give the cell's."""
        if self.run is None and not self.tops and not self.resumed:
            self.whose = "author"
            self._author_named = bool(name)
            run = make([RunTag(key, value) for key, value in self.tags.items() if key not in given])
            self._become(run)
            return run
        if self._can_be_given(experiment_id):
            return self._give(given, name)
        above = self._above_several()
        add = above and MLFLOW_PARENT_RUN_ID not in given
        return make([RunTag(MLFLOW_PARENT_RUN_ID, above)] if add else ())

    def _can_be_given(self, experiment_id: str) -> bool:
        if self.run is None or self.tops or self.resumed:
            return False
        ids = self.outbox.ids
        own = self.run.info.experiment_id
        return ids.get(experiment_id, experiment_id) == ids.get(own, own) and self.is_empty()

    def _give(self, tags: Mapping[str, str], name: str | None) -> Run:
        """Let the author have the cell's run, as his first."""
        self.whose = "author"
        self._author_named = bool(name)
        self.outbox.series.kept_back.wait_for_end(self.series_id)
        account = self.outbox.account(self.id)
        account.name = name or account.name
        self.outbox.values(self.id, {}, {**tags, **({MLFLOW_RUN_NAME: name} if name else {})})
        # The cell's run is no longer the active one: the author's is, as soon as MLflow has put it there.
        self.forget()
        return account.run()

    def _above_several(self) -> str:
        """Return the run above the author's ones, if they are several; empty for the first, which may be the only."""
        if self.whose == "author":
            self._divide()
        elif self.whose == "free":
            if not (self.tops or self.resumed) and self.is_empty():
                return ""
            if self.run is None:
                self._become(self.open_run())
            self.whose = "cell"
            for run_id in self.tops:
                self._put_below(run_id)
        return self.id

    def _divide(self) -> None:
        """Leave the run to the author, and open another one for the cell, above it."""
        given = self.id
        account = self.outbox.account(given)
        self.ended_as = ""
        self._become(self.open_run())
        self.whose = "cell"
        if account.name == self.name and not self._author_named:
            account.name = made_up_name()  # as the bare cell's would be
            self.outbox.values(given, {}, {MLFLOW_RUN_NAME: account.name})
        for key in self.tags:
            if account.tags.pop(key, None) is not None:
                self.outbox.write(given, "untag", {"key": key})
        self._put_below(given)

    def _put_below(self, run_id: str) -> None:
        """Make a run of the author's a child of the cell's, unless he put it below another one."""
        if MLFLOW_PARENT_RUN_ID not in self.outbox.account(run_id).tags:
            self.outbox.values(run_id, {}, {MLFLOW_PARENT_RUN_ID: self.id})

    def _become_authors(self, run_id: str) -> None:
        """Let the author's only run, which could not be given the cell's, be the cell's run; an empty one goes."""
        empty = self.id
        self.outbox.flush()
        run = MlflowClient().get_run(self.outbox.ids.get(run_id, run_id))
        self.whose = "author"
        self._author_named = True
        self.outbox.begin_account(run)  # another process has written it, and ended it
        self._become(run)
        self.outbox.values(self.id, {}, self.tags)
        if empty:
            MlflowClient().delete_run(empty)

    def _become(self, run: Run) -> None:
        """Have a run be the cell's from now on, for child processes too."""
        self.run = run
        self.take(run)
        os.environ[children.RUN] = self.id
        if self.outbox.opener.is_reserved(self.series_id):
            self.outbox.opener.note_reserved(self.series_id, self.id)

    def _rename(self, name: str) -> None:
        self.outbox.account(self.id).name = name
        self.outbox.values(self.id, {}, {MLFLOW_RUN_NAME: name})
