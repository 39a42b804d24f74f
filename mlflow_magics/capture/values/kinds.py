"""Says what kind of thing a value is, from its type alone."""

from __future__ import annotations

import datetime
import enum
import pathlib
import types
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, Literal

from .inspection import (
    MISSING,
    TABLES,
    dict_of,
    fields_of,
    is_a,
    is_tensor,
    library_attribute,
    marks,
    mro,
    shape_of,
)

Kind = Literal["scalar", "config", "short", "data", "model", "figure", "module", "function", "class", "object"]
"""What a value is, as far as roles care. ``"short"`` is a tuple or list of up to `SHORT` scalars."""

SHORT: Final = 16
"""Items up to which a tuple or list of scalars is a setting rather than data."""

MANY: Final = 500
"""Entries up to which a dict is a configuration rather than data."""

SCALARS: Final = (
    *(bool, int, float, complex, str, types.NoneType, Decimal, Fraction),
    *(enum.Enum, pathlib.PurePath, datetime.date, datetime.time, datetime.timedelta),
)
DATA: Final = (list, tuple, set, frozenset, dict, bytes, bytearray, memoryview, range, types.GeneratorType)
FUNCTIONS: Final = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)
METHODS: Final = (*FUNCTIONS, property, classmethod, staticmethod)
WRITTEN_IN_PYTHON: Final = 1 << 9
"""Set in ``__flags__`` of classes made by a ``class`` statement; `datetime` and its like have it not."""

SCALAR_MARKS: Final = frozenset({("torch", "device"), ("torch", "dtype")})
"""Scalars of libraries that are written by their name."""

NUMPY_OPAQUE: Final = frozenset({"void", "bytes_", "object_", "character"})
MODELS: Final = frozenset(
    {
        ("torch", "Module"),
        ("keras", "Model"),
        ("keras", "Layer"),
        ("tensorflow", "Module"),
        ("xgboost", "Booster"),
        ("lightgbm", "Booster"),
    }
)
FIGURES: Final[Mapping[tuple[str, str], Literal["matplotlib", "plotly", "altair"]]] = {
    ("matplotlib", "FigureBase"): "matplotlib",
    ("matplotlib", "Figure"): "matplotlib",
    ("plotly", "BaseFigure"): "plotly",
    ("altair", "TopLevelMixin"): "altair",
}
OWN_METHODS: Final = frozenset({"__init__", "__repr__", "__str__", "__eq__", "__hash__"})
"""Methods that a class of settings may have."""

CONFIGS: Final = frozenset({("omegaconf", "DictConfig"), ("ml_collections", "ConfigDict"), ("pydantic", "BaseModel")})


def is_scalar(value: object) -> bool:
    """Tell whether a value is one thing: a number, a text, None, an Enum, a path, a date.

    True for those and for numpy's scalars.
    """
    if is_a(value, *SCALARS):
        return True
    found = marks(value)
    if found[0] in SCALAR_MARKS:
        return True
    return ("numpy", "generic") in found and not any(m[0] == "numpy" and m[1] in NUMPY_OPAQUE for m in found)


def is_config_holder(value: object) -> bool:
    """Tell whether a class is used as a bag of settings: ``class CFG: lr = 0.1``.

    True for a plain class whose public attributes are scalars, at least one, and that has no methods.
    """
    if type(value) is not type:
        return False
    classes = [cls for cls in value.__mro__ if cls is not object]
    held = {key: inner for cls in classes for key, inner in dict_of(cls).items()}
    public = [inner for key, inner in held.items() if type(key) is str and not key.startswith("_")]
    plain = all(cls.__flags__ & WRITTEN_IN_PYTHON for cls in classes) and not {"__init__", "__dataclass_fields__"} & {
        *held
    }
    return plain and any(map(is_scalar, public)) and not any(is_a(inner, *METHODS) for inner in public)


def is_config_object(value: object) -> bool:
    """Tell whether a value is a configuration by its type: a dataclass, a Namespace, a pydantic or OmegaConf object.

    A dict is judged by its content elsewhere, a class by `is_config_holder`.
    """
    if is_a(value, types.SimpleNamespace):
        return True
    if any("__dataclass_fields__" in dict_of(cls) for cls in mro(value)):
        return not is_model(value)
    found = marks(value)
    if ("argparse", "Namespace") in found or any(mark in CONFIGS for mark in found):
        return True
    names = field_names(value)
    if names:
        return any(map(is_scalar, tuple.__iter__(value)))  # type: ignore[arg-type]  # a tuple, as it has names
    return bool(settings_of(value))


