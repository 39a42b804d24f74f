"""Several kernels and many threads into one server: no point lost, doubled, or in another's run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.rig import stored
from tests.rig.kernels import KernelProcess

from .expected import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

THREADS, POINTS = 8, 250

CROWD = """%%mlflow_run {name} --no-source
import mlflow, threading
def work(t):
    for i in range({points}):
        mlflow.log_metric(f"thread{{t}}", {base} + t * 1000 + i / 4, step=i)
        mlflow.log_metric("shared", t * 1000 + i, step=t * 1000 + i)
threads = [threading.Thread(target=work, args=(t,)) for t in range({threads})]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_two_kernels_and_eight_threads_each(tmp_path, mlflow_server, database, experiment):
    state = tmp_path / "state"
    with KernelProcess(tmp_path / "a", state) as a, KernelProcess(tmp_path / "b", state) as b:
        kernels = {"a": (a, 0), "b": (b, 1_000_000)}
        for kernel, _ in kernels.values():
            connected = kernel.run(f"%load_ext mlflow_magics\n%mlflow_connect {mlflow_server.url} -e {experiment}")
            assert connected.status == "ok", connected
        with ThreadPoolExecutor(2) as both:
            cells = {
                n: CROWD.format(name=n, base=base, points=POINTS, threads=THREADS) for n, (_, base) in kernels.items()
            }
            replies = list(both.map(lambda n: kernels[n][0].run(cells[n]), kernels))
        assert [reply.status for reply in replies] == ["ok", "ok"], replies
        expected = 2 * 2 * THREADS * POINTS
        eventually(lambda: stored.count(database, experiment) >= expected, f"{expected} points")
        assert stored.count(database, experiment) == expected
        found = {run.name: run for run in stored.runs(database, experiment)}
        assert len(stored.runs(database, experiment)) == 2
        for name, (_, base) in kernels.items():
            run = found[name]
            eventually(
                lambda name=name: {r.name: r for r in stored.runs(database, experiment)}[name].status == "FINISHED",
                name,
            )
            for t in range(THREADS):
                points = [(step, value) for step, _, value in stored.points(database, run.run_id, f"thread{t}")]
                assert points == [(i, base + t * 1000 + i / 4) for i in range(POINTS)]
            shared = [(step, value) for step, _, value in stored.points(database, run.run_id, "shared")]
            assert shared == [(t * 1000 + i, t * 1000.0 + i) for t in range(THREADS) for i in range(POINTS)]
