"""Works out what an expression of literals and known names comes to, without running any of the user's code."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

UNKNOWN: Final = object()
"""Stands for a value that cannot be worked out."""

Lookup = Callable[[ast.expr], object]
"""Gives the value of a name or a dotted name; `UNKNOWN` where it is not known."""

PLAIN: Final = (bool, int, float, complex, str, type(None))
"""Types of the values that are calculated with: Python's own, which have no code of the user's."""

_MOST: Final = 16
"""Items of a list or tuple, beyond which it is data."""

_LONGEST: Final = 10_000
"""Characters of a text, and binary digits of a number, beyond which nothing is calculated."""

_OPERATORS: Final[Mapping[type[ast.AST], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
_SIGNS: Final[Mapping[type[ast.unaryop], Callable[[Any], Any]]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Invert: operator.invert,
}
_FUNCTIONS: Final[tuple[Callable[..., Any], ...]] = (float, int, bool, round, abs, min, max)


def is_plain(value: object) -> bool:
    """Tell whether a value is of one of these types, compared by identity: a metaclass may have an ``__eq__``."""
    kind = type(value)
    return any(kind is one for one in PLAIN)


def worked_out(expr: ast.expr, lookup: Lookup) -> Any:
    """Work out an expression.

    Parameters
    ----------
    expr : ast.expr
        Literals, known names, signs, arithmetic, comparisons, and the simplest of the builtins.
    lookup : callable
        Gives the values of names.

    Returns
    -------
    object
        The value, with lists and tuples of up to 16 values; `UNKNOWN` where it cannot be told.
    """
    try:
        return _value(expr, lookup)
    except (ArithmeticError, TypeError, ValueError, RecursionError):
        return UNKNOWN


def _value(expr: ast.expr, lookup: Lookup) -> Any:
    match expr:
        case ast.Constant(value=value):
            return value if is_plain(value) else UNKNOWN
        case ast.Name() | ast.Attribute():
            return lookup(expr)
        case ast.UnaryOp(op=op, operand=operand):
            value = _value(operand, lookup)
            return _SIGNS[type(op)](value) if is_plain(value) else UNKNOWN
        case ast.BinOp(left=left, op=op, right=right):
            return _calculated(op, _value(left, lookup), _value(right, lookup))
        case ast.Compare(left=left, ops=ops, comparators=others):
            return _compared(left, ops, others, lookup)
        case ast.BoolOp(op=op, values=values):
            return _joined(op, values, lookup)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            answer = _value(test, lookup)
            return UNKNOWN if not is_plain(answer) else _value(body if answer else orelse, lookup)
        case ast.Tuple(elts=elts) | ast.List(elts=elts) if len(elts) <= _MOST:
            parts = [_value(elt, lookup) for elt in elts]
            if any(part is UNKNOWN for part in parts):
                return UNKNOWN
            return tuple(parts) if isinstance(expr, ast.Tuple) else parts
        case ast.Call(func=ast.Name() as func, args=args, keywords=[]):
            return _called(lookup(func), [_value(arg, lookup) for arg in args])
    return UNKNOWN


def _called(func: object, args: list[Any]) -> Any:
    known = any(func is one for one in _FUNCTIONS) and all(map(is_plain, args))
    short = not any(type(arg) is str and len(arg) > _LONGEST for arg in args)
    return func(*args) if known and short and callable(func) else UNKNOWN


def _calculated(op: ast.AST, left: Any, right: Any) -> Any:
    if type(op) not in _OPERATORS or not (is_plain(left) and is_plain(right)):
        return UNKNOWN
    if isinstance(left, str) and isinstance(op, ast.Mod):
        return UNKNOWN  # the text of a format may ask for any width
    sizes = [_size(left), _size(right)]
    if isinstance(op, ast.Pow) and isinstance(right, int):
        sizes = [sizes[0] * abs(right)]
    elif isinstance(op, ast.Mult) and isinstance(left, str) != isinstance(right, str):
        text, times = (left, right) if isinstance(left, str) else (right, left)
        sizes = [len(text) * abs(times)]
    return UNKNOWN if sum(sizes) > _LONGEST else _OPERATORS[type(op)](left, right)


def _is_sequence(value: object) -> bool:
    return type(value) is list or type(value) is tuple


def _size(value: Any) -> int:
    return value.bit_length() if isinstance(value, int) else len(value) if isinstance(value, str) else 1


def _compared(left: ast.expr, ops: list[ast.cmpop], others: list[ast.expr], lookup: Lookup) -> Any:
    one = _value(left, lookup)
    for op, expr in zip(ops, others, strict=True):
        other = _value(expr, lookup)
        if isinstance(op, ast.In | ast.NotIn):
            if not (is_plain(one) and _is_sequence(other) and all(map(is_plain, other))):
                return UNKNOWN
            answer: Any = (one in other) is isinstance(op, ast.In)
        else:
            answer = _calculated(op, one, other)
        if answer is UNKNOWN or not answer:
            return answer
        one = other
    return True


def _joined(op: ast.boolop, values: list[ast.expr], lookup: Lookup) -> Any:
    value: Any = UNKNOWN
    for expr in values:
        value = _value(expr, lookup)
        if not is_plain(value) or bool(value) is isinstance(op, ast.Or):
            return value
    return value
