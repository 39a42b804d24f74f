"""Says what became of a run's writes when it ends."""

from __future__ import annotations

from dataclasses import dataclass

from mlflow.entities import Run

from ...vocabulary.stores import Waiting
from ..patches.store import connected


@dataclass(frozen=True)
class Settled:
    """What became of a run's writes.

    Attributes
    ----------
    run_id, experiment_id : str
        As the store knows them, if it does by now.
    refused : frozenset of str
        What the store refused: ``"param lr"``.
    waiting : Waiting
        What it has not taken yet.
    notes : tuple of str
        One line for each refusal, and for what the user must know of the outbox.
    """

    run_id: str
    experiment_id: str
    refused: frozenset[str]
    waiting: Waiting
    notes: tuple[str, ...]


def settle(run: Run) -> Settled:
    """Send what a run has waiting, and wait for it, but not for a store that does not answer.

    Parameters
    ----------
    run : mlflow.entities.Run
        The run.

    Returns
    -------
    Settled
        What is left, and what the store refused.
    """
    outbox = connected()
    outbox.series.end(run.info.run_id)
    outbox.flush()
    refused = outbox.telling.refusals(run.info.run_id)
    notes = [f"{what} was refused: {why}" for what, why in refused] + outbox.telling.trimmed(run.info.run_id)
    notes += outbox.telling.warnings()
    return Settled(
        run_id=outbox.ids.get(run.info.run_id, run.info.run_id),
        experiment_id=outbox.ids.get(run.info.experiment_id, run.info.experiment_id),
        refused=frozenset(what for what, _ in refused),
        waiting=outbox.telling.waiting(),
        notes=tuple(notes),
    )


def waiting() -> Waiting:
    """Count what the store has not taken yet, of all runs."""
    return connected().telling.waiting()
