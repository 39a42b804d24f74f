"""Curves from plain loops, in a real shell: which names, which points, which errors; interrupts; the block."""

from __future__ import annotations

import ast
import re
import textwrap
import time

import pytest

from mlflow_magics.session import capturing
from tests.capture.test_series import Kept


@pytest.fixture
def watcher(shell, monkeypatch):
    """A shell, its outcomes, and a sink for each series: what the journal will be."""
    sinks, outcomes = {}, []

    def open_sink(name):
        return sinks.setdefault(name, Kept())

    magics = shell.magics_manager.registry["MlflowMagics"]
    magics.cells.show = outcomes.append
    begin = capturing.follow

    def follow(session, opened, plan):
        opened.open_sink = open_sink
        begin(session, opened, plan)

    monkeypatch.setattr(capturing, "follow", follow)
    shell.sinks, shell.outcomes = sinks, outcomes
    shell.without_sinks = lambda: monkeypatch.setattr(capturing, "follow", begin)
    return shell


def run(shell, code, options=""):
    """Run a cell; give the result, and each series' values by name."""
    shell.sinks.clear()
    result = shell.run_cell(f"%%mlflow_run --dry-run {options}\n" + textwrap.dedent(code).strip("\n"))
    return result, {one.name: [value for _, _, value in shell.sinks[one.name].points] for one in last(shell).series}


def last(shell):
    return shell.outcomes[-1]


# The series that a careful person would have drawn.
# --- NAME -> SERIES, then the cell.
INFERRED = {
    name: (code, ast.literal_eval(series))
    for name, series, code in re.findall(r"^# --- (.*) -> (.*)\n((?:(?!# --- ).*\n)+)", """
# --- a loss -> {'loss': [0, 1, 2]}
for i in range(3):
    loss = sqrt(i * i)
# --- while -> {'loss': [2, 1, 0]}
n = 3
while n:
    n -= 1
    loss = sqrt(n * n)
# --- augmented -> {'total': [0, 1, 3]}
total = 0.0
for i in range(3):
    total += sqrt(i * i)
# --- unpacked -> {'loss': [0, 1], 'acc': [2, 2]}
for i in range(2):
    loss, (acc, *_rest) = sqrt(i), (sqrt(4), 1)
# --- chained -> {'a': [2, 2], 'b': [2, 2]}
for i in range(2):
    a = b = sqrt(4)
# --- annotated -> {'loss': [2, 2]}
for i in range(2):
    loss: float = sqrt(4)
# --- walrus in while -> {'loss': [3, 2, 1]}
n = 3
while (loss := sqrt(n * n)) > 1:
    n -= 1
# --- walrus in a comprehension in a loop -> {'loss': [0, 1, 0, 1]}
for i in range(2):
    xs = [(loss := sqrt(k * k)) for k in range(2)]
# --- in with -> {'loss': [2, 2]}
import contextlib
with contextlib.nullcontext():
    for i in range(2):
        loss = sqrt(4)
# --- in try -> {'loss': [2, 2]}
try:
    for i in range(2):
        loss = sqrt(4)
finally:
    pass
# --- nested -> {'loss': [2, 2, 2, 2], 'val': [3, 3]}
for i in range(2):
    for k in range(2):
        loss = sqrt(4)
    val = sqrt(9)
# --- a reset is no point -> {'total': [2, 4, 2, 4]}
for epoch in range(2):
    total = 0.0
    for k in range(2):
        total += sqrt(4)
# --- after the loop -> {'acc': [2, 2, 9]}
for i in range(2):
    acc = sqrt(4)
acc = sqrt(81)
# --- before the loop -> {'acc': [2, 2]}
acc = sqrt(81)
for i in range(2):
    acc = sqrt(4)
# --- a duration -> {'took': [0, 0]}
import time
for i in range(2):
    t0 = time.time()
    took = (time.time() - t0) * 0
# --- an import above -> {'loss': [2, 2]}
import math as m
for i in range(2):
    k = m.floor(2.5)
    loss = m.sqrt(4)
# --- async -> {'loss': [2, 2]}
import asyncio
for i in range(2):
    loss = await asyncio.sleep(0, sqrt(4))
await asyncio.sleep(0)
# --- numbers only -> {'loss': [2, 3]}
for x in (None, 4, 'x', 9):
    loss = sqrt(x) if type(x) is int else x
# --- no loop -> {}
loss = sqrt(4)
# --- a function's loop -> {'loss': [2, 2]}
def f():
    for i in range(2):
        loss = sqrt(4)
f()
# --- a comprehension -> {}
xs = [(loss := sqrt(4)) for k in range(2)]
# --- loop variable -> {}
for loss in (1.5, 2.5):
    pass
# --- counter -> {}
n = 0
for i in range(3):
    n += 1
# --- clock -> {}
import time
for i in range(2):
    t0 = time.time()
# --- a schedule -> {'lr': [0, 0.5, 1]}
for i in range(3):
    lr = 0.5 * i
# --- places in the data -> {}
for i in range(3):
    start = 32 * i
# --- literal -> {}
for i in range(3):
    x = 0.5
# --- private -> {}
for i in range(3):
    _loss = sqrt(4)
# --- secret -> {}
for i in range(3):
    password = sqrt(4)
# --- bool -> {}
for i in range(3):
    done = sqrt(4) > 1
# --- a literal in the end -> {}
for i in range(3):
    x = sqrt(4)
x = 0.5
# --- logged by the cell itself -> {}
def log_metric(*_): pass
for i in range(3):
    loss = sqrt(4)
    log_metric('loss', loss, i)
# --- logged by the cell in a dict -> {}
def log_metrics(*_): pass
for i in range(3):
    loss = sqrt(4)
    log_metrics({'loss': loss}, i)
""", re.M)
}  # fmt: skip


