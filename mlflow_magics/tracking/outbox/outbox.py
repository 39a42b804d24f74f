"""The write-behind side of a connection: every write goes to disk first, and is sent in the background.

One outbox belongs to one connection of one kernel. What it takes in is in its journal before the call returns; its
sender brings it to the store; what it knows of the runs (:mod:`.disk.accounts`) answers without asking the store.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import shutil
import threading
import time
import uuid
import weakref
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from mlflow.entities import Metric, Run, RunInfo, RunStatus, RunTag
from mlflow.utils import validation
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

from ...vocabulary.records import LOCAL, Sync, Waiting
from ..calls import forks
from ..calls.interrupts import uninterrupted
from ..calls.timeouts import one_try
from ..calls.waiting import CutShortError, within
from ..failures.kinds import explain, failure_kind
from ..location import store_limits
from . import mistakes
from .authored import Authored
from .disk import addresses, copying, journal, over_limit
from .disk.accounts import Account, account_of, new_account
from .disk.journal import Key, RunEntry
from .disk.points import Append, Point, PointLog
from .flusher import Flusher
from .keptback import KeptBack
from .sending import replay
from .sending.delivery import ORIGIN_TAG, Attempt, Delivery
from .sending.sender import Sender

CREATE_SECONDS = 2.5
"""How long a cell waits for its run to be created, before it goes on with a local id."""

CLOSE_SECONDS = 5.0
"""How long the end of a cell, or of the kernel, waits for what is on its way."""

STRAIGHT_BYTES = 1 << 30
"""Files larger than this are not staged, but go to the store at once."""

_LONG = 1 << 63
_EXACT = 1 << 50
"""Milliseconds that a record keeps exactly."""

_SPILL = 200_000
_LATER = 1000


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
        Whether to send only when :meth:`sync` is called.
    """

    def __init__(self, store: Any, tracking_uri: str, address: str, *, offline: bool = False) -> None:
        self.store = store
        self.tracking_uri = tracking_uri
        self.is_remote = tracking_uri.startswith(("http:", "https:", "databricks", "azureml:"))
        self.journal = journal.create(address)
        self.lost = 0
        self._spilled: list[Point] = []
        self._later: deque[tuple[Append, int, float, Callable[[], float]]] = deque()
        self.points = PointLog(self.journal.folder, self._segments(), self._spill)
        self.delivery = Delivery(self.journal, self.points, store, tracking_uri, self._spilled)
        self.limits = store_limits.of(tracking_uri)
        self.accounts: dict[str, Account] = {}
        self.models: dict[str, Any] = {}
        self.authored = Authored()
        self.kept_back = KeptBack(self.journal.folder, self._segments, self.points.appender)
        self.late: set[tuple[str, str]] = set()
        self._series: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._appends: dict[Any, Append] = {}
        self._keys: dict[int, Key] = {}
        self._experiments: dict[str, str] = {}
        self._releases: dict[str, list[Callable[[], None]]] = defaultdict(list)
        self._lock = threading.RLock()
        forks.renew(self, _lock=threading.RLock)
        self._warned = False
        self._told: Counter[str] = Counter()
        self._cuts: dict[str, list[str]] = defaultdict(list)
        self._told_aside: set[tuple[str, str]] = set()
        self._forked = False
        self._closed = False
        self.opening: Opening | None = None
        self._ours = threading.local()
        self._reserved: set[str] = set()
        self._newest: dict[tuple[str, str], tuple[int, float]] = {}
        self.unread = 0
        self.points.begun = self.journal.note_end
        self.sender = Sender(self.delivery, offline=offline, before=self._before_round)
        self._flusher = Flusher(self.journal, self.points)
        _living.add(self)

    def _segments(self) -> int:
        return 0 if self.journal.trouble else journal.segments_allowed()

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
        """Create a run in the store, or here. A Ctrl-C only cuts the waiting short: the request is on its way."""
        origin = uuid.uuid4().hex
        given = {tag.key: tag.value for tag in tags} | {ORIGIN_TAG: origin}
        name = name or given.get(MLFLOW_RUN_NAME) or made_up_name()
        if (parent := given.get(MLFLOW_PARENT_RUN_ID)) is not None:
            given[MLFLOW_PARENT_RUN_ID] = self.ids.get(parent, parent)
        cuts: list[str] = []
        given, rest = self.limits.first_tags(self.limits.cut_tags(given, cuts), ORIGIN_TAG)
        experiment = self.delivery.renamed.get(experiment_id, experiment_id)
        run_id = LOCAL + origin
        reachable = self.sender.state == "sending" and not self._is_local(
            given.get(MLFLOW_PARENT_RUN_ID, ""), experiment
        )
        if reachable:
            # First: a kernel that is killed between the store's doing and its answer has still left a trace.
            asked = {"name": name, "started": started, "user": user, "tags": given, "asked": True}
            self.journal.add_run(RunEntry(run_id, "", experiment, asked, True, started))
            attempt = Attempt()

            def create() -> Run:
                with attempt:
                    run = self._create(experiment, user, started, given, name)
                    attempt.remote = run.info.run_id
                return run

            try:
                run = within(CREATE_SECONDS, create)
                account = account_of(run)
                account.tags.update(given)
                self._open(account, run.info.run_id, given)
                self.journal.drop_run(run_id)
                self._add_rest(run.info.run_id, rest, cuts)
                return run
            except Exception as error:
                # Whatever a store raises: only what it will never take is the caller's business.
                if failure_kind(error) == "refused" and not isinstance(error, TimeoutError):
                    self.journal.drop_run(run_id)
                    raise
                if not isinstance(error, CutShortError):
                    self.sender.unreachable(explain(error))
                # It goes on behind our back: the sender waits for what it comes to, and creates no second run.
                self.delivery.attempts[run_id] = attempt
        account = new_account(run_id, experiment_id, user, started, given, name, addresses.uri(run_id))
        self._open(account, "", given, doubtful=reachable)
        self.journal.add(run_id, "create", {})
        self._add_rest(run_id, rest, cuts)
        return account.run()

    def reserve(self, experiment_id: str, started: int, tags: Mapping[str, str], name: str) -> str:
        """Write a run down that is not opened yet, and may never be: a killed kernel leaves that much of its cell.

        Parameters
        ----------
        experiment_id, name : str
            As it would be opened; `name` may be empty.
        started : int
            In milliseconds since 1970.
        tags : mapping of str to str
            Its tags.

        Returns
        -------
        str
            An id for the points of its series, until :meth:`move_series`.
        """
        origin = uuid.uuid4().hex
        creation = {
            "name": name or made_up_name(),
            "started": started,
            "user": "unknown",
            "tags": {**tags, ORIGIN_TAG: origin},
        }
        self.journal.add_run(RunEntry(LOCAL + origin, "", experiment_id, creation, True, started))
        self._reserved.add(LOCAL + origin)
        return LOCAL + origin

    def is_reserved(self, run_id: str) -> bool:
        """Tell whether an id was only reserved."""
        return run_id in self._reserved

    def note_reserved(self, reserved: str, run_id: str) -> None:
        """Write down which run a reserved one has become, should the kernel be killed now."""
        self.journal.set_open(reserved, False)
        if not self._is_local(run_id):
            self.delivery.remotes[reserved] = remote = self.ids.get(run_id, run_id)
            self.journal.set_remote(reserved, remote)

    def has_sent_series(self, run_id: str) -> bool:
        """Tell whether points of series may have gone to a run, which cannot be taken back."""
        with self._lock:
            numbers = [number for (run, _), some in self._series.items() if run == run_id for number in some]
        return any(not self.kept_back.waits(number) for number in numbers)

    def move_series(self, run_id: str, to: str) -> None:
        """Have all points of a run's series that are kept back be another run's; they are sent at the next end."""
        with self._lock:
            mine = [index for index in self._series if index[0] == run_id]
            moved = {number: self._new_key(Key(to, index[1], {})) for index in mine for number in self._series[index]}
            for index in mine:
                self._series[to, index[1]] += [moved[number] for number in self._series.pop(index)]
                if index in self.late:
                    self.late.add((to, index[1]))
        self.kept_back.move(run_id, to, moved)
        self._releases[to] += self._releases.pop(run_id, [])
        if run_id in self._reserved:
            self._reserved.discard(run_id)
            self.journal.drop_run(run_id)

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

    def _add_rest(self, run_id: str, tags: Mapping[str, str], cuts: list[str]) -> None:
        """Take in the tags that a run could not be created with."""
        self._cuts[run_id] += cuts
        self.values(run_id, {}, tags)

    def _create(self, experiment: str, user: str, started: int, tags: Mapping[str, str], name: str | None) -> Run:
        self.delivery.expect_file()
        with one_try(CREATE_SECONDS):
            entities = [RunTag(key, value) for key, value in tags.items()]
            return cast(Run, self.store.create_run(experiment, user, started, entities, name))

    def _open(self, account: Account, remote: str, tags: Mapping[str, str], *, doubtful: bool = False) -> None:
        creation = {
            "name": account.name,
            "started": account.started,
            "user": account.user,
            "tags": dict(tags),
            "doubtful": doubtful,
        }
        entry = RunEntry(account.run_id, remote, account.experiment_id, creation, True, account.started)
        self.journal.add_run(entry)
        self.accounts[account.run_id] = account
        if remote:
            self.delivery.remotes[account.run_id] = remote

    def begin_account(self, run: Run) -> None:
        """Forget what was written to a run before: it is opened again."""
        self.accounts[run.info.run_id] = account_of(run)

    def account(self, run_id: str) -> Account:
        """Return what is known of a run; a new account if nobody has written to it yet."""
        with self._lock:
            if run_id not in self.accounts:
                self.accounts[run_id] = Account(run_id)
            return self.accounts[run_id]

    def _is_local(self, run_id: str, experiment_id: str = "") -> bool:
        return any(each.startswith(LOCAL) and each not in self.ids for each in (run_id, experiment_id))

    @property
    def ids(self) -> dict[str, str]:
        """The store's ids of what was made here while it could not be reached: local id to remote id."""
        made = {local: remote for local, remote in dict(self.delivery.remotes).items() if local.startswith(LOCAL)}
        return made | self.delivery.renamed

    def is_local(self, run_id: str) -> bool:
        """Tell whether the store does not know a run, or an experiment, yet."""
        return self._is_local(run_id)

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
        rest = _rest(metric)
        append = self._appends.get((run_id, metric.key)) if not rest else None
        fields = _fields(metric)
        if append is None:
            # Before the first point is kept: whoever brings a wrong one is told so where he is.
            mistakes.check_run(run_id)
            mistakes.check_keys([metric.key])
            append = self.appender(run_id, metric.key, rest)
        if fields is None:
            # MLflow's own stores keep it all the same: a time between two milliseconds, a step that is no integer.
            step, timestamp = _bare(metric.step), _bare(metric.timestamp)
            odd = {"key": metric.key, "value": float(metric.value), "timestamp": timestamp, "step": step}
            self.journal.add(run_id, "metric", odd | {"rest": rest})
        else:
            # What MLflow logs once more for a model is the same point, and bears its time.
            append(*(fields if rest else self._apart((run_id, metric.key), *fields)))
        self.account(run_id).metrics[metric.key] = float(metric.value)
        if self.authored.metric(run_id, metric.key, float(metric.value)):
            self.kept_back.wait_for_end(run_id)
            self.withdraw(run_id, metric.key)

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
                self._appends[index] = self.points.appender(self._new_key(Key(run_id, name, rest)))
            return self._appends[index]

    def sink(self, run_id: str, name: str, *, keep_back: bool = False, until_end: bool = False) -> SeriesSink:
        """Return where the points of a series go."""
        number = self._new_key(Key(run_id, name, {}))
        self._series[run_id, name].append(number)
        append = self.points.appender(number)
        if keep_back:
            append = self.kept_back.sink(number, run_id, until_end=until_end)
        if name in self.authored.of(run_id).metrics:
            self.withdraw(run_id, name)
        hold, release = self.points.holder(number)
        self._releases[run_id].append(release)
        return SeriesSink(append, hold, self.read_later)

    def withdraw(self, run_id: str, name: str) -> None:
        """Give up the series of a name: the author logs it. What the store has not taken of it is not sent."""
        with self._lock:
            numbers = self._series.pop((run_id, name), [])
        for number in numbers:
            self.delivery.withdraw(number)
            self.kept_back.withdraw(run_id, number)
            if number in self.delivery.begun:
                self.late.add((run_id, name))

    def kept_values(self, run_id: str, name: str) -> list[float]:
        """Return the values of a series that no store has seen yet; none of any other."""
        numbers = self._series.get((run_id, name), [])
        return [value for number in numbers for value in self.kept_back.values(run_id, number)]

    def _new_key(self, key: Key) -> int:
        number = self.journal.add_key(key)
        self._keys[number] = key
        return number

    def key(self, number: int) -> Key | None:
        """Return whose points bear a number; None for one that was not given here, or was withdrawn."""
        return self._keys.get(number) if number not in self.delivery.withdrawn else None

    def end_series(self, run_id: str) -> None:
        """End the series of a run: what is kept back is sent, and what was only held is given up."""
        self.kept_back.end(run_id)
        with self._lock:
            for each in [each for each in self._series if each[0] == run_id]:
                del self._series[each]
        for release in self._releases.pop(run_id, ()):
            release()

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
        tags = self.limits.cut_tags(tags, self._cuts[run_id])
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

    # -- files ------------------------------------------------------------------------------------------------

    def stage(self, run_id: str, uri: str, source: Path, path: str | None) -> bool:
        """Take in a file or a folder: a copy, which nobody will change.

        False if it should go to the store at once: too large, or no room for it here.
        """
        room = min(STRAIGHT_BYTES, journal.LIMIT_BYTES - self.journal.held())
        if self.journal.trouble or room <= 0:
            return False
        try:
            staged = self.journal.staged()
        except OSError:
            return False
        try:
            self.journal.hold(staged, copying.copy(source, staged, room))
        except BaseException as error:
            shutil.rmtree(staged, ignore_errors=True)
            if isinstance(error, copying.NoRoomError):
                return False
            raise
        data = {"uri": uri, "path": path, "staged": str(staged), "folder": source.is_dir()}
        self.journal.add(run_id or self._model_at(uri), "artifact", data)
        if run_id and run_id not in self.models:
            self.note_files(run_id, source, path)
        self.sender.nudge()
        return True

    def _model_at(self, uri: str) -> str:
        """Return the model whose files are at an artifact URI; empty where it is nobody's that we know."""
        known = list(self.models.items())
        return next((model_id for model_id, model in known if model.artifact_location == uri), "")

    def add_model(self, model: Any, creation: Mapping[str, Any], remote: str) -> None:
        """Take in a logged model (MLflow 3) that was made here, or that something is written to."""
        self.models[model.model_id] = model
        entry = RunEntry(
            model.model_id, remote, model.experiment_id, {"model": True, **creation}, False, model.creation_timestamp
        )
        self.journal.add_run(entry)
        self.delivery.note_model(entry)
        if remote:
            self.delivery.remotes[model.model_id] = remote
        else:
            self.journal.add(model.model_id, "create", {})

    def note_files(self, run_id: str, source: Path, path: str | None) -> None:
        """Remember which files a run got."""
        prefix = f"{path.strip('/')}/" if path else ""
        names = (
            [Path(name).as_posix() for name in sorted(copying.walk(str(source)))] if source.is_dir() else [source.name]
        )
        self.account(run_id).artifacts.extend(prefix + name for name in names)
        for name in names:
            self.authored.file(run_id, prefix + name, source / name if source.is_dir() else source)

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
        return self.sender.flush(self._all_sent(), seconds)

    def _all_sent(self) -> Callable[[], bool]:
        """Return a test for whether what is waiting at this moment has been sent."""
        last_row = self.journal.last()
        end = self.points.end()

        def sent() -> bool:
            left = self.journal.any_until(last_row, files=True)
            if left and self.delivery.files_trouble:
                # Files that their own store does not take keep nobody waiting.
                left = any(row.id <= last_row for row in replay.before_files(self.journal.rows()))
            return not left and self.delivery.position >= end and not self._spilled and not self._later

        return sent

    def sync(self, progress: Callable[[int, int], None]) -> Sync:
        """Send all that is waiting, however long it takes, for as long as the store takes it.

        Parameters
        ----------
        progress : callable
            Called with how many writes were sent, and how many are left.

        Returns
        -------
        Sync
            What came of it.
        """
        before, known = self.delivery.sent, set(self.ids)
        is_sent = self._all_sent()

        def done() -> bool:
            progress(self.delivery.sent - before, max(0, self.backlog().total - self.delivery.ahead))
            return is_sent()

        in_vain, first = 0, True
        while in_vain < 2:
            begun, taken = time.monotonic(), self.delivery.taken
            self.delivery.retry_files()
            # Only the first try comes before the time that the store asked for: more of them would hammer it.
            self.sender.flush(done, math.inf, patient=True, urgent=first)
            first = False
            if is_sent() and not self.delivery.files_trouble:
                break
            if self.delivery.taken > taken:
                in_vain = 0
                continue
            # A connection that was kept open since before an outage fails once; a store that is gone fails again.
            if time.monotonic() + self.sender.rests() - begun > CLOSE_SECONDS:
                break
            in_vain += 1
        done()
        created = {local: remote for local, remote in self.ids.items() if local not in known}
        runs = {local: remote for local, remote in created.items() if local in self.accounts}
        left = self.waiting()
        if left.total and not left.why:
            left = replace(left, state="waiting", why="nothing was heard of it for a while")
        return Sync(self.delivery.sent - before, runs, left)

    def waiting(self) -> Waiting:
        """Count what the store has not taken yet."""
        runs: Counter[str] = Counter()
        for run, count in self.journal.waiting().items():
            runs[self.delivery.owner(run)] += count
        whole = self.backlog(sum(runs.values()))
        keys = self.journal.keys() if whole.points else {}
        for number, count in self.points.tally(self.delivery.position).items() if whole.points else ():
            if number in keys:
                runs[keys[number].run] += count
        return replace(whole, runs=tuple((self._called(run), count) for run, count in runs.items() if run))

    def _called(self, run_id: str) -> str:
        """Return the name that a run is told by; its id where none is known here."""
        return (self.accounts[run_id].name if run_id in self.accounts else "") or run_id

    def backlog(self, others: int | None = None) -> Waiting:
        """Count what the store has not taken yet, but not whose it is: a matter of microseconds.

        Parameters
        ----------
        others : int, optional
            How many writes other than points wait, where that is known.

        Returns
        -------
        Waiting
            Without its runs.
        """
        state, why = self.sender.state, self.sender.trouble or self.delivery.files_trouble
        return Waiting(
            points=self.points.count(self.delivery.position) + len(self._spilled) + len(self._later),
            others=sum(self.journal.waiting().values()) if others is None else others,
            state="waiting" if why and state == "sending" else state,
            why=why,
        )

    def refusals(self, run_id: str) -> list[tuple[str, str]]:
        """Return what the store has refused of a run since the last call: what, and why."""
        found = self.delivery.refused[run_id][self._told[run_id] :]
        self._told[run_id] += len(found)
        return found

    def late_refusals(self, open_runs: Collection[str]) -> list[str]:
        """Return a line for each thing that the store has refused of runs that are over, which nobody was told yet."""
        over = [run for run in list(self.delivery.refused) if run and run not in open_runs]
        return [f"{self._called(run)}: {what} was refused: {why}" for run in over for what, why in self.refusals(run)]

    def trimmed(self, run_id: str) -> list[str]:
        """Return what was cut or set aside of a run, since the store takes no more; each thing once."""
        said = list(dict.fromkeys(self._cuts.pop(run_id, ())))
        account = self.account(run_id)
        for kind, most, written in (
            ("params", self.limits.params_per_run, account.params),
            ("tags", self.limits.tags_per_run, account.tags),
        ):
            aside = self.delivery.over_limit.aside.get((run_id, kind), 0)
            # In an outage nothing was set aside yet, but it will be.
            count = max(aside, len(written) - most if most is not None else 0)
            if count and (run_id, kind) not in self._told_aside:
                self._told_aside.add((run_id, kind))
                words = kind if count > 1 else kind[:-1]
                said.append(
                    f"{count} {words} more than {self.limits.store} takes for a run: "
                    f"in the artifact {over_limit.FILES[kind]}"
                )
        return said

    def warnings(self) -> list[str]:
        """Return what the user must know of the journal itself; each thing once."""
        said = []
        trouble = self.journal.trouble
        if not trouble and self.points.trouble:
            trouble = f"{self.journal.folder.parent}: {self.points.trouble}"
        if trouble and not self._warned:
            self._warned = True
            said.append(f"what does not fit is kept in memory only, and would not survive the kernel: {trouble}")
        unread, self.unread = self.unread, 0
        if unread:
            said.append(f"{unread} points could not be read from their device")
        lost, self.lost = self.lost, 0
        if lost:
            said.append(f"{lost} points were lost: the outbox is full, and the store takes nothing")
        return said

    def start_over(self) -> None:
        """Have what is waiting go to a store that knows none of our runs: its file was deleted, and is made anew.

        The runs that something waits of are created again, with their names, tags and times. Their experiments are
        looked for by their names.
        """
        keys = self.journal.keys()
        of_points = {keys[number].run for number in self.points.tally(self.delivery.position) if number in keys}
        waiting = {self.delivery.owner(run) for run in (*self.journal.waiting(), *of_points)}
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
        _living.discard(self)
        if self._forked or self._closed:
            return
        # Read here also while nothing is sent: a value on a device is gone with its kernel.
        self._read_devices()
        self.kept_back.end("")
        sent = self.flush(seconds)
        if sent and self.sender.busy.acquire(timeout=1.0):
            try:
                self.delivery.close_twins()
            finally:
                self.sender.busy.release()
        # Runs that nobody has ended: what they had no room for is complete now.
        if sent and self.delivery.stage_over_limit():
            sent = self.flush(seconds)
        self._closed = True
        self.sender.stop()
        self._read_devices()
        self.points.close()
        self._flusher.stop()
        for run in self.journal.runs():
            # Whatever is still open is somebody's who goes on with it: MLflow's own functions, another client.
            self.journal.set_open(run.id, False)
        with self.journal.alone():
            # Another thread may have written since.
            self.journal.close(remove=sent and not self.waiting().total)

    def leave_to_parent(self) -> None:
        """Let go of everything in a forked child: journal, sender and lock are the parent's."""
        self._forked = True
        self.points.leave_to_parent()
        self.kept_back.leave_to_parent()
        self.journal.forget_lock()

    @property
    def foreign(self) -> bool:
        """Whether writes go to the store at once: in a forked child, and for who held on to it after :meth:`close`."""
        return self._forked or self._closed

    # -- helpers ----------------------------------------------------------------------------------------------

    def _spill(self, key: int, step: int, when: float, value: float) -> None:
        if len(self._spilled) < _SPILL and not self._forked:
            self._spilled.append(Point(step, when, value, key))
        else:
            self.lost += 1

    def read_later(self, append: Append, step: int, when: float, read: Callable[[], float]) -> None:
        """Take in a point whose value is still on a device; the sender's thread reads it."""
        self._later.append((append, step, when, read))
        if len(self._later) > _LATER:
            self._read_devices(1)

    def _before_round(self) -> None:
        self._read_devices()
        self.kept_back.release_due()

    def _read_devices(self, most: int | None = None) -> None:
        for _ in range(most if most is not None else len(self._later)):
            with contextlib.suppress(IndexError):  # another thread was faster
                append, step, when, read = self._later.popleft()
                try:
                    append(step, when, read())
                except Exception:  # noqa: BLE001
                    # A device that fails raises what it likes; one value must not keep the others here.
                    self.unread += 1


