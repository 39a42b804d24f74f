"""The write-behind side of a connection: every write goes to disk first, and is sent in the background.

One outbox belongs to one connection of one kernel. What it takes in is in its journal before the call returns; its
sender brings it to the store; what it knows of the runs (:mod:`.disk.accounts`) answers without asking the store.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mlflow.entities import Metric, Run, RunInfo, RunStatus, RunTag

from ...vocabulary.records import LOCAL
from ..calls import forks
from ..calls.interrupts import uninterrupted
from . import forking, mistakes
from .disk import journals
from .disk.accounts import Account, account_of
from .disk.entries import Key, RunEntry
from .disk.points.points import PointLog
from .disk.points.records import Append
from .flusher import Flusher
from .metric_fields import bare, fields_of, rest_of
from .numbers.authored import Authored
from .numbers.series import Series
from .numbers.unwritten import Unwritten
from .opening import Opener
from .sending.delivery import Delivery
from .sending.sender import Sender
from .staging import Staging
from .syncing import CLOSE_SECONDS, Syncing
from .telling import Telling

Opening = Callable[[str, Sequence[RunTag], "str | None", Callable[[Sequence[RunTag]], Run]], Run]
"""Answers to somebody else than us who asks for a new run: experiment, tags, name, and what creates it."""


class Outbox:
    """Takes in every tracking write of this kernel.

    Parameters
    ----------
    store : mlflow.store.tracking.AbstractStore
        MLflow's own store, which the writes are for.
    tracking_uri : str
        Its URI.
    address : str
        The URI without credentials, which is what the journal keeps.
    offline : bool
        Whether to send only when :meth:`.syncing.Syncing.sync` is called.
    """

    def __init__(self, store: Any, tracking_uri: str, address: str, *, offline: bool = False) -> None:
        self.store = store
        self.tracking_uri = tracking_uri
        self.is_remote = tracking_uri.startswith(("http:", "https:", "databricks", "azureml:"))
        self.journal = journals.create(address)
        self.unwritten = Unwritten()
        self.points = PointLog(self.journal.folder, self._segments(), self.unwritten.spill)
        self.points.begun = self.journal.note_end
        self.delivery = Delivery(self.journal, self.points, store, tracking_uri, self.unwritten.spilled)
        self.limits = self.delivery.limits
        self.accounts: dict[str, Account] = {}
        self.models: dict[str, Any] = {}
        self.authored = Authored()
        self.series = Series(self.delivery, self.authored, self.unwritten, self._segments)
        self._appends: dict[Any, Append] = {}
        self._newest: dict[tuple[str, str], tuple[int, float]] = {}
        self._experiments: dict[str, str] = {}
        self._lock = threading.RLock()
        forks.renew(self, _lock=threading.RLock)
        self._forked = False
        self._closed = False
        self.opening: Opening | None = None
        self._ours = threading.local()
        self.sender = Sender(self.delivery, offline=offline, before=self._before_round)
        self.opener = Opener(self.sender, self.accounts)
        self.telling = Telling(self.sender, self.unwritten, self.accounts)
        self.syncing = Syncing(self.sender, self.unwritten, self.telling, self.accounts)
        self.staging = Staging(self.journal, self.authored, self.models, self.account, self.sender.nudge)
        self._flusher = Flusher(self.journal, self.points)
        forking.follow(self)

    def _segments(self) -> int:
        return 0 if self.journal.trouble else journals.segments_allowed()

    # -- runs -------------------------------------------------------------------------------------------------

    def create_run(self, experiment_id: str, user: str, started: int, tags: Sequence[RunTag], name: str | None) -> Run:
        """Create a run: in the store if it answers in time, else here, to be created later."""
        mistakes.check_texts(experiment_id, user, name, *(text for tag in tags for text in (tag.key, tag.value)))
        mistakes.check_time(started)
        name = str(name) if name is not None else None
        if any(not isinstance(tag.key, str) for tag in tags):
            raise mistakes.mistake("the name of a tag must be a text")
        run = None
        try:
            with uninterrupted():
                run = self._create_run(experiment_id, user, started, tags, name)
        except KeyboardInterrupt:
            if run is not None:  # nobody gets it: it would stay open for ever
                self.update(run.info.run_id, RunStatus.KILLED, int(time.time() * 1000), None)
            raise
        return run

    def _create_run(self, experiment_id: str, user: str, started: int, tags: Sequence[RunTag], name: str | None) -> Run:
        """Create a run, and take in the tags that it could not be created with."""
        run, rest, cuts = self.opener.open(experiment_id, user, started, tags, name)
        self.telling.cuts[run.info.run_id] += cuts
        self.values(run.info.run_id, {}, rest)
        return run

    def move_series(self, run_id: str, to: str) -> None:
        """Have all points of a run's series that are kept back be another run's, also of one that is only reserved."""
        self.series.move(run_id, to)
        self.opener.forget_reserved(run_id)

    @contextlib.contextmanager
    def for_us(self) -> Iterator[None]:
        """Create runs of ours: the author's, on other threads, are still asked about."""
        self._ours.open = True
        try:
            yield
        finally:
            self._ours.open = False

    def open_run(self, experiment_id: str, user: str, started: int, tags: Sequence[RunTag], name: str | None) -> Run:
        """Create a run, or answer with the cell's where the author asks for his first (:mod:`..patches.cellruns`)."""

        def make(more: Sequence[RunTag]) -> Run:
            return self.create_run(experiment_id, user, started, [*tags, *more], name)

        if self.opening is None or getattr(self._ours, "open", False):
            return make(())
        return self.opening(experiment_id, tags, name, make)

    def begin_account(self, run: Run) -> None:
        """Forget what was written to a run before: it is opened again."""
        self.accounts[run.info.run_id] = account_of(run)

    def account(self, run_id: str) -> Account:
        """Return what is known of a run; a new account if nobody has written to it yet."""
        with self._lock:
            if run_id not in self.accounts:
                self.accounts[run_id] = Account(run_id)
            return self.accounts[run_id]

    @property
    def ids(self) -> dict[str, str]:
        """The store's ids of what was made here while it could not be reached: local id to remote id."""
        made = {
            local: remote for local, remote in dict(self.delivery.identities.remotes).items() if local.startswith(LOCAL)
        }
        return made | self.delivery.identities.renamed

    def is_local(self, run_id: str) -> bool:
        """Tell whether the store does not know a run, or an experiment, yet."""
        return self.delivery.identities.is_local(run_id)

    def update(self, run_id: str, status: int | None, ended: int | None, name: str | None) -> RunInfo:
        """Take in a change of a run's state.

        Parameters
        ----------
        run_id, status, ended, name
            As MLflow's stores take them; `ended` in milliseconds since 1970.

        Returns
        -------
        mlflow.entities.RunInfo
            As it will be.
        """
        mistakes.check_run(run_id)
        mistakes.check_texts(name)
        name = str(name) if name is not None else None
        mistakes.check_time(ended)
        account = self.account(run_id)
        word = RunStatus.to_string(status) if status is not None else None
        account.status = word or account.status
        account.ended = ended if ended is not None else account.ended
        account.name = name or account.name
        if word is not None:
            self._note_state(account, word == "RUNNING")
        self.journal.add(run_id, "update", {"status": word, "end_time": ended, "name": name})
        return account.info()

    def _note_state(self, account: Account, is_open: bool) -> None:
        if is_open and not any(run.id == account.run_id for run in self.journal.runs()):
            # Somebody else's run, gone on with here: should we be killed, it is ours to close.
            self.journal.add_run(RunEntry(account.run_id, account.run_id, "", {}, True, account.started))
        self.journal.set_open(account.run_id, is_open)

    # -- values -----------------------------------------------------------------------------------------------

    def metric(self, run_id: str, metric: Metric) -> None:
        """Take in a point.

        Parameters
        ----------
        run_id : str
            The run.
        metric : mlflow.entities.Metric
            MLflow's own, with its time in milliseconds since 1970.

        Raises
        ------
        mlflow.exceptions.MlflowException
            It is no number: MLflow's own words.
        """
        rest = rest_of(metric)
        append = self._appends.get((run_id, metric.key)) if not rest else None
        fields = fields_of(metric)
        if append is None:
            # Before the first point is kept: whoever brings a wrong one is told so where he is.
            mistakes.check_run(run_id)
            mistakes.check_keys([metric.key])
            append = self.appender(run_id, metric.key, rest)
        if fields is None:
            # MLflow's own stores keep it all the same: a time between two milliseconds, a step that is no integer.
            step, timestamp = bare(metric.step), bare(metric.timestamp)
            odd = {"key": metric.key, "value": float(metric.value), "timestamp": timestamp, "step": step}
            self.journal.add(run_id, "metric", odd | {"rest": rest})
        else:
            # What MLflow logs once more for a model is the same point, and bears its time.
            append(*(fields if rest else self._apart((run_id, metric.key), *fields)))
        self.account(run_id).metrics[metric.key] = float(metric.value)
        if self.authored.metric(run_id, metric.key, float(metric.value)):
            self.series.kept_back.wait_for_end(run_id)
            self.series.withdraw(run_id, metric.key)

    def _apart(self, index: tuple[str, str], step: int, when: float, value: float) -> tuple[int, float, float]:
        """Give a point of now a time after the one before it: we are quicker than the milliseconds that stores keep.

        A store takes two points of one step and time for one, or the greater for the latest.
        """
        last_step, last_when = self._newest.get(index, (None, 0.0))
        if step == last_step and 0 <= last_when - when < 1 and abs(time.time() - when) < 1:
            when = last_when + 0.001
        self._newest[index] = step, when
        return step, when, value

    def appender(self, run_id: str, name: str, rest: Mapping[str, str] | None = None) -> Append:
        """Return the function that takes in the points of one metric."""
        rest = rest or {}
        index = (run_id, name, *rest.items())
        with self._lock:
            if index not in self._appends:
                self._appends[index] = self.points.appender(self.series.new_key(Key(run_id, name, rest)))
            return self._appends[index]

    def values(self, run_id: str, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Take in params and tags.

        Parameters
        ----------
        run_id : str
            The run.
        params, tags : mapping of str to str
            Either may be empty.
        """
        if not (params or tags):
            return
        tags = self.limits.cut_tags(tags, self.telling.cuts[run_id])
        self.journal.add(run_id, "values", {"params": dict(params), "tags": dict(tags)})
        self.authored.params(run_id, params)
        account = self.account(run_id)
        for key, value in params.items():
            account.params.setdefault(key, value)  # the store keeps the first too
        account.tags.update(tags)

    def write(self, run_id: str, op: str, data: Mapping[str, Any]) -> None:
        """Take in any other write; see :mod:`.sending.replay`."""
        if op == "untag":
            data = {**data, "key": self.limits.key(data["key"])}
        self.journal.add(run_id, op, data)

    # -- models -----------------------------------------------------------------------------------------------

    def add_model(self, model: Any, creation: Mapping[str, Any], remote: str) -> None:
        """Take in a logged model (MLflow 3) that was made here, or that something is written to."""
        self.models[model.model_id] = model
        entry = RunEntry(
            model.model_id, remote, model.experiment_id, {"model": True, **creation}, False, model.creation_timestamp
        )
        self.journal.add_run(entry)
        self.delivery.identities.note_model(entry)
        if remote:
            self.delivery.identities.remotes[model.model_id] = remote
        else:
            self.journal.add(model.model_id, "create", {})

    # -- experiments --------------------------------------------------------------------------------------------

    def know_experiment(self, experiment_id: str, name: str) -> None:
        """Remember an experiment, so that it can be named in an outage too."""
        self._experiments[name] = experiment_id

    def local_experiment(self, name: str) -> str:
        """Return the id of an experiment that the store cannot be asked for; made there later if it is new."""
        if name not in self._experiments:
            local = LOCAL + uuid.uuid4().hex
            self.journal.add("", "experiment", {"local": local, "name": name})
            self._experiments[name] = local
        return self.ids.get(self._experiments[name], self._experiments[name])

    def experiment_named(self, experiment_id: str) -> str:
        """Return the name of an experiment that was seen here; empty if it was not."""
        return next((name for name, found in self._experiments.items() if found == experiment_id), "")

    # -- sending ------------------------------------------------------------------------------------------------

    def flush(self, seconds: float = CLOSE_SECONDS) -> bool:
        """Send what is waiting now, and wait for it, but not for a store that does not answer.

        Return whether all of it was sent.
        """
        return self.syncing.flush(seconds)

    def start_over(self) -> None:
        """Have what is waiting go to a store that knows none of our runs: its file was deleted, and is made anew.

        The runs that something waits of are created again, with their names, tags and times. Their experiments are
        looked for by their names.
        """
        keys = self.journal.keys()
        of_points = {keys[number].run for number in self.points.tally(self.delivery.position) if number in keys}
        waiting = {self.delivery.identities.owner(run) for run in (*self.journal.waiting(), *of_points)}
        names = {each: name for name, each in self._experiments.items()}
        moved: dict[str, str] = {}
        for run in self.journal.runs():
            if run.id not in waiting or not run.creation.get("tags"):
                continue  # what somebody else has made, and was gone on with here, nobody can make again
            found = run.experiment
            if found in names and not found.startswith(LOCAL) and found not in moved:
                moved[found] = LOCAL + uuid.uuid4().hex
                self.journal.add("", "experiment", {"local": moved[found], "name": names[found]})
            self.journal.add_run(replace(run, remote="", experiment=moved.get(found, found)))

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Send what can be sent, and leave the rest for the next kernel.

        Parameters
        ----------
        seconds : float
            How long to wait at most.
        """
        forking.let_go(self)
        if self._forked or self._closed:
            return
        # Read here also while nothing is sent: a value on a device is gone with its kernel.
        self.unwritten.read_devices()
        self.series.kept_back.end("")
        sent = self.flush(seconds)
        if sent and self.sender.busy.acquire(timeout=1.0):
            try:
                self.delivery.creator.close_twins()
            finally:
                self.sender.busy.release()
        # Runs that nobody has ended: what they had no room for is complete now.
        if sent and self.delivery.splitter.stage_all_over_limit():
            sent = self.flush(seconds)
        self._closed = True
        self.sender.stop()
        self.unwritten.read_devices()
        self.points.close()
        self._flusher.stop()
        for run in self.journal.runs():
            # Whatever is still open is somebody's who goes on with it: MLflow's own functions, another client.
            self.journal.set_open(run.id, False)
        with self.journal.alone():
            # Another thread may have written since.
            self.journal.close(remove=sent and not self.telling.waiting().total)

    def leave_to_parent(self) -> None:
        """Let go of everything in a forked child: journal, sender and lock are the parent's."""
        self._forked = True
        self.unwritten.leave_to_parent()
        self.points.leave_to_parent()
        self.series.kept_back.leave_to_parent()
        self.journal.forget_lock()

    @property
    def foreign(self) -> bool:
        """Whether writes go to the store at once: in a forked child, and for who held on to it after :meth:`close`."""
        return self._forked or self._closed

    def _before_round(self) -> None:
        self.unwritten.read_devices()
        self.series.kept_back.release_due()
