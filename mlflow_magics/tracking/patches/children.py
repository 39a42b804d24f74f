"""Processes that a cell starts, and that log with MLflow: seen from the process, and from the cell.

MLflow's own ``MLFLOW_RUN_ID`` turns every ``start_run`` of a child process into a resume of that run. So the cell's run
has a variable of its own. MLflow imports this module in each process through an entry point (a run context provider):
where the variable is set, ``mlflow.log_*`` without a run goes into the cell's run, ``start_run`` opens a run as it does
anywhere, and the cell is told of it through a file.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import wraps
from typing import Any

from mlflow.tracking.context.abstract_context import RunContextProvider

RUN = "MLFLOW_MAGICS_RUN_ID"
"""The variable by which a child process finds the run of the cell that started it."""

FILE = "MLFLOW_MAGICS_RUNS_FILE"
"""The variable that says where a child process writes down which runs it opens."""

_MLFLOWS = "MLFLOW_RUN_ID"


@dataclass(frozen=True)
class ChildRun:
    """What a child process told: a run that it opened, or, without an id, that it logged into the cell's.

    Attributes
    ----------
    run_id : str
        MLflow's id.
    nested : bool
        Whether it stands in another run of that process.
    name, experiment_id : str
        As MLflow has them.
    """

    run_id: str
    nested: bool = False
    name: str = ""
    experiment_id: str = ""


class ChildProcess(RunContextProvider):
    """Adds no tags; MLflow makes one in every process that imports it, which is the moment to look around."""

    def __init__(self) -> None:
        if os.environ.get(FILE):
            _install()

    def in_context(self) -> bool:
        """Tell MLflow that there are no tags from here."""
        return False

    def tags(self) -> dict[str, str]:
        """Return no tags."""
        return {}


LOGS = ChildRun("")
"""Told by a child process that logs into the cell's run."""


def variables(run_id: str) -> dict[str, str]:
    """Return the variables that tell child processes of the cell's run."""
    return {RUN: run_id, FILE: os.path.join(tempfile.gettempdir(), f"mlflow_magics-{uuid.uuid4().hex}")}


def take() -> list[ChildRun]:
    """Return what the child processes of the cell have told so far, and forget it."""
    path = os.environ.get(FILE, "")
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.readlines()
        os.unlink(path)
    except OSError:
        return []
    return [ChildRun(**json.loads(line)) for line in lines if line.endswith("\n")]


def note(run: ChildRun) -> None:
    """Tell the cell of a run, or that this process logs into the cell's."""
    path = os.environ.get(FILE)
    if not path:
        return
    line = json.dumps(asdict(run)) + "\n"
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0), 0o600)
    except OSError:
        return  # the run is there all the same; only the cell's block does not name it
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


def note_created(run: Any, tags: Mapping[str, str]) -> None:
    """Tell the cell of a run that was created in this process."""
    info = run.info
    note(ChildRun(info.run_id, "mlflow.parentRunId" in tags, info.run_name or "", info.experiment_id))


def _install() -> None:
    """Have MLflow, in this process, find the cell's run where no run is active, and only there."""
    from mlflow import environment_variables
    from mlflow.tracking._tracking_service.client import TrackingServiceClient

    create: Any = TrackingServiceClient.create_run
    ask: Any = environment_variables.MLFLOW_RUN_ID.get

    @wraps(create)
    def creating(client: Any, *args: Any, **kwargs: Any) -> Any:
        run = create(client, *args, **kwargs)
        note_created(run, run.data.tags)
        return run

    @wraps(ask)
    def asking() -> str | None:
        given: str | None = ask()
        ours = os.environ.get(RUN)
        if given is None and ours and _is_implicit():
            note(LOGS)
            os.environ[_MLFLOWS] = ours  # MLflow takes it out again as it resumes the run
            return ours
        return given

    setattr(TrackingServiceClient, "create_run", creating)  # noqa: B010 - its types forbid it
    setattr(environment_variables.MLFLOW_RUN_ID, "get", asking)  # noqa: B010


def _is_implicit() -> bool:
    """Tell whether MLflow opens a run only because something is logged, and not because ``start_run`` was called."""
    frame = sys._getframe(2)
    return frame.f_back is not None and frame.f_back.f_code.co_name == "_get_or_start_run"
