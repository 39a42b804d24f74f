"""Describes what ended a cell: the line it reached, its traceback as text, its last line; secrets redacted."""

from __future__ import annotations

import ast
import inspect
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from ..values import secrets
from ..values.inspection import class_name


def line_reached(error: BaseException | None, namespace: Mapping[str, Any], code: str = "") -> int | None:
    """Return the line of the cell on which the statement begins that failed.

    Parameters
    ----------
    error : BaseException or None
        What ended the cell.
    namespace : mapping
        The kernel's namespace: frames that have it as their globals are the cell's.
    code : str, optional
        The cell's Python, lines numbered as in the cell.

    Returns
    -------
    int or None
        None where the cell ran to its end.
    """
    frame = _cell_frame(error, namespace)
    if frame is None:
        return None
    line = frame.tb_lineno
    statements = (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.stmt))
    begun = (node.lineno for node in statements if node.lineno <= line <= (node.end_lineno or 0))
    return max(begun, default=line)


def traceback_text(error: BaseException, namespace: Mapping[str, Any], source: str = "") -> str:
    """Return the traceback from the cell's own frame on, without IPython's frames above it.

    Parameters
    ----------
    error : BaseException
        What ended the cell.
    namespace : mapping
        The kernel's namespace.
    source : str, optional
        The cell: what it gives to secret names is not shown.

    Returns
    -------
    str
        As Python prints it, secrets redacted; of a very long message the beginning.
    """
    frame = _cell_frame(error, namespace) or _traceback_of(error)
    also = _known(error, namespace, source)
    lines = _written(error, frame)
    short = [line if len(line) <= secrets.LOOKED else secrets.redact_beginning(line, namespace, also) for line in lines]
    return secrets.redact("".join(short), namespace, "traceback", also)


def last_line(error: BaseException | None, namespace: Mapping[str, Any], source: str = "") -> str:
    """Return the last line of the traceback: the exception and its message.

    Parameters
    ----------
    error : BaseException or None
        What ended the cell.
    namespace : mapping
        The kernel's namespace.
    source : str, optional
        The cell: what it gives to secret names is not shown.

    Returns
    -------
    str
        Empty where nothing did; secrets redacted; of a very long one the beginning.
    """
    if error is None:
        return ""
    line = _written(error, None)[-1].strip()
    return secrets.redact_beginning(line, namespace, _known(error, namespace, source), most=2_000).strip()


def _written(error: BaseException, frames: TracebackType | None) -> list[str]:
    """Write an exception as Python does, which asks it for text, notes and cause; without these, where that fails."""
    try:
        if frames is None:
            return traceback.format_exception_only(type(error), error)
        return traceback.format_exception(type(error), error, frames)
    # Code of the user's: whatever it raises, an interrupt among it, the run must end, and keep its files.
    except BaseException:  # noqa: BLE001
        head = ["Traceback (most recent call last):\n", *traceback.format_tb(frames)] if frames is not None else []
        return [*head, f"{class_name(type(error))}: <the exception cannot be shown>\n"]


def _traceback_of(error: BaseException) -> TracebackType | None:
    """Give an exception's own traceback, past any property of that name."""
    found: TracebackType | None = BaseException.__dict__["__traceback__"].__get__(error)
    return found


def _known(error: BaseException, namespace: Mapping[str, Any], source: str) -> list[str]:
    """List secrets that an error may show without their names: given in the cell, or arguments of what failed."""
    found = list(secrets.told_in(source))
    queue: list[BaseException | None] = [error]
    seen: set[int] = set()
    while queue and len(seen) < _MOST:
        one = queue.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        queue += [_slot("__cause__", one), _slot("__context__", one)]
        found += _arguments(_slot("__traceback__", one), namespace)
    return list(dict.fromkeys(found))


def _slot(name: str, error: BaseException) -> Any:
    """Read what every exception has, past a class of the user's that means something else by the name."""
    return vars(BaseException)[name].__get__(error)


_MOST = 50
"""Errors of a chain that are looked at, and frames of each."""


def _arguments(step: TracebackType | None, namespace: Mapping[str, Any]) -> list[str]:
    """List the texts that the failed functions hold under secret names."""
    frames = []
    while step is not None:
        frames.append(step.tb_frame)
        step = step.tb_next
    found: list[str] = []
    for frame in frames[-_MOST:]:
        code = frame.f_code
        names = (*code.co_varnames, *code.co_cellvars, *code.co_freevars)
        keywords = bool(code.co_flags & inspect.CO_VARKEYWORDS)
        # The variables of a frame are asked for only where one of them matters.
        if frame.f_globals is not frame.f_locals and (keywords or any(map(secrets.is_secret_name, names))):
            held = {name: frame.f_locals.get(name) for name in names}
            given = (
                held.get(names[code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & inspect.CO_VARARGS)])
                if keywords
                else None
            )
            found += secrets.values_under(held) + (secrets.values_under(given) if type(given) is dict else [])
    return found


def _cell_frame(error: BaseException | None, namespace: Mapping[str, Any]) -> TracebackType | None:
    found = _traceback_of(error) if error is not None else None
    while found is not None and found.tb_frame.f_globals is not namespace:
        found = found.tb_next
    return found
