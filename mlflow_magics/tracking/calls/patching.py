"""Replaces functions of MLflow by ours and puts them back; makes objects of ours that stand for MLflow's."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

_NOTHING = object()


class Patches:
    """Replacements of attributes and of entries of registries, which are taken back together.

    Where somebody has wrapped ours since, theirs stays: ours, below it, must then only pass on.
    """

    def __init__(self) -> None:
        self._made: list[tuple[Any, str, Any, Any]] = []

    def __len__(self) -> int:
        return len(self._made)

    def replace(self, owner: Any, name: str, ours: Any) -> None:
        """Put ours in place.

        Parameters
        ----------
        owner : object or mutable mapping
            A module, a class or an object with the attribute, or a mapping with the entry; it may lack it.
        name : str
            Of the attribute or the entry.
        ours : object
            What it is from now on.
        """
        self._made.append((owner, name, ours, _get(owner, name)))
        _set(owner, name, ours)

    def owns(self, owner: Any) -> bool:
        """Tell whether anything of an owner is replaced."""
        return any(one is owner for one, *_ in self._made)

    def put_back(self) -> None:
        """Put back what was there before, the last replacement first. Harmless where nothing was replaced."""
        while self._made:
            owner, name, ours, before = self._made.pop()
            if _get(owner, name) is ours:
                _set(owner, name, before)


def _get(owner: Any, name: str) -> Any:
    return owner.get(name, _NOTHING) if isinstance(owner, MutableMapping) else getattr(owner, name, _NOTHING)


def _set(owner: Any, name: str, value: Any) -> None:
    """Set an attribute or an entry; take it away where there is to be none."""
    is_mapping = isinstance(owner, MutableMapping)
    if value is _NOTHING:
        owner.pop(name) if is_mapping else delattr(owner, name)
    elif is_mapping:
        owner[name] = value
    else:
        setattr(owner, name, value)


class StandIn:
    """Stands for an object of MLflow's, which does what it does not do itself.

    ``isinstance``, which MLflow asks here and there, takes it for one of the same class.

    Parameters
    ----------
    wrapped : object
        What it stands for; it may stand for another one itself.
    """

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped

    @property
    def __class__(self) -> type:
        wrapped: type = self._wrapped.__class__  # not type(): see above
        return wrapped

    @__class__.setter
    def __class__(self, value: type) -> None:
        raise TypeError("the class of what stands for another object cannot be changed")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)
