"""What ended a cell: the line it reached, its traceback as text, the last line of it; secrets redacted."""

from __future__ import annotations

import ast
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from . import secrets
from .inspection import class_name


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


def traceback_text(error: BaseException, namespace: Mapping[str, Any]) -> str:
    """Return the traceback from the cell's own frame on, without IPython's frames above it.

    Parameters
    ----------
    error : BaseException
        What ended the cell.
    namespace : mapping
        The kernel's namespace.

    Returns
    -------
    str
        As Python prints it, secrets redacted.
    """
    frame = _cell_frame(error, namespace) or _traceback_of(error)
    return secrets.redact("".join(_written(error, frame)), namespace)


def last_line(error: BaseException | None, namespace: Mapping[str, Any]) -> str:
    """Return the last line of the traceback: the exception and its message.

    Parameters
    ----------
    error : BaseException or None
        What ended the cell.
    namespace : mapping
        The kernel's namespace.

    Returns
    -------
    str
        Empty where nothing did; secrets redacted.
    """
    if error is None:
        return ""
    return secrets.redact(_written(error, None)[-1].strip(), namespace)


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


def _cell_frame(error: BaseException | None, namespace: Mapping[str, Any]) -> TracebackType | None:
    found = _traceback_of(error) if error is not None else None
    while found is not None and found.tb_frame.f_globals is not namespace:
        found = found.tb_next
    return found
