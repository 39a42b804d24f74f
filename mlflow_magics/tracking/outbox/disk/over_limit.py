"""Keeps the params and tags that a run has no room for; in the end they are one file of the run."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Literal

from ...location.store_limits import StoreLimits
from .journal import Journal

Kind = Literal["params", "tags"]

FILES: Mapping[str, str] = {"params": "params_over_the_limit.json", "tags": "tags_over_the_limit.json"}
"""By kind, the artifact that holds what the run itself does not: name to value."""


class OverLimit:
    """Decides what a run still has room for, and keeps the rest. Used by one thread at a time.

    Parameters
    ----------
    journal : Journal
        Keeps what is set aside until it has become an artifact's row.
    limits : StoreLimits
        The store's.

    Attributes
    ----------
    aside : dict of (str, str) to int
        By run and kind, how many were set aside.
    """

    def __init__(self, journal: Journal, limits: StoreLimits) -> None:
        self.aside: dict[tuple[str, str], int] = defaultdict(int)
        self._journal = journal
        self._most: dict[str, int | None] = {"params": limits.params_per_run, "tags": limits.tags_per_run}
        # As far as this kernel knows, by run and kind. Whoever else writes to a run is found out by a refusal.
        self._held: dict[tuple[str, str], set[str]] = {}
        self._learnt: dict[tuple[str, str], int] = {}

    def fit(self, run: str, kind: Kind, values: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
        """Set aside what a run has no room for."""
        most = self._learnt.get((run, kind), self._most[kind])
        if most is None or not values:
            return dict(values), []
        held = self._of(run, kind)
        # Only what is new takes room; a value that was set aside stays there, and is not sent a second time.
        aside = self._journal.aside(run, kind) if self.aside[run, kind] or len(held) + len(values) > most else {}
        kept: dict[str, str] = {}
        rest: dict[str, str] = {}
        for name, value in values.items():
            fits = name in held or (name not in aside and len(held) < most)
            (kept if fits else rest)[name] = value
            if fits:
                held.add(name)
        changed = [n for n, value in rest.items() if kind == "params" and aside.get(n, value) != value]
        fresh = {name: value for name, value in rest.items() if name not in changed}
        if fresh:
            self._journal.set_aside(run, kind, fresh)
            self.aside[run, kind] += len(fresh.keys() - aside.keys())
        return kept, changed

    def learn(self, run: str, kind: Kind, held: Iterable[str], most: int) -> None:
        """Note what the store has told of a run that it says is full."""
        self._held[run, kind] = set(held)
        self._learnt[run, kind] = most

    def forget(self, run: str, tag: str) -> None:
        """Note that a tag was taken from a run, which makes room for another."""
        if (run, "tags") in self._held:
            self._held[run, "tags"].discard(tag)
        self._journal.drop_over_limit(run, "tags", [tag])

    def stage(self, run: str) -> None:
        """Make files of what was set aside of a run, on their way like all its others."""
        for kind, name in FILES.items():
            values = self._journal.aside(run, kind)
            if not values:
                continue
            staged = self._journal.files.new()
            (staged / name).write_text(json.dumps(values, indent=1, ensure_ascii=False), encoding="utf-8")
            data = {"uri": "", "path": None, "staged": str(staged), "folder": False, "fresh": True}
            self._journal.stage_over_limit(run, kind, values, data)

    def _of(self, run: str, kind: str) -> set[str]:
        if (run, kind) not in self._held:
            entry = next((entry for entry in self._journal.runs() if entry.id == run), None)
            created = entry.creation.get("tags", {}) if entry is not None and kind == "tags" else {}
            self._held[run, kind] = set(created)
        return self._held[run, kind]
