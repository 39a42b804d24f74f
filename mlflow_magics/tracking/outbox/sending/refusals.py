"""Tells what the store has refused, by run: once here, in the journal, and in a tag of the run itself."""

from __future__ import annotations

import contextlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable

from mlflow.entities import RunTag

from ...location.store_limits import StoreLimits
from ..disk.journal import Journal
from .identities import Identities
from .store_requests import RefusedError, StoreRequests

REJECTED_TAG = "mlflow_magics.rejected"
"""The tag in which a run keeps what the store refused of it."""


class Refusals:
    """What the store has refused of one journal's writes.

    Parameters
    ----------
    journal : Journal
        Keeps it.
    identities : Identities
        Says which run a model's refusals are shown with.
    requests : StoreRequests
        To the store.
    limits : StoreLimits
        What it takes at most.

    Attributes
    ----------
    by_run : dict of str to list
        By run, what the store refused, and why.
    broken : set of str
        Runs and models of which it refused files.
    """

    def __init__(self, journal: Journal, identities: Identities, requests: StoreRequests, limits: StoreLimits) -> None:
        self.by_run: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self.broken: set[str] = set()
        self._journal = journal
        self._identities = identities
        self._requests = requests
        self._limits = limits
        self._tagged: Counter[str] = Counter()

    def add(self, run: str, what: str, why: str) -> None:
        """Keep what the store refused of a run or a model."""
        if what.startswith("artifact"):
            self.broken.add(run)
        run = self._identities.owner(run)
        if (what, why) not in self.by_run[run]:  # once, however often it was logged, and tried
            self.by_run[run].append((what, why))
            self._journal.reject(run, what, why)

    def tag(self, run: str, remote: Callable[[str], str]) -> None:
        """Keep in the run itself what was refused of it since it was tagged last; `remote` returns its id there."""
        run = self._identities.owner(run)
        if len(self.by_run[run]) <= self._tagged[run]:
            return
        text = json.dumps([{"what": what, "why": why} for what, why in self._journal.rejected(run)])
        # Where it is refused, the run itself is gone; the journal and the block still tell.
        with contextlib.suppress(RefusedError), self._requests.asking():
            self._requests.store.set_tag(remote(run), RunTag(REJECTED_TAG, text[: self._limits.tag_value]))
        self._tagged[run] = len(self.by_run[run])
