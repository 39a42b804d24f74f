"""Our own rows of the table, against what a user sees: a real shell with the extension, a real server.

Each figure is a ratio or a difference within one child process, or between two that run one after the other, so that
a machine that slows down slows both.
"""

from __future__ import annotations

import itertools
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.rig import stored
from tests.rig.children import Child, prepare, spawn
from tests.rig.servers import LOOPBACK, CountingProxy, MlflowServer, SilentServer, free_port

from .table import Row, at_least, at_most

_count = itertools.count()


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes
    ----------
    loop, own, sync, sent, memory : int
        Points of the plain loop; calls of the user's own ``log_metric`` through the outbox; and without it; points
        sent to a real server; assignments of the loop whose memory is measured.
    """

    loop: int = 200_000
    own: int = 5_000
    sync: int = 300
    sent: int = 100_000
    memory: int = 10_000_000


QUICK = Size(loop=20_000, own=500, sync=50, sent=5_000, memory=500_000)


@dataclass(frozen=True)
class Bench:
    """Where the rows are measured.

    Attributes
    ----------
    folder : Path
        An empty one.
    server : MlflowServer
        Running.
    size : Size
        How much.
    """

    folder: Path
    server: MlflowServer
    size: Size

    def local(self) -> str:
        """A fresh local store's URI."""
        return f"sqlite:///{self.folder}/store-{next(_count)}.db"

    def child(self, cells: Sequence[str], uri: str = "", *, patience: float = 180.0, ends: bool = True) -> Child:
        """Run cells in a child of a fresh machine; with a `uri`, after having connected to it."""
        connect = ["%load_ext mlflow_magics", f"%mlflow_connect {uri} -e bench"] if uri else []
        folder = self.folder / f"child-{next(_count)}"
        child = spawn(prepare(folder, [*connect, *cells], folder / "state", linger=True))
        try:
            if ends:
                child.wait_cells(patience=patience)
                failed = [ran for ran in child.results() if not ran.ok]
                if failed:
                    raise RuntimeError(f"{failed[0].error}\n{child.output[-2000:]}")
        finally:
            if ends:
                child.kill()  # what it has not sent yet is of no interest any more
        return child


def value(child: Child, cell: int = -1) -> object:
    """The value of a cell."""
    return json.loads(child.results()[cell].value)


# A loop as people write it, and what it took.
LOOP = """import time as _time
_begin = _time.perf_counter()
for _i in range(_n):
    {body}
_spent = _time.perf_counter() - _begin
"""
VALUES = "import math as _math\n_n = {n}\nvalues = [_math.sqrt(_i) for _i in range(_n)]"
PLAIN = LOOP.format(body="loss = values[_i]")
TOOK = "_took.append(_spent)"


def a_point(bench: Bench) -> Iterator[Row]:
    """What keeping a point costs the loop, and how many are there after ``kill -9``."""
    n = bench.size.loop
    cells = ["_took = []", VALUES.format(n=n)]
    run = "%%mlflow_run --watch loss\n" + PLAIN
    cells += [PLAIN, TOOK, run, TOOK, PLAIN, TOOK, "_took"]
    bare, kept, again = value(bench.child(cells, bench.local()))  # type: ignore[misc]  # three numbers
    over = (kept - min(bare, again)) / n * 1e6
    logged, found = 15_001, survivors(bench, 15_001)
    row = at_most("a point in a loop, over the bare loop", over, 1.0, "us", kept=f"{found:,} of {logged:,}")
    # A cheap point that is lost is no point.
    yield replace(row, met=row.met and found == logged)


def survivors(bench: Bench, points: int) -> int:
    """Kill a kernel in its loop, start another, and count what is in the store a while later."""
    database = bench.folder / f"store-{next(_count)}.db"
    cells = ["%load_ext mlflow_magics", f"%mlflow_connect sqlite:///{database} -e bench", VALUES.format(n=points)]
    body = "loss = values[_i]\n    if _i == _n - 1: _os.kill(_os.getpid(), 9)"
    cells += ["import os as _os", "%%mlflow_run --watch loss\n" + LOOP.format(body=body)]
    state = bench.folder / f"state-{next(_count)}"
    dead = spawn(prepare(bench.folder / f"child-{next(_count)}", cells, state))
    dead.wait(180)
    heir = spawn(prepare(bench.folder / f"child-{next(_count)}", cells[:2], state, linger=True))
    try:
        heir.wait_cells()
        found, deadline = 0, time.monotonic() + 30
        while found < points and time.monotonic() < deadline:
            time.sleep(0.2)
            found = stored.count(database, "bench")
    finally:
        heir.kill()
    return found


def own_calls(bench: Bench) -> Iterator[Row]:
    """The user's own ``mlflow.log_metric``, through the outbox and as MLflow does it."""
    own = LOOP.format(body='mlflow.log_metric("loss", values[_i], step=_i)')
    for label, bound, local in (("SQLite", 20, True), ("HTTP", 40, False)):
        uri = bench.local() if local else bench.server.url
        plain = f"import mlflow\nmlflow.set_tracking_uri({uri!r})\nmlflow.set_experiment('bench')\n"
        plain += f"with mlflow.start_run():\n    {_indent(own)}"
        sync = value(bench.child([VALUES.format(n=bench.size.sync), plain, "_spent / _n * 1e6"]))
        run = f"%%mlflow_run\nimport mlflow\n{own}"
        ours = value(bench.child([VALUES.format(n=bench.size.own), run, "_spent / _n * 1e6"], uri))
        what = f"the user's own log_metric, {label}: {ours:,.0f} us against {sync:,.0f} us"
        yield at_least(what, sync / ours, bound, "x")  # type: ignore[operator]  # two numbers


