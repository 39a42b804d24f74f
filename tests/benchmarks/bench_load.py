"""What ``%load_ext mlflow_magics`` costs over loading an empty extension; ``python -m tests.benchmarks.bench_load``.

Both are loaded in fresh processes, in turn, so that a machine that slows down slows both. The issue's bound is 5 ms.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 15

CODE = """
import sys, time
sys.path.insert(0, sys.argv[2])
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
# What any kernel has imported by its first cell.
import IPython.core.magic_arguments, IPython.core.completer, IPython.display, asyncio
start = time.perf_counter()
shell.run_line_magic("load_ext", sys.argv[1])
print((time.perf_counter() - start) * 1000)
"""


def measure(extension: str, folder: str) -> float:
    """Return the milliseconds that one ``%load_ext`` takes in a fresh process."""
    # With compiled caches, as an installed package has them.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    out = subprocess.run(
        [sys.executable, "-c", CODE, extension, folder],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=environment,
    )
    return float(out.stdout.split()[-1])


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "empty_extension.py").write_text("def load_ipython_extension(shell):\n    pass\n")
        times: dict[str, list[float]] = {"empty_extension": [], "mlflow_magics": []}
        for extension in times:
            measure(extension, folder)  # compile
        for _ in range(ROUNDS):
            for extension, measured in times.items():
                measured.append(measure(extension, folder))
    print(f"{'%load_ext':<20}{'min ms':>10}{'median ms':>12}")
    for extension, measured in times.items():
        print(f"{extension:<20}{min(measured):>10.2f}{statistics.median(measured):>12.2f}")
    over = statistics.median(times["mlflow_magics"]) - statistics.median(times["empty_extension"])
    print(f"{'over the empty one':<20}{'':>10}{over:>12.2f}")


if __name__ == "__main__":
    main()
