"""Tells the notebook's own functions from those of modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import FunctionType
from typing import Any

from ..code.written import codes_in
from ..values.inspection import bases_of, dict_of, is_a, module_of

MOST_FUNCTIONS = 200
"""Functions that are looked at for one run."""


def is_own(value: object, namespace: Mapping[str, object]) -> bool:
    """Tell whether an object is a function that the notebook defines."""
    return any(function.__globals__ is namespace for function in functions_of(value))


def functions_of(value: object) -> Iterator[FunctionType]:
    """List the functions behind a value: itself, what it wraps, the methods of its class."""
    for _ in range(10):
        if type(value) is staticmethod or type(value) is classmethod:
            value = value.__func__
        if type(value) is not FunctionType:
            break
        yield value
        value = value.__dict__.get("__wrapped__")
    cls: Any = value if is_a(value, type) else type(value)
    if value is None or module_of(cls) != "__main__":
        return
    for base in bases_of(cls):
        for member in list(dict_of(base).values()):
            if type(member) is staticmethod or type(member) is classmethod:
                member = member.__func__
            if type(member) is FunctionType:
                yield member


def reached(
    values: Iterable[object], namespace: Mapping[str, object], seen: dict[int, FunctionType] | None = None
) -> Iterator[FunctionType]:
    """List the notebook's functions behind objects, and those that they reach by name; each once."""
    seen = {} if seen is None else seen
    waiting = list(values)
    while waiting and len(seen) < MOST_FUNCTIONS:
        for function in functions_of(waiting.pop()):
            if function.__globals__ is namespace and id(function) not in seen:
                seen[id(function)] = function  # held, so that the id stays its own
                # In the order of the code: of two functions with a name for the same, the first keeps it.
                named = [name for code in codes_in(function.__code__) for name in code.co_names]
                waiting += [namespace[name] for name in named if name in namespace]
                yield function


def assigned_in(function: FunctionType) -> set[str]:
    """List the names that a function, or one defined inside it, binds."""
    return {name for code in codes_in(function.__code__) for name in (*code.co_varnames, *code.co_cellvars)}
