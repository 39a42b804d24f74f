"""What following costs the cell: the same code bare and under ``%%mlflow_run``, in turn in one real kernel."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.rig.kernels import KernelProcess

from .table import Row, at_most

# The cell tells its own time, without what a run does before and after it.
TIMED = """import time as _time
_begin = _time.perf_counter()
{code}
_spent = _time.perf_counter() - _begin
"""
EARLIER = """
def flat(x):
    return x + 1
def looping(x):
    s = 0.0
    for k in (1, 2):
        s = s + k * x
    return s
"""
CODES = {
    "a plain loop of {n:,} turns": "for q in range({n}):\n    pass",
    "{n:,} calls of a function of the notebook": "for q in range({n}):\n    flat(q)",
    "{n:,} calls of one with a loop in it": "for q in range({n}):\n    looping(q)",
}
NAMES = "globals().update({f'name_{i}': float(i) for i in range(10_000)})"
CELL = "%%mlflow_run --dry-run\nlr = 0.1\nloss = flat(lr)"
CPU = "import time\nprint(time.process_time())"


def follow(folder: Path, *, calls: int = 10_000_000, rounds: int = 3) -> Iterator[Row]:
    """Alternate, so that a machine that slows down slows both; the median of the ratios of neighbours."""
    folder.mkdir(parents=True, exist_ok=True)
    with KernelProcess(folder, folder / "state") as kernel:

        def run(code: str) -> str:
            replied = kernel.run(code, 180)
            if replied.status != "ok":
                raise RuntimeError(f"{replied.error}: {replied.printed[-500:]}")
            return replied.printed

        def spent(code: str) -> float:
            run(code)
            return float(run("print(_spent)"))

        run("%load_ext mlflow_magics")
        run(EARLIER)
        run(CELL)  # the first one imports
        for label, code in CODES.items():
            timed = TIMED.format(code=code.format(n=calls))
            ratios = []
            for _ in range(rounds):
                bare = spent(timed)
                ratios.append(spent("%%mlflow_run --dry-run\n" + timed) / bare)
            yield at_most(
                f"{label.format(n=calls)}, under %%mlflow_run over bare", statistics.median(ratios), 1.02, "x"
            )
        few = _cpu(run, rounds)
        run(NAMES)
        yield at_most(
            "a whole run cell, 10,000 names in the notebook: CPU more", 1000 * (_cpu(run, rounds) - few), 1.0, "ms"
        )


def _cpu(run: Callable[[str], str], rounds: int) -> float:
    """The least CPU time of the kernel, in seconds, that a small run cell takes from its first message to its last."""
    times = []
    for _ in range(5 * rounds):
        before = float(run(CPU))
        run(CELL)
        times.append(float(run(CPU)) - before)
    return min(times)
