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
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import Any, cast

import mlflow
from mlflow import ActiveRun, environment_variables
from mlflow.entities import Run
from mlflow.store.artifact import http_artifact_repo
from mlflow.tracking import fluent
from mlflow.tracking._tracking_service.client import TrackingServiceClient
from mlflow.utils.rest_utils import http_request

from . import forks, workers
from .limits import LIMITS

RUN_ID_VARIABLE = "MLFLOW_RUN_ID"
"""The environment variable by which a child process finds its parent's run (MLflow's own convention)."""


_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
_ARTIFACT_SECONDS = 120
"""MLflow's own default for every request."""


class AdoptedRun(ActiveRun):
    """The cell's run as ``with mlflow.start_run() as run:`` receives it; leaving the block does not end it."""

    def __exit__(self, exc_type: object, exc_val: object, exc_tb: object) -> bool:
        return exc_type is None


@dataclass
class _Open:
    """A run that is open, and where it was put."""

    run: Run
    sweep: bool
    rename: Callable[[str, Mapping[str, str]], None]
    sample: Callable[[], None]
    adopted: bool = False
    ended_as: str = ""
    stacks: list[list[Any]] = field(default_factory=list)
    env_before: str | None = None


class FluentRuns:
    """Keeps the open runs where MLflow's fluent functions look for them.

    One object per session. Runs nest: the innermost one is what ``mlflow.active_run()`` answers.
    """

    def __init__(self) -> None:
        self._open: list[_Open] = []
        self._lock = threading.RLock()
        forks.renew(self, _lock=threading.RLock)
        self._pid = os.getpid()
        self._own = threading.local()
        self._originals: list[tuple[Any, str, Any]] = []

    def install(self) -> None:
        """Replace ``start_run`` and ``end_run``. Installing twice is harmless."""
        if self._originals:
            return
        start_run, end_run = fluent.start_run, fluent.end_run
        self._start_original, self._end_original = start_run, end_run

        @wraps(start_run)
        def start_explicit(*args: Any, **kwargs: Any) -> ActiveRun:
            return self._start(args, kwargs)

        @wraps(start_run)
        def start_implicit(*args: Any, **kwargs: Any) -> ActiveRun:
            # Without arguments this is MLflow's own `_get_or_start_run`, behind every `mlflow.log_*`.
            return self._start(args, kwargs) if args or kwargs else self._implicit()

        @wraps(end_run)
        def end(status: str = "FINISHED") -> None:
            self._end(status)

        for owner, name, new in (
            (mlflow, "start_run", start_explicit),
            (fluent, "start_run", start_implicit),
            (mlflow, "end_run", end),
            (fluent, "end_run", end),
        ):
            self._replace(owner, name, new)
        if not hasattr(environment_variables, "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"):
            # MLflow 2.22 cannot be asked to be silent: each end_run makes a request to print a URL, password and all.
            self._replace(TrackingServiceClient, "_log_url", lambda client, run_id: None)
        if os.environ.get(_TIMEOUT) == LIMITS[_TIMEOUT]:
            # Our limit is for small requests. A server that hands a large file on may take long to answer.
            patient = partial(http_request, timeout=_ARTIFACT_SECONDS)
            self._replace(http_artifact_repo, "http_request", patient)

    def _replace(self, owner: Any, name: str, new: Callable[..., Any]) -> None:
        self._originals.append((owner, name, getattr(owner, name)))
        setattr(owner, name, new)

    def remove(self) -> None:
        """Put MLflow's own functions back."""
        while self._originals:
            owner, name, original = self._originals.pop()
            setattr(owner, name, original)

    def enter(
        self,
        run: Run,
        *,
        sweep: bool,
        rename: Callable[[str, Mapping[str, str]], None],
        sample: Callable[[], None],
    ) -> None:
        """Make `run` the active one, for this thread, for new threads and for child processes.

        Parameters
        ----------
        run : mlflow.entities.Run
            The run, already open.
        sweep : bool
            Whether the cell starts runs in a loop: then each of those is a child, and none is the cell's own.
        rename : callable
            Called with the name and the tags that ``mlflow.start_run(run_name=…, tags=…)`` asks for when it is
            given this run.
        sample : callable
            Called when ``mlflow.start_run(log_system_metrics=True)`` is given this run.
        """
        workers.let_go()
        entry = _Open(run, sweep, rename, sample, env_before=os.environ.get(RUN_ID_VARIABLE))
        with self._lock:
            self._open.append(entry)
        self._push(entry)
        os.environ[RUN_ID_VARIABLE] = run.info.run_id

    def given_run_id(self) -> str:
        """Return the run that the environment names, as a job's does (``MLFLOW_RUN_ID``); empty inside our own runs."""
        with self._lock:
            return "" if self._open else os.environ.get(RUN_ID_VARIABLE, "")

    def leave(self, run: Run, status: str) -> str:
        """Make `run` active no longer, anywhere.

        Parameters
        ----------
        run : mlflow.entities.Run
            The run given to :meth:`enter`.
        status : str
            The status of the cell; runs that the cell opened inside this one and left open end with it.

        Returns
        -------
        str
            The status that the cell's own ``mlflow.end_run("FAILED")`` asked for; empty if it did not.
        """
        with self._lock:
            entry = next((e for e in self._open if e.run.info.run_id == run.info.run_id), None)
            if entry is None:
                return ""
            self._open.remove(entry)
        own = fluent._active_run_stack.get()
        position = _position(own, run.info.run_id)
        try:
            while position is not None and len(own) > position + 1:
                # MLflow takes the run off the stack before it tells the store, which may refuse: deleted, or gone.
                with contextlib.suppress(Exception):
                    self._end_original(status)
            workers.let_go()
        finally:
            for stack in entry.stacks:
                stack[:] = [active for active in stack if active.info.run_id != run.info.run_id]
            fluent._last_active_run_id.set(run.info.run_id)
            _set_variable(RUN_ID_VARIABLE, entry.env_before)
        return entry.ended_as

    def foreign_run(self) -> ActiveRun | None:
        """Return the run that the user's own ``mlflow.start_run()`` left active on this thread, if any."""
        stack = fluent._active_run_stack.get()
        if not stack or any(e.run.info.run_id == stack[-1].info.run_id for e in self._open):
            return None
        return cast(ActiveRun, stack[-1])

    # -- what MLflow's functions have become ------------------------------------------------------------------

    def _implicit(self) -> ActiveRun:
        entry = self._innermost()
        if entry is None:
            # A thread that outlives its cell goes on logging where it began: an ended run still takes data.
            last = getattr(self._own, "run", None)
            return self._start_original() if last is None else _adopted(last)
        if os.getpid() != self._pid:
            # A forked child logs into the run, but must not own it: MLflow ends what is on the stack at exit.
            return _adopted(entry.run)
        return self._push(entry)

    def _start(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ActiveRun:
        entry = self._innermost()
        if entry is None:
            return self._start_original(*args, **kwargs)
        asked = dict(zip(("run_id", "experiment_id", "run_name", "nested"), args, strict=False)) | kwargs
        run_id = asked.get("run_id")
        elsewhere = asked.get("experiment_id") not in (None, entry.run.info.experiment_id)
        another = (run_id and run_id != entry.run.info.run_id) or asked.get("parent_run_id")
        with self._lock:
            free = not (entry.adopted or entry.sweep)
            adopt = run_id == entry.run.info.run_id or not (another or elsewhere or asked.get("nested") or not free)
            if adopt:
                entry.adopted = True
        if not adopt:
            if os.getpid() == self._pid:
                self._push(entry)
            if not run_id and asked.get("experiment_id") is None:
                # A child belongs beside its parent, also where the cell's -e names another experiment.
                asked["experiment_id"] = entry.run.info.experiment_id
            with self._lock, _without_run_id():
                return self._start_original(**(asked | {"nested": True}))
        tags = dict(asked.get("tags") or {})
        if asked.get("description"):
            tags["mlflow.note.content"] = asked["description"]
        if asked.get("run_name") or tags:
            entry.rename(cast(str, asked.get("run_name") or ""), tags)
        if asked.get("log_system_metrics"):
            entry.sample()
        return self._implicit()

    def _end(self, status: str) -> None:
        stack = fluent._active_run_stack.get()
        entry = next((e for e in self._open if stack and e.run.info.run_id == stack[-1].info.run_id), None)
        if entry is not None:
            # The cell says it is done with its run. The cell's end closes it, with what it said.
            entry.ended_as = status
            return
        self._end_original(status)
        if (innermost := self._innermost()) is not None:
            os.environ[RUN_ID_VARIABLE] = innermost.run.info.run_id  # MLflow's end_run removes it

    # -- helpers ----------------------------------------------------------------------------------------------

    def _innermost(self) -> _Open | None:
        with self._lock:
            return self._open[-1] if self._open else None

    def _push(self, entry: _Open) -> ActiveRun:
        """Put the run on this thread's stack, once, and return it."""
        stack = fluent._active_run_stack.get()
        position = _position(stack, entry.run.info.run_id)
        if position is not None:
            return cast(ActiveRun, stack[position])
        if threading.current_thread() is not threading.main_thread():
            self._own.run = entry.run
        adopted = _adopted(entry.run)
        stack.append(adopted)
        entry.stacks.append(stack)
        return adopted


def _adopted(run: Run) -> AdoptedRun:
    return AdoptedRun(run)  # type: ignore[no-untyped-call]  # ActiveRun's constructor


def _position(stack: list[Any], run_id: str) -> int | None:
    return next((i for i, active in enumerate(stack) if active.info.run_id == run_id), None)


@contextlib.contextmanager
def _without_run_id() -> Iterator[None]:
    """MLflow resumes the run that the variable names, where a new one is asked for."""
    before = os.environ.pop(RUN_ID_VARIABLE, None)
    try:
        yield
    finally:
        _set_variable(RUN_ID_VARIABLE, before)


def _set_variable(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
