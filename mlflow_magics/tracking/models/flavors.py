"""Says which of MLflow's flavors a model belongs to."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import mlflow
from mlflow.ml_package_versions import _ML_PACKAGE_VERSIONS

from ...vocabulary.errors import NotLoggableError

# Roots that MLflow's table does not hold, because it names one package for each flavor.
_OTHER_ROOTS = {
    "tf_keras": "tensorflow",
    "langchain_core": "langchain",
    "langchain_classic": "langchain",
    "langchain_community": "langchain",
    "langgraph": "langchain",
}

# These packages also hold data (DMatrix, Dataset, Pool, Bunch, Tensor); a model has one of these methods.
_MODEL_METHODS = {
    "sklearn": ("predict", "transform", "fit_predict", "fit_transform"),
    "xgboost": ("predict",),
    "lightgbm": ("predict",),
    "catboost": ("predict",),
    "pytorch": ("forward",),
}


def flavor_of(model: object, name: str) -> str:
    """Find the flavor of a model from its type.

    The first class in its inheritance whose package has a flavor decides: an ``XGBClassifier``, which is also
    a scikit-learn estimator, is xgboost; a class written in a notebook is what it derives from.
    """
    if isinstance(model, type):
        raise NotLoggableError(name, f"the class {model.__name__}, not a model; log an instance of it")
    if _is_python_model(type(model)):
        return "pyfunc"
    roots = model_roots()
    seen = ""
    for cls in type(model).__mro__:
        flavor = roots.get(root_of(cls), "")
        if flavor and _is_model(cls, flavor):
            return _keras_flavor() if flavor == "keras" else flavor
        seen = seen or flavor
    if isinstance(model, (types.FunctionType, types.MethodType, functools.partial)):
        return _function_flavor(model, name)
    raise NotLoggableError(name, _what_it_is(type(model), seen))


@functools.cache
def model_roots() -> Mapping[str, str]:
    """Tell which top-level modules hold models of which flavor."""
    roots = {}
    for flavor, facts in _ML_PACKAGE_VERSIONS.items():
        if "models" in facts and has_module(flavor):
            roots[str(facts["package_info"].get("module_name", flavor)).split(".")[0]] = flavor
    return roots | {root: flavor for root, flavor in _OTHER_ROOTS.items() if has_module(flavor)}


@functools.cache
def has_module(flavor: str) -> bool:
    """Tell whether ``mlflow.<flavor>`` exists, without importing it."""
    return any(Path(folder, *flavor.split("."), "__init__.py").is_file() for folder in mlflow.__path__)


def root_of(thing: object) -> str:
    """Name the top-level module in which a class or function was defined.

    Parameters
    ----------
    thing : object
        A class or function.

    Returns
    -------
    str
        ``"sklearn"``; empty where it does not tell.
    """
    module = getattr(thing, "__module__", None)
    return module.split(".")[0] if isinstance(module, str) else ""


def _is_python_model(cls: type) -> bool:
    return any(base.__module__ == "mlflow.pyfunc.model" and base.__name__ == "PythonModel" for base in cls.__mro__)


def _is_model(cls: type, flavor: str) -> bool:
    if flavor == "spark":
        # A Spark DataFrame is of the same package as a Spark model.
        return cls.__module__.startswith("pyspark.ml")
    methods = _MODEL_METHODS.get(flavor, ())
    return not methods or any(hasattr(cls, method) for method in methods)


def _keras_flavor() -> str:
    """Keras 2 lives in MLflow's tensorflow flavor, Keras 3 in its own."""
    try:
        return "keras" if int(version("keras").split(".")[0]) >= 3 else "tensorflow"
    except PackageNotFoundError:
        return "tensorflow"


def _function_flavor(function: object, name: str) -> str:
    try:
        count = len(inspect.signature(function).parameters)  # type: ignore[arg-type]  # its callers checked it
    except ValueError as error:  # functools.partial of a builtin
        raise NotLoggableError(name, "a function that does not tell its arguments; wrap it in a def") from error
    if count != 1:
        raise NotLoggableError(
            name, f"a function of {count} arguments; MLflow logs functions of one, def {name}(model_input)"
        )
    return "pyfunc"


def _what_it_is(cls: type, flavor: str) -> str:
    class_name = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    if flavor:
        return f"{class_name} belongs to {flavor} but is not a model; give the fitted model"
    return f"{class_name} is of no flavor MLflow knows; wrap it in a class derived from mlflow.pyfunc.PythonModel"
