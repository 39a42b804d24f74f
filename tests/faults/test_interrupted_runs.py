"""Ctrl-C at any moment between the magic's line and the block: no run stays RUNNING, and each has its true status."""

from __future__ import annotations

import contextlib
import random
import time

import pytest

from tests.rig import stored
from tests.rig.faulty import Fault

from .expected import connect, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

# Sends the signal at an event of the interpreter, counted from the magic's line to the end of the cell's last callback:
# a moment by progress, whatever the machine's speed.
AT_AN_EVENT = """
import os as _os, signal as _signal, sys as _sys
class _At:
    def __init__(self, at):
        self.at, self.count, self.counts = at, 0, False
    def __call__(self, frame, event, arg):
        if not self.counts:
            self.counts = event == "call" and frame.f_code.co_name == "mlflow_run"
            return
        self.count += 1
        if self.count == self.at:
            _os.kill(_os.getpid(), _signal.SIGINT)
        if event == "return" and frame.f_code.co_name == "mlflow_run":
            self.begun = self.count
        if event == "return" and frame.f_code.co_name == "_after_cell":
            _sys.setprofile(None)
            _events.append((self.begun, self.count))
_events = []
"""
ARM = "_sys.setprofile(_At({at}))"
CELL = """%%mlflow_run {name} --watch loss
import mlflow
_gate({gate!r}) if {gate!r} else None
for _i in range(20):
    loss = 1 / (_i + 1)
mlflow.log_metric("own", 2.0)
lr = 0.1
"""


def arms(count: int, seed: int) -> list[str]:
    """Cells that choose the moment of the next: every other one while the run is begun, the rest until the block."""
    chosen = random.Random(seed)
    return [f"_sys.setprofile(_At(int({chosen.random()!r} * _events[1][{k % 2}])))" for k in range(count)]


def assert_true_statuses(database, experiment, results, names, cells_before):
    """Each run that is there ended as its cell did; of the cells that ended well each has its run."""
    found: dict[str, list[str]] = {}
    for run in stored.runs(database, experiment):
        found.setdefault(run.name, []).append(run.status)
    for place, name in names.items():
        ran = results[cells_before + place]
        statuses = found.get(name, [])
        assert len(statuses) <= 1, (name, statuses, ran)
        if ran.ok:
            assert statuses == ["FINISHED"], (name, statuses, ran)
        else:
            assert "KeyboardInterrupt" in ran.error, ran
            assert set(statuses) <= {"KILLED"}, (name, statuses, ran)


def interrupt_by_events(start, connected, database, experiment, count, seed):
    """Interrupt so many cells, each at its moment; the kernel then ends, and the next one sends what is left."""
    calm = [
        ARM.format(at=0),
        CELL.format(name="calm-0", gate=""),
        ARM.format(at=0),
        CELL.format(name="calm-1", gate=""),
    ]
    cells = []
    for k, arm in enumerate(arms(count, seed)):
        cells += [arm, CELL.format(name=f"cell-{k}", gate="")]
    setup = [*connected, AT_AN_EVENT, *calm]
    child = start([*setup, *cells])
    results = child.wait(300)
    assert len(results) == len(setup) + len(cells), child.output
    assert sum(not ran.ok for ran in results) > count / 4, "the interrupts missed the cells: the test proves nothing"
    after = start(["%load_ext mlflow_magics"], linger=True)
    after.wait_cells()
    eventually(lambda: all(run.status != "RUNNING" for run in stored.runs(database, experiment)), "all runs closed")
    names = {2 * k + 1: f"cell-{k}" for k in range(count)}
    assert_true_statuses(database, experiment, results, names, len(setup))


def test_at_any_event_of_a_local_store(start, tmp_path):
    database = tmp_path / "local.db"
    connected = ["%load_ext mlflow_magics", f"%mlflow_connect sqlite:///{database} -e here"]
    interrupt_by_events(start, connected, database, "here", 25, 20261130)


def test_at_any_event_of_a_server(start, proxy, database, experiment):
    proxy.add(Fault("delay", seconds=0.02))
    interrupt_by_events(start, connect(proxy.url, experiment), database, experiment, 15, 7)


def test_while_a_slow_server_creates_the_run(start, proxy, database, experiment):
    """The request is on its way: the server applies it whatever becomes of the cell."""
    count = 20
    chosen = random.Random(11)
    setup = connect(proxy.url, experiment)
    cells = []
    for k in range(count):
        cells += [f"_gate('go-{k}')", CELL.format(name=f"cell-{k}", gate="")]
    child = start([*setup, *cells])
    for k in range(count):
        child.wait_at(f"go-{k}")
        asked = len(proxy.matching("runs/create"))
        # Some answers come after our patience, with the run: 2.5 s.
        delay = chosen.choice([0.1, 0.3, 0.6, 1.0, 4.0])
        proxy.add(Fault("delay", "runs/create", seconds=delay))
        child.open(f"go-{k}")
        eventually(lambda asked=asked: len(proxy.matching("runs/create")) > asked, "the creation")
        time.sleep(chosen.random() * min(delay, 0.6))
        with contextlib.suppress(ProcessLookupError):
            child.interrupt()
        child.wait_cells(len(setup) + 2 * k + 2)
        proxy.heal()
    results = child.wait(60)
    assert sum(not ran.ok for ran in results) >= count / 2, "the interrupts missed: the test proves nothing"
    after = start(["%load_ext mlflow_magics"], linger=True)
    after.wait_cells()
    time.sleep(4.5)  # what arrives late has arrived
    eventually(lambda: all(run.status != "RUNNING" for run in stored.runs(database, experiment)), "all runs closed")
    assert_true_statuses(database, experiment, results, {2 * k + 1: f"cell-{k}" for k in range(count)}, len(setup))