@pytest.mark.parametrize(("code", "expected"), INFERRED.values(), ids=INFERRED)
def test_inferred(watcher, code, expected):
    watcher.run_cell("from math import sqrt")
    result, series = run(watcher, code)
    assert result.success
    assert series == expected
    assert not {one.name for one in last(watcher).metrics} & set(expected)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", {"loss": [0, 1, 2, 3], "acc": [1, 1, 1, 1]}),
        ("--skip loss", {"acc": [1, 1, 1, 1]}),
        ("--params loss", {"acc": [1, 1, 1, 1]}),
        ("--no-capture", {}),
        ("--no-capture --watch loss", {"loss": [0, 1, 2, 3]}),
        ("--watch loss --skip loss", {"acc": [1, 1, 1, 1]}),
        ("--metrics i n", {"i": [0, 1, 2, 3], "loss": [0, 1, 2, 3], "n": [1, 2, 3, 4], "acc": [1, 1, 1, 1]}),
        ("--watch n", {"n": [0, 1, 2, 3, 4], "loss": [0, 1, 2, 3], "acc": [1, 1, 1, 1]}),
        ("--every 3", {"loss": [0, 3], "acc": [1, 1]}),
        ("--every 100", {"loss": [0, 3], "acc": [1, 1]}),
        ("--every=2", {"loss": [0, 2, 3], "acc": [1, 1, 1]}),
    ],
)
def test_options(watcher, options, expected):
    watcher.run_cell("from math import sqrt")
    code = "n = 0\nfor i in range(4):\n    loss = sqrt(i * i)\n    n += 1\n    acc = sqrt(1)"
    assert run(watcher, code, options)[1] == expected


