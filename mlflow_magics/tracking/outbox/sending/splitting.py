"""Sends a run's params, tags and points; a batch that is refused is halved until what is refused stands alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mlflow.entities import Metric, Param, RunTag
from mlflow.utils import validation

from ...calls.guards import reason
from ...failures.kinds import UnavailableError
from ...location.store_limits import StoreLimits
from ..disk.journal import Journal
from ..disk.over_limit import Kind, OverLimit
from .identities import Identities
from .refusals import Refusals
from .store_requests import RefusedError, StoreRequests

_FEWEST = 50


class Splitter:
    """Sends batches, and sets aside what a run has no room for. One thread at a time.

    Parameters
    ----------
    journal : Journal
        Keeps what is set aside.
    limits : StoreLimits
        What the store takes at most.
    requests : StoreRequests
        To the store.
    identities : Identities
        Says what is a model.
    refusals : Refusals
        Gets what is refused.

    Attributes
    ----------
    most : int
        How many entries a batch may have now: less, as long as the store is slow.
    over_limit : OverLimit
        What runs have no room for.
    """

    def __init__(
        self,
        journal: Journal,
        limits: StoreLimits,
        requests: StoreRequests,
        identities: Identities,
        refusals: Refusals,
    ) -> None:
        self.most = validation.MAX_METRICS_PER_BATCH
        self.over_limit = OverLimit(journal, limits)
        self._journal = journal
        self._requests = requests
        self._identities = identities
        self._refusals = refusals

    def grow(self) -> None:
        """Let batches be larger again: the store has taken full ones."""
        self.most = min(2 * self.most, validation.MAX_METRICS_PER_BATCH)

    def fitting(self, run: str, params: Mapping[str, str], tags: Mapping[str, str]) -> list[Any]:
        """Return what a run has room for of what is to be sent; set the rest aside."""
        some_params, changed = self.over_limit.fit(run, "params", params)
        some_tags, _ = self.over_limit.fit(run, "tags", tags)
        for name in changed:
            self._refusals.add(run, f"param {name}", "it has another value already, and params do not change")
        return [*(Param(k, v) for k, v in some_params.items()), *(RunTag(k, v) for k, v in some_tags.items())]

    def send(self, run: str, remote: str, entries: list[Any]) -> None:
        """Send one batch."""
        try:
            with self._requests.asking():
                self._requests.store.log_batch(
                    remote,
                    metrics=[e for e in entries if isinstance(e, Metric)],
                    params=[e for e in entries if isinstance(e, Param)],
                    tags=[e for e in entries if isinstance(e, RunTag)],
                )
        except RefusedError as error:
            fewer = self._without_excess(run, remote, entries, error)
            if len(fewer) < len(entries):
                if fewer:
                    self.send(run, remote, fewer)
            elif len(entries) > 1 and self._requests.is_deleted(remote):
                # One by one they would be as many requests, all refused.
                self._refusals.add(run, f"{len(entries)} values", error.why)
            else:
                self._split(run, remote, entries, error.why)
        except UnavailableError as error:
            # A store that is only slow gets less at a time.
            if error.timed_out and len(entries) > _FEWEST:
                self.most = max(_FEWEST, self.most // 2)
            if not self._requests.is_hopeless(error, remote, is_model=remote in self._identities.models):
                raise
            self._split(run, remote, entries, error.why)

    def stage_over_limit(self, run: str) -> None:
        """Make files of what was set aside of a run."""
        try:
            self.over_limit.stage(run)
        except OSError as error:
            self._refusals.add(run, "what is over the limit", reason(error))

    def stage_all_over_limit(self) -> bool:
        """Make files of all that is set aside, for runs that nobody will end any more; return whether there is any."""
        runs = self._journal.runs_over_limit()
        for run in runs:
            self.stage_over_limit(run)
        return bool(runs)

    def _without_excess(self, run: str, remote: str, entries: list[Any], error: RefusedError) -> list[Any]:
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
            with self._requests.asking():
                data = self._requests.store.get_run(remote).data
        except RefusedError:
            return entries
        self.over_limit.learn(run, kind, getattr(data, kind), most)
        fitting = self.fitting(run, *((mine, {}) if kind == "params" else ({}, mine)))
        return [*(e for e in entries if not isinstance(e, kept)), *fitting]

    def _split(self, run: str, remote: str, entries: list[Any], why: str) -> None:
        """Send the halves of what was refused; refuse what stands alone."""
        if len(entries) > 1:
            middle = len(entries) // 2
            self.send(run, remote, entries[:middle])
            self.send(run, remote, entries[middle:])
            return
        (entry,) = entries
        if isinstance(entry, Metric) and math.isnan(entry.value) and self._requests.has_nan(remote, entry):
            return
        kind = {Param: "param", Metric: "metric", RunTag: "tag"}[type(entry)]
        self._refusals.add(run, f"{kind} {entry.key}", why)
