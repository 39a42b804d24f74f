"""Logs any model: finds its flavor, and keeps MLflow quiet."""

from __future__ import annotations

import importlib
import inspect
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import mlflow
from mlflow.models.signature import ModelSignature, infer_signature
from mlflow.tracking.fluent import ActiveRun, _active_run_stack, _get_or_start_run
from mlflow.utils.autologging_utils import disable_autologging

from ...vocabulary.errors import NotLoggableError, TrackingError
from ..calls.guards import reason_and_class
from ..calls.patching import Patches
from ..calls.quiet import quiet
from ..patches.model_records.older_models import run_and_name
from .flavors import flavor_of
from .requirements import stated_requirements

_SIGNATURE_ROWS = 10

# The defaults of MLflow 3 refuse most models: skops raises "untrusted types" for forests, trees and KNN,
# pt2 asks for an input example. MLflow's own autolog saves the same way as here.
_FORMATS = {"sklearn": "cloudpickle", "lightgbm": "cloudpickle", "pytorch": "pickle"}

_patches = Patches()

_REFUSED_IN_NAMES = re.compile(r"""[/:.%"']""")


@dataclass(frozen=True)
class LoggedModel:
    """A model that is in the store.

    Attributes
    ----------
    name : str
        As it was logged, fixed where MLflow refuses the name.
    flavor : str
        MLflow's name of the flavor: ``"sklearn"``.
    uri : str
        What ``mlflow.pyfunc.load_model`` takes.
    notes : tuple of str
        One line each for what the user should know: a fixed name, a signature that could not be made.
    """

    name: str
    flavor: str
    uri: str
    notes: tuple[str, ...] = ()


def log_model(
    model: object,
    name: str,
    *,
    run_id: str,
    signature_inputs: object | None = None,
) -> LoggedModel:
    """Log a model of any flavor into a run, open or closed.

    Nothing is printed, no run is started or ended, and the random states stay as they were.

    Parameters
    ----------
    model : object
        The fitted model, a ``PythonModel``, or a function of one argument.
    name : str
        The model's name; characters that MLflow refuses are replaced, and a note says so.
    run_id : str
        The run to log into; it need not be the active one.
    signature_inputs : object, optional
        Inputs of the model: a DataFrame, an array. The signature is inferred from its first 10 rows and the
        model's predictions for them.

    Returns
    -------
    LoggedModel
        Where it is, and what was remarkable.

    Raises
    ------
    NotLoggableError
        It is of no flavor that MLflow knows.
    TrackingError
        MLflow could not save or store it.
    """
    flavor = flavor_of(model, name)
    kept = _REFUSED_IN_NAMES.sub("_", name) or "model"
    notes = (
        [] if kept == name else [f"model {name!r} is logged as {kept!r}; MLflow refuses / : . % and quotes in names"]
    )
    options: dict[str, Any] = {}
    try:
        with quiet() as said, _active(run_id):
            if signature_inputs is not None:
                options["signature"] = _signature(model, flavor, signature_inputs, notes)
            info = _log(model, flavor, kept, options)
    except NotLoggableError:
        raise
    except Exception as error:  # a flavor fails in its library's own ways; every one reaches the user as this error
        raise TrackingError(
            f"{name}: MLflow could not log it as a {flavor} model: {reason_and_class(error)}"
        ) from error
    place = run_and_name(info.model_uri)
    # Of an id that only this extension can read, nobody else would have anything.
    uri = f"runs:/{place[0]}/{place[1]}" if place else info.model_uri
    return LoggedModel(kept, flavor, uri, (*notes, *said))


def install_alias() -> None:
    """Put ``mlflow.log_model(model, name)`` in place, which tutorials write and MLflow lacks.

    Harmless when called twice; leaves a ``log_model`` of MLflow's own alone.
    """
    if not hasattr(mlflow, "log_model"):
        _patches.replace(mlflow, "log_model", _log_model_alias)


def remove_alias() -> None:
    """Take ``mlflow.log_model`` away again, if it is ours."""
    _patches.put_back()


def _log_model_alias(model: object, name: str | None = None, artifact_path: str | None = None, **kwargs: Any) -> Any:
    """Log a model of any flavor into the active run, or a new one, as MLflow's own ``log_`` functions do."""
    wanted_name = name or artifact_path or "model"
    flavor = flavor_of(model, wanted_name)
    _get_or_start_run()  # mlflow is untyped
    said: list[str] = []
    try:
        with quiet() as said:
            return _log(model, flavor, _REFUSED_IN_NAMES.sub("_", wanted_name), kwargs)
    finally:
        # This is a function of MLflow to its caller: what MLflow has to say, MLflow's own logger says.
        for line in said:
            logging.getLogger("mlflow.models").warning(line)


def _log(model: object, flavor: str, name: str, options: dict[str, Any]) -> Any:
    """Call the flavor's ``log_model``, whose words differ between MLflow 2 and 3."""
    module = importlib.import_module(f"mlflow.{flavor}")
    # SHAP alone logs explainers.
    function = getattr(module, "log_model", None) or module.log_explainer
    takes = inspect.signature(function).parameters
    words: dict[str, Any] = {"name" if "name" in takes else "artifact_path": name}
    if "serialization_format" in takes and flavor in _FORMATS:
        words["serialization_format"] = _FORMATS[flavor]
    if not {"conda_env", "pip_requirements", "extra_pip_requirements"} & options.keys():
        words |= _requirements(model, flavor, module)
    if flavor == "pyfunc":
        return function(python_model=model, **(words | options))
    return function(model, **(words | options))


def _requirements(model: object, flavor: str, module: ModuleType) -> dict[str, list[str]]:
    stated = stated_requirements(model, flavor, module)
    if stated is not None:
        return {"pip_requirements": stated}
    # MLflow infers them for a function too, but only if it was given something.
    return {"extra_pip_requirements": []} if flavor == "pyfunc" else {}


@contextmanager
def _active(run_id: str) -> Iterator[None]:
    """Make a run the active one of this thread, without the start and the end that ``start_run`` brings.

    A flavor's ``log_model`` logs into the active run and takes no other.
    """
    stack: list[Any] = _active_run_stack.get()  # mlflow is untyped
    if stack and stack[-1].info.run_id == run_id:
        yield
        return
    run = ActiveRun(mlflow.MlflowClient().get_run(run_id))
    stack.append(run)
    try:
        yield
    finally:
        stack[:] = [other for other in stack if other is not run]


def _signature(model: object, flavor: str, inputs: object, notes: list[str]) -> ModelSignature | None:
    try:
        rows = _first_rows(inputs, _SIGNATURE_ROWS)
        with disable_autologging():
            return infer_signature(rows, _predictions(model, flavor, rows))
    except Exception as error:  # noqa: BLE001  # a model may fail on these inputs in any way; it is still worth logging
        notes.append(f"logged without a signature: {reason_and_class(error)}")
        return None


def _predictions(model: Any, flavor: str, rows: object) -> Any:
    if flavor != "pyfunc":
        return model.predict(rows)
    return model.predict(None, rows) if hasattr(type(model), "predict") else model(rows)


def _first_rows(data: Any, count: int) -> Any:
    if isinstance(data, dict):
        return {key: _first_rows(value, count) for key, value in data.items()}
    if hasattr(type(data), "iloc"):
        return data.iloc[:count]
    return data[:count] if hasattr(type(data), "__getitem__") and not isinstance(data, str) else data
