"""Makes a run's cell ready to run again: its source, with the params that it took from other cells."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from ..code.syntax import bound_names
from ..values.writing import text_of

_ASSIGNED_MAGIC = re.compile(r"=\s*[%!].*$")
_ASKED = re.compile(r"^[%\w.]+\?{1,2}\s*$")
_NO_LITERALS = ("nan", "inf", "-inf")


def restored(
    source: str, params: Mapping[str, str], namespace: Mapping[str, Any] | None = None
) -> tuple[str, tuple[str, ...]]:
    """Put the params that a run's cell took from elsewhere before its source.

    What the cell assigns itself stands in its source as the run had it: there nothing is changed. (A param of the same
    name may be autolog's, or what the name came to be later in the cell.)

    Parameters
    ----------
    source : str
        The cell as it was logged, magics included.
    params : mapping of str to str
        The run's, as MLflow keeps them.
    namespace : mapping, optional
        The notebook's at hand: it tells a text from a number that looks alike.

    Returns
    -------
    str
        The cell, what it read assigned below the magic line. A configuration is put together of its dotted params.
    tuple of str
        The params that were set so.
    """
    lines = source.splitlines()
    try:
        tree = ast.parse("\n".join(map(_masked, lines)))
    except SyntaxError:
        return source, ()
    now = namespace or {}
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    own = {node.id for node in names if not isinstance(node.ctx, ast.Load)} | set(bound_names(tree.body))
    # train.epochs is what the function train was given, and no entry of a configuration.
    own |= {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    outside = dict.fromkeys(node.id for node in names if node.id not in own)
    above = []
    for name in outside:
        if name in params and _stands(params[name], now.get(name)):
            continue
        if name in params:
            value = _written(params[name], now.get(name))
        elif not (tree_of := _nested(params, name)) or not isinstance(now.get(name, {}), Mapping):
            continue
        else:
            value = _mapping(tree_of, now.get(name), name)
        above.append((name, f"{name} = {value}"))
    start = next((index for index, line in enumerate(lines) if not line.startswith("%%")), len(lines))
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            start = max(start, statement.end_lineno or 0)  # nothing may stand before it
    text = "\n".join([*lines[:start], *(line for _, line in above), *lines[start:]]) + "\n"
    return text, tuple(name for name, _ in above)


def _masked(line: str) -> str:
    """Return a line as Python; what is none keeps its place."""
    bare = line.lstrip()
    if bare.startswith(("%", "!", "?")) or _ASKED.match(bare):
        return line[: len(line) - len(bare)] + "pass"
    return _ASSIGNED_MAGIC.sub("= None", line)


def _stands(value: str, now: Any) -> bool:
    """Tell whether the notebook has a run's value at hand, as what no literal can be: a path, a date, an Enum."""
    return not isinstance(now, (bool, int, float, str, list, tuple, type(None))) and text_of(now) == value


def _written(value: str, like: Any) -> str:
    """Return a param as Python writes it: a number, True, None, a list; a text where the notebook has one, or else."""
    if isinstance(like, str):
        return repr(value)
    if value in _NO_LITERALS and (like is None or isinstance(like, float)):
        return f"float({value!r})"
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return repr(value)
    return value


def _nested(params: Mapping[str, str], name: str) -> dict[str, Any]:
    """Return the params ``name.a.b`` as dicts."""
    found: dict[str, Any] = {}
    for key, value in params.items():
        first, *path = key.split(".")
        if first != name or not path:
            continue
        at = found
        for part in path[:-1]:
            inner = at.setdefault(part, {})
            at = inner if isinstance(inner, dict) else {}
        at[path[-1]] = value
    return found


def _mapping(values: Mapping[str, Any], like: Any, expression: str) -> str:
    """Write a dict; what the notebook's own has besides stays in it."""
    has = like if isinstance(like, Mapping) else {}
    items = [f"**{expression}"] if has.keys() - values.keys() else []
    for key, value in values.items():
        inner = f"{expression}[{key!r}]"
        written = _mapping(value, has.get(key), inner) if isinstance(value, dict) else _written(value, has.get(key))
        items.append(f"{key!r}: {written}")
    return f"{{{', '.join(items)}}}"
