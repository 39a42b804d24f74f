"""Creates in the store what was made here: runs, logged models and experiments, each of them once.

The answer to a creation may be lost. So each run carries a tag of its own, by which it is found again.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from mlflow.entities import Run, RunStatus, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from ....vocabulary.records import LOCAL
from ...calls import filters
from ...failures.kinds import UnavailableError
from ..disk.entries import RunEntry
from ..disk.journal import Journal
from . import replay
from .identities import Identities
from .refusals import Refusals
from .store_requests import SECONDS, RefusedError, StoreRequests

ORIGIN_TAG = "mlflow_magics.origin"
"""A tag, unique to a run, by which it is found again where the answer to its creation was lost."""


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


class Creator:
    """Creates what one journal's writes need. One thread at a time.

    Parameters
    ----------
    journal : Journal
        Says how.
    requests : StoreRequests
        To the store.
    identities : Identities
        Gets the ids.
    refusals : Refusals
        Gets what could not be created as it was asked for.

    Attributes
    ----------
    attempts : dict of str to Attempt
        By the run's local id, creations that others have begun.
    """

    def __init__(self, journal: Journal, requests: StoreRequests, identities: Identities, refusals: Refusals) -> None:
        self.attempts: dict[str, Attempt] = {}
        self._journal = journal
        self._requests = requests
        self._identities = identities
        self._refusals = refusals
        # A kernel that died may have died between the store's doing and the note of it.
        self._doubtful = {run.id for run in journal.runs() if not run.remote}

    def remote(self, run_id: str) -> str:
        """Return a run's id in the store; create the run there if need be."""
        if run_id in self._identities.remotes:
            return self._identities.remotes[run_id]
        entry = next((run for run in self._journal.runs() if run.id == run_id), None)
        if entry is None or entry.remote:
            return entry.remote if entry is not None else run_id  # somebody else's run: the id is the store's own
        experiment = self._experiment_of(entry)
        create = self._create_model if entry.creation.get("model") else self._create_run
        remote = create(entry, experiment)
        self._identities.note_remote(run_id, remote)
        return remote

    def place(self, run_id: str) -> str:
        """Return where the store keeps the files of a run or a model."""
        remote = self.remote(run_id)
        if run_id in self._identities.models:
            return str(self._requests.store.get_logged_model(remote).artifact_location)
        return str(self._requests.store.get_run(remote).info.artifact_uri)

    def with_parent(self, tags: Mapping[str, str]) -> Mapping[str, str]:
        """Name a parent run by the store's id, which it may not have had when the tag was written."""
        parent = tags.get(MLFLOW_PARENT_RUN_ID, "")
        if not parent.startswith(LOCAL):
            return tags
        try:
            with self._requests.asking():
                return {**tags, MLFLOW_PARENT_RUN_ID: self.remote(parent)}
        except RefusedError:
            return tags  # told where its own writes are sent

    def find(self, experiment: str, origin: str) -> str:
        """Return the id of the run that an earlier try has created; empty if there is none."""
        from mlflow.entities import ViewType

        runs = self._of_origin(experiment, origin, ViewType.ALL, 1)
        return str(runs[0].info.run_id) if runs else ""

    def close_twins(self, of: str = "") -> None:
        """Close what an earlier try has created beside a run: nobody heard of it; it arrived after the second try."""
        from mlflow.entities import ViewType

        doubtful = [run for run in self._journal.runs() if run.creation.get("doubtful") and "model" not in run.creation]
        for run in doubtful:
            if (of and run.id != of) or not (remote := self._identities.remotes.get(run.id, run.remote)):
                continue
            experiment = self._identities.renamed.get(run.experiment, run.experiment)
            try:
                with self._requests.asking():
                    origin = run.creation["tags"][ORIGIN_TAG]
                    for twin in self._of_origin(experiment, origin, ViewType.ACTIVE_ONLY, 10):
                        if twin.info.run_id != remote and twin.info.status == "RUNNING":
                            self._requests.store.update_run_info(twin.info.run_id, RunStatus.KILLED, run.written, None)
                            self._requests.store.delete_run(twin.info.run_id)  # it holds nothing
            except (UnavailableError, RefusedError):
                continue  # looked for again when the outbox is closed

    def _of_origin(self, experiment: str, origin: str, view: int, most: int) -> list[Run]:
        """Return the runs that bear an origin."""
        query = filters.equal(f"tags.`{ORIGIN_TAG}`", origin)
        return list(self._requests.store.search_runs([experiment], query, view, most, None, None))

    def _create_run(self, entry: RunEntry, experiment: str) -> str:
        creation = entry.creation
        tags = dict(creation["tags"])
        parent = tags.get(MLFLOW_PARENT_RUN_ID)
        if parent is not None:
            tags[MLFLOW_PARENT_RUN_ID] = self.remote(parent)
        if creation.get("doubtful") or entry.id in self._doubtful:
            attempt = self.attempts.pop(entry.id, None)
            if attempt is not None and (made := attempt.wait()):
                return made
            if earlier := self.find(experiment, tags[ORIGIN_TAG]):
                return earlier
        self._doubtful.add(entry.id)
        facts = creation["user"], creation["started"], [RunTag(k, v) for k, v in tags.items()], creation["name"]
        run, moved = replay.create_run(
            experiment,
            lambda where: self._requests.store.create_run(where, *facts),
            self._requests.store.get_experiment_by_name,
        )
        if moved:
            self._refusals.add(entry.id, "its experiment", moved)
        return str(run.info.run_id)

    def _create_model(self, entry: RunEntry, experiment: str) -> str:
        run = entry.creation["run"] and self.remote(entry.creation["run"])
        tried = entry.creation["doubtful"] or entry.id in self._doubtful
        self._doubtful.add(entry.id)
        origin = (ORIGIN_TAG, entry.creation["tags"][ORIGIN_TAG]) if tried else None
        remote = replay.create_model(self._requests.store, experiment, run, entry.creation, origin)
        self._identities.models[remote] = self._identities.models[entry.id]
        return remote

    def _experiment_of(self, entry: RunEntry) -> str:
        """Return the store's id of a run's experiment; create it there if need be."""
        if entry.experiment.startswith(LOCAL) and entry.experiment not in self._identities.renamed:
            for row in self._journal.rows():
                if row.op == "experiment" and row.data["local"] == entry.experiment:
                    self.create_experiment(row.data)
        return self._identities.renamed.get(entry.experiment, entry.experiment)

    def create_experiment(self, data: Mapping[str, Any]) -> None:
        """Create an experiment that was made here, unless the store has one of its name."""
        existing = self._requests.store.get_experiment_by_name(data["name"])
        if existing is not None:
            remote = existing.experiment_id
        else:
            remote = self._requests.store.create_experiment(data["name"], data.get("artifact_location"), [])
        self._identities.note_experiment(data["local"], str(remote))
