"""Takes back what a library changes in the process when it is imported or first used on our behalf.

The cell after a magic finds the process as it was. What came here with a library comes back with the user's own
import of one (`give_back`): until then nobody asked for it.

- ``import detect_secrets`` calls ``logging.captureWarnings(True)``: ``warnings.warn`` then shows nothing any more.
- numpy, scipy, urllib3 and requests add warnings filters at their import, and MLflow imports them.
- tqdm makes a lock of multiprocessing, which fixes the start method: the user's ``set_start_method`` then fails.
- scikit-learn and MLflow set environment variables for their own children.
"""

from __future__ import annotations

import ast
import contextlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

VARIABLES = ("KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "_MLFLOW_TELEMETRY_SESSION_ID")
"""What libraries set at their import; a child that imports them sets it again by itself."""

_lock = threading.Lock()
_added: dict[int, list[Any]] = {}
"""By thread: the warnings filters that were added in it since it entered `untouched`."""
_plain: Any = None
_withheld: list[Any] = []
_withheld_variables: dict[str, str] = {}


@contextlib.contextmanager
def untouched() -> Iterator[None]:
    """Take back what changes meanwhile in this thread; no code of the user's may run in it.

    What another thread changes is left alone: filters are told apart by the thread that adds them.
    """
    thread = threading.get_ident()
    if thread in _added:
        yield  # the outer one takes everything back
        return
    filters, show = list(warnings.filters), warnings.showwarning
    variables = {name: os.environ.get(name) for name in VARIABLES}
    method = _start_method()
    _note(thread)
    try:
        yield
    finally:
        _take_back_filters(_noted(thread), filters)
        _take_back_variables(variables)
        if warnings.showwarning is not show and warnings.showwarning.__module__ == "logging":
            logging.captureWarnings(False)
        if method is None and _start_method() is not None:
            sys.modules["multiprocessing"].set_start_method(None, force=True)


def give_back(tree: ast.AST) -> None:
    """Put back what was withheld, before a cell that imports a library: the bare cell would have had it from there.

    Parameters
    ----------
    tree : ast.AST
        The cell.
    """
    if not (_withheld or _withheld_variables) or all(root in sys.stdlib_module_names for root in _imported(tree)):
        return
    filters: list[Any] = warnings.filters  # type: ignore[assignment]  # a list, whatever its stub says
    filters[:0] = [one for one in _withheld if one not in filters]
    for name, value in _withheld_variables.items():
        os.environ.setdefault(name, value)
    _withheld.clear()
    _withheld_variables.clear()
    _tell_warnings()


def _imported(tree: ast.AST) -> Iterator[str]:
    """List the packages that code imports, also inside its functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


# -- warnings filters -----------------------------------------------------------------------------------------------


def _note(thread: int) -> None:
    """Note from now on which filters a thread adds."""
    global _plain
    with _lock:
        if not _added:
            _plain = getattr(warnings, "_add_filter", None)
            if _plain is not None:
                warnings._add_filter = _add  # type: ignore[attr-defined]  # what all public ways end in
        _added[thread] = []


def _add(*item: Any, append: bool) -> None:
    _plain(*item, append=append)
    if (noted := _added.get(threading.get_ident())) is not None:
        noted.append(item)


def _noted(thread: int) -> list[Any]:
    """Stop noting, and return what was."""
    with _lock:
        noted = _added.pop(thread)
        # Somebody may have wrapped ours since: then it stays, and only passes on.
        if not _added and getattr(warnings, "_add_filter", None) is _add:
            warnings._add_filter = _plain  # type: ignore[attr-defined]
    return noted


def _take_back_filters(noted: list[Any], before: list[Any]) -> None:
    if not noted:
        return
    now: list[Any] = warnings.filters  # type: ignore[assignment]  # a list, whatever its stub says
    # Many a library filters for a moment only.
    _withheld[:0] = [one for one in now if one in noted and one not in before and one not in _withheld]
    if [one for one in now if one not in noted] == [one for one in before if one not in noted]:
        now[:] = before  # the order too
    else:  # another thread has changed them meanwhile
        now[:] = [one for one in now if one not in noted or one in before]
    _tell_warnings()


def _tell_warnings() -> None:
    """Have Python look at the filters anew."""
    with warnings.catch_warnings():
        pass


# -- the rest -------------------------------------------------------------------------------------------------------


def _take_back_variables(before: dict[str, str | None]) -> None:
    for name, value in before.items():
        if value is None and name in os.environ:
            _withheld_variables[name] = os.environ.pop(name)


def _start_method() -> str | None:
    """Return how multiprocessing starts processes; None where nobody has asked it yet."""
    module = sys.modules.get("multiprocessing")
    found: str | None = module.get_start_method(allow_none=True) if module is not None else None
    return found
