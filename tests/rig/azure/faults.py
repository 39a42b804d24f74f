"""What can be wrong with a workspace, settable while it runs."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Literal


@dataclass
class Refusal:
    """An answer in place of the right one, for calls whose path contains `where`."""

    status: int
    times: int
    where: str
    retry_after: int | None


@dataclass
class Faults:
    """Set an attribute, and the next request meets it.

    Attributes
    ----------
    lifetime : float
        Seconds for which a token that is handed out now is good.
    identity : {"up", "down", "slow"}
        The identity end point of a compute instance: 500 if down, no answer for 20 s if slow.
    sign_in : {"up", "expired", "down"}
        The authority of service principals and device codes: AADSTS700082 if expired, 503 if down.
    pending : int
        How often a device code's token is still pending.
    arm : int
        The status that the resource manager answers with.
    workspace_missing : bool
        Whether tracking knows no such workspace.
    logged_models_missing : bool
        Whether ``logged-models`` is answered with 404 and an empty body, as Azure ML does.
    limits : bool
        Whether the service's limits hold.
    latency : float
        Seconds before each answer to a tracking call.
    """

    lifetime: float = 3600.0
    identity: Literal["up", "down", "slow"] = "up"
    sign_in: Literal["up", "expired", "down"] = "up"
    pending: int = 2
    arm: int = 200
    workspace_missing: bool = False
    logged_models_missing: bool = True
    limits: bool = True
    latency: float = 0.0
    _refusals: list[Refusal] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def refuse(self, status: int, times: int = 1, where: str = "", retry_after: int | None = None) -> None:
        """Answer the next `times` calls of tracking, artifacts or blobs with a status (`times` below 0: all)."""
        with self._lock:
            self._refusals.append(Refusal(status, times, where, retry_after))

    def clear(self) -> None:
        """Refuse nothing any more."""
        with self._lock:
            self._refusals.clear()

    def refusal(self, path: str) -> Refusal | None:
        """Take the refusal that is due for a path."""
        with self._lock:
            for each in self._refusals:
                if each.where in path and each.times != 0:
                    each.times -= 1
                    return each
        return None
