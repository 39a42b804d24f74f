"""Tries the way to a store step by step, with a hint at the step that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import mlflow
from mlflow import MlflowClient

from ...vocabulary.errors import ConnectionFailedError
from ...vocabulary.stores import CheckStep
from ..calls.masking import one_line
from ..calls.patience import limits
from ..calls.patience.waiting import within
from ..failures.diagnosis import ReachError
from ..location import discover, localstore, process_state
from ..location.localstore import without_log_lines
from ..location.plugs import plug_of
from ..location.uris import Target
from . import connected
from .experiments import Experiment, explained, find_or_create
from .probe import reach

_STEPS = ("name", "port", "TLS", "authentication", "version", "experiment", "artifact write")
_REACH_STEPS = _STEPS[:5]


def check(
    uri: str | None = None, experiment: str | None = None, *, folder: str | None = None, config: str | None = None
) -> tuple[CheckStep, ...]:
    """Try a store, from its name to the writing of an artifact; the connection itself is left as it is.

    Parameters
    ----------
    uri, experiment, folder, config : str, optional
        As for :func:`.connection.connect`. A missing experiment is created, as connecting would.

    Returns
    -------
    tuple of CheckStep
        One for each step; those after a failure are "not reached". Within about 10 s a step.

    Raises
    ------
    ConnectionFailedError
        If `uri` cannot be read as one at all.
    """
    before = connected.unconnected()
    choice = connected.choose(uri, experiment, folder, config)
    target = choice.target
    steps: list[CheckStep] = []
    try:
        with _entered(target, before) as target:
            version = reach(target, before)
            steps += _reached(target, version)
            with _as_if_connected(target, before):
                steps += _use(target, choice.wanted)
    except ReachError as error:
        steps += _up_to(error, target)
    done = {step.name for step in steps}
    return (*steps, *(CheckStep(name, "not reached", "") for name in _STEPS if name not in done))


def _reached(target: Target, version: str) -> list[CheckStep]:
    return [_passed(name, target, version) for name in _REACH_STEPS]


def _up_to(error: ReachError, target: Target) -> list[CheckStep]:
    passed = _REACH_STEPS[: _REACH_STEPS.index(error.step)]
    return [
        *(_passed(name, target, "") for name in passed),
        CheckStep(error.step, "failed", error.reason, error.hint),
    ]


def _passed(name: str, target: Target, version: str) -> CheckStep:
    seen = _SEEN.get(target.kind, _seen_of_workspace)(target, version).get(name)
    return CheckStep(name, "not applicable", "") if seen is None else CheckStep(name, "ok", seen)


def _seen_of_server(target: Target, version: str) -> dict[str, str]:
    parts = urlsplit(target.uri)
    seen = {
        "name": parts.hostname or "",
        "port": str(parts.port or {"http": 80, "https": 443}[parts.scheme]),
        "authentication": f"let in as {connected.user_of(target)}",
        "version": _versions(version),
    }
    if parts.scheme == "https":
        seen["TLS"] = "the certificate is accepted"
    return seen


def _seen_of_file(target: Target, version: str) -> dict[str, str]:
    schema = f"schema {version}" if version else "a new store"
    return {"name": f"{target.where}, writable", "version": f"{schema}, MLflow {mlflow.__version__}"}


def _seen_of_database(target: Target, version: str) -> dict[str, str]:
    accepted = "connected"
    return {"name": accepted, "port": accepted, "authentication": accepted, "version": f"MLflow {mlflow.__version__}"}


def _seen_of_workspace(target: Target, version: str) -> dict[str, str]:
    return {
        "name": target.workspace.host if target.workspace else "",
        "TLS": "the certificate is accepted",
        "authentication": "let in",
        "version": f"MLflow {mlflow.__version__}",
    }


def _seen_of_plugin(target: Target, version: str) -> dict[str, str]:
    return {"version": f"MLflow {mlflow.__version__}"}


_SEEN: dict[str, Callable[[Target, str], dict[str, str]]] = {
    "server": _seen_of_server,
    "sqlite": _seen_of_file,
    "database": _seen_of_database,
    "databricks": _seen_of_plugin,
    "plugin": _seen_of_plugin,
}


def _versions(server: str) -> str:
    client = mlflow.__version__
    if not server:
        return f"the server does not tell its version; MLflow {client} here"
    if server == client:
        return f"{server} on both sides"
    detail = f"{server} on the server, {client} here"
    if server.split(".")[0] != client.split(".")[0]:
        detail += ": params and metrics work, logged models may not"
    return detail


def _use(target: Target, wanted: discover.Wanted) -> Iterator[CheckStep]:
    try:
        experiment = within(limits.STEP_SECONDS, lambda: find_or_create(target, wanted))
    except ConnectionFailedError as error:
        yield CheckStep("experiment", "failed", error.reason, error.hint)
        return
    except TimeoutError as error:
        yield CheckStep("experiment", "failed", str(error), "look at the server's log, or try again")
        return
    made = ", created" if experiment.created else ""
    yield CheckStep("experiment", "ok", f"{experiment.name} (id {experiment.experiment_id}){made}")
    yield _artifact_step(target, experiment, wanted)


def _artifact_step(target: Target, experiment: Experiment, wanted: discover.Wanted) -> CheckStep:
    # The run's own identity travels in a list so that it can be deleted however the writing ends.
    runs: list[str] = []
    client = MlflowClient(tracking_uri=target.uri)

    def write() -> str:
        runs.append(client.create_run(experiment.experiment_id, run_name="mlflow_magics check").info.run_id)
        client.log_text(runs[0], "written by %mlflow_connect --check\n", "check.txt")
        return str(client.get_run(runs[0]).info.artifact_uri)

    try:
        with without_log_lines():
            place = within(limits.STEP_SECONDS, write)
        step = CheckStep("artifact write", "ok", one_line(place))
    except TimeoutError as error:
        step = CheckStep("artifact write", "failed", str(error), "check the network's way to the artifact store")
    except Exception as error:  # noqa: BLE001 - artifact stores raise what they like; the step shows it
        step = CheckStep("artifact write", "failed", one_line(str(error), 160), _artifact_hint(error))
    for run_id in runs:
        try:
            within(limits.STEP_SECONDS, lambda run_id=run_id: client.delete_run(run_id))  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 - the step shows it, and names the run that is left
            failure = explained(error, target, wanted)
            detail = f"the check's run {run_id} could not be deleted: {failure.reason}"
            return CheckStep("artifact write", "failed", detail, "delete it in MLflow's web interface")
    return step


def _artifact_hint(error: Exception) -> str:
    if isinstance(error, ImportError):
        # MLflow asks for the cloud's package only when the first artifact is written.
        return f"pip install {error.name}" if error.name else "install the package that the message names"
    if isinstance(error, OSError):
        return (
            "the experiment's artifacts lie in a folder that this machine cannot write; "
            "let the server store them: mlflow server --artifacts-destination FOLDER, and a new experiment"
        )
    return "see that the server's artifact store (--artifacts-destination) exists and lets it write"


@contextmanager
def _entered(target: Target, before: process_state.State) -> Iterator[Target]:
    """Sign in to a workspace for as long as the check takes; a sign-in that is in use stays."""
    plug = plug_of(target.kind)
    if plug is None:
        yield target
        return
    here = process_state.take()
    try:
        entered = plug.enter(target, before).target
    except ReachError:
        raise
    except ConnectionFailedError as error:
        raise ReachError("authentication", error.where, error.reason, error.hint) from error
    try:
        yield entered
    finally:
        process_state.put(here)
        if not connected.is_connected_to(entered.uri):
            plug.leave(entered)


@contextmanager
def _as_if_connected(target: Target, before: process_state.State) -> Iterator[None]:
    # MLflow 2.22 resolves mlflow-artifacts: against the global tracking URI, whatever the client was given.
    here, placed = process_state.take(), localstore.roots()
    roots = {target.uri: str(target.artifacts)} if target.artifacts else {}
    try:
        process_state.put({**limits.absent(before), process_state.TRACKING_URI: target.uri})
        localstore.place({**placed, **roots})
        yield
    finally:
        localstore.place(placed)
        process_state.put(here)
