"""What telling a dataset costs, beside MLflow's own digest of it, in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from .table import Row, at_least, at_most


def seconds(work: Callable[[], object]) -> float:
    """The least of three: what else the machine does only adds."""
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def data(rows: int = 1_000_000) -> Iterator[Row]:
    """A DataFrame of numbers, 20 columns."""
    import mlflow.data

    from mlflow_magics.tracking.runs import datasets

    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(rows, 20)), columns=[f"c{i}" for i in range(20)])
    ours = seconds(lambda: datasets.describe("X", frame))
    yield at_most(f"--data: a digest of {rows:,} x 20", ours, 0.3, "s")
    begin = time.perf_counter()
    _ = mlflow.data.from_pandas(frame).digest
    yield at_least("against MLflow's own digest of it", (time.perf_counter() - begin) / ours, 1, "times as fast")
