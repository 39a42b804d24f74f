"""Says which cell made a name: the notebook's hidden state, and whether it could be made again.

Noting a cell costs one dictionary entry; sources are read only when a run asks, each once.
"""

from __future__ import annotations

import ast
import json
import types
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from ..code.syntax import bound_names
from ..values.inspection import fields_of, is_a, module_of

_LARGEST_NOTEBOOK = 20_000_000
_LONGEST_TAG = 500
_MAGIC_CALLS = ("run_cell_magic", "run_line_magic")
_RUNNING = ("time", "capture", "prun")


Executed = Mapping[int, tuple[str, str, float]]
"""By the number in ``In [n]``: the front end's id of the cell (or nothing), its source as typed, seconds since 1970."""


def origins(names: Iterable[str], history: Sequence[str]) -> dict[str, int]:
    """Find the cell that last bound each name.

    Parameters
    ----------
    names : iterable of str
        What to look for.
    history : sequence of str
        IPython's ``In``: the cells' Python by number.

    Returns
    -------
    dict of str to int
        Numbers of cells; a name that none of them binds in sight (``%run``, ``exec``) is missing.
    """
    wanted, found = set(names), {}
    for number in range(len(history) - 1, 0, -1):
        if not wanted:
            break
        for name in wanted & _bound(history[number]):
            found[name] = number
        wanted -= found.keys()
    return found


def changed(numbers: Iterable[int], executed: Executed, notebook: Path | None) -> set[int]:
    """Tell which cells read otherwise by now, or are gone, so that running the notebook again makes something else.

    Parameters
    ----------
    numbers : iterable of int
        The cells.
    executed : mapping
        All that were run.
    notebook : Path or None
        The saved notebook, where it is known.

    Returns
    -------
    set of int
        Those cells. One whose front end tells no ids is never among them.
    """
    known = {number: executed[number] for number in numbers if number in executed and executed[number][0]}
    latest = {each[0]: each for _, each in sorted(executed.items())}
    found = {number for number, (cell, source, _) in known.items() if not _same(latest[cell][1], source)}
    saved, when = _saved(notebook) if known else ({}, 0.0)
    for number, (cell, source, _) in known.items():
        # A notebook that was saved before the cell was run says nothing of it.
        if saved and when > latest[cell][2] and not _same(saved.get(cell, ""), source):
            found.add(number)
    return found


@lru_cache(maxsize=4096)
def _bound(source: str) -> frozenset[str]:
    try:
        body = ast.parse(source).body
        names = bound_names(body)
        for statement in body:
            names |= _bound(_run_by_magic(statement))
        return frozenset(names)
    except (SyntaxError, ValueError, RecursionError):
        return frozenset()


def _run_by_magic(statement: ast.stmt) -> str:
    """Return the code that ``%%time`` and its like run in the notebook's namespace; IPython keeps it as a text."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in _MAGIC_CALLS):
        return ""
    words = [word.value for word in call.args if isinstance(word, ast.Constant)]
    return str(words[-1]) if len(words) > 1 and words[0] in _RUNNING else ""


def read_from_outside(reads: Iterable[str], namespace: Mapping[str, object], hidden: Iterable[str] = ()) -> list[str]:
    """Choose what counts as the state that a cell stands on: data and functions of the notebook's own.

    Parameters
    ----------
    reads : iterable of str
        The names that the cell reads and did not define.
    namespace : mapping
        The notebook's.
    hidden : iterable of str, optional
        IPython's own names.

    Returns
    -------
    list of str
        Those names, and what the notebook's functions among them read in turn; modules and what was imported are none.
    """
    found: dict[str, None] = {}
    queue, left_out = list(reads), set(hidden)
    while queue:
        name = queue.pop(0)
        if name in found or name in left_out or name not in namespace or name.startswith("_"):
            continue
        value = namespace[name]
        if is_a(value, types.ModuleType) or _is_imported(value):
            continue
        found[name] = None
        if is_a(value, types.FunctionType):
            queue += object.__getattribute__(value, "__code__").co_names
    return list(found)


def packages(namespace: Mapping[str, object]) -> set[str]:
    """List the packages that what a notebook's names hold comes from.

    Parameters
    ----------
    namespace : mapping
        The notebook's.

    Returns
    -------
    set of str
        By the names they are imported by.
    """
    names = set()
    plain: set[int] = set()  # classes, by id, all of whose objects come from the same package
    for value in list(namespace.values()):
        kind = type(value)
        if id(kind) in plain:
            continue  # a notebook may keep ten thousand numbers
        if not is_a(value, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type):
            plain.add(id(kind))
        name = fields_of(value).get("__name__") if is_a(value, types.ModuleType) else module_of(value)
        if type(name) is str:
            names.add(name.partition(".")[0])
    return names


def tag(names: Iterable[str], origins: Mapping[str, int]) -> str:
    """Write names and the cells that made them, for a tag.

    Parameters
    ----------
    names : iterable of str
        What a cell read.
    origins : mapping of str to int
        As :func:`origins` found them.

    Returns
    -------
    str
        ``"X: [3], scale: ?"``, at most 500 characters.
    """
    text = ", ".join(f"{name}: [{origins[name]}]" if name in origins else f"{name}: ?" for name in names)
    return text if len(text) <= _LONGEST_TAG else text[: _LONGEST_TAG - 1].rpartition(",")[0] + ", …"


def _is_imported(value: object) -> bool:
    """Tell a function or a class of some package from one that the notebook defines."""
    if not is_a(value, types.FunctionType, types.BuiltinFunctionType, type):
        return False
    return (module_of(value) or "__main__") != "__main__"


def _same(one: str, other: str) -> bool:
    return one.strip() == other.strip()


def _saved(notebook: Path | None) -> tuple[dict[str, str], float]:
    """Return the saved notebook's cells by id, and when it was saved; nothing where it cannot be read."""
    try:
        if notebook is None or notebook.stat().st_size > _LARGEST_NOTEBOOK:
            return {}, 0.0
        when = notebook.stat().st_mtime
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        return {cell["id"]: "".join(cell["source"]) for cell in cells if "id" in cell}, when
    except (OSError, ValueError, KeyError, TypeError):
        return {}, 0.0
