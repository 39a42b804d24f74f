"""A run's cell as it can be run again: its source, with the run's params where the source has others."""

from __future__ import annotations

import ast
from collections.abc import Mapping


def restored(source: str, params: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Put a run's params into its cell's source.

    Parameters
    ----------
    source : str
        The cell as it was logged, magics included.
    params : mapping of str to str
        The run's, as MLflow keeps them.

    Returns
    -------
    str
        The cell: assignments of literals are brought to the run's values, and what the cell took from elsewhere is
        assigned before it, below the magic line.
    tuple of str
        The params that were set so.
    """
    lines = source.splitlines()
    tree = _parsed(lines)
    if tree is None:
        return source, ()
    assigned: set[str] = set()
    edits: list[tuple[ast.expr, str]] = []
    set_here: list[str] = []
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if not (isinstance(statement, ast.Assign) and len(targets) == 1 and isinstance(targets[0], ast.Name)):
            continue
        name = targets[0].id
        assigned.add(name)
        literal = _literal(statement.value)
        if name in params and literal is not None and literal != params[name]:
            edits.append((statement.value, _written(params[name])))
            set_here.append(name)
    stored = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    outside = [name for name in params if name.isidentifier() and name in read and name not in stored | assigned]
    for node, text in sorted(edits, key=lambda edit: (edit[0].lineno, edit[0].col_offset), reverse=True):
        _replace(lines, node, text)
    above = [f"{name} = {_written(params[name])}" for name in outside]
    start = next((index for index, line in enumerate(lines) if not line.startswith("%%")), len(lines))
    return "\n".join([*lines[:start], *above, *lines[start:]]) + "\n", (*set_here, *outside)


def _parsed(lines: list[str]) -> ast.Module | None:
    # What is no Python keeps its place, so that the positions below are those of the cell.
    masked = [_masked(line) for line in lines]
    try:
        return ast.parse("\n".join(masked))
    except SyntaxError:
        return None


def _masked(line: str) -> str:
    bare = line.lstrip()
    if bare.startswith(("%%", "%", "!", "?")):
        return line[: len(line) - len(bare)] + "pass"
    return line


def _literal(node: ast.expr) -> str | None:
    try:
        return str(ast.literal_eval(node))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _written(value: str) -> str:
    """Return a param as Python writes it: a number, True, None, a list; else a text."""
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return repr(value)
    return value


def _replace(lines: list[str], node: ast.expr, text: str) -> None:
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    # The tree counts bytes.
    head = lines[first].encode()[: node.col_offset].decode()
    tail = lines[last].encode()[node.end_col_offset or 0 :].decode()
    lines[first : last + 1] = [head + text + tail]
