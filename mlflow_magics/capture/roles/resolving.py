"""Finds which object a name in the code means, without running any code, and what the standard ones do."""

from __future__ import annotations

import builtins
import datetime
import enum
import types
from collections.abc import Mapping
from typing import Any, Literal

from ..code.symbols import Attribute, Call, External, Free, Join, Local, LoopVar, Node, Op, walk
from ..values.inspection import MISSING, bases_of, class_name, dict_of, fields_of, is_a, module_of
from .known import CLOCKS, FOREIGN_READERS, PLAIN_CLASSES, PURE


def resolve(node: Node, namespace: Mapping[str, object]) -> Any:
    """Find the object behind a name or dotted name."""
    match node:
        case External(name=name) | Free(name=name) | Local(name=name):
            return namespace.get(name, vars(builtins).get(name, MISSING))
        case Attribute(base=base, attr=attr):
            owner = resolve(base, namespace)
            if is_a(owner, types.ModuleType):
                return fields_of(owner).get(attr, MISSING)
            if is_a(owner, type):
                return next((dict_of(one)[attr] for one in bases_of(owner) if attr in dict_of(one)), MISSING)
    return MISSING


def is_clock(node: Node, namespace: Mapping[str, object]) -> bool:
    """Tell whether a value is a reading of a clock, which is no result in itself.

    False for the difference of two readings: that is a duration.
    """

    def inside(one: Node) -> tuple[Node, ...]:
        match one:
            case Local(value=value):
                return (value,)
            case Join(parts=parts):
                return parts
            case Op(op=op, parts=parts) if op != "-":
                return parts
            case Call(func=func, args=args):
                made = resolve(func, namespace)
                if is_hashable_callable(made) and made in PURE:
                    return args
                # datetime.now().isoformat()
                written = {"isoformat", "strftime", "timestamp", "date", "time"}
                return (func.base,) if isinstance(func, Attribute) and func.attr in written else ()
        return ()

    return any(isinstance(one, Call) and reads_clock(one.func, namespace) for one in walk(node, inside))


def reads_clock(func: Node, namespace: Mapping[str, object]) -> bool:
    """Tell whether a call of this function reads a clock.

    True for `time.time` and its like, and for ``now`` and ``today`` of dates.
    """
    if isinstance(func, Attribute) and func.attr in {"now", "utcnow", "today"}:
        owner = resolve(func.base, namespace)
        return is_a(owner, type) and datetime.date in bases_of(owner)
    made = resolve(func, namespace)
    return is_hashable_callable(made) and made in CLOCKS


def is_hashable_callable(made: object) -> bool:
    """Tell whether an object is a plain function or class, which can be looked up in a set without side effects.

    False for callable instances, and for classes whose metaclass may answer in its own way.
    """
    cls = type(made)
    return any(cls is one for one in (types.FunctionType, types.BuiltinFunctionType, type, enum.EnumMeta))


def callable_name(made: Any) -> str:
    """Give the name of a function or class."""
    return class_name(made) if is_a(made, type) else str.__str__(object.__getattribute__(made, "__name__"))


def is_foreign_reader(made: Any) -> bool:
    """Tell whether a function is ``yaml.safe_load`` or its like, by module and name.

    True for those; nothing is imported to compare with.
    """
    if not is_a(made, types.FunctionType):
        return False
    module = module_of(made).partition(".")[0]
    return module in FOREIGN_READERS and callable_name(made) in {"load", "loads", "safe_load", "full_load"}


def reads_configuration(owner: type, method: str) -> bool:
    """Tell whether a class method gives settings: ``OmegaConf.load``.

    Told by the class's module and the method's name.
    """
    module = module_of(owner).partition(".")[0]
    return module in FOREIGN_READERS and method in {"load", "create", "merge", "from_cli", "structured"}


def field_order(cls: type) -> list[str]:
    """List the fields that a class of settings takes, in the order in which it takes them."""
    for one in bases_of(cls):
        own = dict_of(one)
        if type(own.get("__dataclass_fields__")) is dict:
            return list(own["__dataclass_fields__"])
        if type(own.get("_fields")) is tuple:
            return list(own["_fields"])
        if is_a(own.get("__init__"), types.FunctionType):
            code = object.__getattribute__(own["__init__"], "__code__")
            return list(code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount])
    return []


def names_a_turn(node: Node) -> bool:
    """Tell whether ``type(m)`` and its like ask for the class of a loop's target, another one in each turn."""

    def inside(one: Node) -> tuple[Node, ...]:
        match one:
            case Call(args=args):
                return args
            case Attribute(base=base):
                return (base,)
            case Local(value=value):
                return (value,)
        return ()

    return any(isinstance(one, LoopVar) or (isinstance(one, Op) and one.op == "each") for one in walk(node, inside))


def made_kind(cls: type) -> Literal["config", "object", "unknown"]:
    """Tell what kind of value a class makes, as far as its bases and fields say."""
    bases = bases_of(cls)
    if any(base is enum.Enum or any(base is plain for plain in PLAIN_CLASSES) for base in bases):
        return "unknown"
    roots = {(module_of(b).partition(".")[0], class_name(b)) for b in bases}
    known = {("types", "SimpleNamespace"), ("argparse", "Namespace"), ("pydantic", "BaseModel")}
    fielded = any("__dataclass_fields__" in dict_of(base) for base in bases)
    return "config" if fielded or known & roots else "object"
