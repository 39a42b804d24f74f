"""Reads the parameters of functions and classes as `inspect.signature` does, without running any of their code."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .inspection import bases_of, dict_of, fields_of, is_a

_DEEPEST: Final = 20
"""Wrappers around a function that are looked through."""


@dataclass(frozen=True)
class Signature:
    """What a function takes.

    Attributes
    ----------
    function : types.FunctionType
        The function itself, wrappers taken off.
    positional : tuple of str
        The parameters that positional arguments fill, ``self`` left out.
    defaults : mapping of str to object
        Those that have one.
    spread : str
        The name of ``**kwargs``; empty where it takes none.
    """

    function: types.FunctionType
    positional: tuple[str, ...] = ()
    defaults: Mapping[str, object] = field(default_factory=dict)
    spread: str = ""


def function_behind(value: Any) -> types.FunctionType | None:
    """Find the Python function that a function, a method or a wrapper made with `functools.wraps` stands for."""
    for _ in range(_DEEPEST):
        kind = type(value)  # compared by identity: a metaclass may have an ``__eq__``
        if kind is staticmethod or kind is classmethod or kind is types.MethodType:
            value = value.__func__
        elif kind is types.FunctionType or kind is functools._lru_cache_wrapper:
            inner = fields_of(value).get("__wrapped__")
            if inner is None:
                return value if kind is types.FunctionType else None
            value = inner
        else:
            return None
    return None


def signature_of(value: Any, *, bound: bool = False) -> Signature | None:
    """Read the parameters of a function or a class.

    Parameters
    ----------
    value : object
        A function, a method, or a class.
    bound : bool, optional
        Whether it is called as a method, and its first parameter filled.

    Returns
    -------
    Signature or None
        None where nothing of it is written in Python.
    """
    if is_a(value, type):
        maker = _maker(value)
        return None if maker is None else _read(maker, skip=1)
    function, kind = function_behind(value), type(value)
    with_self = kind is classmethod or kind is types.MethodType or (bound and kind is not staticmethod)
    return None if function is None else _read(function, skip=int(with_self))


def _maker(cls: type) -> types.FunctionType | None:
    """Find what takes the arguments of a class: its ``__init__``, or ``__new__``, whichever is written first."""
    for base in bases_of(cls):
        own = dict_of(base)
        if base is object:
            break
        for name in ("__init__", "__new__"):
            if name in own:
                return function_behind(own[name])
    return None


def _read(function: types.FunctionType, skip: int) -> Signature:
    code = function.__code__
    positional = code.co_varnames[: code.co_argcount]
    keyword_only = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    values = function.__defaults__ or ()
    defaults = dict(zip(positional[len(positional) - len(values) :], values, strict=True))
    given = function.__kwdefaults__ or {}
    defaults |= {name: given[name] for name in keyword_only if name in given}
    after = len(positional) + len(keyword_only) + bool(code.co_flags & inspect.CO_VARARGS)
    spread = code.co_varnames[after] if code.co_flags & inspect.CO_VARKEYWORDS else ""
    return Signature(function, positional[skip:], defaults, spread)
