"""One tracker, one loop: microseconds a point, or what is left of it after ``kill -9``. A script of its own.

``python peer_loop.py NAME loop POINTS FOLDER URI`` prints the microseconds that one logged point costs the loop;
``… kill …`` logs as many points and kills its own process at that moment; ``… count …`` prints how many are stored.
It runs in the environment of the tracker, so it imports nothing of the house.
"""

import math
import os
import signal
import sqlite3
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

Log = Callable[[int, float], object]


# -- how each is set up: a function of (step, value) that logs one point -------------------------------------------


def list_append(folder: Path, uri: str) -> Log:
    kept: list[tuple[int, float, float]] = []
    return lambda step, value: kept.append((step, time.time(), value))


def mlflow_sync(folder: Path, uri: str) -> Log:
    import mlflow

    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment(str(folder))
    mlflow.start_run()
    return lambda step, value: mlflow.log_metric("loss", value, step=step)


def mlflow_async(folder: Path, uri: str) -> Log:
    import mlflow

    mlflow_sync(folder, uri)
    return lambda step, value: mlflow.log_metric("loss", value, step=step, synchronous=False)


def mlflow_buffered(folder: Path, uri: str) -> Log:
    os.environ["MLFLOW_ASYNC_LOGGING_BUFFERING_SECONDS"] = "1"
    return mlflow_async(folder, uri)


def wandb_offline(folder: Path, uri: str) -> Log:
    os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}
    os.environ |= {"WANDB_DIR": str(folder), "WANDB_CACHE_DIR": str(folder), "WANDB_CONFIG_DIR": str(folder)}
    import wandb

    run = wandb.init(project="bench", settings=wandb.Settings(x_disable_stats=True))
    return lambda step, value: run.log({"loss": value})


def trackio(folder: Path, uri: str) -> Log:
    os.environ |= {"TRACKIO_DIR": str(folder), "HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False"}
    import trackio as tracker

    tracker.init(project="bench", name="bench", embed=False, auto_log_gpu=False, auto_log_cpu=False)
    return lambda step, value: tracker.log({"loss": value})


def tensorboardx(folder: Path, uri: str) -> Log:
    from tensorboardX import SummaryWriter

    writer = SummaryWriter(str(folder))
    return lambda step, value: writer.add_scalar("loss", value, step)


def dvclive(folder: Path, uri: str) -> Log:
    os.environ |= {"DVC_NO_ANALYTICS": "true", "DVCLIVE_LOGLEVEL": "ERROR"}
    from dvclive import Live

    live = Live(str(folder / "live"), save_dvc_exp=False, dvcyaml=None, report=None)

    def log(step: int, value: float) -> None:
        # `next_step` would also write its summary file each time, which is no part of keeping the point.
        live.step = step
        live.log_metric("loss", value)

    return log


# -- how many points each has stored -------------------------------------------------------------------------------


def none_stored(folder: Path, uri: str) -> int:
    return 0


def sql_rows(folder: Path, uri: str) -> int:
    """Metrics are one table in MLflow's database, and in trackio's."""
    found = 0
    for path in folder.glob("**/*.db"):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as database:
            if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'metrics'").fetchone():
                found += database.execute("SELECT COUNT(*) FROM metrics").fetchone()[0]
    return found


def event_records(folder: Path, uri: str) -> int:
    """TensorBoard's files: length, checksum, record, checksum; the first record is the version."""
    found = 0
    for path in folder.glob("events.*"):
        content, place = path.read_bytes(), 0
        while place + 12 <= len(content):
            (size,) = struct.unpack_from("<Q", content, place)
            place += 12 + size + 4
            found += place <= len(content)
        found -= 1
    return found


def wandb_records(folder: Path, uri: str) -> int:
    from wandb.proto.wandb_internal_pb2 import Record

    # The service is another process, which first has to notice that its client is gone.
    time.sleep(3)
    kinds = []
    for path in folder.glob("wandb/offline-run-*/*.wandb"):
        for content in leveldb_log(path.read_bytes()):
            record = Record()
            record.ParseFromString(content)
            kinds.append(record.WhichOneof("record_type"))
    return kinds.count("history")


def leveldb_log(content: bytes) -> Iterator[bytes]:
    """The records of a log in LevelDB's format, behind wandb's own header of 7 bytes."""
    block, place, parts = 32768, 7, b""
    while place + 7 <= len(content):
        if block - place % block < 7:
            place += block - place % block  # too little is left of the block for a header
            continue
        _, size, kind = struct.unpack_from("<IHB", content, place)
        if kind == 0 or place + 7 + size > len(content):
            return
        parts += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # a whole record, or the last part of one
            yield parts
            parts = b""


def tsv_lines(folder: Path, uri: str) -> int:
    return sum(path.read_text().count("\n") - 1 for path in folder.glob("live/plots/metrics/*.tsv"))


TRACKERS: dict[str, tuple[Callable[[Path, str], Log], Callable[[Path, str], int]]] = {
    "list.append": (list_append, none_stored),
    "MLflow sync": (mlflow_sync, sql_rows),
    "MLflow async": (mlflow_async, sql_rows),
    "MLflow async, buffered": (mlflow_buffered, sql_rows),
    "wandb offline": (wandb_offline, wandb_records),
    "trackio": (trackio, sql_rows),
    "tensorboardX": (tensorboardx, event_records),
    "dvclive": (dvclive, tsv_lines),
}


def loop(log: Log, count: int) -> float:
    """Microseconds a point."""
    values = [1 / math.sqrt(1 + step) for step in range(count)]
    begin = time.perf_counter()
    for step in range(count):
        log(step, values[step])
    return (time.perf_counter() - begin) / count * 1e6


def main() -> None:
    name, deed, count, folder, uri = sys.argv[1:6]
    log, stored = TRACKERS[name]
    if deed == "count":
        print(stored(Path(folder), uri))
        return
    spent = loop(log(Path(folder), uri), int(count))
    if deed == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    print(f"microseconds {spent}", flush=True)
    # The loop is what was measured; sending what it left behind may take a minute.
    os._exit(0)


if __name__ == "__main__":
    main()
