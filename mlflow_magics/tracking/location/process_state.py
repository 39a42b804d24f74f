"""Reads and sets what connecting changes in the process, so that it can be compared and put back.

MLflow keeps its tracking URI, registry URI and active experiment as globals of its modules, and copies them to the
environment for child processes. All of them are one dictionary here, so that taking everything back is one
comparison: what is still as we left it goes back to what it was; what the user has changed since stays theirs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from mlflow.tracking import fluent
from mlflow.tracking._model_registry import utils as registry_utils
from mlflow.tracking._tracking_service import utils as tracking_utils

from ..calls.patience.limits import LIMITS
from .plugs import plugs

State = dict[str, "str | None"]
"""Each place by name: an environment variable, or one of the three globals below. None is "not set"."""

TRACKING_URI = "mlflow.tracking_uri"
REGISTRY_URI = "mlflow.registry_uri"
EXPERIMENT = "mlflow.active_experiment_id"

_VARIABLES = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
    *LIMITS,
)


@dataclass(frozen=True)
class StateChange:
    """The state before a connection and the state it put in place.

    Attributes
    ----------
    before, ours : dict of str to str or None
        Every place, before and after.
    """

    before: State
    ours: State

    def without(self, now: Mapping[str, str | None]) -> State:
        """Work out the state as if the connection had never been made.

        What was before, except where somebody changed a place since: that change stays.
        """
        state = {name: self.before[name] if now[name] == self.ours[name] else now[name] for name in now}
        if self.chosen_since(now) is not None:
            # An experiment's id means nothing in another store: it goes together with the URI.
            state |= {name: self.before[name] for name in (EXPERIMENT, "MLFLOW_EXPERIMENT_ID")}
        return state

    def chosen_since(self, now: Mapping[str, str | None]) -> str | None:
        """Tell which experiment the user has set in our store, by ``mlflow.set_experiment``.

        Its id; None if the active experiment is still ours, or the user has left our store.
        """
        if now[TRACKING_URI] != self.ours[TRACKING_URI] or now[EXPERIMENT] == self.ours[EXPERIMENT]:
            return None
        return now[EXPERIMENT]


def take() -> State:
    """Read the present state. Every place a connection may touch."""
    return {
        TRACKING_URI: tracking_utils._tracking_uri,
        REGISTRY_URI: registry_utils._registry_uri,
        EXPERIMENT: fluent._active_experiment_id,
        **{name: os.environ.get(name) for name in _variables()},
    }


def put(state: Mapping[str, str | None]) -> None:
    """Make the process as described; places not named are left alone.

    Parameters
    ----------
    state : mapping of str to str or None
        Places and their values.
    """
    # The globals first: MLflow's setters write the environment too, and the environment's own value must win.
    if TRACKING_URI in state and tracking_utils._tracking_uri != state[TRACKING_URI]:
        # Not mlflow.set_tracking_uri: a user may have assigned a string over it.
        tracking_utils.set_tracking_uri(state[TRACKING_URI])  # type: ignore[arg-type]  # None resets
    if REGISTRY_URI in state and registry_utils._registry_uri != state[REGISTRY_URI]:
        registry_utils.set_registry_uri(state[REGISTRY_URI])  # type: ignore[arg-type]  # None resets
    if EXPERIMENT in state:
        # mlflow.set_experiment would ask the server for what is known already.
        fluent._active_experiment_id = state[EXPERIMENT]  # type: ignore[assignment]
    for name in _variables():
        if name not in state:
            continue
        value = state[name]
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _variables() -> tuple[str, ...]:
    """Return the environment variables that a connection may touch."""
    return (*_VARIABLES, *(name for plug in plugs() for name in plug.variables))
