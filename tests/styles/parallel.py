"""Styles of logging from threads, coroutines and processes."""

from .style import style

_TRAIN = """
import mlflow
def train(fold):
    with mlflow.start_run(run_name=f"fold {fold}"):
        mlflow.log_param("fold", fold)
        for step in range(3):
            mlflow.log_metric("loss", (fold + 1) / (step + 2), step=step)
    return fold
"""
_CHILD = """
import mlflow
def train(fold, parent):
    with mlflow.start_run(run_name=f"fold {fold}", nested=True, parent_run_id=parent):
        mlflow.log_param("fold", fold)
        mlflow.log_metric("loss", (fold + 1) / 7)
    return fold
"""
_SCRIPT = """
import sys
import mlflow
with mlflow.start_run(run_name=sys.argv[1]):
    mlflow.log_param("lr", 0.1)
    mlflow.log_metric("loss", 0.25)
"""
_RESUMING = """
import mlflow
with mlflow.start_run():
    mlflow.log_param("from_child", "yes")
    mlflow.log_metric("loss", 0.25, step=4)
"""

PARALLEL = [
    style(
        "thread_pool_executor",
        _TRAIN
        + """
# %% run
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(2) as pool:
    done = list(pool.map(train, range(4)))
""",
        more=1,
    ),
    style(
        "thread_pool_executor_submit_one",
        _TRAIN
        + """
# %% run
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(1) as pool:
    pool.submit(train, 5).result()
""",
    ),
    style(
        "multiprocessing_thread_pool",
        _TRAIN
        + """
# %% run
from multiprocessing.pool import ThreadPool
with ThreadPool(3) as pool:
    pool.map(train, range(3))
""",
        more=1,
    ),
    style(
        "threading_threads",
        _TRAIN
        + """
# %% run
import threading
threads = [threading.Thread(target=train, args=(fold,)) for fold in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
""",
        more=1,
    ),
    style(
        "threads_below_a_parent",
        _CHILD
        + """
# %% run
from concurrent.futures import ThreadPoolExecutor
with mlflow.start_run(run_name="cv") as parent:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda fold: train(fold, parent.info.run_id), range(3)))
    mlflow.log_metric("folds", 3)
""",
    ),
    style(
        "threads_log_to_the_run_by_client",
        """
import mlflow
from concurrent.futures import ThreadPoolExecutor
client = mlflow.MlflowClient()
# %% run
with mlflow.start_run(run_name="shared") as run:
    def work(i):
        client.log_metric(run.info.run_id, f"worker_{i}", i / 3)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(1, 5)))
""",
    ),
    style(
        "thread_logs_with_run_id",
        """
import mlflow, threading
# %% run
def watch(run_id):
    for step in range(3):
        mlflow.log_metric("gpu", 0.5 + step / 8, step=step, run_id=run_id)
with mlflow.start_run(run_name="watched") as run:
    thread = threading.Thread(target=watch, args=(run.info.run_id,))
    thread.start()
    mlflow.log_metric("loss", 0.25)
    thread.join()
""",
    ),
    style(
        "thread_outlives_the_cell",
        """
import mlflow, threading
gate = threading.Event()
def train(name):
    with mlflow.start_run(run_name=name):
        mlflow.log_metric("loss", 0.5, step=0)
        begun.set()
        gate.wait(60)
        mlflow.log_metric("loss", 0.25, step=1)
begun = threading.Event()
# %% run
thread = threading.Thread(target=train, args=("background",))
thread.start()
_ = begun.wait(60)
# %%
gate.set()
thread.join()
""",
    ),
    style(
        "coroutines_gathered",
        """
import asyncio
import mlflow
async def train(fold):
    await asyncio.sleep(0.001 * fold)
    with mlflow.start_run(run_name=f"fold {fold}"):
        mlflow.log_metric("loss", (fold + 1) / 7)
    await asyncio.sleep(0)
    return fold
# %% run
folds = await asyncio.gather(*(train(fold) for fold in range(3)))
""",
        more=1,
    ),
    style(
        "coroutine_awaited_once",
        """
import asyncio
import mlflow
async def train():
    with mlflow.start_run(run_name="awaited"):
        for step in range(3):
            await asyncio.sleep(0)
            mlflow.log_metric("loss", 1 / (step + 2), step=step)
# %% run
await train()
""",
    ),
    style(
        "await_inside_a_with",
        """
import asyncio
import mlflow
# %% run
with mlflow.start_run(run_name="top await"):
    for step in range(3):
        await asyncio.sleep(0)
        mlflow.log_metric("loss", 1 / (step + 2), step=step)
""",
    ),
    style(
        "to_thread_gathered",
        _TRAIN
        + """
# %% run
import asyncio
await asyncio.gather(*(asyncio.to_thread(train, fold) for fold in range(3)))
""",
        more=1,
    ),
    style(
        "coroutines_by_client",
        """
import asyncio
from mlflow import MlflowClient
client = MlflowClient()
async def train(fold):
    run = client.create_run("0", run_name=f"fold {fold}")
    for step in range(3):
        await asyncio.sleep(0)
        client.log_metric(run.info.run_id, "loss", (fold + 1) / (step + 2), step=step)
    client.set_terminated(run.info.run_id)
# %% run
_ = await asyncio.gather(train(0), train(1))
""",
        more=1,
    ),
    style(
        "joblib_loky",
        _TRAIN
        + """
# %% run
from joblib import Parallel, delayed
done = Parallel(n_jobs=2)(delayed(train)(fold) for fold in range(4))
""",
        more=1,
    ),
    style(
        "joblib_loky_below_a_parent",
        _CHILD
        + """
# %% run
from joblib import Parallel, delayed
with mlflow.start_run(run_name="cv") as parent:
    Parallel(n_jobs=2)(delayed(train)(fold, parent.info.run_id) for fold in range(3))
    mlflow.log_metric("folds", 3)
""",
    ),
    style(
        "joblib_threading",
        _TRAIN
        + """
# %% run
from joblib import Parallel, delayed
Parallel(n_jobs=2, backend="threading")(delayed(train)(fold) for fold in range(3))
""",
        more=1,
    ),
    style(
        "joblib_sequential",
        _TRAIN
        + """
# %% run
from joblib import Parallel, delayed
Parallel(n_jobs=1)(delayed(train)(fold) for fold in range(3))
""",
        more=1,
    ),
    style(
        "pool_by_fork",
        _TRAIN
        + """
# %% run
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as pool:
    done = pool.map(train, range(4))
""",
        more=1,
    ),
    style(
        "pool_by_spawn",
        """
import multiprocessing
import folds
# %% run
with multiprocessing.get_context("spawn").Pool(2) as pool:
    done = pool.map(folds.train, range(3))
""",
        more=1,
        files={"folds.py": _TRAIN},
    ),
    style(
        "process_pool_executor",
        _TRAIN
        + """
# %% run
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
    done = list(pool.map(train, range(3)))
""",
        more=1,
    ),
    style(
        "process_pool_executor_by_spawn_below_a_parent",
        """
import functools, mlflow
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import folds
# %% run
with mlflow.start_run(run_name="cv") as parent:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        done = list(pool.map(functools.partial(folds.train, parent=parent.info.run_id), range(3)))
""",
        files={"folds.py": _CHILD},
    ),
    style(
        "one_process",
        _TRAIN
        + """
# %% run
import multiprocessing
process = multiprocessing.get_context("fork").Process(target=train, args=(7,))
process.start()
process.join()
""",
    ),
    style(
        "script_in_a_subprocess",
        """
import subprocess, sys
# %% run
subprocess.run([sys.executable, "script.py", "by script"], check=True)
""",
        files={"script.py": _SCRIPT},
    ),
    style(
        "scripts_in_subprocesses",
        """
import subprocess, sys
# %% run
running = [subprocess.Popen([sys.executable, "script.py", name]) for name in ("one", "two")]
codes = [each.wait() for each in running]
""",
        more=1,
        files={"script.py": _SCRIPT},
    ),
    style(
        "script_below_a_parent",
        """
import subprocess, sys
import mlflow
# %% run
with mlflow.start_run(run_name="notebook"):
    mlflow.log_param("kind", "mixed")
    subprocess.run([sys.executable, "script.py", "by script"], check=True)
""",
        files={"script.py": _SCRIPT},
        more=None,
    ),
    style(
        "script_resumes_by_run_id",
        """
import os, subprocess, sys
import mlflow
# %% run
with mlflow.start_run(run_name="notebook") as run:
    mlflow.log_param("lr", 0.1)
    environment = {**os.environ, "MLFLOW_RUN_ID": run.info.run_id}
    subprocess.run([sys.executable, "resuming.py"], check=True, env=environment)
""",
        files={"resuming.py": _RESUMING},
    ),
    style(
        "shell_escape_runs_a_script",
        """
import sys
# %% run
!{sys.executable} script.py escaped
""",
        files={"script.py": _SCRIPT},
    ),
    style(
        "run_magic_runs_a_script",
        """
import mlflow
# %% run
%run script.py magic
""",
        files={"script.py": _SCRIPT},
    ),
    style(
        "imported_module_trains",
        """
import folds
# %% run
for fold in range(2):
    folds.train(fold)
""",
        more=1,
        files={"folds.py": _TRAIN},
    ),
]
