"""Reads the cells that were run before: which of them last bound a name, and whether it imported it."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from functools import lru_cache

from .syntax import bound_names


def module_behind(name: str, history: Sequence[str]) -> str | None:
    """Find the module that a name was imported from.

    Parameters
    ----------
    name : str
        The name.
    history : sequence of str
        Sources of the cells run so far, newest last.

    Returns
    -------
    str or None
        The module's name, with its dots where it is relative; empty where the last cell that bound the name did not
        import it, None where no cell bound it in sight.
    """
    for source in reversed(history):
        if name in source:
            found = _bound(source)
            if name in found:
                return found[name] or ""
    return None


@lru_cache(maxsize=1024)
def _bound(source: str) -> Mapping[str, str | None]:
    """Map each name that a cell binds to the module it is imported from, or to None."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError):
        return {}
    found: dict[str, str | None] = dict.fromkeys(bound_names(body))
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                for alias in node.names:
                    found[alias.asname or alias.name] = module
    return found
