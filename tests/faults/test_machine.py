"""The machine itself goes wrong: its clock jumps, it sleeps, its disk is full, its home cannot be written to."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import pytest

from tests.rig import stored
from tests.rig.faulty import Fault

from .expected import OWN, SERIES, assert_kept, connect, eventually, loop, only_run, state, stored_whole

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

BACK, AHEAD = -3600.0, 7200.0


def test_the_clock_jumps_during_an_outage(start, proxy, database, experiment):
    """The one mock of the fault tests: the kernel's ``time.time`` is set back an hour, then ahead by two.

    A real clock is the whole machine's. What waits must not wait by it, and each point keeps the time it was made.
    """
    steps = 600
    jump = f"_clock.offset = {{200: {BACK}, 400: {AHEAD}}}.get(_i, _clock.offset)"
    cell = loop("clock", steps, pause="0.003", before=jump)
    child = start([*connect(proxy.url, experiment, steps), cell], places=steps, linger=True, jumping_clock=True)
    child.wait_mark(100)
    proxy.refuse()
    child.wait_mark(450)
    proxy.accept()
    ran = child.wait_cells()
    assert all(each.ok for each in ran), child.output
    eventually(stored_whole(database, experiment, steps), state(database, experiment), 30)
    run = only_run(database, experiment)
    for name in (SERIES, OWN):
        shift = lambda step: (0.0, BACK, AHEAD)[step // 200]  # noqa: E731
        found = stored.points(database, run.run_id, name)
        assert len(found) == steps
        marks = child.marks()
        assert_kept(database, run.run_id, name, marks, shift=shift)


@pytest.mark.parametrize("offset", [BACK, AHEAD])
def test_the_clock_jumps_while_all_is_well(start, mlflow_server, database, experiment, offset):
    steps = 400
    cell = loop("clock", steps, pause="0.003", before=f"_clock.offset = {offset} if _i >= 200 else 0.0")
    setup = connect(mlflow_server.url, experiment, steps)
    child = start([*setup, cell], places=steps, linger=True, jumping_clock=True)
    ran = child.wait_cells()
    assert ran[-1].ok
    assert ran[-1].seconds < steps * 0.004 + 60  # far from the two hours that it jumps
    eventually(stored_whole(database, experiment, steps), state(database, experiment), 20)
    for name in (SERIES, OWN):
        run = only_run(database, experiment)
        assert_kept(database, run.run_id, name, child.marks(), shift=lambda step: offset if step >= 200 else 0.0)


def test_the_machine_sleeps(start, proxy, database, experiment):
    """The process is stopped, its connections die meanwhile, and it goes on."""
    steps = 600
    cell = loop("sleeps", steps, pause="0.003")
    child = start([*connect(proxy.url, experiment, steps), cell], places=steps, linger=True)
    child.wait_mark(200)
    os.kill(child.pid, signal.SIGSTOP)
    proxy.cut_connections()
    time.sleep(4)
    os.kill(child.pid, signal.SIGCONT)
    assert child.wait_cells()[-1].ok
    eventually(stored_whole(database, experiment, steps), state(database, experiment), 30)
    for name in (SERIES, OWN):
        assert_kept(database, only_run(database, experiment).run_id, name, child.marks())


def warnings(child) -> int:
    """How many times the user was told that what is logged does not survive the kernel."""
    return " ".join(child.output.split()).count("would not survive the kernel")


def check_small(start, mlflow_server, database, experiment, state, **how):
    """A short run and a long one where nothing can be kept on disk: both are stored, and the user is told once."""
    steps = 400
    cells = [loop("short", steps, pause="0.002"), loop("again", steps * 2, first=steps, pause="0.002")]
    setup = connect(mlflow_server.url, experiment, 2 * steps)
    child = start([*setup, *cells], state=state, places=2 * steps, linger=True, **how)
    ran = child.wait_cells()
    assert all(each.ok for each in ran), child.output
    assert child.exit_code() is None
    eventually(
        lambda: [run.status for run in stored.runs(database, experiment)] == ["FINISHED"] * 2, "both runs closed", 30
    )
    marks = child.marks()
    runs = {run.name: run for run in stored.runs(database, experiment)}
    for name in (SERIES, OWN):
        assert_kept(database, runs["short"].run_id, name, marks[:steps])
        assert_kept(database, runs["again"].run_id, name, marks[steps:], first=steps)
    assert warnings(child) == 1, child.output
    return child


def test_a_home_that_cannot_be_written_to(start, mlflow_server, database, experiment, read_only_home):
    check_small(start, mlflow_server, database, experiment, read_only_home / "state")


def fill(path):
    """Write until there is no room."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_disk_that_is_full_from_the_start(start, mlflow_server, database, experiment, small_disk):
    fill(small_disk / "full")
    check_small(start, mlflow_server, database, experiment, small_disk)


def test_a_limit_on_the_size_of_files(start, mlflow_server, database, experiment, tmp_path):
    """A quota: needs no rights, and cuts a file off in the middle."""
    check_small(start, mlflow_server, database, experiment, tmp_path / "state", file_limit=150_000)


def test_a_disk_that_fills_up_in_the_loop(start, proxy, database, experiment, small_disk):
    """It has room for the first segment of points alone; a page of a mapped file that cannot be had kills.

    A segment here is a quarter of what it is elsewhere, as the server would take half a minute for what fills one.
    """
    steps = 36_000
    (small_disk / "other").write_bytes(bytes(4_300_000))
    smaller = "from mlflow_magics.tracking.outbox.disk.points import segments as _segments\n_segments.SEGMENT = 1 << 15"
    setup = [smaller, *connect(proxy.url, experiment, steps)]
    cell = loop("fills", steps, own=False)
    # A server that is quick enough would empty the disk again before it is full.
    with proxy.faulty(Fault("answer", match="log-batch", status=503)):
        child = start([*setup, cell], state=small_disk, places=steps, linger=True)
        ran = child.wait_cells(patience=60)
    assert ran[-1].ok, child.output
    assert child.exit_code() is None
    eventually(lambda: stored.count(database, experiment) >= steps, "all points", 150)
    eventually(lambda: only_run(database, experiment).status == "FINISHED", "the run closed", 20)
    assert_kept(database, only_run(database, experiment).run_id, SERIES, child.marks())
    assert warnings(child) == 1, child.output
