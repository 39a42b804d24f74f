"""Tells how many turns a loop will have, from its code and the numbers at hand; nothing of the user's is run."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from ..values.inspection import is_a

_GRIDS = frozenset({
    "product", "zip", "items", "keys", "values", "combinations", "permutations", "ParameterGrid", "ParameterSampler",
    "linspace", "logspace", "geomspace", "arange", "chain",
})  # fmt: skip
_WRAPPERS = frozenset({"tqdm", "enumerate", "reversed", "sorted", "list", "tuple"})


def turns_of(iterable: ast.expr, namespace: Mapping[str, object]) -> int:
    """Return how many turns a loop over this has; 0 where that is not known, 1 for a grid of unknown size."""
    match iterable:
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
            return len(parts)
        case ast.Dict(keys=keys):
            return len(keys)
        case ast.Name(id=name):
            return _length_of(namespace.get(name))
        case ast.Call(func=ast.Name(id="range"), args=args):
            numbers = [_number(one, namespace) for one in args]
            known = [one for one in numbers if one is not None]
            return len(range(*known)) if len(known) == len(args) and 0 < len(args) < 4 and known[2:] != [0] else 0
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=args):
            if name in _WRAPPERS and args:
                return turns_of(args[0], namespace)
            return 1 if name in _GRIDS or name in {"trange"} else 0
    return 0


def _length_of(value: object) -> int:
    for kind in (list, tuple, dict, set, frozenset, range):
        if is_a(value, kind):
            return int(kind.__len__(value))  # type: ignore[arg-type]
    return 0


def _number(node: ast.expr, namespace: Mapping[str, object]) -> int | None:
    match node:
        case ast.Constant(value=int(number)):
            return number
        case ast.Name(id=name):
            held = namespace.get(name)
            return int.__int__(held) if is_a(held, int) else None  # type: ignore[arg-type]
        case ast.BinOp(left=left, op=ast.Add() | ast.Mult() | ast.Pow() as op, right=right):
            one, other = _number(left, namespace), _number(right, namespace)
            if one is None or other is None or max(abs(one), abs(other)) > 10**9:
                return None
            if isinstance(op, ast.Pow):
                return one**other if 0 <= other < 20 else None
            return one + other if isinstance(op, ast.Add) else one * other
    return None
