"""Tells the notebook's own functions from those of modules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any

from ..values.inspection import bases_of, dict_of, is_a, module_of


def is_own(value: object, namespace: Mapping[str, object]) -> bool:
    """Tell whether an object is a function that the notebook defines."""
    return any(function.__globals__ is namespace for function in functions_of(value))


def functions_of(value: object) -> Iterator[FunctionType]:
    """List the functions behind a value: itself, what it wraps, the methods of its class."""
    for _ in range(10):
        if type(value) in (staticmethod, classmethod):
            value = value.__func__  # type: ignore[attr-defined]
        if type(value) is not FunctionType:
            break
        yield value
        value = value.__dict__.get("__wrapped__")
    cls: Any = value if is_a(value, type) else type(value)
    if value is None or module_of(cls) != "__main__":
        return
    for base in bases_of(cls):
        for member in list(dict_of(base).values()):
            if type(member) in (staticmethod, classmethod):
                member = member.__func__
            if type(member) is FunctionType:
                yield member
