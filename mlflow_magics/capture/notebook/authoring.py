"""Finds the author's own logging in a cell's text, and in the functions that it names."""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import CodeType, FunctionType, MethodType
from typing import Any, Final

from ...vocabulary.records import Skipped
from ..values.inspection import MISSING, is_a

LOGS_METRICS: Final = frozenset({"log_metric", "log_metrics", "log_batch", "log_metric_async"})
"""Names of functions that log metrics, whoever's they are."""

OPENS_RUNS: Final = frozenset({"start_run", "create_run"})
"""Names of functions that open runs, whoever's they are."""

_VALUES: Final = frozenset({"log_param", "log_metric"})
_DICTS: Final = frozenset({"log_params", "log_metrics"})
_UNWRAPS: Final = frozenset({"item", "numpy", "tolist", "detach", "cpu"})
_NUMBERS: Final = frozenset({"float", "int", "str"})
_MOST_OBJECTS = 400


@dataclass(frozen=True)
class Shown:
    """What a cell's text shows of the author's own logging.

    Attributes
    ----------
    keys : mapping of str to frozenset of str
        By variable, the names that it is logged under.
    figures, models : frozenset of str
        Variables that are given to ``log_figure``, and to a ``log_model``.
    saved : mapping of str to tuple of ast.expr
        By variable, the paths that the figure in it is saved to; under an empty name those of pyplot's own figure.
    """

    keys: Mapping[str, frozenset[str]]
    figures: frozenset[str]
    models: frozenset[str]
    saved: Mapping[str, tuple[ast.expr, ...]]


NOTHING: Final = Shown({}, frozenset(), frozenset(), {})


def shown_in(code: str) -> Shown:
    """Read what a cell's text shows of the author's own logging.

    Parameters
    ----------
    code : str
        Python.

    Returns
    -------
    Shown
        Nothing, where it cannot be read.
    """
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return NOTHING
    keys: dict[str, set[str]] = {}
    figures, models = set(), set()
    saved: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for key, value in _logged_by(called, node):
            keys.setdefault(_variable(value), set()).add(key)
        first = [*node.args, *(keyword.value for keyword in node.keywords)]
        if called == "log_figure":
            figures |= {one.id for one in first if isinstance(one, ast.Name)}
        elif called in ("log_model", "save_model"):
            models |= {one.id for one in first if isinstance(one, ast.Name)}
        elif (
            called in ("savefig", "write_html", "write_image", "save")
            and isinstance(node.func, ast.Attribute)
            and first
        ):
            owner = node.func.value
            is_pyplot = isinstance(owner, ast.Name) and owner.id in ("plt", "pyplot", "pylab")
            saved.setdefault("" if is_pyplot else _variable(owner), []).append(first[0])
    keys.pop("", None)
    return Shown(
        {name: frozenset(found) for name, found in keys.items()},
        frozenset(figures),
        frozenset(models),
        {name: tuple(found) for name, found in saved.items()},
    )


