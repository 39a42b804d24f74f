"""The cells that the fault tests run, and what must be in the store afterwards, whatever happened meanwhile."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.rig import stored

SERIES = "loss"
"""A variable that is assigned in a loop, with no log call."""

OWN = "own"
"""A metric of the user's own ``mlflow.log_metric``."""

VALUES = "import math as _math, mlflow, time as _time\nvalues = [_math.sqrt(_i) / 7 for _i in range({n})]"

# A point of each kind, then the mark that says that the step was reached.
_LOOP = """%%mlflow_run {name} --watch loss --no-source
for _i in range({first}, {last}):
{before}    loss = values[_i]
{own}    _marks[_i] = _now()
{after}"""

_LOG = '    mlflow.log_metric("own", values[_i], step=_i - {first})\n'


def value(step: int) -> float:
    """What the loops log at a step."""
    return math.sqrt(step) / 7


def connect(url: str, experiment: str, points: int = 0) -> list[str]:
    """The cells before a loop."""
    cells = ["%load_ext mlflow_magics", f"%mlflow_connect {url} -e {experiment}"]
    return [*cells, VALUES.format(n=points)] if points else cells


def loop(
    name: str, last: int, *, first: int = 0, own: bool = True, pause: str = "", before: str = "", after: str = ""
) -> str:
    """A run cell with a loop over the steps from `first` to `last`, which marks each step behind its points.

    Parameters
    ----------
    name : str
        Of the run.
    last, first : int
        The loop's bounds; the values and the marks are those of these places.
    own : bool
        Whether it also calls ``mlflow.log_metric``.
    pause : str
        Seconds to sleep in each step, as code.
    before, after : str
        A line of code before each step's points, and one behind the loop.
    """
    early = f"    {before}\n" if before else ""
    log = _LOG.format(first=first) if own else ""
    log += f"    _time.sleep({pause})\n" if pause else ""
    return _LOOP.format(name=name, first=first, last=last, before=early, own=log, after=after)


def eventually(happened: Callable[[], object], what: str | Callable[[], str], patience: float = 30.0) -> None:
    """Wait for something that happens in the background."""
    deadline = time.monotonic() + patience
    while True:
        asked = time.monotonic()
        if happened():
            return
        if asked > deadline:
            raise AssertionError(f"not in {patience} s: {what() if callable(what) else what}")
        time.sleep(max(0.05, 3 * (time.monotonic() - asked)))  # counting a large table keeps a core busy


def only_run(database: Path, experiment: str) -> stored.StoredRun:
    """The one run of an experiment; two would be a run that was created twice."""
    found = stored.runs(database, experiment)
    assert len(found) == 1, found
    return found[0]


def assert_kept(
    database: Path,
    run_id: str,
    name: str,
    marks: Sequence[float],
    *,
    first: int = 0,
    began: float = 0.0,
    open_end: bool = False,
    shift: Callable[[int], float] = lambda step: 0.0,
) -> None:
    """Each step that the loop reached is stored exactly once, with its value and its time.

    Parameters
    ----------
    database, run_id, name
        The metric.
    marks : sequence of float
        The real times behind each step that was reached.
    first : int
        Where in the values the loop began.
    began : float
        When the loop began, or before.
    open_end : bool
        Whether the loop ended between a step's point and its mark, so that one more may be there.
    shift : callable
        By how many seconds the kernel's clock was wrong at a step.
    """
    found = stored.points(database, run_id, name)
    expected = len(marks)
    assert len(found) == expected or (open_end and len(found) == expected + 1), (name, len(found), expected)
    assert [step for step, _, _ in found] == list(range(len(found))), name
    assert [number for _, _, number in found] == [value(first + step) for step in range(len(found))], name
    for step, milliseconds, _ in found[:expected]:
        low = (marks[step - 1] if step else began) + shift(step)
        assert low * 1000 - 2 <= milliseconds <= (marks[step] + shift(step)) * 1000 + 2, (name, step)


def state(database: Path, experiment: str) -> Callable[[], str]:
    """What an experiment holds, for a failure's message."""

    def told() -> str:
        runs = stored.runs(database, experiment)
        return "; ".join(
            f"{run.name} {run.status} " + str({n: len(stored.points(database, run.run_id, n)) for n in (SERIES, OWN)})
            for run in runs
        )

    return told


def stored_whole(database: Path, experiment: str, points: int, status: str = "FINISHED") -> Callable[[], bool]:
    """Whether the experiment's one run is there, closed, with so many points of each of the two metrics."""

    def whole() -> bool:
        found = stored.runs(database, experiment)
        return (
            len(found) >= 1
            and found[0].status == status
            and all(len(stored.points(database, found[0].run_id, name)) >= points for name in (SERIES, OWN))
        )

    return whole