def _indent(code: str) -> str:
    return code.replace("\n", "\n    ")


def requests(bench: Bench) -> Iterator[Row]:
    """How many requests a run makes: twenty values and a curve."""
    points = bench.size.own
    with CountingProxy(bench.server.url) as proxy:
        cells = [VALUES.format(n=points), "%%mlflow_run --no-source\nwarm = 1", "_gate('run')"]
        params = "\n".join(f"p{i} = {i}" for i in range(10)) + "\n"
        metrics = "\n".join(f"m{i} = values[{i}] + values[1]" for i in range(10)) + "\n"
        cells += ["%%mlflow_run --no-source --watch loss\n" + params + metrics + PLAIN, "_gate('sent')"]
        child = bench.child(cells, proxy.url, ends=False)
        try:
            child.wait_at("run")
            time.sleep(1)  # nothing of the run before is under way any more
            before = len(proxy.requests)
            child.open("run")
            child.wait_at("sent")
            settle(lambda: len(proxy.requests))
            made = proxy.requests[before:]
        finally:
            child.kill()
    bound = 3 + -(-points // 1000)
    yield at_most(f"requests of a run: 20 values, {points:,} points", len(made), bound, "requests", digits=0)


def settle(figure, patience: float = 30.0, quiet: float = 1.5) -> None:
    """Wait until a figure has not changed for a while."""
    deadline, last, since = time.monotonic() + patience, figure(), time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - since < quiet:
        time.sleep(0.05)
        if (now := figure()) != last:
            last, since = now, time.monotonic()


RAW = """
import time
from mlflow import MlflowClient
from mlflow.entities import Metric
client = MlflowClient({uri!r})
run = client.create_run(client.create_experiment({name!r})).info.run_id
points = [Metric("loss", i / 7, 1_700_000_000_000 + i, i) for i in range({n})]
begin = time.perf_counter()
for first in range(0, {n}, 1000):
    client.log_batch(run, points[first:first + 1000])
spent = time.perf_counter() - begin
"""


def throughput(bench: Bench) -> Iterator[Row]:
    """Points a second to a real server, against the fastest that its client can do."""
    n = bench.size.sent
    raw = RAW.format(uri=bench.server.url, n=n, name=f"raw-{next(_count)}")
    before = float(value(bench.child([raw, "spent"])))  # type: ignore[arg-type]  # a number
    database = bench.server.folder / "server.db"
    start = stored.count(database, "bench")
    cells = [
        VALUES.format(n=n),
        "_begin_wall = _now()",
        "%%mlflow_run --no-source --watch loss\n" + PLAIN,
        "_begin_wall",
    ]
    child = bench.child(cells, bench.server.url, ends=False)
    try:
        child.wait_cells(patience=120)
        deadline = time.monotonic() + 120
        while stored.count(database, "bench") < start + n and time.monotonic() < deadline:
            time.sleep(0.1)
        spent = time.time() - float(value(child))  # type: ignore[arg-type]  # a number
    finally:
        child.kill()
    again = float(value(bench.child([RAW.format(uri=bench.server.url, n=n, name=f"raw-{next(_count)}"), "spent"])))  # type: ignore[arg-type]
    best = statistics.mean([before, again])
    what = f"{n:,} points to a real server: {n / spent:,.0f} a second, raw log_batch {n / best:,.0f}"
    yield at_least(what, 100 * best / spent, 80, "%", digits=0)


def dead_server(bench: Bench) -> Iterator[Row]:
    """What a cell costs over the bare one when nothing answers: the first time, and from then on."""
    body = "total = sum(values)"
    cells = ["%load_ext mlflow_magics", VALUES.format(n=1000), "import mlflow", body, *[f"%%mlflow_run\n{body}"] * 8]
    with SilentServer() as silent:
        for label, uri in (("refuses", f"http://{LOOPBACK}:{free_port()}"), ("is silent", silent.url)):
            folder = bench.folder / f"child-{next(_count)}"
            child = spawn(prepare(folder, cells, folder / "state", linger=True, MLFLOW_TRACKING_URI=uri))
            try:
                ran = child.wait_cells(patience=180)
            finally:
                child.kill()
            bare, first, *later = (each.seconds for each in ran[3:])
            over = 1000 * (statistics.median(later) - bare)
            yield at_most(f"a server that {label}: the first cell, over the bare cell", first - bare, 3.0, "s")
            yield at_most(f"a server that {label}: the cells after it", over, 50, "ms", digits=0)


def memory(bench: Bench) -> Iterator[Row]:
    """The most memory that a process held, over one that runs the same loop without a run."""
    n = bench.size.memory
    setup = ["%%mlflow_run\nwarm = 1", f"_n = {n}\nvalues = [float(_i) for _i in range(1000)]"]
    loop = LOOP.format(body="loss = values[_i % 1000]")

    def most(cell: str, *options: str) -> float:
        cells = [f"%mlflow_connect {bench.local()} -e bench {' '.join(options)}", *setup, cell, "_rss()"]
        return float(value(bench.child(["%load_ext mlflow_magics", *cells], patience=240)))  # type: ignore[arg-type]

    bare = most(loop)
    for label, watch, *options in (("thinned", ""), ("all kept, offline", " --watch loss", "--offline")):
        over = (most(f"%%mlflow_run{watch}\n{loop}", *options) - bare) / 2**20
        yield at_most(f"memory for {n:,} points ({label}), over the bare loop", over, 64, "MiB", digits=0)


ROWS = (a_point, own_calls, requests, throughput, dead_server, memory)
