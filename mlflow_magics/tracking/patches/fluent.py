"""The run that is open, as MLflow's fluent API sees it.

People paste ``with mlflow.start_run():`` and call ``mlflow.log_metric`` from threads. For these to reach the cell's
run, the run must be on MLflow's stack of active runs, which is thread-local, and ``start_run`` must hand it out
instead of raising "Run … is already active". So while a session is connected, four functions of MLflow are
replaced: ``start_run`` and ``end_run``, each once where users call it and once where MLflow itself does. An MLflow
that prints URLs on ``end_run`` and has no switch for it is silenced, and files are waited for longer than values.
Everything is put back by :meth:`FluentRuns.remove`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial, wraps
from types import FrameType
from typing import Any, cast

import mlflow
from mlflow import ActiveRun, environment_variables
from mlflow.entities import Run, RunTag
from mlflow.store.artifact import http_artifact_repo
from mlflow.tracking import fluent
from mlflow.tracking._tracking_service.client import TrackingServiceClient
from mlflow.utils.rest_utils import http_request

from ..calls.patching import Patches
from ..calls.patience.limits import LIMITS
from . import children, workers
from .cellruns import CellRun

RUN_ID_VARIABLE = "MLFLOW_RUN_ID"
"""The environment variable by which a job says which run is its own (MLflow's own convention)."""


_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
_ARTIFACT_SECONDS = 120
"""MLflow's own default for every request."""


class AdoptedRun(ActiveRun):
    """The cell's run as ``with mlflow.start_run() as run:`` receives it; leaving the block does not end it."""

    entry: CellRun | None = None

    def __exit__(self, exc_type: object, exc_val: object, exc_tb: object) -> bool:
        if self.entry is not None:
            self.entry.left = True
        return exc_type is None


class FluentRuns:
    """Keeps the open runs where MLflow's fluent functions look for them.

    One object per session. Runs nest: the innermost one is what ``mlflow.active_run()`` answers.

    Parameters
    ----------
    named : str
        The run that ``MLFLOW_RUN_ID`` named when the kernel began; empty where there was none.
    """

    def __init__(self, named: str = "") -> None:
        self._open: list[CellRun] = []
        self._pid = os.getpid()
        self._own = threading.local()
        self._patches = Patches()
        self._named = named
        self._job = ""

    def install(self) -> None:
        """Replace ``start_run`` and ``end_run``. Installing twice is harmless."""
        if self._patches:
            return
        start_run, end_run = fluent.start_run, fluent.end_run
        self._start_original, self._end_original = start_run, end_run

        @wraps(start_run)
        def start_explicit(*args: Any, **kwargs: Any) -> ActiveRun:
            return self._start(args, kwargs, of_cell=_is_cell(sys._getframe(1)))

        @wraps(start_run)
        def start_implicit(*args: Any, **kwargs: Any) -> ActiveRun:
            # Without arguments this is MLflow's own `_get_or_start_run`, behind every `mlflow.log_*`.
            if not (args or kwargs):
                return self._implicit()
            return self._start(args, kwargs, of_cell=_is_cell(sys._getframe(1)))

        @wraps(end_run)
        def end_explicit(status: str = "FINISHED") -> None:
            self._end(status)

        @wraps(end_run)
        def end_implicit(status: str = "") -> None:
            # Without an argument this is MLflow's own exit handler; a job's run is not the kernel's to end.
            if status or not self.leave_job():
                self._end(status or "FINISHED")

        for owner, name, new in (
            (mlflow, "start_run", start_explicit),
            (fluent, "start_run", start_implicit),
            (mlflow, "end_run", end_explicit),
            (fluent, "end_run", end_implicit),
        ):
            self._patches.replace(owner, name, new)
        if not hasattr(environment_variables, "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"):
            # MLflow 2.22 cannot be asked to be silent: each end_run makes a request to print a URL, password and all.
            self._patches.replace(TrackingServiceClient, "_log_url", lambda client, run_id: None)
        if os.environ.get(_TIMEOUT) == LIMITS[_TIMEOUT]:
            # Our limit is for small requests. A server that hands a large file on may take long to answer.
            patient = partial(http_request, timeout=_ARTIFACT_SECONDS)
            self._patches.replace(http_artifact_repo, "http_request", patient)

    def remove(self) -> None:
        """Put MLflow's own functions back."""
        self._patches.put_back()

    def enter(self, entry: CellRun, *, nested: bool = False) -> None:
        """Make a cell's run the active one, for this thread, for new threads and for child processes.

        Parameters
        ----------
        entry : CellRun
            With the run, if it is open already.
        nested : bool, optional
            Whether it is the active one also above a run that the author has left open; otherwise his calls go on
            to mean that one.
        """
        workers.let_go()
        variables = children.variables(entry.id)
        entry.before = {name: os.environ.get(name) for name in variables}
        is_active = entry.run is not None and (nested or self.foreign_run() is None)
        entry.chosen_before = fluent._active_experiment_id
        self._open.append(entry)
        entry.outbox.opening = self._create
        if is_active:
            self._push(entry)
        for name, value in variables.items():
            _set_variable(name, value or None)

    def given_run_id(self) -> str:
        """Return the run that the environment names, as a job's does (``MLFLOW_RUN_ID``); empty inside our own runs.

        MLflow takes the variable away as soon as it goes on with the run, which is the job's all the same.
        """
        if self._open:
            return ""
        if now := os.environ.get(RUN_ID_VARIABLE, ""):
            self._named = now
            return now
        active = [run.info.run_id for run in fluent._active_run_stack.get()]
        if self._named and self._named in (*active, fluent._last_active_run_id.get()):
            self._job = self._named
        return self._job

    def leave(self, entry: CellRun, status: str) -> str:
        """Make a cell's run active no longer, anywhere.

        Parameters
        ----------
        entry : CellRun
            As it was given to :meth:`enter`.
        status : str
            The status of the cell; runs that the cell opened inside its own and left open end with it.

        Returns
        -------
        str
            The status that the cell's own ``mlflow.end_run("FAILED")`` asked for; empty if it did not.
        """
        if entry not in self._open:
            return ""
        own = fluent._active_run_stack.get()
        # A run of the author's that he left open stays so, as in the bare cell; not where the cell did not end well.
        ending = set(entry.opened) - (set(entry.tops) if status == "FINISHED" else set())
        if entry.is_left_open and status == "FINISHED":
            run = ActiveRun(entry.run)  # from now on it ends as any other
            own[:] = [run if active.info.run_id == entry.id else active for active in own]
        elif entry.whose != "author":
            entry.forget()
        try:
            while own and own[-1].info.run_id in ending:
                # MLflow takes the run off the stack before it tells the store, which may refuse: deleted, or gone.
                with contextlib.suppress(Exception):
                    self._end_original(status)
            workers.let_go()
        finally:
            self._open.remove(entry)
            entry.outbox.opening = self._create if self._open else None
            if not entry.opened and entry.id:
                fluent._last_active_run_id.set(entry.id)
            for name, value in entry.before.items():
                _set_variable(name, value)
        return entry.ended_as

    def foreign_run(self) -> ActiveRun | None:
        """Return the run that the user's own ``mlflow.start_run()`` left active on this thread, if any."""
        stack = fluent._active_run_stack.get()
        if not stack or any(e.id == stack[-1].info.run_id for e in self._open):
            return None
        return cast(ActiveRun, stack[-1])

    # -- what MLflow's functions have become ------------------------------------------------------------------

    def _implicit(self) -> ActiveRun:
        entry = self._innermost()
        if entry is None:
            # A thread that outlives its cell goes on logging where it began: an ended run still takes data.
            last = getattr(self._own, "run", None)
            return self._outside() if last is None else _adopted(last)
        if os.getpid() != self._pid:
            # A forked child logs into the run, but must not own it: MLflow ends what is on the stack at exit.
            if entry.run is None:
                return self._start_original()
            children.note(children.LOGS)
            return _adopted(entry.run)
        if entry.ends_implicit:
            with self._set_aside():  # he has ended it, and MLflow opens another one for what he logs now
                return self._start_original()
        entry.log_implicitly()
        return self._push(entry)

    def _start(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, of_cell: bool) -> ActiveRun:
        entry = self._innermost()
        if entry is None:
            return self._outside(*args, **kwargs)
        if os.getpid() != self._pid:
            fluent._active_run_stack.get()[:] = self._without_ours()
            return self._start_original(*args, **kwargs)
        arguments = dict(zip(("run_id", "experiment_id", "run_name", "nested"), args, strict=False)) | kwargs
        if not self._is_ours(entry, arguments, of_cell):
            below_ours = arguments.get("nested") and of_cell and not self._without_ours()
            if below_ours:
                self._implicit()
            chose = arguments.get("experiment_id") is not None or arguments.get("run_id")
            if entry.experiment_id and not chose and fluent._active_experiment_id == entry.chosen_before:
                args, kwargs = (), {**arguments, "experiment_id": entry.experiment_id}
            with contextlib.nullcontext() if below_ours else self._set_aside(), _keeping_run_id():
                os.environ.pop(RUN_ID_VARIABLE, None)  # MLflow would resume it, where a new run is asked for
                run = self._start_original(*args, **kwargs)
            if arguments.get("run_id"):
                entry.resume(run.info.run_id)
            return run
        entry.claim()
        entry.adopted = True
        tags = dict(arguments.get("tags") or {})
        if arguments.get("description"):
            tags["mlflow.note.content"] = arguments["description"]
        if arguments.get("run_name") or tags:
            entry.rename(cast(str, arguments.get("run_name") or ""), tags)
        if arguments.get("log_system_metrics"):
            entry.sample()
        run = self._implicit()
        if isinstance(run, AdoptedRun):
            run.entry = entry
        return run

    def _is_ours(self, entry: CellRun, asked: dict[str, Any], of_cell: bool) -> bool:
        """Tell whether ``start_run`` means the cell's own run; otherwise it opens, or goes on with, another one."""
        if asked.get("run_id"):
            return bool(asked["run_id"] == entry.id) and entry.whose != "author"
        if entry.adopted or entry.whose == "author" or entry.tops or asked.get("nested") or asked.get("parent_run_id"):
            return False
        elsewhere = asked.get("experiment_id") not in (None, entry.run.info.experiment_id if entry.run else None)
        return entry.of_job or (of_cell and entry.adoptable and not elsewhere)

    def _outside(self, *args: Any, **kwargs: Any) -> ActiveRun:
        """Start a run where no cell's is open; in a job, MLflow's first one is the job's."""
        named = os.environ.get(RUN_ID_VARIABLE, "")
        run = self._start_original(*args, **kwargs)
        if named and run.info.run_id == named:
            self._job = named
        return run

    def leave_job(self) -> bool:
        """Take the job's run off the stack, if it is the active one, without ending it."""
        self.given_run_id()
        stack = fluent._active_run_stack.get()
        if not (stack and stack[-1].info.run_id == self._job):
            return False
        stack.pop()
        return True

    def _create(
        self, experiment_id: str, tags: Sequence[RunTag], name: str | None, make: Callable[[Sequence[RunTag]], Run]
    ) -> Run:
        """Answer to somebody who asks the store for a new run while a cell's is open."""
        entry = self._innermost()
        return make(()) if entry is None else entry.create(experiment_id, tags, name, make)

    def _end(self, status: str) -> None:
        stack = fluent._active_run_stack.get()
        entry = self._entry(stack[-1].info.run_id) if stack else None
        if entry is not None and entry.whose != "author" and not entry.end_implicit(status):
            # The cell says it is done with its run. The cell's end closes it, with what it said.
            entry.ended_as = status
            stack.pop()
            return
        with _keeping_run_id():
            self._end_original(status)

    # -- helpers ----------------------------------------------------------------------------------------------

    def _innermost(self) -> CellRun | None:
        return self._open[-1] if self._open else None

    def _entry(self, run_id: str) -> CellRun | None:
        """Return the open cell's run of this id."""
        return next((entry for entry in self._open if entry.id == run_id), None)

    def _without_ours(self) -> list[Any]:
        """Return this thread's active runs that the author opened himself."""
        ours = {entry.id for entry in self._open if entry.whose != "author"}
        return [active for active in fluent._active_run_stack.get() if active.info.run_id not in ours]

    @contextlib.contextmanager
    def _set_aside(self) -> Iterator[None]:
        """Let MLflow see the author's own runs only, as in the bare cell."""
        stack = fluent._active_run_stack.get()
        before, without = list(stack), self._without_ours()
        stack[:] = without
        try:
            yield
        finally:
            new = stack[len(without) :]
            # The author may have been given the cell's run: then it is there once, as his.
            given = {active.info.run_id for active in new}
            stack[:] = [active for active in before if active.info.run_id not in given] + new

    def _push(self, entry: CellRun) -> ActiveRun:
        """Put the run on this thread's stack, once, and return it."""
        stack = fluent._active_run_stack.get()
        position = _position(stack, entry.id)
        if position is not None:
            return cast(ActiveRun, stack[position])
        assert entry.run is not None
        if threading.current_thread() is not threading.main_thread():
            self._own.run = entry.run
        adopted = _adopted(entry.run)
        stack.append(adopted)
        entry.stacks.append(stack)
        return adopted


def _is_cell(frame: FrameType) -> bool:
    """Tell whether a frame is that of a cell's own code, outside functions."""
    return frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") == "__main__"


def _adopted(run: Run) -> AdoptedRun:
    return AdoptedRun(run)  # type: ignore[no-untyped-call]  # ActiveRun's constructor


def _position(stack: list[Any], run_id: str) -> int | None:
    return next((i for i, active in enumerate(stack) if active.info.run_id == run_id), None)


@contextlib.contextmanager
def _keeping_run_id() -> Iterator[None]:
    """Put the job's variable back afterwards: MLflow's ``end_run`` removes it."""
    before = os.environ.get(RUN_ID_VARIABLE)
    try:
        yield
    finally:
        _set_variable(RUN_ID_VARIABLE, before)


def _set_variable(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
