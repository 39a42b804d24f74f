"""States the packages that a model needs from what it is made of.

MLflow's own way is to load the model again in a child process and watch the imports, some four seconds.
Where the model's classes all come from installed packages, the list is known without that.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from types import ModuleType
from typing import Any

from mlflow.ml_package_versions import _ML_PACKAGE_VERSIONS

from .flavors import root_of

# What such a model needs is told by its classes. A transformers or langchain model needs more than they tell
# (a backend, a provider), a PythonModel or a function anything at all: those are left to MLflow's inference.
_TOLD_BY_CLASSES = frozenset(
    ("sklearn", "xgboost", "lightgbm", "catboost", "statsmodels", "prophet", "pmdarima", "h2o", "pytorch")
)

# A pickled model breaks across major versions of these, though its own classes come from elsewhere.
_UNDERNEATH = ("numpy", "pandas", "scipy")


def stated_requirements(model: object, flavor: str, module: ModuleType) -> list[str] | None:
    """State the requirements of a model, where they are known from its parts.

    Pinned, sorted: ``["cloudpickle==3.1.2", "scikit-learn==1.9.1"]``. None where they are not known, as with a class
    that was written in a notebook; leave those to MLflow's inference.
    """
    defaults = getattr(module, "get_default_pip_requirements", None)
    if flavor not in _TOLD_BY_CLASSES or defaults is None:
        return None
    try:
        roots = {root for part in _parts(model, flavor) for root in _roots(part)}
    except Exception:  # noqa: BLE001  # a get_params of the user's own may fail in any way; MLflow can still infer
        return None
    distributions = [_distribution(root) for root in sorted(roots | _loaded(_UNDERNEATH))]
    if None in distributions:
        return None
    takes = inspect.signature(defaults).parameters
    stated = defaults(include_cloudpickle=True) if "include_cloudpickle" in takes else defaults()
    return sorted({*stated, *(_pinned(name) for name in distributions if name)})


def _parts(model: object, flavor: str) -> Iterator[Any]:
    yield model
    if flavor == "sklearn" and hasattr(type(model), "get_params"):
        # Holds the steps of a Pipeline, the estimator of a grid search, and theirs in turn.
        yield from model.get_params(deep=True).values()  # type: ignore[attr-defined]  # asked just above
    elif flavor == "pytorch":
        yield from model.modules()  # type: ignore[attr-defined]  # torch.nn.Module has it


def _roots(part: Any) -> set[str]:
    """Top-level modules outside the standard library that a part needs."""
    if callable(part) and hasattr(part, "__code__"):
        owners: tuple[Any, ...] = (part,)
    else:
        owners = part.__mro__ if isinstance(part, type) else type(part).__mro__
    return {root_of(owner) for owner in owners} - sys.stdlib_module_names - {"mlflow"}


def _loaded(roots: tuple[str, ...]) -> set[str]:
    return {root for root in roots if root in sys.modules}


def _distribution(root: str) -> str | None:
    """Name the installed package that holds a top-level module."""
    for candidate in filter(None, (_package_of_flavors().get(root), root)):
        with suppress(PackageNotFoundError):
            version(candidate)
            return candidate
    # Reads every installed package, over half a second: only for what the names do not tell.
    providers = _providers().get(root)
    return providers[0] if providers else None


@functools.cache
def _package_of_flavors() -> Mapping[str, str]:
    return {
        str(facts["package_info"].get("module_name", name)).split(".")[0]: str(facts["package_info"]["pip_release"])
        for name, facts in _ML_PACKAGE_VERSIONS.items()
    }


@functools.cache
def _providers() -> Mapping[str, list[str]]:
    return packages_distributions()


def _pinned(distribution: str) -> str:
    # A local label, the +cu124 of a CUDA build, is on no public registry.
    return f"{distribution}=={version(distribution).split('+')[0]}"