@dataclass(frozen=True)
class SeriesSink:
    """Where the points of one series go.

    Attributes
    ----------
    append, hold, read_later : callable
        As :class:`.disk.points.PointLog` and the outbox make them.
    """

    append: Append
    hold: Callable[[int, int, float, float], None]
    read_later: Callable[[Append, int, float, Callable[[], float]], None]

    def later(self, step: int, when: float, read: Callable[[], float]) -> None:
        """Append a point whose value `read` returns, in the sender's thread."""
        self.read_later(self.append, step, when, read)


def _bare(number: Any) -> Any:
    """Return a number of numpy's as Python's own; any other as it is."""
    return number.item() if hasattr(number, "item") else number


def _fields(metric: Metric) -> tuple[int, float, float] | None:
    """Return a point as a record keeps it; None where a record cannot."""
    step, timestamp, value = metric.step, metric.timestamp, metric.value
    if not (type(step) is int and type(timestamp) is int and type(value) is float and 0 <= timestamp < _EXACT):
        validation._validate_metric(metric.key, value, timestamp, step)
        step, timestamp = _bare(step), _bare(timestamp)
        if isinstance(value, complex) or not (isinstance(step, (int, float)) and isinstance(timestamp, (int, float))):
            raise mistakes.mistake(f"metric {metric.key}: step {step!r} and time {timestamp!r} must be int")
        try:
            value = float(value)
        except OverflowError as error:
            raise mistakes.mistake(f"metric {metric.key}: the value {value!r} is no 64-bit number") from error
        if not (mistakes.is_long(step) and mistakes.is_long(timestamp)):
            raise mistakes.mistake(f"metric {metric.key}: step {step!r} or time {timestamp!r} is no 64-bit number")
        if not (step % 1 == 0 == timestamp % 1 and -_LONG <= step < _LONG and timestamp < _EXACT):
            return None
        step, timestamp = int(step), int(timestamp)
    if not -_LONG <= step < _LONG:
        raise mistakes.mistake(f"metric {metric.key}: the step {step!r} is no 64-bit integer")
    return step, timestamp / 1000, value


