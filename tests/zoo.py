"""Hostile objects: each notes every call of its code in `calls`, and raises.

Made for cells: ``from tests.zoo import *``, with classes that seem to be the notebook's own.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import pathlib
import sys
import types
import weakref

import numpy as np

calls: list[str] = []

METHODS = (
    *("__getattr__", "__getattribute__", "__setattr__", "__dir__", "__eq__", "__ne__", "__lt__", "__gt__", "__hash__"),
    *(
        "__bool__",
        "__len__",
        "__iter__",
        "__contains__",
        "__getitem__",
        "__call__",
        "__repr__",
        "__str__",
        "__format__",
    ),
    *("__float__", "__int__", "__index__", "__complex__", "__round__", "__fspath__", "__reduce__", "__reduce_ex__"),
    *("__copy__", "__deepcopy__", "__array__", "__bytes__", "__sizeof__", "__next__", "__enter__", "__exit__"),
    *("__add__", "__radd__", "__mul__", "__neg__", "__abs__", "__truediv__", "__getstate__", "__get__"),
    *("items", "keys", "values", "get", "split", "startswith", "encode", "isoformat", "as_posix", "total_seconds"),
    *("item", "tolist", "numpy", "fit", "predict", "_repr_html_", "_repr_mimebundle_", "_ipython_display_"),
)
PROPERTIES = ("__class__", "__dict__", "__doc__", "shape", "dtype", "size", "numerator", "denominator", "name", "value")


def loud(method: str):
    """A method that notes its call and raises."""

    def call(self, *args, **kwargs):
        calls.append(method)
        raise RuntimeError(f"{method} was called")

    return call


def namespace(*leave: str, module: object = "__main__") -> dict[str, object]:
    """All loud methods and properties of a class, but some."""
    found: dict[str, object] = {name: loud(name) for name in METHODS if name not in leave}
    found |= {name: property(loud(name)) for name in PROPERTIES if name not in leave}
    return found | {"__module__": module}


Loud = type("Loud", (), namespace())
LoudText = type("LoudText", (str,), namespace())


class LoudMeta(type):
    """A metaclass that notes what is asked of its classes."""

    for _name in (*METHODS, "__instancecheck__", "__subclasscheck__", "__prepare__", "mro_entries"):
        if _name not in ("__call__", "__setattr__", "__get__"):
            vars()[_name] = loud(f"metaclass {_name}")
    for _name in ("__dict__", "__mro__", "__name__", "__module__", "__bases__", "__doc__"):
        vars()[_name] = property(loud(f"metaclass {_name}"))


OfLoudMeta = type.__new__(LoudMeta, "OfLoudMeta", (), {"__module__": "__main__"})


def of(base: type, *args: object, leave: tuple[str, ...] = ()) -> object:
    """An instance of a loud subclass of a class, made without any call of its methods."""
    cls = type(f"Loud{base.__name__}", (base,), namespace("__init__", *leave))
    return base.__new__(cls, *args)


class Color(enum.Enum):
    """An Enum whose value is hostile."""

    RED = object.__new__(OfLoudMeta)


@dataclasses.dataclass
class Settings:
    """A dataclass, one of whose fields is a property."""

    lr: float = 0.1

    @property
    def rate(self):
        calls.append("rate")
        raise RuntimeError

    def __getattr__(self, name):
        calls.append(name)
        raise RuntimeError


def _false_fields() -> object:
    """It says that it is a dataclass, a named tuple and numpy's, and lies."""
    body = namespace() | {"__dataclass_fields__": object.__new__(Loud), "_fields": object.__new__(Loud)}
    return object.__new__(type("Liar", (), body))


def _renamed(**words: object) -> object:
    def function():
        calls.append("function")

    for name, value in words.items():
        setattr(function, name, value)
    return function


def _odd_keys_in_a_class() -> object:
    return type("Odd", (), {7: 1, "lr": 0.1, "__module__": "__main__"})


def _odd_dict() -> object:
    return {str.__new__(type("Key", (str,), namespace("__hash__", "__eq__")), "lr"): 0.1, 7: 2, "plain": 3}


def _dead() -> object:
    class Gone:
        pass

    gone = Gone()
    return weakref.proxy(gone)


