"""Runs a cell as a shell would, and captures it: what every test of this room stands on."""

from __future__ import annotations

import ast
import asyncio
import inspect
import linecache
from typing import Any

from mlflow_magics.capture.code.dataflow import analyse
from mlflow_magics.capture.roles.roles import assign, snapshot
from mlflow_magics.vocabulary.records import Captured, Choices


def fresh(setup: str = "") -> dict[str, Any]:
    """A namespace in which earlier cells have run."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(setup.split("\n# next cell\n")):
        execute(cell, namespace, f"<earlier {number}>")
    return namespace


def execute(code: str, namespace: dict[str, Any], filename: str = "<cell>") -> None:
    linecache.cache[filename] = (len(code), None, code.splitlines(keepends=True), filename)
    compiled = compile(code, filename, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(compiled, namespace)
    if inspect.isawaitable(result):
        asyncio.run(_await(result))


async def _await(result: Any) -> None:
    await result


def capture(
    code: str, namespace: dict[str, Any] | None = None, choices: Choices | None = None, **options: Any
) -> Captured:
    """Run `code` in `namespace` and capture it; an error of the cell says how far it was reached."""
    namespace = fresh() if namespace is None else namespace
    flow = analyse(code)
    before = snapshot(flow, namespace)
    reached = None
    try:
        execute(code, namespace)
    except Exception as error:
        line = next(frame.lineno for frame in inspect.getinnerframes(error.__traceback__) if frame.filename == "<cell>")
        reached = max(s.lineno for s in ast.parse(code).body if s.lineno <= line)
    return assign(flow, namespace, before, choices or Choices(), reached=reached, **options)


def params(captured: Captured) -> dict[str, str]:
    return {one.name: one.value for one in captured.params}


def metrics(captured: Captured) -> dict[str, float]:
    return {one.name: one.value for one in captured.metrics}


def skipped(captured: Captured) -> dict[str, str]:
    return {one.name: one.reason for one in captured.skipped}
