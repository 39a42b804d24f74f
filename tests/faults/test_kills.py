"""``kill -9`` at any moment: the next kernel sends what the dead one left, and closes its runs as KILLED."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import mlflow
import pytest

from tests.rig import stored
from tests.rig.children import Child, prepare, spawn
from tests.rig.kernels import KernelProcess

from .expected import OWN, SERIES, VALUES, assert_kept, connect, eventually, loop, only_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]

# A hundred with the newest MLflow; the journal is the same code with the oldest, and CI has 25 minutes for both.
VICTIMS = 100 if int(mlflow.__version__.split(".")[0]) >= 3 else 12
STEPS = 500
# Bursts and short rests: the kills fall into both, and into what the sender does meanwhile.
CURVE = loop("{name}", STEPS, before="if _i % 12 == 0: _time.sleep(0.004)")


@dataclass(frozen=True)
class Death:
    """How one child ended.

    Attributes
    ----------
    name : str
        Of its run.
    child : Child
        Dead.
    born, killed : float
        Seconds since 1970, before its start and after its end.
    """

    name: str
    child: Child
    born: float
    killed: float


def still_open(database, experiment) -> list[stored.StoredRun]:
    return [run for run in stored.runs(database, experiment) if run.status == "RUNNING"]


def all_closed(database, experiment):
    return lambda: not still_open(database, experiment)


def assert_whole(database, death: Death, found: list[stored.StoredRun]) -> None:
    """A dead child's run is there once, with every point that its loop had reached, closed at its last write."""
    marks = death.child.marks()
    mine = [run for run in found if run.name == death.name]
    if not mine:
        assert not marks, f"{death.name} is lost"
        return
    (run,) = mine
    over = len(marks) == STEPS
    assert run.status == "KILLED" or (over and run.status == "FINISHED"), run
    for name in (SERIES, OWN):
        # The series' point of a step is made before the user's own: either may have had time for one more.
        assert_kept(database, run.run_id, name, marks, began=death.born, open_end=True)
    last = max((point[1] for point in stored.points(database, run.run_id, OWN)), default=int(death.born * 1000))
    assert last - 2 <= run.end <= death.killed * 1000 + 2, (run, last, death)


def test_a_hundred_kills(start, tmp_path, mlflow_server, database, experiment):
    """The moments come from a seeded generator: most in the loop, some while connecting, some while closing.

    The last five share the heir's home, so each of them also finds what the ones before it left. The others have homes
    of their own, which are moved there when all are dead: a process for each, which sends what the last one left,
    would take the machine from the children, and their deaths would all come while they start.
    """
    moments = random.Random(20261123)
    plans = [(moments.random() < 0.8, moments.random()) for _ in range(VICTIMS)]
    starting = threading.Lock()

    def die(number: int) -> Death:
        in_loop, moment = plans[number]
        name = f"victim-{number}"
        cells = [*connect(mlflow_server.url, experiment, STEPS), CURVE.format(name=name)]
        born = time.time()
        home = tmp_path / "homes" / name if number < VICTIMS - 5 else None
        with starting:
            child = start(cells, home, places=STEPS, linger=True)
        if in_loop:
            # By its own progress, not by the clock: a quick machine is through the loop before it strikes.
            child.wait_mark(int(moment * STEPS * 0.9))
        else:
            child.wait_begun()
            time.sleep(moment * 1.6)
        child.kill()
        return Death(name, child, born, time.time())

    with ThreadPoolExecutor(2) as two:
        deaths = list(two.map(die, range(VICTIMS)))
    assert all(death.child.exit_code() == -9 for death in deaths)
    in_their_loops = sum(0 < len(death.child.marks()) < STEPS for death in deaths)
    assert in_their_loops > VICTIMS / 2, "the kills missed the loops: the test proves nothing"

    journals = tmp_path / "state" / "mlflow_magics" / "outbox"
    for left in (tmp_path / "homes").glob("*/mlflow_magics/outbox/*"):
        left.rename(journals / left.name)
    heir = start(["%load_ext mlflow_magics"], linger=True)
    heir.wait_cells()
    reached = sum(2 * len(death.child.marks()) for death in deaths)
    eventually(lambda: stored.count(database, experiment) >= reached, f"{reached} points", 240)
    eventually(all_closed(database, experiment), lambda: f"open: {still_open(database, experiment)}", 30)
    found = stored.runs(database, experiment)
    assert len({run.name for run in found}) == len(found), "a run was created twice"
    for death in deaths:
        assert_whole(database, death, found)