def _logged_by(called: str, node: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    """Yield the keys and values that a call shows."""
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    if called in _VALUES:
        # From the end, since a client's calls begin with the run: log_metric(run_id, key, value).
        texts = [(at, one.value) for at, one in enumerate(node.args) if isinstance(one, ast.Constant)]
        for at, text in texts:
            if isinstance(text, str) and at + 1 < len(node.args):
                yield text, node.args[at + 1]
        key, value = given.get("key"), given.get("value")
        key = key if key is not None else next(iter(node.args), None)
        if value is not None and isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield key.value, value
    elif called in _DICTS:
        for one in (*node.args, *given.values()):
            if isinstance(one, ast.Dict):
                for name, value in zip(one.keys, one.values, strict=True):
                    if isinstance(name, ast.Constant) and isinstance(name.value, str):
                        yield name.value, value
            elif isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.func.id == "dict":
                yield from ((keyword.arg, keyword.value) for keyword in one.keywords if keyword.arg)


def _variable(value: ast.expr) -> str:
    """Return the variable that an expression gives as it is: ``float(loss.item())`` gives ``loss``."""
    while True:
        match value:
            case ast.Name():
                return value.id
            case ast.Call(func=ast.Attribute(value=inner, attr=attr), args=[]) if attr in _UNWRAPS:
                value = inner
            case ast.Call(func=ast.Name(id=name), args=[inner]) if name in _NUMBERS:
                value = inner
            case _:
                return ""


# -- what it may call ---------------------------------------------------------------------------------------------


def may_call(functions: frozenset[str], code: str, namespace: Mapping[str, object]) -> bool:
    """Tell whether a cell may call one of some functions: its text, or what it reaches of the notebook, names one.

    False does not mean that it does not: a library may call them, too.

    Parameters
    ----------
    functions : frozenset of str
        :data:`LOGS_METRICS`, or :data:`OPENS_RUNS`.
    code : str
        The cell.
    namespace : mapping
        The variables; read only.

    Returns
    -------
    bool
        Whether it may.
    """
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return bool(names & functions) or _reaches(functions, names, namespace)


def _reaches(wanted: frozenset[str], names: Iterable[str], namespace: Mapping[str, object]) -> bool:
    waiting = deque(namespace.get(name, MISSING) for name in names)
    seen: set[int] = set()
    while waiting and len(seen) < _MOST_OBJECTS:
        one = waiting.popleft()
        if one is MISSING or id(one) in seen:
            continue
        seen.add(id(one))
        function = _function_of(one)
        if function is not None:
            found = _names_in(function.__code__)
            if found & wanted:
                return True
            if function.__globals__ is namespace:  # a library's own insides are not walked through
                waiting.extend(namespace.get(name, MISSING) for name in found)
        else:
            owner: Any = one if is_a(one, type) else type(one)
            module = _members(owner).get("__module__")
            if type(module) is str and module == "__main__":
                waiting.extend(each for base in _bases(owner)[:-1] for each in _members(base).values())
    return False


# As `type` itself gives them: a metaclass may answer for its classes with code of its own.
_bases: Final = type.__dict__["__mro__"].__get__
_members: Final = type.__dict__["__dict__"].__get__


def _function_of(value: object) -> FunctionType | None:
    """Return the Python function that a value is, by its exact type: nothing of the value's own is called."""
    if type(value) is FunctionType:
        return value
    if any(type(value) is kind for kind in (staticmethod, classmethod, MethodType)):
        inner = value.__func__  # type: ignore[attr-defined]  # all three have it
        return inner if type(inner) is FunctionType else None
    return None


def _names_in(code: CodeType) -> set[str]:
    found = set(code.co_names)
    for inner in code.co_consts:
        if type(inner) is CodeType:
            found |= _names_in(inner)
    return found


# -- figures and models -------------------------------------------------------------------------------------------


def logged_figures(
    names: Collection[str], shown: Shown, files: Collection[str], namespace: Mapping[str, object]
) -> set[str]:
    """Tell which figures the author logs himself, as far as the cell's text shows it.

    Parameters
    ----------
    names : collection of str
        Variables of figures.
    shown : Shown
        What the cell's text shows.
    files : collection of str
        Paths of the files that were logged.
    namespace : mapping
        The variables.

    Returns
    -------
    set of str
        Those given to ``log_figure``, and those saved to a file of which one of the name was logged.
    """
    ends = {path.rpartition("/")[2] for path in files}
    found = set(names) & shown.figures
    for name in set(names) - found:
        paths = [*shown.saved.get(name, ()), *(shown.saved.get("", ()) if len(names) == 1 else ())]
        if any(_file_name(path, namespace) in ends for path in paths):
            found.add(name)
    return found


def without_advice(skipped: Iterable[Skipped], shown: Shown, count: int) -> list[Skipped]:
    """Take back the advice to log a model where the author has logged it.

    Parameters
    ----------
    skipped : iterable of Skipped
        What was not logged.
    shown : Shown
        What the cell's text shows.
    count : int
        How many models the author has logged.

    Returns
    -------
    list of Skipped
        Those that the text shows are not among them.
    """
    kept = [one for one in skipped if not (count and one.name in shown.models and _is_model(one))]
    others = [one for one in kept if _is_model(one)]
    # Logged by a function, whoever's: with as many models in the run as there are here, they are these.
    advised = len(others) > count - sum(1 for one in skipped if _is_model(one)) + len(others)
    return [one if advised or not _is_model(one) else replace(one, option="") for one in kept]


def _is_model(one: Skipped) -> bool:
    return one.option.startswith("--model")


def _file_name(path: ast.expr, namespace: Mapping[str, Any]) -> str:
    """Return the name of a file whose path is written out, or in a variable; empty for any other."""
    import pathlib

    value: object = path.value if isinstance(path, ast.Constant) else ""
    if isinstance(path, ast.Name):
        value = namespace.get(path.id, "")
    if type(value) is str:
        return value.replace("\\", "/").rpartition("/")[2]
    return value.name if type(value) in (pathlib.PosixPath, pathlib.WindowsPath) else ""  # type: ignore[attr-defined]
