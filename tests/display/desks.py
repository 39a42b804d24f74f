"""A backend in memory, for the panel's tests. It stands in for the session, whose own tests use the real one.

It is strict where the protocol is: what is asked of the store fails in the main thread.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from mlflow_magics.vocabulary.errors import MlflowMagicsError
from mlflow_magics.vocabulary.panel import Curve, Header, Loggable, LogReport, Page, RunView
from mlflow_magics.vocabulary.stores import Integration

HEADER = Header(
    where="http://127.0.0.1:5000",
    state="connected",
    said="connected",
    experiment_name="diabetes",
    experiment_id="1",
    experiment_url="http://127.0.0.1:5000/#/experiments/1",
)
BEGAN = 1_780_000_000.0


def curve(name: str, values: Sequence[float], count: int = 0) -> Curve:
    """A curve of these values, one a second."""
    numbers = [value for value in values if not math.isnan(value)]
    return Curve(
        name=name,
        steps=tuple(map(float, range(len(values)))),
        times=tuple(BEGAN + step for step in range(len(values))),
        values=tuple(values),
        count=count or len(values),
        last=values[-1] if values else math.nan,
        min=min(numbers, default=math.nan),
        max=max(numbers, default=math.nan),
    )


def falling(name: str, points: int) -> Curve:
    """A curve as a loss has it."""
    return curve(name, [1 / (1 + step / 10) for step in range(points)])


RUN = RunView(
    run_id="a" * 32,
    name="forest",
    status="FINISHED",
    began=BEGAN,
    ended=BEGAN + 72,
    url="http://127.0.0.1:5000/#/experiments/1/runs/" + "a" * 32,
    params={"reg": "0.1", "solver": "liblinear"},
    metrics={"loss": 0.1, "accuracy": 0.79},
    tags={"stage": "dev"},
    note="first try",
    curves=(falling("loss", 50),),
)
OTHER = replace(
    RUN,
    run_id="b" * 32,
    name="older",
    params={"reg": "1", "solver": "liblinear", "gone": "x"},
    metrics={"loss": 0.2, "accuracy": 0.75},
    curves=(falling("loss", 20),),
)
LOGGABLES = (
    Loggable("accuracy", "float", "0.79", "metric", "computed", ("metric", "param")),
    Loggable("reg", "float", "0.1", "param", "an input", ("param", "metric")),
    Loggable("X", "DataFrame", "442 rows", "", "data (DataFrame)", ("table",)),
)
INTEGRATIONS = (
    Integration("sklearn", "scikit-learn", "1.7", False, "params, metrics, models", "1.4 - 1.8"),
    Integration("xgboost", "xgboost", "", False, "params, metrics, models", "2.0 - 3.1"),
)


class FakeDesk:
    """The whole :class:`.panel.PanelBackend`, in memory.

    Attributes
    ----------
    calls : list of tuple
        What was asked for, apart from `header` and `run`.
    looks : int
        How often `run` was asked for.
    error : Exception or None
        Raised by all that asks the store or changes something.
    delay : float
        Seconds that the store takes.
    gate : threading.Event
        The store answers while it is set.
    """

    def __init__(self, run: RunView | None = None, header: Header = HEADER) -> None:
        self.shown_header, self.shown_run = header, run
        self.names: tuple[str, ...] = ("diabetes", "iris", "digits")
        self.known: dict[str, RunView] = {each.run_id: each for each in (RUN, OTHER)}
        self.names_known = LOGGABLES
        self.autologs = INTEGRATIONS
        self.calls: list[tuple[object, ...]] = []
        self.looks = 0
        self.error: Exception | None = None
        self.delay = 0.0
        self.gate = threading.Event()
        self.gate.set()
        self.observers: list[Callable[[], None]] = []

    # -- for the tests ----------------------------------------------------------------------------------------

    def put(self, run: RunView | None = None, *, header: Header | None = None, tell: bool = True) -> None:
        """Have another run or header; `tell` those who observe."""
        self.shown_run = run if run is not None else self.shown_run
        self.shown_header = header or self.shown_header
        if tell:
            for changed in list(self.observers):
                changed()

    def asked(self, what: str) -> list[tuple[object, ...]]:
        """The calls of one kind."""
        return [call for call in self.calls if call[0] == what]

    def _note(self, *call: object) -> None:
        self.calls.append(call)
        if self.error is not None:
            raise self.error

    def _store(self, *call: object) -> None:
        if threading.current_thread() is threading.main_thread():
            raise AssertionError(f"{call[0]} asks the store in the main thread")
        self.gate.wait(10)
        time.sleep(self.delay)
        self._note(*call)

    def _change(self, run_id: str, **fields: object) -> None:
        if self.shown_run is not None and self.shown_run.run_id == run_id:
            self.put(replace(self.shown_run, **fields))  # type: ignore[arg-type]

    # -- the protocol -----------------------------------------------------------------------------------------

    def header(self) -> Header:
        return self.shown_header

    def run(self) -> RunView | None:
        self.looks += 1
        return self.shown_run

    def observe(self, changed: Callable[[], None]) -> Callable[[], None]:
        self.observers.append(changed)
        return lambda: self.observers.remove(changed)

    def loggables(self) -> tuple[Loggable, ...]:
        self._note("loggables")
        return self.names_known

    def log(self, chosen: Sequence[tuple[str, str]]) -> LogReport:
        self._note("log", tuple(chosen))
        command = "\n".join(f"%mlflow_log {role} {name}" for name, role in chosen)
        return LogReport(command, tuple(f"logged {role} {name}" for name, role in chosen))

    def integrations(self) -> tuple[Integration, ...]:
        self._note("integrations")
        return self.autologs

    def switch(self, name: str, on: bool) -> tuple[str, ...]:
        self._note("switch", name, on)
        self.autologs = tuple(replace(each, on=on) if each.name == name else each for each in self.autologs)
        return ()

    def start(self, name: str) -> None:
        self._note("start", name)
        run = RunView("c" * 32, name or "made-up", "RUNNING", time.time(), open_here=True)
        self.known[run.run_id] = run
        self.put(run)

    def end(self) -> None:
        self._note("end")
        if self.shown_run is None or not self.shown_run.open_here:
            raise MlflowMagicsError("no run is open; Start opens one")
        self.put(replace(self.shown_run, status="FINISHED", ended=time.time(), open_here=False))

    def rename(self, run_id: str, name: str) -> None:
        self._note("rename", run_id, name)
        self._change(run_id, name=name)

    def describe(self, run_id: str, note: str) -> None:
        self._note("describe", run_id, note)
        self._change(run_id, note=note)

    def tag(self, run_id: str, key: str, value: str) -> None:
        self._note("tag", run_id, key, value)
        tags: Mapping[str, str] = self.shown_run.tags if self.shown_run else {}
        self._change(run_id, tags={**tags, key: value})

    def experiments(self) -> tuple[str, ...]:
        self._store("experiments")
        return self.names

    def use_experiment(self, name: str) -> None:
        self._store("use_experiment", name)
        self.names = tuple(dict.fromkeys((name, *self.names)))
        self.put(header=replace(self.shown_header, experiment_name=name, experiment_id=f"id of {name[:20]}"))

    def runs(self, filter: str, order: str, token: str) -> Page:
        self._store("runs", filter, order, token)
        first = int(token or 0)
        found = [replace(run, curves=()) for run in self.known.values()][first:]
        return Page(tuple(found[:50]), str(first + 50) if len(found) > 50 else "")

    def details(self, run_id: str) -> RunView:
        self._store("details", run_id)
        if run_id not in self.known:
            raise MlflowMagicsError(f"the store knows no run {run_id[:20]}; look at the list again with ↻")
        return self.known[run_id]
