"""What is known of the connected store: the connection itself, its check, autologging, and what waits for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Connection:
    """Where this kernel tracks to.

    Attributes
    ----------
    uri : str
        The tracking URI as MLflow has it; may hold credentials, so it is never shown.
    where : str
        The URI to show: credentials masked as ``***``, a local store as a short path.
    user : str
        As whom runs are recorded.
    origin : str
        Why this URI, in a few words: ``"given"``, ``"MLFLOW_TRACKING_URI"``, ``"the local default"``.
    experiment_id, experiment_name : str
        The experiment that runs go to unless a cell says otherwise.
    experiment_url : str
        A link for people, credentials masked; empty where the store has no page (SQLite).
    mlflow_version : str
        Of the client.
    notes : tuple of str
        One line each: a repaired assignment, an old ``./mlruns`` store, an experiment just created.
    connected : bool
        False where this is what the next run will connect to.
    """

    uri: str
    where: str
    user: str
    origin: str
    experiment_id: str
    experiment_name: str
    experiment_url: str
    mlflow_version: str
    notes: tuple[str, ...] = ()
    connected: bool = True


@dataclass(frozen=True)
class SignIn:
    """How a person may sign in, where a store wants it.

    Attributes
    ----------
    attended : bool
        Whether somebody sits before this kernel: then a browser may be opened.
    show : callable or None
        Takes the line with a page and a code to type there, and asks for that way; None for the others.
    """

    attended: bool = False
    show: Callable[[str], None] | None = None


@dataclass(frozen=True)
class CheckStep:
    """One line of ``%mlflow_connect --check``.

    Attributes
    ----------
    name : str
        What was probed: ``"name"``, ``"port"``, ``"TLS"``, ``"authentication"``, ``"version"``, ``"experiment"``,
        ``"artifact write"``.
    result : {"ok", "failed", "not reached", "not applicable"}
        ``"not reached"`` where an earlier step's failure made it pointless.
    detail : str
        What was seen, in one line.
    hint : str
        What to do; empty unless the step failed.
    """

    name: str
    result: Literal["ok", "failed", "not reached", "not applicable"]
    detail: str
    hint: str = ""


@dataclass(frozen=True)
class Integration:
    """One line of ``%mlflow_autolog status``.

    Attributes
    ----------
    name : str
        MLflow's name of the integration: ``"sklearn"``.
    package : str
        The package it instruments, as pip knows it: ``"scikit-learn"``.
    installed : str
        The installed version; empty where it is not installed.
    on : bool
        Whether autologging is on for it now.
    logs : str
        What it logs, in a few words.
    versions : str
        The versions MLflow was tested with, ``"1.4 - 1.9"``; empty where MLflow does not say.
    """

    name: str
    package: str
    installed: str
    on: bool
    logs: str
    versions: str


@dataclass(frozen=True)
class Waiting:
    """What was written and the store has not taken yet.

    Attributes
    ----------
    points, others : int
        Points of metrics, and all other writes.
    runs : tuple of (str, int)
        Each run's name, and how many of both are its own.
    state : {"sending", "waiting", "offline"}
        Whether the store takes them: yes, not at the moment, or nobody sends until asked.
    why : str
        Why it does not, on one line.
    """

    points: int = 0
    others: int = 0
    runs: tuple[tuple[str, int], ...] = ()
    state: Literal["sending", "waiting", "offline"] = "sending"
    why: str = ""

    @property
    def total(self) -> int:
        """All of them."""
        return self.points + self.others


@dataclass(frozen=True)
class Sync:
    """What sending came to.

    Attributes
    ----------
    sent : int
        Writes that the store took.
    created : mapping of str to str
        Local id to the store's, for each run that was created.
    waiting : Waiting
        What is left.
    """

    sent: int
    created: Mapping[str, str]
    waiting: Waiting
