"""Lists the calls that a cell makes itself, each with the place it stands in."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from .scopes import Binding, Noted
from .symbols import Attribute, Call, Guarded, Join, Node, Sequence

Condition = tuple[ast.expr | None, bool]
"""A test and the answer that it must give; None for one that the code does not write as an expression."""


@dataclass(frozen=True, eq=False)
class CallSite:
    """A call that the cell makes itself, not inside a function or a class.

    Attributes
    ----------
    call : Call
        The callee and the arguments, as nodes.
    code : ast.Call
        The same as it is written.
    lineno : int
        First line of the statement that it stands in, the innermost.
    in_loop : bool
        Whether it lies in a loop or a comprehension.
    conditions : tuple of (ast.expr or None, bool)
        What must hold for it to be run, outermost first.
    within : tuple of str
        Last names of the calls in whose arguments it stands, outermost first.
    variable : str
        The name that its value, or what is made of it by its methods and around it, is bound to; empty for none.
    """

    call: Call
    code: ast.Call
    lineno: int
    in_loop: bool
    conditions: tuple[Condition, ...] = ()
    within: tuple[str, ...] = ()
    variable: str = ""


@dataclass(frozen=True)
class _Place:
    lineno: int = 0
    conditions: tuple[Condition, ...] = ()
    within: tuple[str, ...] = ()


def collect(
    tree: ast.Module, noted: Iterable[Noted], bindings: Mapping[str, Iterable[Binding]]
) -> tuple[CallSite, ...]:
    """List the calls of a cell.

    Parameters
    ----------
    tree : ast.Module
        The cell.
    noted : iterable of Noted
        Its calls, as they were met.
    bindings : mapping of str to iterable of Binding
        What it gives to its names.

    Returns
    -------
    tuple of CallSite
        In the order in which they were met: those in arguments before those around them.
    """
    places, decorators = _places(tree)
    variables = _variables(bindings)
    return tuple(
        CallSite(
            one.call,
            one.code,
            place.lineno or one.lineno,  # not known of what a magic was given as a text
            one.in_loop,
            place.conditions,
            place.within,
            variables.get(id(one.call), ""),
        )
        for one in noted
        if id(one.code) not in decorators
        for place in [places.get(id(one.code), _Place())]
    )


def last_name(func: ast.expr) -> str:
    """Give the last name of ``a.b.c``; empty for what is no name."""
    return func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""


def _variables(bindings: Mapping[str, Iterable[Binding]]) -> dict[int, str]:
    """Tell for each call to which name its value goes, also through ``.fit()`` and a pipeline's list of steps."""
    found: dict[int, str] = {}
    for name, each in bindings.items():
        todo: list[Node] = [binding.value for binding in each if binding.kind == "assign"]
        while todo:
            match todo.pop():
                case Guarded(value=value):
                    todo.append(value)
                case Sequence(parts=parts) | Join(parts=parts):
                    todo += parts
                case Attribute(base=base):
                    todo.append(base)
                case Call(func=func, args=args, keywords=keywords) as call if id(call) not in found:
                    found[id(call)] = name
                    todo += [*args, *(value for _, value in keywords)]
                    todo += [func.base] if isinstance(func, Attribute) else []
    return found


def _places(tree: ast.Module) -> tuple[dict[int, _Place], set[int]]:
    """Find the conditions and the calls around each call, and the calls that are decorators."""
    places: dict[int, _Place] = {}
    decorators: set[int] = set()
    todo: list[tuple[ast.AST, _Place]] = [(tree, _Place())]
    while todo:
        node, place = todo.pop()
        if isinstance(node, ast.stmt):
            place = replace(place, lineno=node.lineno)
        match node:
            case ast.Call(func=func, args=args, keywords=keywords):
                places[id(node)] = place
                inside = replace(place, within=(*place.within, last_name(func)))
                todo += [(func, place), *((one, inside) for one in (*args, *keywords))]
            case ast.If(test=test, body=body, orelse=orelse):
                todo += [(test, place), *_under(body, place, (test, True)), *_under(orelse, place, (test, False))]
            case ast.IfExp(test=test, body=one, orelse=other):
                todo += [(test, place), *_under([one], place, (test, True)), *_under([other], place, (test, False))]
            case ast.BoolOp(values=[first, *rest]):
                todo += [(first, place), *_under(rest, place, (None, True))]
            case ast.ExceptHandler(body=body):
                todo += _under(body, place, (None, True))
            case ast.Match(subject=subject, cases=cases):
                todo += [(subject, place), *_under(cases, place, (None, True))]
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                decorators |= {id(one) for each in node.decorator_list for one in ast.walk(each)}
            case ast.Lambda():
                pass
            case _:
                todo += [(child, place) for child in ast.iter_child_nodes(node)]
    return places, decorators


def _under(nodes: Iterable[ast.AST], place: _Place, condition: Condition) -> list[tuple[ast.AST, _Place]]:
    inside = replace(place, conditions=(*place.conditions, condition))
    return [(node, inside) for node in nodes]
