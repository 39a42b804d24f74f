"""Reads the number that a value is. It is asked again and again, so what a type says is asked once."""

from __future__ import annotations

import datetime
import functools
import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from ..values.inspection import LIBRARIES, TENSORS, bases_of, dict_of, marks, module_of
from ..values.writing import number_of

Reader = Callable[[Any], "float | Deferred | None"]

_MOST_TYPES = 64
"""Types remembered: a class that makes a class for each object (a mock) must not fill the memory."""


class Deferred:
    """A number that still lies on a device; to be read off it in another thread than the loop's.

    Parameters
    ----------
    read : callable
        Gives the number, and waits for the device.

    Attributes
    ----------
    tell : callable or None
        Called once with the number, by whichever thread reads it first.
    value : float or None
        The number, once it was read; NaN where the device could not give it.
    """

    __slots__ = ("_read", "tell", "value")

    def __init__(self, read: Callable[[], float | None]) -> None:
        self._read: Callable[[], float | None] | None = read
        self.tell: Callable[[float], None] | None = None
        self.value: float | None = None

    def read(self) -> float:
        """Give the number; never raises."""
        read = self._read
        if self.value is None and read is not None:
            found = read()
            self.value = math.nan if found is None else found
            self._read = None  # lets go of the device's memory
            if self.tell is not None:
                self.tell(self.value)
        return math.nan if self.value is None else self.value


def reader() -> Reader:
    """Make what reads numbers, and remembers by type how.

    Returns
    -------
    callable
        From any value to a float; to a `Deferred` for what lies on a device; to None for bools, text, arrays and
        whatever else is no number. None of the value's code is called that a library known to us did not write.
    """
    # By the ids of classes, as a metaclass may have a hash of its own; they are held, so that the ids stay theirs.
    known: dict[int, Reader] = {id(int): _int, id(bool): _nothing, id(str): _nothing, id(type(None)): _nothing}
    held: list[type] = []
    find = known.get

    def read(value: Any) -> float | Deferred | None:
        kind = type(value)
        as_number = find(id(kind))
        if as_number is None:
            as_number = _reader_of(kind, value)
            if len(known) < _MOST_TYPES:
                held.append(kind)
                known[id(kind)] = as_number
        return as_number(value)

    return read


def _nothing(_: object) -> None:
    return None


def _int(value: int) -> float | None:
    try:
        return int.__float__(value)
    except OverflowError:  # beyond what a metric can hold
        return None


def _reader_of(kind: type, value: object) -> Reader:
    """Tell by its type how a value is to be read."""
    found = marks(value)
    if any(mark in TENSORS for mark in found):
        return _tensor_reader(kind, {root for root, _ in found})
    bases = bases_of(kind)
    names = {name for root, name in found if root == "numpy"}
    if names & {"bool", "bool_", "complexfloating"} or bool in bases:
        return _nothing
    if float in bases:  # numpy's float64 among them
        return float.__float__
    if found[0][0] == "numpy" and "number" in names and "timedelta64" not in names:
        return float
    # Rare: Decimal, Fraction, timedelta, subclasses of int. Everything else is not even looked at.
    numeric = (int, Decimal, Fraction, datetime.timedelta)
    return number_of if any(one in bases for one in numeric) or "generic" in names else _nothing


# -- arrays and tensors -------------------------------------------------------------------------------------------


def _tensor_reader(kind: type, roots: set[str]) -> Reader:
    """Read arrays of no dimensions, the device's in another thread."""
    shape, item, copied = _getter(kind, "shape"), _getter(kind, "item"), _copier(kind, roots)

    def number(value: object) -> float | None:
        try:
            found = item(value)()
        # No `item` (tensorflow), or a value that is freed, traced or lost with its device: `number_of` tells.
        except Exception:  # noqa: BLE001
            found = value
        return found if type(found) is float else number_of(found)

    def read(value: object) -> float | Deferred | None:
        try:
            if len(shape(value)) != 0:
                return None
            kept = copied(value)
        # A tensor that is being traced has no value; whatever its library raises, there is no point.
        except Exception:  # noqa: BLE001
            return None
        return number(value) if kept is None else Deferred(functools.partial(number, kept))

    return read


def _copier(kind: type, roots: set[str]) -> Callable[[Any], Any]:
    """Give what copies a value that lies on a device, without waiting for it; None for one that the CPU can read."""
    if "torch" in roots:
        device, detach, clone = _getter(kind, "device"), _getter(kind, "detach"), _getter(kind, "clone")

        def torch(value: Any) -> Any:
            where = device(value).type
            if where == "cpu":
                return None
            if where == "meta":
                raise ValueError("a meta tensor has no value")
            # Detached first, so that neither the graph nor the caller's in-place changes are seen.
            return _bound(clone, detach(value)())

        return torch
    if roots & {"jax", "jaxlib"}:
        devices, copy = _getter(kind, "devices"), _getter(kind, "copy")
        return lambda value: None if {one.platform for one in devices(value)()} == {"cpu"} else copy(value)()
    if "tensorflow" in roots:
        placed = _getter(kind, "device")
        return lambda value: None if "CPU" in str(placed(value)) else value  # a tensor of tensorflow never changes
    if "cupy" in roots:
        doubled = _getter(kind, "copy")
        return lambda value: doubled(value)()
    return lambda value: None


def _bound(get: Callable[[Any], Any], value: Any) -> Any:
    return get(value)()


def _getter(kind: type, name: str) -> Callable[[Any], Any]:
    """Give what reads an attribute as the library wrote it, past any override of the user's; found once for a type."""
    for cls in bases_of(kind):
        if module_of(cls).partition(".")[0] in LIBRARIES and name in dict_of(cls):
            found = dict_of(cls)[name]
            return functools.partial(_get, type(found).__get__, found, kind)

    return functools.partial(_get_nothing, name)


def _get(get: Callable[..., Any], found: Any, kind: type, value: Any) -> Any:
    return get(found, value, kind)


def _get_nothing(name: str, value: Any) -> Any:
    raise AttributeError(name)