def _rest(metric: Metric) -> dict[str, str]:
    """Return what MLflow 3 knows of a metric besides."""
    names = ("model_id", "dataset_name", "dataset_digest")
    return {name: value for name in names if (value := getattr(metric, name, None)) is not None}


def made_up_name() -> str:
    """Return a name as MLflow makes them up, without its use of the global generator.

    Under a state that is put back afterwards, that would give all runs of a kernel the same name.
    """
    from mlflow.utils import name_utils

    own = random.Random()
    words = own.choice(name_utils._GENERATOR_PREDICATES), own.choice(name_utils._GENERATOR_NOUNS)
    return "-".join((*map(str.lower, words), str(own.randint(0, 999))))


_living: weakref.WeakSet[Outbox] = weakref.WeakSet()


def _before_fork() -> None:
    for outbox in list(_living):
        # A child must not inherit a request on its way; a store that does not answer must not stop the fork either.
        # A request over the network is nothing that a child could break off: it opens connections of its own.
        outbox.sender.busy.acquire(timeout=0.0 if outbox.is_remote else 0.2)


def _after_fork_in_parent() -> None:
    for outbox in list(_living):
        with contextlib.suppress(RuntimeError):  # it was not acquired in time
            outbox.sender.busy.release()


def _after_fork_in_child() -> None:
    for outbox in list(_living):
        outbox.leave_to_parent()
    _living.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
