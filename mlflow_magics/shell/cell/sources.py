"""Reads the source of the cell that is being run: what was typed, and the part of it that is the run."""

from __future__ import annotations

import ast
import linecache
import re
import sys
from typing import TYPE_CHECKING, Any

from IPython.core.inputtransformer2 import leading_empty_lines, leading_indent

from ...vocabulary.records import CellSource
from .rewriting import is_magic

if TYPE_CHECKING:
    from types import FrameType

    from IPython.core.interactiveshell import InteractiveShell

_CELL_MAGIC = re.compile(r"%%(\w[\w.]*)")
# Cell magics that run their body as the cell's own Python, in the kernel's namespace.
_TRANSPARENT = frozenset({"mlflow_run", "time", "capture", "prun"})


def source_of(info: Any, shell: InteractiveShell) -> CellSource | None:
    """Return the cell that is being run; None if a part that is compiled later has a syntax error.

    Parameters
    ----------
    info : ExecutionInfo or None
        What IPython says of the cell; None where it began before anybody listened.
    shell : InteractiveShell
        The shell.
    """
    typed = getattr(info, "raw_cell", None)
    if typed is None:
        # The cell that loads the extension was typed before anybody listened; Python keeps what it compiled.
        typed = _text_being_run(shell.user_ns)
    counts = getattr(info, "store_history", True)
    python, marked, above = _split(typed)
    # IPython drops the empty lines at the top, and the lines are numbered as in the cell.
    code = "\n" * above + shell.transform_cell(python) if python else ""
    try:
        tree = ast.parse(code, type_comments=False)
    except SyntaxError:
        return None
    if not marked:
        code = _rest(code, tree, line_being_run(shell.user_ns))
    return CellSource(
        text=typed,
        code=code,
        execution_count=shell.execution_count if counts else None,
        cell_id=getattr(info, "cell_id", None),
    )


def line_being_run(namespace: Any) -> int | None:
    """Return the line of the cell that called the magic we are in."""
    frame = _cell_frame(namespace)
    return frame.f_lineno if frame is not None else None


def _split(typed: str) -> tuple[str, bool, int]:
    """Peel the cell magics off the top: the Python that remains, whether all of it is the run, the lines above it."""
    lines = leading_indent(leading_empty_lines(typed.splitlines(keepends=True)))
    marked = False
    above = 0
    while lines:
        top = next((i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), None)
        magic = _CELL_MAGIC.match(lines[top]) if top is not None else None
        if top is None or magic is None:
            break
        if magic[1] not in _TRANSPARENT:
            return "", True, 0
        marked = marked or magic[1] == "mlflow_run"
        # Python below %%mlflow_run is compiled with the magic's line above it; below %%time it is not.
        body = lines[top + 1 :]
        first = next((i for i, line in enumerate(body) if line.strip()), len(body))
        above = top + 1 + first if magic[1] == "mlflow_run" else 0
        lines = body[:first] + leading_indent(body[first:])
    return "".join(lines), marked, above


def _rest(code: str, tree: ast.Module, line: int | None) -> str:
    """Blank out what is not the run: the lines up to the magic on `line`, and from the next magic on."""
    if line is None:
        return code
    ends = [node.lineno for node in tree.body if is_magic(node) and node.lineno > line]
    end = min(ends, default=sys.maxsize)
    kept = [
        text if line < number < end else "\n" for number, text in enumerate(code.splitlines(keepends=True), start=1)
    ]
    rest = "".join(kept)
    try:
        ast.parse(rest)
    except SyntaxError:
        return code  # the magic stands inside a statement, so that statement is part of the run
    return rest


def _text_being_run(namespace: Any) -> str:
    frame = _cell_frame(namespace)
    return "".join(linecache.getlines(frame.f_code.co_filename)) if frame is not None else ""


def _cell_frame(namespace: Any) -> FrameType | None:
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_globals is not namespace:
        frame = frame.f_back
    return frame
