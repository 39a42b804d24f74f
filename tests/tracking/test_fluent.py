"""Whoever logs through MLflow's own functions, thread or worker, logs into the run of the cell it works for."""

from __future__ import annotations

import os

import pytest
from mlflow import MlflowClient

from tests.rig.shells import cell


def found():
    runs = MlflowClient().search_runs(["0"])
    return {run.info.run_name: (run.info.status, run.data.metrics) for run in runs}


def test_a_thread_that_outlives_its_cell_goes_on_in_its_run(tracked):
    tracked.run_cell(
        cell("""
        %%mlflow_run one
        import mlflow, threading
        begun, over = threading.Event(), threading.Event()
        def work():
            mlflow.log_metric("early", 1)
            begun.set()
            over.wait(30)
            mlflow.log_metric("late", 2)
        thread = threading.Thread(target=work)
        thread.start()
        begun.wait(30);
        """)
    )
    tracked.run_cell("over.set()\nthread.join()")
    assert found() == {"one": ("FINISHED", {"early": 1.0, "late": 2.0})}


WORKERS = """
import work
pids = Parallel(n_jobs=2)(delayed(work.log)(name, i) for i in range(2))
"""


@pytest.fixture
def workers(tracked, folder, monkeypatch):
    """A shell in which joblib's workers can log; its pool is gone afterwards."""
    (folder / "work.py").write_text(
        "import os\nimport time\nimport mlflow\n"
        "def log(name, i):\n    mlflow.log_metric(f'{name}{i}', i)\n    return os.getpid()\n"
        "def hold(gate):\n    while not os.path.exists(gate):\n        time.sleep(0.01)\n    return 'done'\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    tracked.run_cell("from joblib import Parallel, delayed\nfrom joblib.externals.loky import reusable_executor")
    yield tracked
    executor = tracked.user_ns["reusable_executor"]._executor
    if executor is not None:
        executor.shutdown(wait=True, kill_workers=True)
    import sys

    sys.modules.pop("work", None)


@pytest.mark.slow
def test_reused_workers_log_into_the_run_of_the_present_cell(workers):
    workers.run_cell("%%mlflow_run one\nname = 'a'\n" + WORKERS)
    first = set(workers.user_ns["pids"])
    workers.run_cell("%%mlflow_run two\nname = 'b'\n" + WORKERS + "1 / 0\n")
    assert not first & set(workers.user_ns["pids"])
    for pid in [*first, *workers.user_ns["pids"]]:
        with pytest.raises(ProcessLookupError):  # gone, so none of them can end the run a second time
            os.kill(pid, 0)
    assert found() == {"one": ("FINISHED", {"a0": 0.0, "a1": 1.0}), "two": ("FAILED", {"b0": 0.0, "b1": 1.0})}


def test_workers_stay_where_nobody_logs(workers, monkeypatch):
    assert "mlflow" not in workers.user_ns
    ask = "import os\npids = set(Parallel(n_jobs=2)(delayed(os.getpid)() for _ in range(4)))\n"
    from mlflow_magics.tracking.patches import workers as room

    # The test's own modules import mlflow; the notebook does not.
    monkeypatch.setattr(room, "_is_users", lambda name, module: name == "__main__" and module is workers.user_module)
    workers.run_cell("%%mlflow_run one\n" + ask)
    before = workers.user_ns["reusable_executor"]._executor
    workers.run_cell("%%mlflow_run two\n" + ask)
    assert workers.user_ns["reusable_executor"]._executor is before


def test_a_pool_with_work_to_do_stays(workers, folder):
    workers.run_cell(
        cell("""
        %%mlflow_run one
        import mlflow, work
        pool = reusable_executor.get_reusable_executor(max_workers=1)
        answer = pool.submit(work.hold, "gate")
        """)
    )
    workers.run_cell("%%mlflow_run two\na = 1")
    (folder / "gate").touch()
    assert workers.run_cell("answer.result(60)").result == "done"
    # It was not even asked to end, which it would do after its work.
    assert workers.run_cell("pool.submit(work.hold, 'gate').result(60)").result == "done"
    assert workers.user_ns["reusable_executor"]._executor is workers.user_ns["pool"]
