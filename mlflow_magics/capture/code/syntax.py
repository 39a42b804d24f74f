"""Answers questions about a piece of code from the code alone."""

from __future__ import annotations

import ast


def where(node: ast.expr | ast.stmt) -> tuple[int, int]:
    """Give the place of a piece of code.

    Parameters
    ----------
    node : ast.expr or ast.stmt
        The piece.

    Returns
    -------
    tuple of int
        Line and column.
    """
    return node.lineno, node.col_offset


def statements(body: list[ast.stmt]) -> list[ast.AST]:
    """Everything in a body that runs with it, not inside functions and classes of its own."""
    found: list[ast.AST] = []
    todo: list[ast.AST] = list(body)
    while todo:
        node = todo.pop()
        found.append(node)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            todo += ast.iter_child_nodes(node)
    return found


def bound_names(body: list[ast.stmt], *, updates: bool = False) -> set[str]:
    """List the names that a block binds."""
    names: set[str] = set()
    for node in statements(body):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                names.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.alias(name=name, asname=asname):
                names.add(asname or name.split(".")[0])
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                names.add(name)
            case ast.Attribute(ctx=ast.Store()) | ast.Subscript(ctx=ast.Store()) if updates:
                names |= {root.id for root in [root_of(node)] if root}
            case ast.Call(func=ast.Attribute(value=receiver, attr=attr)) if updates and attr in MUTATORS:
                names |= {root.id for root in [root_of(receiver)] if root}
    return names


MUTATORS = frozenset({"append", "extend", "insert", "update", "add", "setdefault", "appendleft"})
"""Methods that put their arguments into their receiver."""


def root_of(node: ast.expr) -> ast.Name | None:
    """Find the name at the left end of ``a.b[c].d``.

    Parameters
    ----------
    node : ast.expr
        The expression.

    Returns
    -------
    ast.Name or None
        The name; None where the left end is something else.
    """
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node if isinstance(node, ast.Name) else None