def field_names(value: object) -> tuple[str, ...]:
    """Give the names of the fields of a named tuple. Empty where it is none."""
    if not is_a(value, tuple):
        return ()
    names = next((dict_of(cls)["_fields"] for cls in mro(value) if "_fields" in dict_of(cls)), ())
    fits = type(names) is tuple and len(names) == tuple.__len__(value)  # type: ignore[arg-type]  # a tuple, see above
    return names if fits and all(type(name) is str for name in names) else ()


def settings_of(value: object) -> dict[str, Any]:
    """Give the settings in an object of a class that does nothing but hold them: ``self.lr = lr`` and no methods.

    Its public attributes, those of its class among them; empty where it is, or holds, anything else.
    """
    classes = [cls for cls in mro(value) if cls is not object]
    if not classes or any(type(cls) is not type or not cls.__flags__ & WRITTEN_IN_PYTHON for cls in classes):
        return {}
    shared = {name: inner for cls in reversed(classes) for name, inner in dict_of(cls).items()}
    if any(is_a(inner, *FUNCTIONS) and name not in OWN_METHODS for name, inner in shared.items()):
        return {}
    held = {name: inner for name, inner in shared.items() if not is_a(inner, *METHODS)} | fields_of(value)
    public = {name: inner for name, inner in held.items() if type(name) is str and not name.startswith("_")}
    plain = all(is_scalar(inner) or is_short(inner) or is_a(inner, dict) for inner in public.values())
    return public if plain and any(map(is_scalar, public.values())) else {}


def is_model(value: object) -> bool:
    """Whether a value can be fitted or asked. Told by its class: a known base, or methods ``fit`` or ``predict``."""
    if any(mark in MODELS for mark in marks(value)):
        return True
    return any("fit" in dict_of(cls) or "predict" in dict_of(cls) for cls in mro(value))


def figure_library(value: object) -> Literal["matplotlib", "plotly", "altair"] | None:
    """Which library a figure is of. Return None where it is no figure."""
    return next((FIGURES[mark] for mark in marks(value) if mark in FIGURES), None)


def figure_behind(value: object) -> object:
    """Find the figure that a value is or belongs to."""
    if figure_library(value):
        return value
    found = marks(value)
    if ("numpy", "ndarray") in found:
        first = library_attribute(value, "flat")
        size = library_attribute(value, "size")
        dtype = library_attribute(value, "dtype")
        if first is MISSING or size is MISSING or not 0 < size < 1000 or str(dtype) != "object":
            return MISSING
        value = next(iter(first))
        found = marks(value)
    if ("matplotlib", "Artist") in found:
        figure = fields_of(value).get("_parent_figure", fields_of(value).get("figure"))
        return figure if figure_library(figure) else MISSING
    return MISSING


def kind_of(value: object) -> Kind:
    """Tell what kind of thing a value is."""
    if is_scalar(value):
        return "scalar"
    if is_a(value, types.ModuleType):
        return "module"
    if is_a(value, type):
        return "config" if is_config_holder(value) else "class"
    if is_a(value, *FUNCTIONS) or ("numpy", "ufunc") in marks(value):
        return "function"
    if is_a(value, dict):
        return "config" if _is_config_dict(value) else "data"  # type: ignore[arg-type]
    if is_config_object(value):
        return "config"
    if is_a(value, tuple, list):
        return "short" if is_short(value) else "data"
    return _library_kind(value)


def _library_kind(value: object) -> Kind:
    if figure_behind(value) is not MISSING:
        return "figure"
    if is_tensor(value) or any(mark in TABLES for mark in marks(value)) or is_a(value, *DATA):
        return "data"
    return "model" if is_model(value) else "object"


def is_short(value: object) -> bool:
    """Tell whether a value is a tuple or list of a few scalars. True up to `SHORT` items."""
    kinds = mro(value)
    for base in (tuple, list):
        if base in kinds and not field_names(value):
            return 0 < base.__len__(value) <= SHORT and all(map(is_scalar, base.__iter__(value)))  # type: ignore[arg-type]
    return False


def _is_config_dict(value: dict[Any, Any], depth: int = 0) -> bool:
    """Text or int keys, not too many, and somewhere a scalar; beside arrays (a data set's description) a number."""
    if not dict.__len__(value) <= MANY or depth > 5:
        return False
    items = list(dict.items(value))
    if not all(is_a(key, str, int) for key, _ in items):
        return False
    if any(shape_of(v) for _, v in items):
        return any(is_a(v, int, float) or _is_tensor_scalar(v) for _, v in items)
    return any(is_scalar(v) or is_short(v) or is_config_object(v) or _is_tensor_scalar(v) for _, v in items) or any(
        is_a(v, dict) and _is_config_dict(v, depth + 1) for _, v in items
    )


def _is_tensor_scalar(value: object) -> bool:
    return is_tensor(value) and shape_of(value) == ()
