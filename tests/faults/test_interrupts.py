"""Ctrl-C at any moment of a run cell: no point lost or doubled, the run closed, the next cell as ever."""

from __future__ import annotations

import random
import time

import pytest

from tests.rig import stored

from .expected import OWN, SERIES, assert_kept, connect, eventually, loop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

CELLS, STEPS = 20, 1500


def test_at_random_moments(start, mlflow_server, database, experiment):
    moments = random.Random(20261123)
    cells = []
    for k in range(CELLS):
        begin = f"if _i == {k * STEPS}: _gate('go-{k}')"
        cells.append(loop(f"cell-{k}", (k + 1) * STEPS, first=k * STEPS, before=begin, pause="1e-4"))
    calm = loop("calm", CELLS * STEPS + 50, first=CELLS * STEPS)
    places = CELLS * STEPS + 50
    setup = connect(mlflow_server.url, experiment, places)
    child = start([*setup, *cells, calm], places=places, linger=True)
    for k in range(CELLS):
        child.wait_at(f"go-{k}")
        child.open(f"go-{k}")
        # The loop takes about half a second, with its pauses; some moments fall behind it, into the closing of the run.
        time.sleep(moments.random() * 0.5)
        child.interrupt()
        child.wait_cells(len(setup) + k + 1)
    results = child.wait_cells()
    assert results[-1].ok, child.output
    cut = [k for k in range(CELLS) if "KeyboardInterrupt" in results[len(setup) + k].error]
    assert len(cut) > CELLS / 4, "the interrupts missed the loops: the test proves nothing"

    eventually(lambda: all(run.status != "RUNNING" for run in stored.runs(database, experiment)), "all runs closed")
    marks = every_mark(child)
    found = {run.name: run for run in stored.runs(database, experiment)}
    assert len(stored.runs(database, experiment)) == CELLS + 1
    for k in range(CELLS + 1):
        run = found[f"cell-{k}" if k < CELLS else "calm"]
        mine = [mark for mark in marks[k * STEPS : (k + 1) * STEPS] if mark]
        expected = len(mine)
        for name in (SERIES, OWN):
            eventually(lambda name=name, run=run, n=expected: len(stored.points(database, run.run_id, name)) >= n, name)
            assert_kept(database, run.run_id, name, mine, first=k * STEPS, open_end=True)
        assert run.status == ("KILLED" if k in cut and expected < STEPS else run.status)
    assert found["calm"].status == "FINISHED"


def every_mark(child) -> list[float]:
    """All the marks, those of loops that were cut short included: 0.0 where a step was not reached."""
    import struct

    content = (child.folder / "trail").read_bytes()
    return list(struct.unpack(f"{len(content) // 8}d", content))
