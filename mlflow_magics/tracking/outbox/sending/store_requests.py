"""Makes a request to the store: to the file that was opened, within a time; a failure is told as what it means."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mlflow.entities import Metric

from ...calls.guards import reason
from ...calls.patience.timeouts import one_try, retry_after
from ...failures.kinds import UnavailableError, failure_kind, limit_of, unavailable
from ...location.storefile import Watch

SECONDS = 30.0
"""How long one request may take. Nobody waits for it but the sender."""

_TRIES = 6


class RefusedError(Exception):
    """The store will never take this write."""

    def __init__(self, why: str, limit: tuple[str, int] | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.limit = limit


class StoreRequests:
    """The requests of one delivery. One thread at a time.

    Parameters
    ----------
    store : mlflow.store.tracking.AbstractStore
        MLflow's own.
    tracking_uri : str
        Its URI.

    Attributes
    ----------
    file : Watch
        The file of the store, where it is one.
    heard : callable
        Called after each request that the store has answered.
    tries : int
        How often in a row it failed over one write, and answered otherwise.
    """

    def __init__(self, store: Any, tracking_uri: str) -> None:
        self.store = store
        self.file = Watch(tracking_uri)
        self.heard: Callable[[], None] = lambda: None
        self.tries = 0

    def expect_file(self) -> None:
        """See that the file of the store is the one that was opened."""
        if gone := self.file.gone():
            raise UnavailableError(gone, passing=True)

    @contextmanager
    def asking(self, seconds: float | None = SECONDS) -> Iterator[None]:
        """Turn what a request raises into what it means."""
        self.expect_file()
        try:
            with one_try(seconds):
                yield
            self.heard()
        except (UnavailableError, RefusedError):
            raise
        except Exception as error:
            # Stores and plugins raise what they like; nothing of it may end the sender, or be lost.
            if failure_kind(error) == "refused":
                raise RefusedError(reason(error), limit_of(error)) from error
            raise unavailable(error, retry_after()) from error

    def ask(self) -> None:
        """Ask the store for next to nothing, to see whether it answers."""
        try:
            with self.asking():
                self.store.search_experiments(max_results=1)
        except RefusedError:
            return  # an answer too

    def is_alive(self, remote: str, *, is_model: bool = False) -> bool:
        """Tell whether the store answers for a run or a model, so that the trouble is with one write only."""
        try:
            if not remote:
                self.ask()
                return True
            with self.asking():
                self.store.get_logged_model(remote) if is_model else self.store.get_run(remote)
        except (UnavailableError, RefusedError):
            return False
        return True

    def is_hopeless(self, error: UnavailableError, remote: str, *, is_model: bool = False) -> bool:
        """Tell whether a store answers all but one write, time and again: it cannot take it.

        That is a character its database does not know, for example. What may pass later is waited for, however long.
        """
        if error.passing or not self.is_alive(remote, is_model=is_model):
            return False
        self.tries += 1
        return self.tries > _TRIES

    def is_deleted(self, remote: str) -> bool:
        """Tell whether a run is deleted, or gone."""
        try:
            with self.asking():
                return bool(self.store.get_run(remote).info.lifecycle_stage != "active")
        except RefusedError:
            return True

    def has_nan(self, remote: str, metric: Metric) -> bool:
        """Tell whether a store holds a point already: MLflow 2's refuse a NaN that they are sent again."""
        with self.asking():
            history = self.store.get_metric_history(remote, metric.key)
        return any((m.step, m.timestamp) == (metric.step, metric.timestamp) and math.isnan(m.value) for m in history)
