"""Looks at a value without running any code of its class.

No attribute is read of a value whose class could answer with side effects: types are told by the names in their
``__mro__``, fields are taken from the instance's own ``__dict__``, and a library's property is called as that library
wrote it. Classes are read past their metaclasses, and compared by identity. So a mock, a proxy or a lazy module is
looked at without waking up.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any, Final

MISSING: Final = object()
"""Stands for "no value", where None is one."""

TENSORS: Final = frozenset(
    {
        ("numpy", "ndarray"),
        ("torch", "Tensor"),
        ("torch", "TensorBase"),
        ("torch", "_TensorBase"),
        ("tensorflow", "Tensor"),
        ("tensorflow", "EagerTensor"),
        ("jax", "Array"),
        ("jaxlib", "Array"),
        ("jaxlib", "ArrayImpl"),
        ("cupy", "ndarray"),
    }
)
TABLES: Final = frozenset(
    (root, name)
    for root in ("pandas", "polars", "pyarrow", "scipy")
    for name in ("DataFrame", "Series", "Index", "LazyFrame", "Table", "spmatrix", "sparray")
)
LIBRARIES: Final = frozenset({root for root, _ in TENSORS | TABLES} | {"matplotlib"})
"""Libraries whose own properties may be read."""


_DICT: Final = type.__dict__["__dict__"].__get__
_MRO: Final = type.__dict__["__mro__"].__get__
_NAME: Final = type.__dict__["__name__"].__get__
_MODULE: Final = type.__dict__["__module__"].__get__
_SLOTS: Final = (types.GetSetDescriptorType, types.MemberDescriptorType)


class Classes(tuple[type, ...]):
    """Classes, told apart by identity: a metaclass may have an ``__eq__``."""

    __slots__ = ()

    def __contains__(self, cls: object) -> bool:
        """Tell whether a class is among them."""
        for one in self:  # noqa: SIM110  # twice as fast as `any`
            if one is cls:
                return True
        return False


def mro(value: object) -> Classes:
    """List the classes of a value, whatever its class claims."""
    return bases_of(type(value))


def bases_of(cls: type) -> Classes:
    """List the classes that a class is made of, past any metaclass of its."""
    return Classes(_MRO(cls))


def is_a(value: object, *kinds: type) -> bool:
    """`isinstance`, without asking the value (which may lie, or act, in ``__class__``).

    Parameters
    ----------
    value : object
        Any value.
    *kinds : type
        The classes.

    Returns
    -------
    bool
        Whether one of them is among the value's.
    """
    for cls in _MRO(type(value)):
        for kind in kinds:  # loops, because this is asked most often of all
            if cls is kind:
                return True
    return False


def dict_of(cls: type) -> Mapping[str, Any]:
    """Give what a class itself defines, past any metaclass of its."""
    found: Mapping[str, Any] = _DICT(cls)
    return found


def fields_of(value: object) -> dict[str, Any]:
    """Give the instance's own attributes.

    Its ``__dict__``; empty where it has none, or hides it behind a property.
    """
    for cls in mro(value):
        slot: Any = dict_of(cls).get("__dict__")
        if type(slot) in _SLOTS:
            try:
                found = slot.__get__(value, cls)
            except (AttributeError, TypeError):  # a slot of somebody else's
                return {}
            return found if type(found) is dict else {}
    return {}


def class_name(cls: type) -> str:
    """Give the name of a class."""
    return str.__str__(_NAME(cls))


def module_of(value: object) -> str:
    """Give the module that a function or class was written in, or that the class of any other value was.

    Empty where none is said, or something that is no text.
    """
    if is_a(value, types.FunctionType, types.BuiltinFunctionType):
        found = object.__getattribute__(value, "__module__")  # nobody can derive from these two
    else:
        found = _MODULE(value if is_a(value, type) else type(value))
    return found if type(found) is str else ""


def marks(value: object) -> list[tuple[str, str]]:
    """List library and name of each class of a value."""
    found = []
    for cls in mro(value):
        module = dict_of(cls).get("__module__")
        if type(module) is not str:  # C types keep theirs behind a descriptor of `type`
            module = _MODULE(cls)
        found.append((module.partition(".")[0] if type(module) is str else "", class_name(cls)))
    return found


def library_attribute(value: object, name: str) -> Any:
    """Read a property as the library that defines it wrote it, past any override of the user's."""
    for cls, (root, _) in zip(mro(value), marks(value), strict=True):
        if root in LIBRARIES and name in dict_of(cls):
            found = dict_of(cls)[name]
            get = dict_of(type(found)).get("__get__") or getattr(type(found), "__get__", None)
            try:
                return get(found, value, type(value)) if get else found
            # Another library's property: whatever it raises, the value has no such fact to tell.
            except Exception:  # noqa: BLE001
                return MISSING
    return MISSING


def is_tensor(value: object) -> bool:
    """Tell whether a value is an array or tensor of a known library.

    Told by the names of its classes; nothing is imported.
    """
    return any(mark in TENSORS for mark in marks(value))


def shape_of(value: object) -> tuple[int, ...] | None:
    """Give the shape of an array, tensor or table. Return None where it is of no known type, or has none."""
    found = library_attribute(value, "shape")
    if found is MISSING:
        return None
    try:
        return tuple(int(n) for n in found)
    except (TypeError, ValueError):  # lazy tables and unknown dimensions
        return None
