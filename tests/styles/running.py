"""Runs a style in two fresh processes, each with a store of its own: once bare, once under ``%%mlflow_run``."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..rig.children import Child, Ran, Zygote, prepare
from .comparing import differences
from .reading import Run, read
from .style import Style

PATIENCE = 100.0
_MAKE = (
    "from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as S; S('sqlite:///mlflow.db', 'mlartifacts')"
)


# The process is a fork of one that began elsewhere; a kernel begins in the notebook's folder, where spawned ones look.
_BEGIN = "__import__('multiprocessing.process').process.ORIGINAL_DIR = __import__('os').getcwd()"
# Ends as an interpreter does, without the second and more that it takes to free MLflow's modules.
_END = """
def _end():
    import atexit, os, sys, threading
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(0)
_end()
"""


@dataclass(frozen=True)
class Told:
    """What became of one process.

    Attributes
    ----------
    runs : list of Run
        All that its store holds after its end.
    cells : list of Ran
        What became of the style's cells.
    output : str
        What it printed.
    stuck : str
        The cell that did not end; empty if all is well.
    """

    runs: list[Run]
    cells: list[Ran]
    output: str
    stuck: str


def make_template(folder: Path) -> Path:
    """A fresh store in `folder`, to be copied: MLflow takes over a second to make one."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-c", _MAKE], cwd=folder, check=True, capture_output=True)
    return folder / "mlflow.db"


def run_both(style: Style, folder: Path, template: Path, zygote: Zygote) -> tuple[Told, Told]:
    """Run a style bare and tracked, in folders below `folder`."""
    # One after the other: with each other's load, pools and threads take turns in other orders.
    return _run(style, folder / "bare", template, zygote, False), _run(
        style, folder / "tracked", template, zygote, True
    )


def compare(style: Style, bare: Told, tracked: Told) -> list[str]:
    """All that differs: in what the cells do, and in what the stores hold."""
    found = [f"it did not end in {PATIENCE:g} s; the bare one did:\n{tracked.stuck}"] if tracked.stuck else []
    for number, (one, other) in enumerate(zip(bare.cells, tracked.cells, strict=not found), 1):
        if (one.ok, one.error) != (other.ok, other.error):
            found.append(f"cell {number}: {_brief(other.error)}, not {_brief(one.error)}")
    return found + differences(style, bare.runs, tracked.runs)


def _brief(error: str) -> str:
    """The first line of what a cell raised."""
    return error.partition("\\n")[0][:200] or "no error"


def _run(style: Style, folder: Path, template: Path, zygote: Zygote, tracked: bool) -> Told:
    folder.mkdir(parents=True)
    database = folder / "mlflow.db"
    shutil.copy(template, database)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE experiments SET artifact_location = ?", ((folder / "mlartifacts" / "0").as_uri(),))
    for name, text in style.files.items():
        (folder / name).write_text(text)
    uri = f"sqlite:///{database}"
    begin = [_BEGIN, *(["%load_ext mlflow_magics", f"%mlflow_connect {uri}"] if tracked else [])]
    cell = "%%mlflow_run\n" + style.cell if tracked else style.cell
    more = {} if tracked else {"MLFLOW_TRACKING_URI": uri}
    cells = [*begin, *style.before, cell, *style.after]
    child = prepare(folder, [*cells, _END], folder.parent / f"{folder.name}-state", **more)
    in_time = _finish(zygote.spawn(child))
    results = child.results()
    stuck = "" if in_time else cells[len(results)] if len(results) < len(cells) else "(its exit handlers)"
    assert stuck or len(results) == len(cells), f"exit {child.exit_code()} after {len(results)} cells:\n{child.output}"
    assert all(ran.ok for ran in results[: len(begin)]), child.output
    return Told(read(database), results[len(begin) :], child.output, stuck)


def _finish(child: Child) -> bool:
    """Wait for the end of a process, whose exit handlers end what is open and send what waits; tell whether it came."""
    deadline = time.monotonic() + PATIENCE
    try:
        while child.exit_code() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        return child.exit_code() is not None
    finally:
        child.kill()


def expect_same(style: Style, folder: Path, template: Path, zygote: Zygote) -> None:
    """Fail where the two stores differ, and say how."""
    bare, tracked = run_both(style, folder, template, zygote)
    assert bare.runs, f"the bare cell logs nothing:\n{bare.output}"
    errors = [cell.error for cell in bare.cells if not cell.ok]
    assert bool(errors) is style.fails, f"the bare cell raises {errors}:\n{bare.output}"
    assert not bare.stuck, f"the bare cell does not end:\n{bare.output}"
    found = compare(style, bare, tracked)
    if found:
        name = style.name
        pytest.fail("\n".join([f"{name}: python -m tests.styles {name} shows both stores", *found]), pytrace=False)
