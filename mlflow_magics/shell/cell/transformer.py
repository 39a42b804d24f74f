"""Rewrites a cell with ``%%mlflow_run`` on its first line, before IPython compiles it.

``%%mlflow_run ARGS`` becomes the line magic ``%mlflow_run ARGS`` on the same line, so that the rest stays top-level
code: its value, its ``await``, its traceback and its line numbers are those of the bare cell.
"""

from __future__ import annotations

from IPython.core.inputtransformer2 import cell_magic, leading_indent

_MARK = "%%mlflow_run"


def rewrite(lines: list[str]) -> list[str]:
    """Turn ``%%mlflow_run`` at the top of a cell into the line magic; an input transformer."""
    top = next((i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), None)
    if top is None or not lines[top].startswith(_MARK) or lines[top].split()[0] != _MARK:
        return lines
    body = lines[top + 1 :]
    first = next((i for i, line in enumerate(body) if line.strip()), len(body))
    code = rewrite(leading_indent(body[first:]))
    if code and code[0].startswith("%%"):
        code = cell_magic(code)
    return [*lines[:top], lines[top][1:], *body[:first], *code]


# IPython's completeness check must see the cell magic, or a terminal would run the first line without its body.
rewrite.has_side_effects = True  # type: ignore[attr-defined]  # IPython's name for "not in the completeness check"
