"""Knows which id the store gave to what was made here, and which run a logged model comes from."""

from __future__ import annotations

from ....vocabulary.records import LOCAL
from ..disk.entries import RunEntry
from ..disk.journal import Journal


class Identities:
    """The ids of one journal's runs, models and experiments.

    Parameters
    ----------
    journal : Journal
        Where they are written down.

    Attributes
    ----------
    remotes : dict of str to str
        The store's ids of runs and models, by the kernel's.
    renamed : dict of str to str
        The store's ids of experiments that were made here.
    models : dict of str to str
        Logged models (MLflow 3), by the kernel's id and by the store's: the run that each comes from, or nothing.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.remotes = {run.id: run.remote for run in journal.runs() if run.remote}
        self.renamed = journal.renamed()
        self.models: dict[str, str] = {}
        for run in journal.runs():
            self.note_model(run)

    @property
    def local(self) -> dict[str, str]:
        """The store's ids of what was made here while it could not be reached: local id to remote id."""
        made = {local: remote for local, remote in dict(self.remotes).items() if local.startswith(LOCAL)}
        return made | self.renamed

    def is_local(self, *ids: str) -> bool:
        """Tell whether the store does not know a run or an experiment yet: one of these."""
        return any(each.startswith(LOCAL) and each not in self.local for each in ids)

    def is_lost(self, run_id: str) -> bool:
        """Tell whether nothing says any more how to create a run that the store does not know."""
        known = run_id in self.remotes or not run_id.startswith(LOCAL) or run_id in self.renamed
        return not known and all(entry.id != run_id for entry in self._journal.runs())

    def note_remote(self, run_id: str, remote: str) -> None:
        """Write down under which id the store knows a run or a model."""
        self._journal.set_remote(run_id, remote)
        self.remotes[run_id] = remote

    def note_experiment(self, local: str, remote: str) -> None:
        """Write down under which id the store knows an experiment."""
        self.renamed[local] = remote
        self._journal.rename(local, remote)

    def note_model(self, entry: RunEntry) -> None:
        """Remember an entry that is a logged model's."""
        if entry.creation.get("model"):
            self.models[entry.id] = self.models[entry.remote or entry.id] = entry.creation["run"] or ""

    def owner(self, run_id: str) -> str:
        """Return the run that writes are shown with: for those of a model, the run that it comes from."""
        return self.models.get(run_id) or run_id
