"""Tells what waits, what the store has refused, and what the user must know of the journal."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace

from ...vocabulary.stores import Waiting
from .disk import over_limit
from .disk.accounts import Account
from .numbers.unwritten import Unwritten
from .sending.sender import Sender


class Telling:
    """Tells of one outbox. What is news is told once.

    Parameters
    ----------
    sender, unwritten
        The outbox's.
    accounts : mapping of str to Account
        What this kernel knows of its runs, by their ids.

    Attributes
    ----------
    cuts : dict of str to list
        By run, a line for each thing that was cut since the store takes no more of it; emptied as they are told.
    """

    def __init__(self, sender: Sender, unwritten: Unwritten, accounts: Mapping[str, Account]) -> None:
        self.cuts: dict[str, list[str]] = defaultdict(list)
        self._sender = sender
        self._delivery = sender.delivery
        self._journal = self._delivery.journal
        self._points = self._delivery.points
        self._limits = self._delivery.limits
        self._unwritten = unwritten
        self._accounts = accounts
        self._refusals_told: Counter[str] = Counter()
        self._aside_told: set[tuple[str, str]] = set()
        self._warned = False

    def waiting(self) -> Waiting:
        """Count what the store has not taken yet."""
        runs: Counter[str] = Counter()
        for run, count in self._journal.waiting().items():
            runs[self._delivery.identities.owner(run)] += count
        whole = self.backlog(sum(runs.values()))
        keys = self._journal.keys() if whole.points else {}
        for number, count in self._points.tally(self._delivery.position).items() if whole.points else ():
            if number in keys:
                runs[keys[number].run] += count
        return replace(whole, runs=tuple((self._called(run), count) for run, count in runs.items() if run))

    def _called(self, run_id: str) -> str:
        """Return the name that a run is told by; its id where none is known here."""
        return (self._accounts[run_id].name if run_id in self._accounts else "") or run_id

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
        state, why = self._sender.state, self._sender.trouble or self._delivery.files.trouble
        return Waiting(
            points=self._points.count(self._delivery.position) + len(self._unwritten),
            others=sum(self._journal.waiting().values()) if others is None else others,
            state="waiting" if why and state == "sending" else state,
            why=why,
        )

    def refusals(self, run_id: str) -> list[tuple[str, str]]:
        """Return what the store has refused of a run since the last call: what, and why."""
        refusals = self._delivery.refusals.by_run[run_id][self._refusals_told[run_id] :]
        self._refusals_told[run_id] += len(refusals)
        return refusals

    def late_refusals(self, open_runs: Collection[str]) -> list[str]:
        """Return a line for each thing that the store has refused of runs that are over, which nobody was told yet."""
        over = [run for run in list(self._delivery.refusals.by_run) if run and run not in open_runs]
        return [f"{self._called(run)}: {what} was refused: {why}" for run in over for what, why in self.refusals(run)]

    def trimmed(self, run_id: str) -> list[str]:
        """Return what was cut or set aside of a run, since the store takes no more; each thing once."""
        cut = list(dict.fromkeys(self.cuts.pop(run_id, ())))
        account = self._accounts.get(run_id) or Account(run_id)
        for kind, most, written in (
            ("params", self._limits.params_per_run, account.params),
            ("tags", self._limits.tags_per_run, account.tags),
        ):
            aside = self._delivery.splitter.over_limit.aside.get((run_id, kind), 0)
            # In an outage nothing was set aside yet, but it will be.
            count = max(aside, len(written) - most if most is not None else 0)
            if count and (run_id, kind) not in self._aside_told:
                self._aside_told.add((run_id, kind))
                words = kind if count > 1 else kind[:-1]
                cut.append(
                    f"{count} {words} more than {self._limits.store} takes for a run: "
                    f"in the artifact {over_limit.FILES[kind]}"
                )
        return cut

    def warnings(self) -> list[str]:
        """Return what the user must know of the journal itself; each thing once."""
        warnings = []
        trouble = self._journal.trouble
        if not trouble and self._points.trouble:
            trouble = f"{self._journal.folder.parent}: {self._points.trouble}"
        if trouble and not self._warned:
            self._warned = True
            warnings.append(f"what does not fit is kept in memory only, and would not survive the kernel: {trouble}")
        unread, self._unwritten.unread = self._unwritten.unread, 0
        if unread:
            warnings.append(f"{unread} points could not be read from their device")
        lost, self._unwritten.lost = self._unwritten.lost, 0
        if lost:
            warnings.append(f"{lost} points were lost: the outbox is full, and the store takes nothing")
        return warnings
