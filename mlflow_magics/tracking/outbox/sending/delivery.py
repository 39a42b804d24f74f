"""What lies in a journal, brought to a store: in order, in few requests, a refused write without its neighbours."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param, Run, RunStatus, RunTag
from mlflow.utils import validation
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from ....vocabulary.records import LOCAL
from ...calls import filters
from ...calls.guards import reason
from ...calls.timeouts import one_try, retry_after
from ...failures.kinds import UnavailableError, failure_kind, limit_of, unavailable
from ...location import store_limits
from ...location.store_limits import StoreLimits
from ...location.storefile import Watch
from ..disk import setaside
from ..disk.journal import Journal, Key, Row, RunEntry
from ..disk.over_limit import Kind, OverLimit
from ..disk.points import Point, PointLog
from . import replay
from .batches import batches

ORIGIN_TAG = "mlflow_magics.origin"
"""A tag, unique to a run, by which it is found again where the answer to its creation was lost."""

REJECTED_TAG = "mlflow_magics.rejected"
"""The tag in which a run keeps what the store refused of it."""

WITHDRAWN_FACT = "withdrawn {}"
"""The journal's fact that the points of a key are not sent any more, by its number."""

WINDOW = 10_000
"""How many points are taken up at a time; after each, what was sent is forgotten."""

SECONDS = 30.0
"""How long one request may take. Nobody waits for it but the sender."""

_FEWEST = 50
_TRIES = 6
_FILES_SECONDS = 60.0


class Attempt:
    """A creation on its way in a thread of its own, which nobody waits for any more.

    Attributes
    ----------
    remote : str
        The run's id in the store, once it is known.
    """

    def __init__(self) -> None:
        self.remote = ""
        self._over = threading.Event()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def wait(self) -> str:
        """Wait until it is over, and return what it has created; empty if it is not known."""
        self._over.wait(SECONDS)
        return self.remote


