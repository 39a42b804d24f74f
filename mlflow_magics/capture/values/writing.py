"""Writes a value as the number or the text that is logged, or describes it in a few words."""

from __future__ import annotations

import datetime
import enum
import pathlib
import types
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from .inspection import MISSING, class_name, fields_of, is_a, is_tensor, library_attribute, marks, mro, shape_of
from .kinds import Kind, is_scalar, kind_of


def number_of(value: object) -> float | None:
    """Give the number that a value is.

    May be NaN or infinite. None for bools, complex numbers, integers beyond a float, and all else.
    """
    kinds = mro(value)
    found = marks(value)
    if ("numpy", "MaskedConstant") in found:
        return None  # it stands for no value, and gives 0
    if bool in kinds or ("numpy", "bool") in found or ("numpy", "bool_") in found:
        return None
    try:
        if float in kinds:
            return float.__float__(value)  # type: ignore[arg-type]
        if int in kinds:
            return int.__float__(value)  # type: ignore[arg-type]
        if any(kind in kinds for kind in (Decimal, Fraction)):
            return Decimal.__float__(value) if Decimal in kinds else int.__truediv__(*_terms(value))  # type: ignore[arg-type]
        if datetime.timedelta in kinds:
            return datetime.timedelta.total_seconds(value)  # type: ignore[arg-type]
        if ("numpy", "timedelta64") in found:
            return _tensor_number(value)  # numpy counts it among its integers
        if ("numpy", "number") in found and complex not in kinds and ("numpy", "complexfloating") not in found:
            return float(library_attribute(value, "__float__")())
    except OverflowError:
        return None
    return _tensor_number(value) if is_tensor(value) and shape_of(value) == () else None


def _tensor_number(value: object) -> float | None:
    read = library_attribute(value, "item")
    if read is MISSING:
        read = library_attribute(value, "numpy")
    try:
        one = read()
    # A library's own trouble (a tensor freed on its device): the value cannot be had, and the summary says so.
    except Exception:  # noqa: BLE001
        return None
    return None if is_tensor(one) else number_of(one)


def text_of(value: object) -> str | None:
    """How a param is written. Return None where it cannot be written (an integer of many thousand digits)."""
    kinds = mro(value)
    if enum.Enum in kinds:
        held = fields_of(value)
        inner = held.get("_value_")
        name = held.get("_name_")
        return text_of(inner) if is_scalar(inner) and not is_a(inner, enum.Enum) else text_of(name)
    for base, write in WRITERS:
        if base in kinds:
            try:
                return str(write(value))
            except ValueError:  # Python refuses to write integers of more than 4300 digits
                return None
    if tuple in kinds or list in kinds:
        return _sequence_text(value)
    # numpy writes a float32 of 0.1 as 0.1, and would write the float it makes of it as 0.10000000149011612.
    read = library_attribute(value, "item" if is_tensor(value) else "__str__")
    read = library_attribute(value, "__repr__") if read is MISSING else read  # torch.float32
    try:
        return None if read is MISSING else str(read())
    # A library's own trouble: the value cannot be written, and the summary says so.
    except Exception:  # noqa: BLE001
        return None


def _sequence_text(value: object) -> str | None:
    base: type = tuple if is_a(value, tuple) else list
    parts = []
    for part in base.__iter__(value):  # type: ignore[attr-defined]
        text = text_of(part)
        if text is None:
            return None
        parts.append(repr(text) if is_a(part, str) else text)
    inner = ", ".join(parts) + ("," if base is tuple and len(parts) == 1 else "")
    return f"({inner})" if base is tuple else f"[{inner}]"


def _terms(value: object) -> tuple[int, int]:
    """Give numerator and denominator of a fraction, past any override of the user's."""
    return tuple(Fraction.__dict__[name].__get__(value) for name in ("_numerator", "_denominator"))


def _posix(value: object) -> str:
    """Write a path with slashes, past any ``__str__`` of the user's."""
    text = pathlib.PurePath.__str__(value)
    return text.replace("\\", "/") if is_a(value, pathlib.PureWindowsPath) else text


WRITERS: Final[tuple[tuple[type, Any], ...]] = (
    (str, lambda v: str.__str__(v)),
    (bool, lambda v: "True" if v else "False"),
    (int, lambda v: int.__repr__(v)),
    (float, lambda v: float.__repr__(v)),
    (types.NoneType, lambda v: "None"),
    (complex, lambda v: complex.__repr__(v)),
    (Decimal, lambda v: Decimal.__str__(v)),
    (Fraction, lambda v: Fraction.__str__(Fraction(*_terms(v)))),
    (pathlib.PurePath, lambda v: _posix(v)),
    (datetime.datetime, lambda v: datetime.datetime.isoformat(v)),
    (datetime.date, lambda v: datetime.date.isoformat(v)),
    (datetime.time, lambda v: datetime.time.isoformat(v)),
    (datetime.timedelta, lambda v: datetime.timedelta.__str__(v)),
)


def describe(value: object, kind: Kind | None = None) -> str:
    """Say a value in a few words, for the reason why it was not logged.

    Parameters
    ----------
    value : object
        Any value.
    kind : str, optional
        Its kind, where known.

    Returns
    -------
    str
        ``"a module"``, ``"data (DataFrame 569x30)"``, ``"a model (LogisticRegression)"``.
    """
    kind = kind or kind_of(value)
    name = class_name(type(value))
    if kind in {"module", "function", "class", "figure"}:
        return f"a {kind}"
    if kind == "model":
        return f"a model ({name})"
    if kind == "object":
        return f"an object ({name})"
    shape = shape_of(value)
    if shape:
        return f"data ({name} {'x'.join(map(str, shape))})"
    bases: tuple[Any, ...] = (list, tuple, dict, set, frozenset)
    for base in bases:
        if is_a(value, base):
            return f"data ({name} of {base.__len__(value)})"
    return f"data ({name})"
