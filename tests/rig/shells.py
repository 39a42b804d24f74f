"""Cells run in a real shell, in the test's own process."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell


def cell(text: str) -> str:
    """A cell's code, written with the test's own indentation."""
    return textwrap.dedent(text).strip("\n") + "\n"


def run_cell(shell: InteractiveShell, source: str, *, ok: bool = True, **how: Any) -> ExecutionResult:
    """Run a cell, which must work, or fail where it is not `ok`."""
    result = shell.run_cell(source, **{"store_history": True, **how})
    assert result.success == ok, result.error_in_exec or result.error_before_exec or result
    return result


def shown(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], source: str, *, ok: bool = True, **how: Any
) -> str:
    """Run a cell as :func:`run_cell` does; return what it shows, and its error's words, on one line."""
    capsys.readouterr()
    run_cell(shell, source, ok=ok, **how)
    captured = capsys.readouterr()
    return " ".join((captured.out + captured.err * (not ok)).split())
