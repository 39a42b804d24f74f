"""What capture costs: ``python -m tests.benchmarks.bench_capture`` prints one table.

The promise: under 1 ms, the same with 10,000 names in the namespace, the same with a 1 GB array among them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from mlflow_magics.capture.code.dataflow import analyse
from mlflow_magics.capture.roles.roles import assign, snapshot
from mlflow_magics.vocabulary.records import Choices

CELL = """
lr = 0.1
batch = int(cfg["batch"])
name = f"run-{lr}"
total = 0.0
for epoch in range(3):
    loss = train(big, lr, batch)
    total += loss
mean = total / 3
results = {"model": name, "loss": loss}
"""
ROUNDS = 300


def train(*_: Any) -> float:
    return 0.5


def milliseconds(work: Callable[[], object]) -> float:
    """The median over many rounds: a few are always disturbed on a shared machine."""
    work()
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def measure(namespace: dict[str, Any]) -> tuple[float, float]:
    """Cost of reading the code, and of snapshot and assign together."""
    flow = analyse(CELL)
    start = dict(namespace)
    before = snapshot(flow, start)
    end = dict(start)
    exec(CELL, end)
    assert len(assign(flow, end, before, Choices()).metrics) == 3

    def both() -> None:
        assign(flow, end, snapshot(flow, start), Choices())

    return milliseconds(lambda: analyse(CELL)), milliseconds(both)


def main() -> None:
    small: dict[str, Any] = {"train": train, "cfg": {"batch": "32", "seed": 1}, "big": np.zeros(10)}
    many = small | {f"name_{i}": float(i) for i in range(10_000)}
    huge = many | {"big": np.zeros(1 << 27)}
    print(f"{'namespace':<32}{'analyse ms':>12}{'capture ms':>12}{'ratio':>8}")
    base = 0.0
    for label, namespace in (("10 names", small), ("10,000 names", many), ("10,000 names, a 1 GB array", huge)):
        read, capture = measure(namespace)
        base = base or capture
        print(f"{label:<32}{read:>12.3f}{capture:>12.3f}{capture / base:>8.2f}")


if __name__ == "__main__":
    main()
