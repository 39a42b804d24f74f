"""Sends the journal's writes in order, in few requests. A refused write does not stop the others."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from mlflow.entities import Metric

from ....vocabulary.records import LOCAL
from ...failures.kinds import UnavailableError
from ...location import store_limits
from ...location.store_limits import StoreLimits
from ..disk.damage import setaside
from ..disk.entries import Key, Row
from ..disk.journal import Journal
from ..disk.points.points import PointLog
from ..disk.points.records import Point
from . import replay
from .batches import batches
from .creating import Creator
from .files_pause import FilesPause, called
from .identities import Identities
from .refusals import Refusals
from .splitting import Splitter
from .store_requests import SECONDS, RefusedError, StoreRequests

WITHDRAWN_FACT = "withdrawn {}"
"""The journal's fact that the points of a key are not sent any more, by its number."""

WINDOW = 10_000
"""How many points are taken up at a time; after each, what was sent is forgotten."""


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
    repositories : dict of str to ArtifactRepository
        MLflow's own, by artifact URI, as far as they are at hand.
    requests : StoreRequests
        To the store.
    identities : Identities
        Its ids for what was made here.
    refusals : Refusals
        What it has refused.
    creator : Creator
        Creates in it what was made here.
    splitter : Splitter
        Sends it values, and sets aside what runs have no room for.
    files : FilesPause
        How long files wait for a store of theirs that takes none.
    begun : set of int
        Keys of which points went to the store.
    withdrawn : set of int
        Keys whose points are not sent any more: the author logs the same.
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
        self.tracking_uri = tracking_uri
        self.spilled = spilled if spilled is not None else []
        self.limits = limits or store_limits.of(tracking_uri)
        self.requests = StoreRequests(store, tracking_uri)
        self.identities = Identities(journal)
        self.refusals = Refusals(journal, self.identities, self.requests, self.limits)
        self.creator = Creator(journal, self.requests, self.identities, self.refusals)
        self.splitter = Splitter(journal, self.limits, self.requests, self.identities, self.refusals)
        self.files = FilesPause()
        self.position = journal.position()
        self.sent = self.taken = 0
        self.sends_file = False
        # Of `sent`: what the journal still holds, since its window or its run is not through yet.
        self._sent_points = self._sent_rows = 0
        self._window = WINDOW
        # Made by those who write: to make one imports modules, and two threads must not import MLflow's at a time.
        self.repositories: dict[str, Any] = {}
        self._begun: dict[str, dict[str, Any]] = defaultdict(dict)
        self._keys: dict[int, Key] = {}
        self.begun: set[int] = set()
        known = journal.keys()
        self.withdrawn = {number for number in known if journal.fact(WITHDRAWN_FACT.format(number))}

    def round(self, *, settled: bool = False, full_batches_only: bool = False) -> bool:
        """Send one window of what is waiting. Return whether there was anything."""
        rows = [] if full_batches_only else self.journal.rows()
        if self.files.is_on:
            rows = replay.before_files(rows)
        most = min(self._window, WINDOW)
        if full_batches_only:
            most = min(most, self.points.count(self.position) // self.splitter.most * self.splitter.most)
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
                self.refusals.add(key.run, f"metric {key.name}", "its time is no number")
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
            self._window = min(self._window, self.splitter.most)
            raise
        self._go_on(end)
        self._sent_points = 0
        grown = self._window >= min(8 * self.splitter.most, WINDOW)
        self._window = min(2 * self._window, WINDOW)
        del self.spilled[: len(extra)]
        self.requests.tries = 0
        # Not at once after a failure, or every other try would fail over the larger request.
        if len(points) >= self.splitter.most and grown:
            self.splitter.grow()
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

    def withdraw(self, number: int) -> None:
        """Send no more points of a key, nor have the next kernel send them."""
        self.withdrawn.add(number)
        self.journal.note(WITHDRAWN_FACT.format(number), "1")

    def waiting_metrics(self, run_id: str, name: str) -> list[Metric]:
        """Return the points of a metric that the store has not taken yet."""
        numbers = {number for number, key in self.journal.keys().items() if (key.run, key.name) == (run_id, name)}
        metrics: list[Metric] = []
        points, position = self.points.read(self.position, WINDOW)
        while points:
            keys = [(self._key(point.key), point) for point in points if point.key in numbers]
            metrics += [_metric(key, point) for key, point in keys if key is not None]
            points, position = self.points.read(position, WINDOW)
        return metrics

    # -- one run ----------------------------------------------------------------------------------------------

    def _keep(self, what: str, items: Sequence[Any]) -> None:
        """Set aside what cannot be sent, since nobody knows any more where it belongs."""
        setaside.add(self.journal.folder, f"{what}.jsonl", items)
        setaside.say(self.journal.folder, what, len(items))

    def _set_aside(self, run: str, rows: Sequence[Row], metrics: Sequence[Metric]) -> None:
        """Set aside all that waits for a run that cannot be created."""
        if metrics:
            self._keep("points", [[run, each.key, each.value, each.timestamp, each.step] for each in metrics])
        for row in rows:
            self.journal.set_write_aside(row.id, [row.run, row.op, row.data, row.at])

    def _deliver(self, run: str, rows: Sequence[Row], metrics: list[Metric], more: bool, done: list[int]) -> None:
        """Send what one run has waiting; `done` gets the numbers of the rows that are."""
        if self.identities.is_lost(run):
            self._set_aside(run, rows, metrics)
            return
        try:
            with self.requests.asking():
                remote = self.creator.remote(run) if run else ""
        except (RefusedError, UnavailableError) as error:
            if isinstance(error, UnavailableError) and not self.requests.is_hopeless(error, ""):
                raise
            self.refusals.add(run, "the model" if run in self.identities.models else "the run", error.why)
            self._set_aside(run, rows, metrics)
            return
        metrics = self._of_models(metrics)
        batch: list[int] = []
        params: dict[str, str] = {}
        tags: dict[str, str] = {}

        def flush() -> None:
            entries = [*self.splitter.fitting(run, params, tags), *metrics]
            for part in batches(entries, self.splitter.most, self.limits.rows_of_one_metric):
                self.splitter.send(run, remote, part)
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
                tags.update(self.creator.with_parent(row.data["tags"]))
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
                    self.creator.close_twins(run)
            elif run in self.identities.models:
                break  # it is not ready before its files have arrived
        else:
            flush()
        self.refusals.tag(run, self.creator.remote)

    def _count(self, *, points: int = 0, rows: int = 0) -> None:
        """Count what the store has taken, and say so: whoever shows the progress sees each request."""
        self.sent += points + rows
        self.taken += points + rows
        self._sent_points += points
        self._sent_rows += rows
        self.requests.heard()

    def _send_over_limit(self, run: str, remote: str, done: Sequence[int]) -> None:
        """Send what a run had no room for as its files, now that it is complete."""
        if run not in self.journal.runs_over_limit():
            return
        self.journal.done(done, None, {})  # or another try would set the same values aside for a second file
        before = self.journal.last()
        self.splitter.stage_over_limit(run)
        for row in self.journal.rows():
            is_new = row.id > before and row.run == run and row.data.get("fresh")
            # Files that are not taken now wait like all others, behind the run's end.
            if is_new and self._do(run, remote, row):
                self.journal.done([row.id], None, {})

    def _of_models(self, metrics: list[Metric]) -> list[Metric]:
        """Put the store's ids in place of those of models that were made here."""
        ids: dict[str, str | None] = {}
        for local in {getattr(metric, "model_id", None) for metric in metrics}:  # MLflow 2 knows none
            if local and local.startswith(LOCAL):
                try:
                    with self.requests.asking():
                        ids[local] = self.creator.remote(local)
                except RefusedError:
                    ids[local] = None  # told with the model; the point is the run's all the same
        if not ids:
            return metrics
        return [_renamed(each, ids[each.model_id]) if each.model_id in ids else each for each in metrics]

    def _do(self, run: str, remote: str, row: Row) -> bool:
        """Do one write; return whether it is done with."""
        if row.op == "artifact" and self.files.is_on:
            return False
        try:
            # A server may hand a large file on to somebody else before it answers: MLflow's own patience.
            self.sends_file = row.op == "artifact"
            with self.requests.asking(None if self.sends_file else SECONDS):
                if row.op == "experiment":
                    self.creator.create_experiment(row.data)
                else:
                    replay.do(row.op, self.requests.store, remote, {**self._context(run), **self._data(run, row)})
        except UnavailableError as error:
            is_model = remote in self.identities.models
            if row.op == "artifact" and self.requests.is_alive(remote, is_model=is_model):
                others = sum(each.op == "artifact" for each in self.journal.rows()) - 1
                self.files.begin(row, others, error.why, error.after)
                return False
            if not self.requests.is_hopeless(error, remote, is_model=is_model):
                raise
            self.refusals.add(run, row.op, error.why)
        except RefusedError as error:
            self.refusals.add(run, f"{row.op} {called(row)}".strip(), error.why)
        finally:
            self.sends_file = False
        if row.op == "untag":
            self.splitter.over_limit.forget(run, row.data["key"])
        if row.op == "artifact":
            self.journal.files.delete(row.data["staged"])
            self._begun.pop(row.data["staged"], None)
            self.files.end()
        return True

    def _context(self, run: str) -> dict[str, Any]:
        return {
            "tracking_uri": self.tracking_uri,
            "repositories": self.repositories,
            "begun": self._begun,
            "remote": self.creator.remote,
            "place": self.creator.place,
            "refuse": partial(self.refusals.add, run),
        }

    def _data(self, run: str, row: Row) -> Mapping[str, Any]:
        if row.op == "model status" and run in self.refusals.broken:
            return {"status": "FAILED"}  # the store has refused files of it
        return row.data

    # -- small ------------------------------------------------------------------------------------------------

    def _key(self, number: int) -> Key | None:
        if number not in self._keys:
            self._keys = self.journal.keys()
        return self._keys.get(number) if number not in self.withdrawn else None


def _is_readable(row: Row) -> bool:
    """Tell whether a write is one: another version of ours, or a mistake of ours, may have written it."""
    data = row.data
    if not isinstance(data, Mapping):
        return False
    if row.op == "values":
        return all(isinstance(data.get(kind), Mapping) for kind in ("params", "tags"))
    return row.op != "artifact" or {"uri", "path", "staged", "folder"} <= data.keys()


def _metric(key: Key, point: Point) -> Metric:
    return Metric(key.name, point.value, round(point.when * 1000), point.step, **key.rest)


def _renamed(metric: Metric, model_id: str | None) -> Metric:
    data = {"dataset_name": metric.dataset_name, "dataset_digest": metric.dataset_digest}
    return Metric(metric.key, metric.value, metric.timestamp, metric.step, model_id=model_id, **data)
