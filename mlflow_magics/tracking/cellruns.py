"""Whose a cell's run is: the cell's own, or the only run that its author opens in it.

Nobody knows beforehand how many runs a cell opens. So the first run that its author opens is given the cell's run,
under the author's name. If he opens a second one, a new run is opened for the cell, and both of his become its
children. A cell that writes into its run itself keeps it; the author's runs are then its children from the first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mlflow import MlflowClient
from mlflow.entities import Run, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

from . import children
from .outbox import Outbox, made_up_name

Make = Callable[[Sequence[RunTag]], Run]
"""Creates the run that the author asks for, with some tags more."""


@dataclass
class CellRun:
    """The run of a cell while it is open.

    Attributes
    ----------
    run : mlflow.entities.Run
        Where goes what the cell itself comes to.
    outbox : Outbox
        Where it is written.
    rename, sample : callable
        What ``start_run(run_name=…, tags=…)`` and ``start_run(log_system_metrics=True)`` ask of the cell's own run.
    open_parent : callable
        Opens another run for the cell, above those of the author.
    own_tags : collection of str
        The tags that are about the cell, not about the author's run.
    named : bool
        Whether the cell's line gives the run a name.
    adoptable : bool
        Whether the first ``start_run`` at the cell's top level means this run.
    adopted : bool
        Whether one did.
    whose : {"free", "author", "cell"}
        Whose the run is; free while neither the author has opened a run nor the cell has written into this one.
    of_job : bool
        Whether it is the job's run, which every first ``start_run`` means.
    ended_as : str
        What the cell's own ``end_run`` said; empty if it said nothing.
    tops, opened : list of str
        The author's runs by id: those that stand in no other run of his, and all of them.
    """

    run: Run
    outbox: Outbox
    rename: Callable[[str, Mapping[str, str]], None]
    sample: Callable[[], None]
    open_parent: Callable[[], Run]
    own_tags: Collection[str] = ()
    named: bool = False
    adoptable: bool = False
    whose: Literal["free", "author", "cell"] = "free"
    of_job: bool = False
    adopted: bool = False
    ended_as: str = ""
    tops: list[str] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    stacks: list[list[Any]] = field(default_factory=list)
    before: Mapping[str, str | None] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _tags: dict[str, str] = field(default_factory=dict)
    _author_named: bool = False

    def __post_init__(self) -> None:
        self._tags = dict(self.outbox.account(self.id).tags)

    @property
    def id(self) -> str:
        """The id of the run."""
        return str(self.run.info.run_id)

    def claim(self) -> None:
        """Keep the run for the cell, which is about to write into it: what is the author's stays his."""
        with self.lock:
            if self.whose == "author" and self._is_over():
                self._divide()
            elif self.whose == "free":
                self.whose = "cell"

    def create(self, experiment_id: str, tags: Sequence[RunTag], name: str | None, make: Make) -> Run:
        """Answer to the author, who asks for a new run.

        Parameters
        ----------
        experiment_id, tags, name
            As MLflow's stores take them.
        make : callable
            Creates the run.

        Returns
        -------
        mlflow.entities.Run
            The cell's run, or a new one.
        """
        given = {tag.key: tag.value for tag in tags}
        with self.lock:
            if (parent := given.get(MLFLOW_PARENT_RUN_ID)) is not None:
                if parent == self.id and self.whose == "free":
                    self.whose = "cell"
                run = make(())
            elif self._can_be_given(experiment_id):
                run = self._give(given, name)
            else:
                above = self._above_several()
                run = make([RunTag(MLFLOW_PARENT_RUN_ID, above)] if above else ())
                self.tops.append(run.info.run_id)
            self.opened.append(run.info.run_id)
        return run

    def settle(self) -> None:
        """Decide whose the run is, now that the cell is over; runs of child processes count too."""
        in_children = children.take()
        with self.lock:
            for one in in_children:
                account = self.outbox.account(one.run_id)
                account.name, account.experiment_id = one.name, one.experiment_id
            self.opened += [one.run_id for one in in_children if one.run_id]
            tops = [one.run_id for one in in_children if one.run_id and not one.nested]
            if any(not one.run_id for one in in_children) and self.whose == "free":
                self.whose = "cell"  # a child process has logged into it
            if len(self.tops) + len(tops) == 1 and self._is_empty() and not self.outbox.is_local(self.id):
                self._become((self.tops + tops)[0])
                return
            for run_id in tops:
                if above := self._above_several():
                    self.outbox.values(run_id, {}, {MLFLOW_PARENT_RUN_ID: above})
                self.tops.append(run_id)

    def _is_over(self) -> bool:
        """Tell whether the author has ended the run that he was given."""
        return self.outbox.account(self.id).status != "RUNNING"

    def _is_empty(self) -> bool:
        """Tell whether nobody has written into the run since it was opened."""
        account = self.outbox.account(self.id)
        return self.whose == "free" and not (
            account.params or account.metrics or account.artifacts or account.tags != self._tags
        )

    def _can_be_given(self, experiment_id: str) -> bool:
        known = self.outbox.ids
        same = known.get(experiment_id, experiment_id) == known.get(
            self.run.info.experiment_id, self.run.info.experiment_id
        )
        return same and not self.tops and self._is_empty()

    def _give(self, tags: Mapping[str, str], name: str | None) -> Run:
        """Let the author have the cell's run, as his first."""
        self.whose = "author"
        self.tops.append(self.id)
        name = name or tags.get(MLFLOW_RUN_NAME)
        self._author_named = bool(name)
        account = self.outbox.account(self.id)
        account.name = name or account.name
        self.outbox.values(self.id, {}, {**tags, **({MLFLOW_RUN_NAME: name} if name else {})})
        # The cell's run is no longer the active one: the author's is, as soon as MLflow has put it there.
        self.forget(self.id)
        return account.run()

    def _above_several(self) -> str:
        """Return the run above the author's ones, if they are several; empty for the first, which may be the only."""
        if self.whose == "author":
            self._divide()
        elif self.whose == "free" and not self.tops and self._is_empty():
            return ""  # of another experiment, say
        elif self.whose == "free":
            self.whose = "cell"
            for run_id in self.tops:
                self.outbox.values(run_id, {}, {MLFLOW_PARENT_RUN_ID: self.id})
        return self.id

    def _divide(self) -> None:
        """Leave the run to the author, and open another one for the cell, above it."""
        given = self.id
        account = self.outbox.account(given)
        self.run = self.open_parent()
        self.whose = "cell"
        tags = {MLFLOW_PARENT_RUN_ID: self.id}
        if self.named and not self._author_named:
            account.name = tags[MLFLOW_RUN_NAME] = made_up_name()  # as the bare cell's would be
        for key in self.own_tags:
            if account.tags.pop(key, None) is not None:
                self.outbox.write(given, "untag", {"key": key})
        self.outbox.values(given, {}, tags)

    def _become(self, run_id: str) -> None:
        """Let the author's only run, which could not be given the cell's, be the cell's run; the empty one goes."""
        empty = self.id
        if run_id == empty:
            return
        self.outbox.flush()
        self.run = MlflowClient().get_run(self.outbox.ids.get(run_id, run_id))
        tags = {key: value for key, value in self._tags.items() if key in self.own_tags}
        self.whose = "author"
        self.outbox.values(self.id, {}, tags)
        MlflowClient().delete_run(empty)

    def forget(self, run_id: str) -> None:
        """Take a run off every thread's stack of active runs where we put it."""
        for stack in self.stacks:
            stack[:] = [active for active in stack if active.info.run_id != run_id]
