"""The server fails in the middle of a loop: the loop goes on, and every point arrives once."""

from __future__ import annotations

import itertools
import time

import pytest

from tests.rig import stored
from tests.rig.children import Child
from tests.rig.faulty import Fault, FaultyProxy
from tests.rig.servers import MlflowServer

from .expected import OWN, SERIES, VALUES, assert_kept, connect, eventually, loop, only_run, state, stored_whole

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

STEPS = 800
# A step of some 4 ms: the loop lasts long enough for the server to fail, and to come back, while it runs.
CURVE = loop("curve", STEPS, pause="0.003")


def check(child: Child, database, experiment, patience: float = 40.0) -> stored.StoredRun:
    """Everything is there once, and the loop was not held up."""
    eventually(stored_whole(database, experiment, STEPS), state(database, experiment), patience)
    time.sleep(1)  # what is sent twice would come now
    run = only_run(database, experiment)
    marks = child.marks()
    for name in (SERIES, OWN):
        assert_kept(database, run.run_id, name, marks)
    assert max(later - earlier for earlier, later in itertools.pairwise(marks)) < 3.0
    assert run.name == "curve"
    assert run.end - marks[-1] * 1000 < 3000
    assert all(ran.ok for ran in child.results()), child.output
    return run


def in_the_loop(start, url, experiment) -> Child:
    child = start([*connect(url, experiment, STEPS), CURVE], places=STEPS, linger=True)
    child.wait_mark(100)
    return child


def test_the_server_is_killed_and_comes_back(start, tmp_path, experiment):
    with MlflowServer(tmp_path / "server") as server:
        child = in_the_loop(start, server.url, experiment)
        server.stop()
        child.wait_mark(400)
        server.start()
        child.wait_cells()
        check(child, tmp_path / "server" / "server.db", experiment)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("silent"),
        Fault("answer", status=500, body="oops"),
        Fault("answer", status=502),
        Fault("answer", status=503, headers=(("Retry-After", "1"),)),
        Fault("answer", status=401, body="the token has expired"),
        Fault("cut before"),
        Fault("reset"),
        Fault("delay", seconds=1.0),
    ],
    ids=lambda fault: f"{fault.deed} {fault.status}" if fault.deed == "answer" else fault.deed,
)
def test_it_fails_for_a_while(start, proxy: FaultyProxy, database, experiment, fault):
    child = in_the_loop(start, proxy.url, experiment)
    with proxy.faulty(fault):
        child.wait_mark(600)
        time.sleep(1.5)
    child.wait_cells()
    check(child, database, experiment)
    assert proxy.passed[-1].done == "forwarded"
    assert any(each.done != "forwarded" for each in proxy.passed), "the fault met no request"


def test_it_refuses_from_the_loop_to_the_end_of_the_cell(start, proxy, database, experiment):
    child = in_the_loop(start, proxy.url, experiment)
    proxy.refuse()
    ran = child.wait_cells()
    assert ran[-1].seconds < STEPS * 0.004 + 8
    proxy.accept()
    check(child, database, experiment)


def test_it_is_silent_from_the_loop_to_the_end_of_the_cell(start, proxy, database, experiment):
    child = in_the_loop(start, proxy.url, experiment)
    with proxy.faulty(Fault("silent")):
        child.wait_mark(STEPS - 1)
        begin = time.monotonic()
        child.wait_cells()
        assert time.monotonic() - begin < 6
    check(child, database, experiment)


def test_retry_after_is_honoured(start, proxy, database, experiment):
    """While it answers 429, no request comes earlier than each answer said."""
    child = in_the_loop(start, proxy.url, experiment)
    with proxy.faulty(Fault("answer", status=429, headers=(("Retry-After", "2"),))):
        child.wait_cells(patience=60)
        time.sleep(2.5)
    check(child, database, experiment)
    met = [i for i, each in enumerate(proxy.passed) if each.done == "answer 429"]
    assert met
    for i in met:
        if i + 1 < len(proxy.passed):
            assert proxy.passed[i + 1].when - proxy.passed[i].when >= 2.0, proxy.passed[i : i + 2]


def test_a_run_of_an_outage_is_created_later_with_its_own_facts(start, proxy, database, experiment):
    cells = [*connect(proxy.url, experiment, STEPS), "_gate('ready')", CURVE]
    child = start(cells, places=STEPS, linger=True)
    child.wait_at("ready")
    proxy.refuse()
    opened = time.time()
    child.open("ready")
    child.wait_cells()
    proxy.accept()
    run = check(child, database, experiment)
    assert opened * 1000 - 1 <= run.start <= child.marks()[0] * 1000 + 1
    assert stored.tags(database, run.run_id)["mlflow.runName"] == "curve"


def test_no_server_at_all_until_the_cell_is_over(start, proxy, database, experiment):
    """It was down when the kernel started: neither the connection nor the experiment could be asked for."""
    proxy.refuse()
    cells = ["%load_ext mlflow_magics", VALUES.format(n=STEPS), loop(f"curve -e {experiment}", STEPS, pause="0.003")]
    child = start(cells, places=STEPS, linger=True, MLFLOW_TRACKING_URI=proxy.url)
    child.wait_cells()
    proxy.accept()
    check(child, database, experiment)


@pytest.mark.parametrize(
    ("request_", "times"),
    [
        ("POST .*/runs/create", 1),
        ("POST .*/runs/log-", 4),
        ("POST .*/runs/update", 2),
        ("PUT .*artifacts", 2),
    ],
)
@pytest.mark.parametrize("deed", ["cut after", "reset"])
def test_nothing_is_doubled_when_the_answer_is_lost(start, proxy, database, experiment, request_, times, deed):
    """The store applied it, and nobody was told: the replay must find that out."""
    proxy.add(Fault(deed, request_, times=times))
    artifact = 'mlflow.log_text("hello", "hello.txt")\nmlflow.log_param("lr", 0.1)\nmlflow.set_tag("stage", "dev")'
    child = start([*connect(proxy.url, experiment, STEPS), CURVE + artifact], places=STEPS, linger=True)
    child.wait_cells()
    run = check(child, database, experiment)
    assert stored.params(database, run.run_id)["lr"] == "0.1"
    assert stored.tags(database, run.run_id)["stage"] == "dev"
    assert deed in {each.done for each in proxy.matching(request_)}, "the fault met no request"
    eventually(
        lambda: list((database.parent / "artifacts").glob(f"*/{run.run_id}/artifacts/hello.txt")), "the artifact"
    )
