"""What a small artifact costs while nothing is sent: the last 200 of 2,000 beside the first 200, in the same run."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from .table import Row, at_most

CODE = """
import json, sys, time
import mlflow
from mlflow_magics.tracking.connecting import connection
connection.connect("sqlite:///store.db", experiment="files", offline=True)
with open("small.txt", "w") as file:
    file.write("small")
each = []
with mlflow.start_run():
    for k in range(int(sys.argv[1])):
        begin = time.perf_counter()
        mlflow.log_artifact("small.txt", f"folder-{k}")
        each.append(time.perf_counter() - begin)
print(json.dumps(each))
"""


def files(count: int = 2_000) -> Iterator[Row]:
    """Small files, one by one, in a process of its own: its outbox lies elsewhere."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", CODE, str(count)],
            cwd=folder,
            env={**os.environ, "XDG_STATE_HOME": folder, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=True,
        )
    each = json.loads(done.stdout.splitlines()[-1])
    few = min(200, count // 2)
    first, last = statistics.median(each[:few]), statistics.median(each[-few:])
    yield at_most(f"a small artifact offline, the last {few} of {count:,}", last * 1000, 5, "ms")
    yield at_most(f"against the first {few}", last / first, 1.5, "times as long")
