"""Follows forks of the kernel: no request is on its way meanwhile, and a child leaves the outboxes to its parent."""

from __future__ import annotations

import contextlib
import os
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .outbox import Outbox

_living: weakref.WeakSet[Outbox] = weakref.WeakSet()


def follow(outbox: Outbox) -> None:
    """Have an outbox be told of forks, for as long as it lives."""
    _living.add(outbox)


def let_go(outbox: Outbox) -> None:
    """Tell an outbox of no more forks: it is closed."""
    _living.discard(outbox)


def _before_fork() -> None:
    for outbox in list(_living):
        # A child must not inherit a request on its way; a store that does not answer must not stop the fork either.
        # A request over the network is nothing that a child could break off: it opens connections of its own.
        outbox.sender.busy.acquire(timeout=0.0 if outbox.is_remote else 0.2)


def _after_fork_in_parent() -> None:
    for outbox in list(_living):
        with contextlib.suppress(RuntimeError):  # it was not acquired in time
            outbox.sender.busy.release()


def _after_fork_in_child() -> None:
    for outbox in list(_living):
        outbox.leave_to_parent()
    _living.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