WATCHED = {
    "function": "def f():\n    x = 2.0\nf(); f()",
    "method": "class C:\n    def f(self):\n        x = 2.0\nC().f(); C().f()",
    "nested": "def f():\n    def g():\n        x = 2.0\n    g(); g()\nf()",
    "async": "async def f():\n    x = 2.0\nawait f(); await f()",
    "lambda": "f = lambda: (x := 2.0)\nf(); f()",
    "comprehension": "[(x := 2.0) for _ in range(2)]",
    "class body": "class A:\n    x = 2.0\nclass B:\n    x = 2.0",
    "top level": "x = 2.0\nx = 2.0",
    "with": "import contextlib\nfor _ in '12':\n    with contextlib.nullcontext(2.0) as x: pass",
    "for": "for x in (2.0, 2.0): pass",
    "global": "def f():\n    global x\n    x = 2.0\nf(); f()",
    "nonlocal": "def f():\n    x = 2.0\n    def g():\n        nonlocal x\n        x *= 1\n    g()\nf()",
    "threads": "import threading\ndef f():\n    x = 2.0\nfor _ in '12':\n    _t = threading.Thread(target=f)\n"
    "    _t.start(); _t.join()",
}  # fmt: skip


@pytest.mark.parametrize("code", WATCHED.values(), ids=WATCHED)
def test_watch_reaches_everywhere(watcher, code):
    result, series = run(watcher, code, "--watch x")
    assert result.success
    assert series == {"x": [2.0, 2.0]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--watch los", "unknown variable 'los'; did you mean loss?"),
        (
            "--watch math",
            "unknown variable 'math'; --watch takes names that this cell, or a function it calls, assigns",
        ),
        ("--every 0", "--every takes a whole number from 1 on, not 0"),
        ("--every -3", "--every takes a whole number from 1 on, not -3"),
        ("--every x", "argument --every: invalid int value: 'x'"),
    ],
)
def test_a_mistake_is_one_line_and_the_cell_does_not_run(watcher, capsys, options, message):
    before = len(watcher.outcomes)
    result = watcher.run_cell(
        f"%%mlflow_run --dry-run {options}\nimport math\nfor i in range(2):\n    loss = math.sqrt(i)"
    )
    assert not result.success
    assert "loss" not in watcher.user_ns
    assert len(watcher.outcomes) == before
    assert message in "".join(capsys.readouterr())


def test_a_watched_name_without_a_number_is_said(watcher):
    run(watcher, "if False:\n    loss = 0.5", "--watch loss")
    assert "loss was not followed: no number was assigned to it" in last(watcher).notes


def test_a_magic_inside_a_loop_follows_nothing_and_breaks_nothing(watcher):
    code = "import math\nfor i in range(2):\n    %mlflow_run --dry-run --watch loss\n    loss = math.sqrt(i)\n"
    assert watcher.run_cell(code).success
    for outcome in watcher.outcomes[-2:]:
        assert outcome.series == ()
        assert any("--watch found nothing to follow" in note for note in outcome.notes)


def test_two_runs_in_a_cell_have_their_own_points(watcher):
    cell = (
        "import math\n%mlflow_run --dry-run\nfor i in (1, 4):\n    a = math.sqrt(i)\n%mlflow_run --dry-run --every 2\n"
    )
    assert watcher.run_cell(cell + "for i in (9, 16, 25):\n    b = math.sqrt(i)\n").success
    first, second = watcher.outcomes[-2:]
    assert [(one.name, one.count, one.kept) for one in first.series] == [("a", 2, 2)]
    assert [(one.name, one.count, one.kept) for one in second.series] == [("b", 3, 2)]


def test_a_failed_cell_keeps_its_points(watcher):
    result, series = run(watcher, "import math\nfor x in (4, 1, -1):\n    loss = math.sqrt(x)")
    assert not result.success
    assert series == {"loss": [2.0, 1.0]}


def test_a_result_that_only_repeats_a_series_is_not_said_twice(watcher):
    run(watcher, "import math\nfor i in range(3):\n    loss = math.sqrt(i)\nresults = {'loss': loss}")
    assert not last(watcher).metrics


def test_the_kernel_forgets_the_users_objects(watcher):
    run(watcher, "import math\nfor i in range(3):\n    loss = math.sqrt(i)")
    assert last(watcher).series
    session = watcher.magics_manager.registry["MlflowMagics"].session
    assert not session.open_runs