def _module(**words: object) -> types.ModuleType:
    module = types.ModuleType("tests_zoo_module")
    vars(module).update(words)
    return module


def _of_a_strange_module() -> object:
    """Its module is in ``sys.modules``, and is none."""
    sys.modules["tests_zoo_strange"] = object.__new__(Loud)
    return object.__new__(type("Strange", (), namespace(module="tests_zoo_strange")))


def _of_a_module_with_a_loud_version() -> object:
    sys.modules["tests_zoo_version"] = module = types.ModuleType("tests_zoo_version")
    vars(module).update(__version__=object.__new__(Loud), __file__=object.__new__(Loud), __getattr__=loud("module"))
    return object.__new__(type("Versioned", (), namespace(module="tests_zoo_version")))


MAKERS = {
    "an object": lambda: object.__new__(Loud),
    "a text": lambda: of(str, "abc"),
    "an int": lambda: of(int, 7),
    "a float": lambda: of(float, 0.5),
    "a complex": lambda: of(complex, 1j),
    "bytes": lambda: of(bytes, b"abc"),
    "a dict": lambda: of(dict),
    "a list": lambda: of(list),
    "a tuple": lambda: of(tuple, (1, 2)),
    "a set": lambda: of(set),
    "a Decimal": lambda: of(decimal.Decimal, "1.5"),
    "a Fraction": lambda: of(fractions.Fraction, 1, 2, leave=("__setattr__", "numerator", "denominator")),
    "a date": lambda: of(datetime.datetime, 2020, 1, 1),
    "a timedelta": lambda: of(datetime.timedelta, 1),
    "a path": lambda: pathlib.PurePosixPath.__new__(type("P", (pathlib.PurePosixPath,), _path_namespace()), "a/b"),
    "a numpy float": lambda: of(np.float32, 0.5),
    "a numpy array": lambda: np.ndarray.__new__(type("A", (np.ndarray,), namespace("__array__", "shape", "dtype")), 3),
    "a SimpleNamespace": lambda: types.SimpleNamespace.__new__(type("N", (types.SimpleNamespace,), namespace())),
    "a module": lambda: types.ModuleType.__new__(type("M", (types.ModuleType,), namespace()), "m"),
    "an exception": lambda: of(ValueError, "no"),
    "an Enum": lambda: Color.RED,
    "a dataclass": lambda: Settings(),
    "a liar": _false_fields,
    "a class with a metaclass": lambda: OfLoudMeta,
    "an object of it": lambda: object.__new__(OfLoudMeta),
    "a class of no text module": lambda: type("NoModule", (), {"__module__": object.__new__(Loud), "lr": 0.1}),
    "an object of a class of no text module": lambda: type("NoModule", (), {"__module__": object.__new__(Loud)})(),
    "a class of a loud text module": lambda: type("C", (), {"__module__": str.__new__(LoudText, "numpy"), "lr": 0.1}),
    "a function of no text module": lambda: _renamed(__module__=object.__new__(Loud)),
    "a function with a loud name": lambda: _renamed(
        __name__=str.__new__(LoudText, "f"), __qualname__=str.__new__(LoudText, "f")
    ),
    "a class with odd keys": _odd_keys_in_a_class,
    "a dict with odd keys": _odd_dict,
    "a dict with loud values": lambda: {"lr": object.__new__(Loud), "n": 3, "inner": {"x": object.__new__(OfLoudMeta)}},
    "a list of loud ones": lambda: [object.__new__(Loud), object.__new__(OfLoudMeta)],
    "a dead weakref": _dead,
    "a module with loud names": lambda: _module(
        __version__=object.__new__(Loud), __name__=object.__new__(Loud), __getattr__=loud("module")
    ),
    "an object of no module": _of_a_strange_module,
    "an object of a module with a loud version": _of_a_module_with_a_loud_version,
}


def _path_namespace() -> dict[str, object]:
    wanted = ("__str__", "__fspath__", "__repr__", "__eq__", "__hash__", "__bytes__", "as_posix", "__class__", "__lt__")
    return {name: value for name, value in namespace().items() if name in wanted} | {"__module__": "__main__"}