def test_the_run_of_a_dead_kernel_ends_with_its_last_write(start, mlflow_server, database, experiment):
    rest = "_gate('idle')"
    cell = loop("idle", 200, after=rest)
    child = start([*connect(mlflow_server.url, experiment, 200), cell], places=200)
    child.wait_at("idle")
    time.sleep(3)
    child.kill()
    start(["%load_ext mlflow_magics"], linger=True)
    eventually(all_closed(database, experiment), "the run closed")
    run = only_run(database, experiment)
    marks = child.marks()
    assert run.status == "KILLED"
    assert abs(run.end - marks[-1] * 1000) < 500
    for name in (SERIES, OWN):
        assert_kept(database, run.run_id, name, marks)


def test_a_kernel_that_dies_without_a_server(start, proxy, database, experiment):
    """The run is created by the next kernel, under the name and the time that the dead one gave it."""
    child = start([*connect(proxy.url, experiment, STEPS), "_gate('ready')", CURVE.format(name="lone")], places=STEPS)
    child.wait_at("ready")
    proxy.refuse()
    child.open("ready")
    child.wait_mark(STEPS // 2)
    child.kill()
    killed = time.time()
    proxy.accept()
    heir = start(["%load_ext mlflow_magics"], linger=True)
    heir.wait_cells()
    eventually(lambda: stored.runs(database, experiment), "the run created")
    eventually(all_closed(database, experiment), "the run closed")
    run = only_run(database, experiment)
    assert (run.name, run.status) == ("lone", "KILLED")
    assert run.start <= child.marks()[0] * 1000 <= run.end <= killed * 1000 + 2
    for name in (SERIES, OWN):
        assert_kept(database, run.run_id, name, child.marks(), open_end=True)


@pytest.mark.parametrize("next_cell", ["import mlflow.sklearn", "%mlflow_connect {url} -e other"])
def test_the_next_kernel_imports_mlflow_at_once(start, tmp_path, mlflow_server, database, experiment, next_cell):
    """While what was left is sent in the background, in a fresh interpreter: two imports of one package at a time."""
    steps = 3000
    child = start([*connect(mlflow_server.url, experiment, steps), CURVE.format(name="first")], places=steps)
    child.wait_mark(STEPS // 2)
    child.kill()
    cells = ["%load_ext mlflow_magics", next_cell.format(url=mlflow_server.url)]
    heir = spawn(prepare(tmp_path / "heir", cells, tmp_path / "state", linger=True))
    try:
        assert [ran.error for ran in heir.wait_cells()] == ["", ""], heir.output
        eventually(lambda: stored.runs(database, experiment), "the run")
        eventually(all_closed(database, experiment), lambda: f"open: {still_open(database, experiment)}")
    finally:
        heir.kill()
    for name in (SERIES, OWN):
        assert_kept(database, only_run(database, experiment).run_id, name, child.marks(), open_end=True)


def test_a_real_kernel_is_killed_and_restarted(tmp_path, mlflow_server, database, experiment):
    """As Jupyter does it: SIGKILL to the kernel, a new one in its place, the extension loaded again."""
    state = tmp_path / "state"
    with KernelProcess(tmp_path / "notebook", state) as kernel:
        for cell in (*connect(mlflow_server.url, experiment), VALUES.format(n=50_000)):
            assert kernel.run(cell).status == "ok"
        kernel.run(f"_now = _time.time\n_marks = memoryview(bytearray({8 * 50_000})).cast('d')")
        kernel.start(loop("kernel", 50_000, pause="0.001"))  # a minute, if nobody ends it
        eventually(lambda: stored.count(database, experiment) > 100, "the first points")
        kernel.kill()
        known = stored.count(database, experiment)
        kernel.restart()
        assert kernel.run("%load_ext mlflow_magics").status == "ok"
        eventually(all_closed(database, experiment), "the run closed")
        run = only_run(database, experiment)
        assert run.status == "KILLED"
        found = stored.points(database, run.run_id, OWN)
        assert [step for step, _, _ in found] == list(range(len(found)))
        assert stored.count(database, experiment) >= known


def test_a_living_kernel_keeps_what_is_its_own(start, mlflow_server, database, experiment):
    """A kernel that starts beside another neither sends its points nor closes its run."""
    cell = loop("alive", 300, after="_gate('inside')")
    child = start([*connect(mlflow_server.url, experiment, 300), cell], places=300, linger=True)
    child.wait_at("inside")
    other = start([*connect(mlflow_server.url, experiment), "_time = 1"], linger=True)
    other.wait_cells()
    time.sleep(3)
    assert only_run(database, experiment).status == "RUNNING"
    child.open("inside")
    child.wait_cells()
    eventually(lambda: only_run(database, experiment).status == "FINISHED", "the run closed")
    for name in (SERIES, OWN):
        assert_kept(database, only_run(database, experiment).run_id, name, child.marks())
