"""What the author logs himself, and what of ours would say the same a second time.

The cell's text shows some of it: ``mlflow.log_param("learning_rate", lr)``. The rest is known when the run ends: what
was really logged, by whose function ever.
"""

from __future__ import annotations

import ast
import math
import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import CodeType, FunctionType, MethodType
from typing import Any, Final

from ..records import Captured, Logged, Metric, Param, Series, Skipped
from .inspection import MISSING, is_a

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


# -- does it log metrics at all? ----------------------------------------------------------------------------------


def may_log_metrics(code: str, namespace: Mapping[str, object]) -> bool:
    """Tell whether a cell looks as if it logged metrics: in its text, or in the functions and classes that it names.

    False does not mean that it does not: a library may log, too.

    Parameters
    ----------
    code : str
        The cell.
    namespace : mapping
        The variables; read only.

    Returns
    -------
    bool
        Whether it does.
    """
    return _may_call(LOGS_METRICS, code, namespace)


def may_open_runs(code: str, namespace: Mapping[str, object]) -> bool:
    """Tell whether a cell looks as if it opened runs itself: in its text, or in the functions that it names.

    Parameters
    ----------
    code : str
        The cell.
    namespace : mapping
        The variables; read only.

    Returns
    -------
    bool
        Whether it does.
    """
    return _may_call(OPENS_RUNS, code, namespace)


def _may_call(wanted: frozenset[str], code: str, namespace: Mapping[str, object]) -> bool:
    """Tell whether the code, or a function or class of the notebook that it reaches, names one of some functions."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return bool(names & wanted) or _reaches(wanted, names, namespace)


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
            if _members(owner).get("__module__") == "__main__":
                waiting.extend(each for base in _bases(owner)[:-1] for each in _members(base).values())
    return False


# As `type` itself gives them: a metaclass may answer for its classes with code of its own.
_bases: Final = type.__dict__["__mro__"].__get__
_members: Final = type.__dict__["__dict__"].__get__


def _function_of(value: object) -> FunctionType | None:
    """Return the Python function that a value is, by its exact type: nothing of the value's own is called."""
    if type(value) is FunctionType:
        return value
    if type(value) in (staticmethod, classmethod, MethodType):
        inner = value.__func__  # type: ignore[attr-defined]  # all three have it
        return inner if type(inner) is FunctionType else None
    return None


def _names_in(code: CodeType) -> set[str]:
    found = set(code.co_names)
    for inner in code.co_consts:
        if type(inner) is CodeType:
            found |= _names_in(inner)
    return found


# -- what of ours says the same -----------------------------------------------------------------------------------


def beside(captured: Captured, logged: Logged, shown: Shown, asked: Collection[str] = ()) -> Captured:
    """Leave out of what was captured all that the run holds already because others logged it.

    A param or metric is the same if it has the name of what was logged, or, with the same value, nearly the name:
    ``config.lr`` and ``lr``, ``learning_rate`` and ``Learning-Rate``, or a name that the cell's text shows for it. A
    series also if all values that were logged under another name are values of it in the same order.

    Parameters
    ----------
    captured : Captured
        What the cell comes to.
    logged : Logged
        What others put into the run.
    shown : Shown
        What the cell's text shows.
    asked : collection of str, optional
        Variables that the user asked for: only their very name counts.

    Returns
    -------
    Captured
        With a reason for each that was left out. A param or metric of the very name stays: it is not written again.
    """
    params: list[Param] = []
    metrics: list[Metric] = []
    series: list[Series] = []
    skipped: list[Skipped] = []
    numbers = {key: _numbers_of(values) for key, values in logged.metrics.items()}

    def leave(name: str, key: str) -> None:
        skipped.append(Skipped(name, f"already logged as {key}" if key != name else "logged by the cell itself"))

    def elsewhere(name: str, value: str | float) -> str:
        return "" if _is_asked(name, asked) else _elsewhere(name, value, logged, numbers, shown)

    for param in captured.params:
        if param.name in logged.metrics:
            leave(param.name, param.name)
        elif param.name not in logged.params and (key := elsewhere(param.name, param.value)):
            leave(param.name, key)
        else:
            params.append(param)
    for metric in captured.metrics:
        if metric.name in logged.params:
            leave(metric.name, metric.name)
        elif metric.name not in logged.metrics and (key := elsewhere(metric.name, metric.value)):
            leave(metric.name, key)
        else:
            metrics.append(metric)
    for one in captured.series:
        key = one.name if one.name in logged.metrics or one.name in logged.params else ""
        if not key and not _is_asked(one.name, asked):
            key = _course_of(one, logged, numbers, shown)
        leave(one.name, key) if key else series.append(one)
    if not skipped:
        return captured
    notes = [
        f"{one.name}: the cell began to log it itself when points of it were in the store already; these are ours"
        for one in captured.series
        if one.name in logged.late
    ]
    return replace(
        captured,
        params=tuple(params),
        metrics=tuple(metrics),
        series=tuple(series),
        skipped=(*skipped, *captured.skipped),
        notes=(*captured.notes, *notes),
    )