def test_a_tracked_run_has_every_point(tracked, capsys):
    import mlflow

    assert tracked.run_cell("%%mlflow_run\nimport math\nfor i in (4, 9):\n    loss = math.sqrt(i)\n").success
    client = mlflow.MlflowClient()
    (found,) = client.search_runs(["0"])
    assert found.data.metrics == {"loss": 3.0}
    history = client.get_metric_history(found.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(0, 2.0), (1, 3.0)]
    assert "loss  ▁█  2 → 3" in capsys.readouterr().out


INTERRUPTED = """
import signal, threading
_timer = threading.Timer(DELAY, signal.raise_signal, [signal.SIGINT])
_timer.start()
loss = 1.5
for i in range(10**9):
    loss = VALUE
"""


@pytest.mark.parametrize("value", ["abs(i)", "i * 0.5", "i"])
def test_an_interrupt_shows_no_frame_of_ours(watcher, capsys, value):
    """Most of such a loop's time is the recorder's, so that is where Ctrl-C lands."""
    watcher.without_sinks()  # the sink of a run not tracked
    for delay in ("0.05", "0.06", "0.07", "0.08"):
        capsys.readouterr()
        code = INTERRUPTED.replace("DELAY", delay).replace("VALUE", value)
        result = watcher.run_cell("%%mlflow_run --dry-run --watch loss" + code)
        assert isinstance(result.error_in_exec, KeyboardInterrupt)
        assert last(watcher).status == "KILLED"
        assert last(watcher).series[0].count > 10
        out = capsys.readouterr().out
        assert "loss = " in out
        assert "series.py" not in out
        assert "hook.py" not in out
        assert "hidden" not in out


def test_a_timer_of_the_users_is_not_swallowed(watcher, capsys):
    code = """
    import signal
    class TimeIsUp(Exception): pass
    def handler(*_):
        raise TimeIsUp
    def other(*_):
        raise TimeoutError
    before = signal.signal(signal.SIGALRM, HANDLER)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        while True:
            loss = 0.5
    finally:
        signal.signal(signal.SIGALRM, before)
    """
    watcher.without_sinks()  # the sink of a run not tracked
    code = "%%mlflow_run --dry-run --watch loss" + textwrap.dedent(code)
    for handler, name in (("handler", "TimeIsUp"), ("other", "TimeoutError")):
        began = time.monotonic()
        result = watcher.run_cell(code.replace("HANDLER", handler))
        assert type(result.error_in_exec).__name__ == name
        assert time.monotonic() - began < 20
        out = capsys.readouterr().out
        assert f"in {handler}(" in out
        assert "series.py" not in out


BROKEN = """
def append(self, step, when, value):
    raise OSError("disk full")
"""


def test_a_sink_that_fails_costs_the_cell_nothing(watcher, monkeypatch):
    """The contract says that it does not; should it, the training goes on, and the block says so."""
    ours = {"__name__": "mlflow_magics.tracking.outbox.disk.journal"}
    exec(BROKEN, ours)
    monkeypatch.setattr(Kept, "append", ours["append"])
    result = watcher.run_cell("%%mlflow_run --dry-run --watch loss\nfor i in range(5):\n    loss = 0.5\nloss")
    assert result.success
    assert result.result == 0.5
    assert last(watcher).series[0].last == 0.5
    assert any("disk full" in note for note in last(watcher).notes)


def test_a_generator_is_consumed_when_its_cell_is_over(shell):
    """The recorders' name is gone by then, and an expression cannot catch."""
    assert shell.run_cell(
        "%%mlflow_run --dry-run --metrics y\nfor i in range(2):\n    g = ((y := k / 2) for k in range(3))\n"
    ).success
    result = shell.run_cell("list(g)")
    assert result.success
    assert result.result == [0, 0.5, 1]
