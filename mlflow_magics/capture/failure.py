"""What ended a cell: the line it reached, its traceback as text, the last line of it; secrets redacted."""

from __future__ import annotations

import ast
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from . import secrets


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
    frame = _cell_frame(error, namespace) or error.__traceback__
    return secrets.redact("".join(traceback.format_exception(type(error), error, frame)), namespace)


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
    return secrets.redact(traceback.format_exception_only(type(error), error)[-1].strip(), namespace)


def _cell_frame(error: BaseException | None, namespace: Mapping[str, Any]) -> TracebackType | None:
    found = error.__traceback__ if error is not None else None
    while found is not None and found.tb_frame.f_globals is not namespace:
        found = found.tb_next
    return found
