"""What a journal holds: writes, runs, and the keys of points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """A write that is no point.

    Attributes
    ----------
    id : int
        Its place in the order of writes.
    run : str
        The run, by the id that the kernel knows.
    op : str
        What to do; a name in :mod:`..sending.replay`.
    data : mapping
        With what.
    at : int
        When, in milliseconds since 1970.
    """

    id: int
    run: str
    op: str
    data: Mapping[str, Any]
    at: int


@dataclass(frozen=True)
class RunEntry:
    """A run that was opened through this journal.

    Attributes
    ----------
    id : str
        As the kernel knows it.
    remote : str
        As the store knows it; empty until it is created there.
    experiment : str
        Id of its experiment, as the kernel knows it.
    creation : mapping
        Name, start time, tags and user, to create it with.
    open : bool
        Whether nobody has ended it yet.
    written : int
        When something was written to it last, in milliseconds since 1970.
    """

    id: str
    remote: str
    experiment: str
    creation: Mapping[str, Any]
    open: bool
    written: int


@dataclass(frozen=True)
class Key:
    """A series of points: a run's metric.

    Attributes
    ----------
    run, name : str
        Whose, and which.
    rest : mapping
        What MLflow 3 knows of a metric besides: its model and its dataset.
    """

    run: str
    name: str
    rest: Mapping[str, str]