def _is_asked(name: str, asked: Collection[str]) -> bool:
    return name in asked or name.partition(".")[0] in asked


def _elsewhere(
    name: str, value: str | float, logged: Logged, numbers: Mapping[str, Collection[object]], shown: Shown
) -> str:
    """Return the other spelling of a name under which its value was logged; empty where there is none."""
    number = _number(value)
    keys = [key for key, text in logged.params.items() if text == value or _number(text) == number is not None]
    keys += [key for key, found in numbers.items() if number in found]
    return _name_for(name, keys, shown)


def _name_for(name: str, keys: Iterable[str], shown: Shown) -> str:
    """Return which of some keys is another spelling of a name; empty where none is."""
    named = shown.keys.get(name, frozenset())
    return next((key for key in keys if key == name or key in named or alike(name, key)), "")


def _course_of(series: Series, logged: Logged, numbers: Mapping[str, Collection[object]], shown: Shown) -> str:
    """Return the metric that holds the curve of a series of which no point has been sent; empty where none does."""
    values = logged.series.get(series.name, ())
    if not values:
        return ""
    ours = _numbers_of(values)
    ends = (key for key, theirs in logged.metrics.items() if _number(theirs[-1]) in ours)
    if key := _name_for(series.name, ends, shown):
        return key
    for key, theirs in logged.metrics.items():
        # Whole numbers are alike by chance: 0, 1, 2 are the steps of anything.
        telling = {value for value in theirs if not float(value).is_integer() and not math.isnan(value)}
        if len(telling) > 1 and _in_order(theirs, values):
            return key
    return ""


def _in_order(some: Sequence[float], values: Sequence[float]) -> bool:
    """Tell whether all of some values are among others, in their order."""
    rest = iter(map(_number, values))
    return all(_number(value) in rest for value in some)


def _number(value: str | float) -> object:
    """Return a number that is equal to itself, NaN too; None for a text that is no number."""
    try:
        number = float(value)
    except ValueError:
        return None
    return "nan" if math.isnan(number) else number


def _numbers_of(values: Iterable[float]) -> frozenset[object]:
    return frozenset(map(_number, values))


def alike(name: str, key: str) -> bool:
    """Tell whether two names are spellings of one: case, ``-``, ``_`` and the groups before it make no difference.

    Parameters
    ----------
    name, key : str
        ``config.opt.lr`` is ``lr``, ``opt/lr`` and ``opt_lr``.

    Returns
    -------
    bool
        Whether one of them, as a whole, is the end of the other, from the beginning of one of its parts on.
    """
    return _plain(key) in _ends(name) or _plain(name) in _ends(key)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def _ends(name: str) -> set[str]:
    parts = [part for part in re.split(r"[./]", name) if part]
    return {_plain("".join(parts[at:])) for at in range(len(parts))} - {""}


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
