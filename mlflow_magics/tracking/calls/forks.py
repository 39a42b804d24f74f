"""Renews locks in a forked child: another thread of the parent may have held them."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any

_locks: weakref.WeakKeyDictionary[Any, dict[str, Callable[[], Any]]] = weakref.WeakKeyDictionary()


def renew(owner: Any, **locks: Callable[[], Any]) -> None:
    """Give an owner new locks in every forked child.

    Parameters
    ----------
    owner : object
        What has the locks as attributes: an object that is compared by identity, or a module.
    **locks : callable
        By the attribute's name, what makes a new one.
    """
    _locks[owner] = locks


def _in_child() -> None:
    for owner, locks in list(_locks.items()):
        for name, make in locks.items():
            setattr(owner, name, make())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
