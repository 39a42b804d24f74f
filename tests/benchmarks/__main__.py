"""The benchmarks: ``python -m tests.benchmarks`` prints one table, in about four minutes on two cores.

``--quick`` measures less and leaves the peers out (CI). A bound that is missed is marked, and is no failure: what a
shared machine measures is for reading. A row that cannot be measured says why, and then the command fails.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.rig.servers import MlflowServer

from . import bench_capture, bench_data, bench_files, bench_follow, bench_load, bench_panel, bench_texts, ours, peers
from .table import Row, render


def attempt(part: Callable[[], Iterator[Row]], name: str, broken: list[str]) -> Iterator[Row]:
    """The rows of one part; where it fails, a row that says so."""
    begin = time.monotonic()
    try:
        yield from part()
    except Exception as error:
        # One part that fails must not cost the figures of the others; the exit code tells of it.
        broken.append(name)
        yield Row(name, f"not measured: {peers.reason(error)}")
    print(f"# {name}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)


def plain_mlflow(server: MlflowServer, quick: bool) -> Iterator[Row]:
    """MLflow itself, of this environment: what the loop pays and what is left."""
    yield peers.measure(sys.executable, "list.append", "list.append: a point in a loop", peers.POINTS)
    for label, store in (("SQLite", None), ("HTTP", server)):
        for name, points in (("MLflow sync", 300), ("MLflow async", 1_000), ("MLflow async, buffered", peers.POINTS)):
            size = points // 10 if quick else points
            yield peers.measure(sys.executable, name, f"{name}, {label}: a point in a loop", size, store)


def main() -> int:
    """Print the table; 1 if a row could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, no peers")
    names = [*(part.__name__ for part in ours.ROWS), "load", "follow", "panel", "data", "texts", "files"]
    parser.add_argument("--only", default="", metavar="NAME", help=f"one part: {', '.join(names)}")
    args = parser.parse_args()
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    broken: list[str] = []
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as base:
        with MlflowServer(Path(base, "server")) as server:
            bench = ours.Bench(Path(base), server, ours.QUICK if args.quick else ours.Size())
            for part in ours.ROWS:
                if args.only in ("", part.__name__):
                    rows += attempt(lambda part=part: part(bench), part.__name__, broken)
            if args.only in ("", "load"):
                rows += attempt(lambda: bench_load.load(3 if args.quick else 15), "load", broken)
            if args.only in ("", "follow"):
                some = {"calls": 300_000, "rounds": 1} if args.quick else {}
                rows += attempt(lambda: bench_follow.follow(Path(base, "follow"), **some), "follow", broken)
            if args.only in ("", "panel"):
                few = {"steps": 2_000, "rounds": 2} if args.quick else {}
                rows += attempt(lambda: bench_panel.panel(Path(base, "panel"), **few), "panel", broken)
            if args.only in ("", "data"):
                rows += attempt(lambda: bench_data.data(100_000 if args.quick else 1_000_000), "data", broken)
            if args.only in ("", "texts"):
                rows += attempt(lambda: bench_texts.texts(200_000 if args.quick else 10_000_000), "texts", broken)
            if args.only in ("", "files"):
                rows += attempt(lambda: bench_files.files(600 if args.quick else 2_000), "files", broken)
            if not args.only:
                rows += attempt(lambda: plain_mlflow(server, args.quick), "MLflow", broken)
        if not args.only and not args.quick:
            rows += attempt(peers.rows, "peers", broken)
    import mlflow

    print(f"{datetime.date.today()}, Python {platform.python_version()}, MLflow {mlflow.__version__}, ", end="")
    print(f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}\n\n{render(rows)}")
    if not args.only and not args.quick:
        print("\nReading a cell:\n")
        bench_capture.main()
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
