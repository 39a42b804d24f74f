"""Flattens configurations and dicts of results into dotted scalars."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from ..code.symbols import Key
from .inspection import bases_of, dict_of, fields_of, is_a, is_tensor, marks, mro, shape_of
from .kinds import MANY, SHORT, field_names, is_config_object, is_scalar, is_short, settings_of

DEPTH: Final = 8
"""Levels below which nothing is looked for."""


@dataclass(frozen=True)
class Leaf:
    """One scalar inside a configuration.

    Attributes
    ----------
    path : tuple of (str or int)
        The steps to it.
    value : object
        The scalar, a short sequence of scalars, or a tensor of no dimensions.
    """

    path: tuple[Key, ...]
    value: Any


@dataclass(frozen=True)
class Flat:
    """A configuration laid out.

    Attributes
    ----------
    leaves : tuple of Leaf
        In the configuration's own order.
    cut : bool
        Whether there were more than `values.MANY`.
    """

    leaves: tuple[Leaf, ...]
    cut: bool


def flatten(value: object, limit: int = MANY) -> Flat:
    """Lay out a dict, dataclass, Namespace, pydantic or OmegaConf object, or a class that holds settings."""
    leaves: list[Leaf] = []
    for leaf in _walk(value, (), frozenset()):
        if len(leaves) == limit:
            return Flat(tuple(leaves), cut=True)
        leaves.append(leaf)
    return Flat(tuple(leaves), cut=False)


def _walk(value: object, path: tuple[Key, ...], above: frozenset[int]) -> Iterator[Leaf]:
    if path and (is_scalar(value) or is_short(value) or (is_tensor(value) and shape_of(value) == ())):
        yield Leaf(path, value)
    elif len(path) < DEPTH and id(value) not in above:
        for key, inner in entries(value):
            yield from _walk(inner, (*path, key), above | {id(value)})


def entries(value: object) -> list[tuple[Key, Any]]:
    """List the entries of one level of a configuration. Empty where `value` is none."""
    found = marks(value)
    if ("omegaconf", "Node") in found:
        content = fields_of(value).get("_content")
        return [(key, _unwrapped(inner)) for key, inner in entries(content)]
    if ("ml_collections", "ConfigDict") in found:
        return entries(fields_of(value).get("_fields"))
    if is_a(value, dict):
        items: Any = dict.items(value)  # type: ignore[arg-type]
        # A text of a class of its own would be asked for its hash.
        return [
            (str.__str__(key) if is_a(key, str) else key, inner)
            for key, inner in items
            if is_a(key, str) or type(key) is int
        ]
    if names := field_names(value):
        return list(zip(names, tuple.__iter__(value), strict=True))  # type: ignore[arg-type]  # a tuple
    if is_a(value, list, tuple):
        base: Any = list if is_a(value, list) else tuple
        return list(enumerate(base.__iter__(value))) if base.__len__(value) <= SHORT else []
    if is_a(value, type):
        classes = mro_of(value)
        held = {k: v for cls in reversed(classes) for k, v in dict_of(cls).items() if type(k) is str}
        return [(name, inner) for name, inner in held.items() if not name.startswith("_")]
    return _object_entries(value) if is_config_object(value) else []


def mro_of(cls: Any) -> tuple[type, ...]:
    """List the classes a class is made of, but `object`."""
    return tuple(c for c in bases_of(cls) if c is not object)


def _unwrapped(node: object) -> Any:
    """OmegaConf keeps each value in a node."""
    if ("omegaconf", "ValueNode") in marks(node):
        return fields_of(node).get("_val")
    return node


def _object_entries(value: object) -> list[tuple[Key, Any]]:
    held: dict[str, Any] = settings_of(value)
    for cls in mro(value):
        fields = dict_of(cls).get("__dataclass_fields__")
        for name in fields if type(fields) is dict else ():
            slot = next((dict_of(c)[name] for c in mro(value) if name in dict_of(c)), None)
            if type(slot) is types.MemberDescriptorType:
                try:
                    held[name] = slot.__get__(value, type(value))
                except AttributeError:  # a slot that was never filled
                    continue
    held |= fields_of(value)
    return [(key, inner) for key, inner in held.items() if type(key) is str and not key.startswith("_")]


def dotted(name: str, path: tuple[Key, ...]) -> str:
    """Give the name under which a leaf is logged."""
    return ".".join([name, *(str.__str__(step) if isinstance(step, str) else str(step) for step in path)])