class Delivery:
    """The way from one journal to one store. One thread at a time.

    Parameters
    ----------
    journal : Journal
        Owned by us.
    points : PointLog
        Of the same folder.
    store : mlflow.store.tracking.AbstractStore
        MLflow's own.
    tracking_uri : str
        Its URI.
    spilled : list of Point, optional
        Points that found no room in the journal; emptied as they are sent.
    limits : StoreLimits, optional
        What the store takes at most; by its URI where it is not given.

    Attributes
    ----------
    sent : int
        Writes that the store has taken.
    taken : int
        The same, with the points that are sent again after a failure counted again.
    tries : int
        How often in a row it failed over one write, and answered otherwise.
    files_trouble : str
        Why files are not taken although the rest is; empty while they are.
    repositories : dict of str to ArtifactRepository
        MLflow's own, by artifact URI, as far as they are at hand.
    refused : dict of str to list
        By run, what the store refused, and why.
    models : dict of str to str
        Logged models (MLflow 3), by the kernel's id and by the store's: the run that each comes from, or nothing.
    over_limit : OverLimit
        What runs have no room for.
    begun : set of int
        Keys of which points went to the store.
    withdrawn : set of int
        Keys whose points are not sent any more: the author logs the same.
    file : Watch
        The file of the store, where it is one.
    heard : callable
        Called after each request that the store has answered.
    sends_file : bool
        Whether a file is on its way, which may take longer than other requests.
    """

    def __init__(
        self,
        journal: Journal,
        points: PointLog,
        store: Any,
        tracking_uri: str,
        spilled: list[Point] | None = None,
        limits: StoreLimits | None = None,
    ) -> None:
        self.journal = journal
        self.points = points
        self.store = store
        self.tracking_uri = tracking_uri
        self.spilled = spilled if spilled is not None else []
        self.limits = limits or store_limits.of(tracking_uri)
        self.file = Watch(tracking_uri)
        self.over_limit = OverLimit(journal, self.limits)
        self.position = journal.position()
        self.remotes = {run.id: run.remote for run in journal.runs() if run.remote}
        self.models: dict[str, str] = {}
        for run in journal.runs():
            self.note_model(run)
        self.renamed = journal.renamed()
        self.sent = self.taken = 0
        self.heard: Callable[[], None] = lambda: None
        self.sends_file = False
        # Of `sent`: what the journal still holds, since its window or its run is not through yet.
        self._sent_points = self._sent_rows = 0
        self._window = WINDOW
        self.refused: dict[str, list[tuple[str, str]]] = defaultdict(list)
        # Made by those who write: to make one imports modules, and two threads must not import MLflow's at a time.
        self.repositories: dict[str, Any] = {}
        self.tries = 0
        self.files_trouble = ""
        self._files_again = 0.0
        self._files_tries = 0
        self._begun: dict[str, dict[str, Any]] = defaultdict(dict)
        self._keys: dict[int, Key] = {}
        self.begun: set[int] = set()
        known = journal.keys()
        self.withdrawn = {number for number in known if journal.fact(WITHDRAWN_FACT.format(number))}
        # A kernel that died may have died between the store's doing and the note of it.
        self.attempts: dict[str, Attempt] = {}
        self._doubtful = {run.id for run in journal.runs() if not run.remote}
        self._broken: set[str] = set()
        self._told: Counter[str] = Counter()
        self._most = validation.MAX_METRICS_PER_BATCH

    def round(self, *, settled: bool = False, full_batches_only: bool = False) -> bool:
        """Send one window of what is waiting. Return whether there was anything."""
        rows = [] if full_batches_only else self.journal.rows()
        if time.monotonic() < self._files_again:
            rows = replay.before_files(rows)
        most = min(self._window, WINDOW)
        if full_batches_only:
            most = min(most, self.points.count(self.position) // self._most * self._most)
        points, end = self.points.read(self.position, most, settled=settled)
        self.spilled += self.points.late(self.position)
        extra = self.spilled[:]
        if not (rows or points or extra):
            self._go_on(end)
            return False
        rows_of: dict[str, list[Row]] = defaultdict(list)
        points_of: dict[str, list[Metric]] = defaultdict(list)
        written: dict[str, int] = defaultdict(int)
        nobodys: list[Point] = []
        for row in rows:
            rows_of[row.run].append(row)
            written[row.run] = max(written[row.run], row.at)
        for point in (*points, *extra):
            key = self._key(point.key)
            if key is None:
                if point.key not in self.withdrawn:
                    nobodys.append(point)  # whose it is cannot be read any more
                continue
            if not math.isfinite(point.when * 1000):
                self._refuse(key.run, f"metric {key.name}", "its time is no number")
                continue
            points_of[key.run].append(_metric(key, point))
            written[key.run] = max(written[key.run], round(point.when * 1000))
        if nobodys:
            self._keep("points", nobodys)
        more = self.points.count(end) > 0
        self.begun |= {point.key for point in (*points, *extra)}
        try:
            for run in dict.fromkeys((*rows_of, *points_of)):
                done: list[int] = []
                has_points = bool(points_of[run])  # the list is emptied as they are sent
                try:
                    self._deliver(run, rows_of[run], points_of[run], more, done)
                finally:
                    # What the store has taken before it failed is not sent again.
                    self.journal.done(done, None, {run: written[run]} if done or has_points else {})
                    self._sent_rows = 0
        except BaseException:
            # The points are: a smaller window at a time then, or a store that fails often would never get them all.
            self.sent -= self._sent_points
            self._sent_points = 0
            self._window = min(self._window, self._most)
            raise
        self._go_on(end)
        self._sent_points = 0
        grown = self._window >= min(8 * self._most, WINDOW)
        self._window = min(2 * self._window, WINDOW)
        del self.spilled[: len(extra)]
        self.tries = 0
        # Not at once after a failure, or every other try would fail over the larger request.
        if len(points) >= self._most and grown:
            self._most = min(2 * self._most, validation.MAX_METRICS_PER_BATCH)
        return True

    @property
    def ahead(self) -> int:
        """How many writes the store has taken that the journal still counts as waiting."""
        return self._sent_points + self._sent_rows

    def _go_on(self, end: int) -> None:
        """Forget the points up to a position."""
        if end != self.position:
            self.journal.done((), end, {})
            self.position = end
            self.points.drop(end)

    def ask(self) -> None:
        """Ask the store for next to nothing, to see whether it answers."""
        try:
            with self._asking():
                self.store.search_experiments(max_results=1)
        except _RefusedError:
            return  # an answer too

    def expect_file(self) -> None:
        """See that the file of the store is the one that was opened."""
        if gone := self.file.gone():
            raise UnavailableError(gone, passing=True)

    def retry_files(self) -> None:
        """Try files again in the next round, although their store has just not taken them."""
        self._files_again = 0.0
        self.files_trouble = ""

    def remote(self, run_id: str) -> str:
        """Return a run's id in the store; create the run there if need be."""
        if run_id in self.remotes:
            return self.remotes[run_id]
        entry = next((run for run in self.journal.runs() if run.id == run_id), None)
        if entry is None or entry.remote:
            return entry.remote if entry is not None else run_id  # somebody else's run: the id is the store's own
        remote = self._create(entry)
        self.journal.set_remote(run_id, remote)
        self.remotes[run_id] = remote
        return remote

    def note_model(self, entry: RunEntry) -> None:
        """Remember an entry that is a logged model's."""
        if entry.creation.get("model"):
            self.models[entry.id] = self.models[entry.remote or entry.id] = entry.creation["run"] or ""

    def withdraw(self, number: int) -> None:
        """Send no more points of a key, nor have the next kernel send them."""
        self.withdrawn.add(number)
        self.journal.note(WITHDRAWN_FACT.format(number), "1")

    def owner(self, run_id: str) -> str:
        """Return the run that writes are shown with: for those of a model, the run that it comes from."""
        return self.models.get(run_id) or run_id

    def place(self, run_id: str) -> str:
        """Return where the store keeps the files of a run or a model."""
        remote = self.remote(run_id)
        if run_id in self.models:
            return str(self.store.get_logged_model(remote).artifact_location)
        return str(self.store.get_run(remote).info.artifact_uri)

    def waiting_metrics(self, run_id: str, name: str) -> list[Metric]:
        """Return the points of a metric that the store has not taken yet."""
        numbers = {number for number, key in self.journal.keys().items() if (key.run, key.name) == (run_id, name)}
        found: list[Metric] = []
        points, position = self.points.read(self.position, WINDOW)
        while points:
            keys = [(self._key(point.key), point) for point in points if point.key in numbers]
            found += [_metric(key, point) for key, point in keys if key is not None]
            points, position = self.points.read(position, WINDOW)
        return found

    # -- one run ----------------------------------------------------------------------------------------------

    def _keep(self, what: str, items: Sequence[Any]) -> None:
        """Set aside what cannot be sent, since nobody knows any more where it belongs."""
        setaside.add(self.journal.folder, f"{what}.jsonl", items)
        setaside.say(self.journal.folder, what, len(items))

    def _is_lost(self, run: str) -> bool:
        """Tell whether nothing says any more how to create a run that the store does not know."""
        known = run in self.remotes or not run.startswith(LOCAL) or run in self.renamed
        return not known and all(entry.id != run for entry in self.journal.runs())

    def _set_aside(self, run: str, rows: Sequence[Row], metrics: Sequence[Metric]) -> None:
        """Set aside all that waits for a run that cannot be created."""
        if metrics:
            self._keep("points", [[run, each.key, each.value, each.timestamp, each.step] for each in metrics])
        for row in rows:
            self.journal.set_write_aside(row.id, [row.run, row.op, row.data, row.at])

    def _deliver(self, run: str, rows: Sequence[Row], metrics: list[Metric], more: bool, done: list[int]) -> None:
        """Send what one run has waiting; `done` gets the numbers of the rows that are."""
        if self._is_lost(run):
            self._set_aside(run, rows, metrics)
            return
        try:
            with self._asking():
                remote = self.remote(run) if run else ""
        except (_RefusedError, UnavailableError) as error:
            if isinstance(error, UnavailableError) and not self._hopeless("", error):
                raise
            self._refuse(run, "the model" if run in self.models else "the run", error.why)
            self._set_aside(run, rows, metrics)
            return
        metrics = self._of_models(metrics)
        batch: list[int] = []
        params: dict[str, str] = {}
        tags: dict[str, str] = {}

        def flush() -> None:
            entries = [*self._fitting(run, params, tags), *metrics]
            for part in batches(entries, self._most, self.limits.rows_of_one_metric):
                self._send(run, remote, part)
                self._count(points=sum(isinstance(entry, Metric) for entry in part))
            done.extend(batch)
            self._count(rows=len(batch))
            for used in (params, tags, metrics, batch):
                used.clear()

        for row in rows:
            if not _is_readable(row):
                self.journal.set_write_aside(row.id, [row.run, row.op, row.data, row.at])
                continue
            if row.op == "values":
                if any(params.get(key, value) != value for key, value in row.data["params"].items()):
                    flush()  # a changed param: the store refuses it, and only it
                params.update(row.data["params"])
                tags.update(self._with_parent(row.data["tags"]))
                batch.append(row.id)
                continue
            if row.op == "create":
                done.append(row.id)  # the lookup of `remote` has done it
                self._count(rows=1)
                continue
            flush()
            if more and replay.ends_run(row.op, row.data):
                break  # points of it may lie behind this window
            if replay.ends_run(row.op, row.data):
                self._send_over_limit(run, remote, done)
            if self._do(run, remote, row):
                done.append(row.id)
                self._count(rows=1)
                if replay.ends_run(row.op, row.data):
                    self.close_twins(run)
            elif run in self.models:
                break  # it is not ready before its files have arrived
        else:
            flush()
        owner = self.owner(run)
        if len(self.refused[owner]) > self._told[owner]:
            self._tell(owner)
            self._told[owner] = len(self.refused[owner])

    def _count(self, *, points: int = 0, rows: int = 0) -> None:
        """Count what the store has taken, and say so: whoever shows the progress sees each request."""
        self.sent += points + rows
        self.taken += points + rows
        self._sent_points += points
        self._sent_rows += rows
        self.heard()

    def _with_parent(self, tags: Mapping[str, str]) -> Mapping[str, str]:
        """Name a parent run by the store's id, which it may not have had when the tag was written."""
        parent = tags.get(MLFLOW_PARENT_RUN_ID, "")
        if not parent.startswith(LOCAL):
            return tags
        try:
            with self._asking():
                return {**tags, MLFLOW_PARENT_RUN_ID: self.remote(parent)}
        except _RefusedError:
            return tags  # told where its own writes are sent

    def _fitting(self, run: str, params: Mapping[str, str], tags: Mapping[str, str]) -> list[Any]:
        """Return what a run has room for of what is to be sent; set the rest aside."""
        some_params, changed = self.over_limit.fit(run, "params", params)
        some_tags, _ = self.over_limit.fit(run, "tags", tags)
        for name in changed:
            self._refuse(run, f"param {name}", "it has another value already, and params do not change")
        return [*(Param(k, v) for k, v in some_params.items()), *(RunTag(k, v) for k, v in some_tags.items())]

    def _send_over_limit(self, run: str, remote: str, done: Sequence[int]) -> None:
        """Send what a run had no room for as its files, now that it is complete."""
        if run not in self.journal.runs_over_limit():
            return
        self.journal.done(done, None, {})  # or another try would set the same values aside for a second file
        before = self.journal.last()
        self._stage_over_limit(run)
        for row in self.journal.rows():
            is_new = row.id > before and row.run == run and row.data.get("fresh")
            # Files that are not taken now wait like all others, behind the run's end.
            if is_new and self._do(run, remote, row):
                self.journal.done([row.id], None, {})

    def _stage_over_limit(self, run: str) -> None:
        try:
            self.over_limit.stage(run)
        except OSError as error:
            self._refuse(run, "what is over the limit", reason(error))

    def stage_over_limit(self) -> bool:
        """Make files of all that is set aside, for runs that nobody will end any more; return whether there is any."""
        runs = self.journal.runs_over_limit()
        for run in runs:
            self._stage_over_limit(run)
        return bool(runs)

    def _of_models(self, metrics: list[Metric]) -> list[Metric]:
        """Put the store's ids in place of those of models that were made here."""
        ids: dict[str, str | None] = {}
        for local in {getattr(metric, "model_id", None) for metric in metrics}:  # MLflow 2 knows none
            if local and local.startswith(LOCAL):
                try:
                    with self._asking():
                        ids[local] = self.remote(local)
                except _RefusedError:
                    ids[local] = None  # told with the model; the point is the run's all the same
        if not ids:
            return metrics
        return [_renamed(each, ids[each.model_id]) if each.model_id in ids else each for each in metrics]

    def _do(self, run: str, remote: str, row: Row) -> bool:
        """Do one write; return whether it is done with."""
        if row.op == "artifact" and time.monotonic() < self._files_again:
            return False  # the files' store has not taken the one before: each more may take as long to fail
        try:
            # A server may hand a large file on to somebody else before it answers: MLflow's own patience.
            self.sends_file = row.op == "artifact"
            with self._asking(None if self.sends_file else SECONDS):
                if row.op == "experiment":
                    self._experiment(row.data)
                else:
                    replay.do(row.op, self.store, remote, {**self._context(run), **self._data(run, row)})
        except UnavailableError as error:
            if row.op == "artifact" and self._alive(remote):
                # Files have a store of their own: a bucket that nobody may write to must not hold up the rest.
                self._files_tries += 1
                self._files_again = time.monotonic() + max(
                    error.after or 0.0, min(2.0**self._files_tries, _FILES_SECONDS)
                )
                self.files_trouble = f"files ({self._named_files(row)}): {error.why}"
                return False
            if not self._hopeless(remote, error):
                raise
            self._refuse(run, row.op, error.why)
        except _RefusedError as error:
            self._refuse(run, f"{row.op} {_called(row)}".strip(), error.why)
        finally:
            self.sends_file = False
        if row.op == "untag":
            self.over_limit.forget(run, row.data["key"])
        if row.op == "artifact":
            self.journal.unstage(row.data["staged"])
            self._begun.pop(row.data["staged"], None)
            self.files_trouble, self._files_tries = "", 0
        return True

    def _named_files(self, row: Row) -> str:
        """Name the files that wait: the one that was not taken, and how many others."""
        others = sum(each.op == "artifact" for each in self.journal.rows()) - 1
        return _called(row) + (f" and {others} more" if others > 0 else "")

    def _context(self, run: str) -> dict[str, Any]:
        known = {"tracking_uri": self.tracking_uri, "repositories": self.repositories, "begun": self._begun}
        return known | {"remote": self.remote, "place": self.place, "refuse": partial(self._refuse, run)}

    def _data(self, run: str, row: Row) -> Mapping[str, Any]:
        if row.op == "model status" and run in self._broken:
            return {"status": "FAILED"}  # the store has refused files of it
        return row.data

    def _alive(self, remote: str) -> bool:
        """Tell whether the store answers for a run, so that the trouble is with one write only."""
        try:
            if not remote:
                self.ask()
                return True
            with self._asking():
                self.store.get_logged_model(remote) if remote in self.models else self.store.get_run(remote)
        except (UnavailableError, _RefusedError):
            return False
        return True

    def _send(self, run: str, remote: str, entries: list[Any]) -> None:
        """Send one batch; where it is refused, halve it until what is refused stands alone."""
        try:
            with self._asking():
                self.store.log_batch(
                    remote,
                    metrics=[e for e in entries if isinstance(e, Metric)],
                    params=[e for e in entries if isinstance(e, Param)],
                    tags=[e for e in entries if isinstance(e, RunTag)],
                )
        except _RefusedError as error:
            fewer = self._without_excess(run, remote, entries, error)
            if len(fewer) < len(entries):
                if fewer:
                    self._send(run, remote, fewer)
            elif len(entries) > 1 and self._is_deleted(remote):
                # One by one they would be as many requests, all refused.
                self._refuse(run, f"{len(entries)} values", error.why)
            else:
                self._split(run, remote, entries, error.why)
        except UnavailableError as error:
            # A store that is only slow gets less at a time.
            if error.timed_out and len(entries) > _FEWEST:
                self._most = max(_FEWEST, self._most // 2)
            if not self._hopeless(remote, error):
                raise
            self._split(run, remote, entries, error.why)

    def _without_excess(self, run: str, remote: str, entries: list[Any], error: _RefusedError) -> list[Any]:
        """Set aside what made a run too full, though we had counted: it was resumed, or somebody else writes to it."""
        if error.limit is None:
            return entries
        field, most = error.limit
        kind: Kind = "tags" if "tag" in field.lower() else "params"
        kept = RunTag if kind == "tags" else Param
        mine = {e.key: e.value for e in entries if isinstance(e, kept)}
        if not mine:
            return entries
        try:
            with self._asking():
                data = self.store.get_run(remote).data
        except _RefusedError:
            return entries
        self.over_limit.learn(run, kind, getattr(data, kind), most)
        fitting = self._fitting(run, *((mine, {}) if kind == "params" else ({}, mine)))
        return [*(e for e in entries if not isinstance(e, kept)), *fitting]

    def _hopeless(self, remote: str, error: UnavailableError) -> bool:
        """Tell whether a store answers all but one write, time and again: it cannot take it.

        That is a character its database does not know, for example. What may pass later is waited for, however long.
        """
        if error.passing or not self._alive(remote):
            return False
        self.tries += 1
        return self.tries > _TRIES

    def _is_deleted(self, remote: str) -> bool:
        try:
            with self._asking():
                return bool(self.store.get_run(remote).info.lifecycle_stage != "active")
        except _RefusedError:
            return True

    def _split(self, run: str, remote: str, entries: list[Any], why: str) -> None:
        if len(entries) > 1:
            middle = len(entries) // 2
            self._send(run, remote, entries[:middle])
            self._send(run, remote, entries[middle:])
            return
        (entry,) = entries
        if isinstance(entry, Metric) and math.isnan(entry.value) and self._has_nan(remote, entry):
            return
        kind = {Param: "param", Metric: "metric", RunTag: "tag"}[type(entry)]
        self._refuse(run, f"{kind} {entry.key}", why)

    def _has_nan(self, remote: str, metric: Metric) -> bool:
        """Tell whether a store holds a point already: MLflow 2's refuse a NaN that they are sent again."""
        with self._asking():
            history = self.store.get_metric_history(remote, metric.key)
        return any((m.step, m.timestamp) == (metric.step, metric.timestamp) and math.isnan(m.value) for m in history)

    def _refuse(self, run: str, what: str, why: str) -> None:
        if what.startswith("artifact"):
            self._broken.add(run)
        run = self.owner(run)
        if (what, why) not in self.refused[run]:  # once, however often it was logged, and tried
            self.refused[run].append((what, why))
            self.journal.reject(run, what, why)

    def _tell(self, run: str) -> None:
        """Keep in the run itself what was refused of it."""
        text = json.dumps([{"what": what, "why": why} for what, why in self.journal.rejected(run)])
        try:
            with self._asking():
                self.store.set_tag(self.remote(run), RunTag(REJECTED_TAG, text[: self.limits.tag_value]))
        except _RefusedError:
            return  # the run itself is gone; the journal and the block still tell

    # -- creating ---------------------------------------------------------------------------------------------

    def _create(self, entry: RunEntry) -> str:
        experiment = self._experiment_of(entry)
        creation = entry.creation
        if creation.get("model"):
            return self._create_model(entry, experiment)
        tags = dict(creation["tags"])
        parent = tags.get(MLFLOW_PARENT_RUN_ID)
        if parent is not None:
            tags[MLFLOW_PARENT_RUN_ID] = self.remote(parent)
        if creation.get("doubtful") or entry.id in self._doubtful:
            attempt = self.attempts.pop(entry.id, None)
            if attempt is not None and (made := attempt.wait()):
                return made
            found = self.find(experiment, tags[ORIGIN_TAG])
            if found:
                return found
        self._doubtful.add(entry.id)
        facts = creation["user"], creation["started"], [RunTag(k, v) for k, v in tags.items()], creation["name"]
        run, moved = replay.create_run(
            experiment, lambda where: self.store.create_run(where, *facts), self.store.get_experiment_by_name
        )
        if moved:
            self._refuse(entry.id, "its experiment", moved)
        return str(run.info.run_id)

    def close_twins(self, of: str = "") -> None:
        """Close what an earlier try has created beside a run: nobody heard of it; it arrived after the second try."""
        doubtful = [run for run in self.journal.runs() if run.creation.get("doubtful") and "model" not in run.creation]
        for run in doubtful:
            if (of and run.id != of) or not (remote := self.remotes.get(run.id, run.remote)):
                continue
            try:
                with self._asking():
                    for twin in self._of_origin(self.renamed.get(run.experiment, run.experiment), run.creation):
                        if twin.info.run_id != remote and twin.info.status == "RUNNING":
                            self.store.update_run_info(twin.info.run_id, RunStatus.KILLED, run.written, None)
                            self.store.delete_run(twin.info.run_id)  # it holds nothing
            except (UnavailableError, _RefusedError):
                continue  # looked for again when the outbox is closed

    def _of_origin(self, experiment: str, creation: Mapping[str, Any]) -> list[Run]:
        from mlflow.entities import ViewType

        query = f"tags.`{ORIGIN_TAG}` = '{creation['tags'][ORIGIN_TAG]}'"
        return list(self.store.search_runs([experiment], query, ViewType.ACTIVE_ONLY, 10, None, None))

    def _create_model(self, entry: RunEntry, experiment: str) -> str:
        run = entry.creation["run"] and self.remote(entry.creation["run"])
        tried = entry.creation["doubtful"] or entry.id in self._doubtful
        self._doubtful.add(entry.id)
        origin = (ORIGIN_TAG, entry.creation["tags"][ORIGIN_TAG]) if tried else None
        remote = replay.create_model(self.store, experiment, run, entry.creation, origin)
        self.models[remote] = self.models[entry.id]
        return remote

    def find(self, experiment: str, origin: str) -> str:
        """Return the id of the run that an earlier try has created; empty if there is none."""
        from mlflow.entities import ViewType

        found = self.store.search_runs(
            [experiment], filters.equal(f"tags.`{ORIGIN_TAG}`", origin), ViewType.ALL, 1, None, None
        )
        return str(found[0].info.run_id) if found else ""

    def _experiment_of(self, entry: RunEntry) -> str:
        """Return the store's id of a run's experiment; create it there if need be."""
        if entry.experiment.startswith(LOCAL) and entry.experiment not in self.renamed:
            for row in self.journal.rows():
                if row.op == "experiment" and row.data["local"] == entry.experiment:
                    self._experiment(row.data)
        return self.renamed.get(entry.experiment, entry.experiment)

    def _experiment(self, data: Mapping[str, Any]) -> None:
        found = self.store.get_experiment_by_name(data["name"])
        if found is not None:
            remote = found.experiment_id
        else:
            remote = self.store.create_experiment(data["name"], data.get("artifact_location"), [])
        self.renamed[data["local"]] = str(remote)
        self.journal.rename(data["local"], str(remote))

    # -- small ------------------------------------------------------------------------------------------------

    def _key(self, number: int) -> Key | None:
        if number not in self._keys:
            self._keys = self.journal.keys()
        return self._keys.get(number) if number not in self.withdrawn else None

    @contextmanager
    def _asking(self, seconds: float | None = SECONDS) -> Iterator[None]:
        """Turn what a request raises into what it means."""
        self.expect_file()
        try:
            with one_try(seconds):
                yield
            self.heard()
        except (UnavailableError, _RefusedError):
            raise
        except Exception as error:
            # Stores and plugins raise what they like; nothing of it may end the sender, or be lost.
            if failure_kind(error) == "refused":
                raise _RefusedError(reason(error), limit_of(error)) from error
            raise unavailable(error, retry_after()) from error


class _RefusedError(Exception):
    """The store will never take this write."""

    def __init__(self, why: str, limit: tuple[str, int] | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.limit = limit


def _is_readable(row: Row) -> bool:
    """Tell whether a write is one: another version of ours, or a mistake of ours, may have written it."""
    data = row.data
    if not isinstance(data, Mapping):
        return False
    if row.op == "values":
        return all(isinstance(data.get(kind), Mapping) for kind in ("params", "tags"))
    return row.op != "artifact" or {"uri", "path", "staged", "folder"} <= data.keys()


def _called(row: Row) -> str:
    """Return the name that the user knows a write by."""
    path, staged = row.data.get("path") or "", row.data.get("staged")
    if staged and not row.data["folder"]:
        file = next(Path(staged).glob("*"), None)  # an earlier try may have tidied it up
        return "/".join(filter(None, (path, file.name if file is not None else "")))
    if staged and not path:
        names = sorted(file.name for file in Path(staged).glob("*"))
        return ", ".join(names[:3])
    return str(path or row.data.get("key") or "")


def _metric(key: Key, point: Point) -> Metric:
    return Metric(key.name, point.value, round(point.when * 1000), point.step, **key.rest)


def _renamed(metric: Metric, model_id: str | None) -> Metric:
    data = {"dataset_name": metric.dataset_name, "dataset_digest": metric.dataset_digest}
    return Metric(metric.key, metric.value, metric.timestamp, metric.step, model_id=model_id, **data)
