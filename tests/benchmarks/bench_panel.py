"""What a panel that is open costs the loop it shows: the same cells in one real kernel, in turn with it and without."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

from tests.rig.kernels import KernelProcess

from .table import Row, at_most

# A step as training has them: a tenth of a millisecond of Python, then a value.
TRAIN = """%%mlflow_run
import math as _math, time as _time
_begin = _time.perf_counter()
for _step in range({steps}):
    loss = sum([_math.sqrt(_i) for _i in range(1_500)]) / (_step + 1)
_spent = _time.perf_counter() - _begin
"""
CLOSE = "get_ipython().magics_manager.registry['MlflowMagics'].magics.panels.close()"


def panel(folder: Path, *, steps: int = 20_000, rounds: int = 5) -> Iterator[Row]:
    """Alternate, so that a machine that slows down slows both; the median of the ratios of neighbours."""
    folder.mkdir(parents=True, exist_ok=True)
    cell = TRAIN.format(steps=steps)
    with KernelProcess(folder, folder / "state") as kernel:

        def run(code: str) -> str:
            replied = kernel.run(code, 180)
            if replied.status != "ok":
                raise RuntimeError(f"{replied.error}: {replied.printed[-500:]}")
            return replied.printed

        def spent() -> float:
            run(cell)
            return float(run("print(_spent)"))

        run("%load_ext mlflow_magics\n%mlflow_connect -e bench")
        spent()  # the first one imports
        took = []
        for turn in range(2 * rounds):
            shown = turn % 2 == 1
            run("%mlflow_panel" if shown else CLOSE)
            took.append(spent())
        bare, watched = took[::2], took[1::2]
    figure = statistics.median(after / before for before, after in zip(bare, watched, strict=True))
    yield at_most(f"a loop of {steps:,} steps of 0.1 ms, a panel open, over none", figure, 1.02, "x")
