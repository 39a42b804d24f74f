"""Answers questions about compiled functions: the names in their code, and the source that they were written in."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator
from types import CodeType

Definition = ast.FunctionDef | ast.AsyncFunctionDef


def codes_in(code: CodeType) -> Iterator[CodeType]:
    """List a function's code, and that of the functions defined inside it."""
    yield code
    for constant in code.co_consts:
        if type(constant) is CodeType:
            yield from codes_in(constant)


def names_in(code: CodeType) -> set[str]:
    """List the globals and attributes that a function's code names, and the code inside it."""
    return {name for one in codes_in(code) for name in one.co_names}


def written(code: CodeType) -> tuple[ast.Module, Definition] | None:
    """Return the cell that a function stands in, and its definition there; a new tree each time.

    None where its source is not known (made by ``exec``, below ``%%time``), or several could be meant.
    """
    lines = linecache.cache.get(code.co_filename)
    if lines is None or len(lines) < 3:
        return None
    try:
        tree = ast.parse("".join(lines[2]))
    except (SyntaxError, ValueError, RecursionError):
        return None
    found = [one for one in ast.walk(tree) if isinstance(one, Definition) and _is_of(one, code)]
    return (tree, found[0]) if len(found) == 1 else None


def first_line(node: Definition) -> int:
    """Return the line that Python says a function begins in: that of its first decorator, if it has one."""
    return min([node.lineno, *(one.lineno for one in node.decorator_list)])


def _is_of(node: Definition, code: CodeType) -> bool:
    return node.name == code.co_name and first_line(node) == code.co_firstlineno
