"""Says which libraries MLflow can log by itself, and which of them it logs now, without importing any."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec

from mlflow.ml_package_versions import _ML_PACKAGE_VERSIONS, FLAVOR_TO_MODULE_NAME
from mlflow.utils import import_hooks
from mlflow.utils.autologging_utils import (
    AUTOLOGGING_CONF_KEY_IS_GLOBALLY_CONFIGURED,
    AUTOLOGGING_INTEGRATIONS,
    autologging_is_disabled,
)

from ...vocabulary.errors import UnknownNameError
from ...vocabulary.stores import Integration
from .flavors import has_module

_TRAINING = "params, metrics, model"
_TRACES = "traces"

# What is logged, in a few words. Whatever is not here is one of the GenAI libraries, which all give traces.
_LOGS = {
    "sklearn": "params, metrics, model, plots",
    "xgboost": "params, metrics, model, feature importance",
    "lightgbm": "params, metrics, model, feature importance",
    "keras": _TRAINING,
    "tensorflow": _TRAINING,
    "pytorch": "params, metrics, model (Lightning)",
    "fastai": _TRAINING,
    "paddle": _TRAINING,
    "statsmodels": _TRAINING,
    "transformers": "params, metrics (Trainer)",
    "pyspark.ml": _TRAINING,
    "spark": "data sources",
}

# Integrations that MLflow's table leaves out, and the package of each.
_OUTSIDE_THE_TABLE = {"litellm": "litellm", "pyspark.ml": "pyspark"}

# Libraries whose import makes ``mlflow.autolog()`` turn an integration on, where it is not its own module alone.
_TRIGGERS = {
    "pytorch": ("pytorch_lightning", "lightning"),
    "transformers": ("setfit", "transformers"),
    "gemini": ("google.genai", "google.generativeai"),
    "litellm": ("litellm",),
    "pyspark.ml": ("pyspark.ml",),
}

# Top-level modules that many packages share tell nothing of any one of them.
_SHARED_ROOTS = frozenset(("google",))

# What people call an integration, besides its own name and its package's.
_ALIASES = {
    "torch": "pytorch",
    "lightning": "pytorch",
    "pytorch-lightning": "pytorch",
    "pytorch_lightning": "pytorch",
    "langgraph": "langchain",
    "setfit": "transformers",
    "pyspark": "spark",
}

EXCLUDE = "exclude_flavors"
"""MLflow's name of the option that leaves integrations out."""


def integrations() -> tuple[Integration, ...]:
    """List what MLflow can log by itself.

    Returns
    -------
    tuple of Integration
        Installed ones first, then by name.
    """
    rows = [
        Integration(
            name=name,
            package=package,
            installed=installed_version(name),
            on=is_on(name),
            logs=_LOGS.get(name, _TRACES),
            versions=tested_versions(name),
        )
        for name, package in packages().items()
    ]
    return tuple(sorted(rows, key=lambda row: (not row.installed, row.name)))


def known_flavor(typed: str) -> str:
    """Find the integration that somebody means."""
    by_name = packages()
    by_package = {package: name for name, package in by_name.items()}
    names = by_package | _ALIASES | {name: name for name in by_name}
    found = names.get(typed) or names.get(typed.lower(), "")
    if found not in by_name:
        raise UnknownNameError("flavor", typed, names, "%mlflow_autolog status lists them")
    return found


def packages() -> dict[str, str]:
    """Name the package of every integration that this MLflow has.

    Returns
    -------
    dict of str to str
        MLflow's name of the integration, and the package as pip knows it.
    """
    table = {
        name: str(facts["package_info"]["pip_release"])
        for name, facts in _ML_PACKAGE_VERSIONS.items()
        if "autologging" in facts
    }
    return {name: package for name, package in (table | _OUTSIDE_THE_TABLE).items() if has_module(name)}


def installed_version(name: str) -> str:
    """Tell which version of an integration's library is installed. Empty where it is not installed."""
    with suppress(PackageNotFoundError):
        return version(packages()[name])
    # The same module may come from a package of another name: tensorflow-cpu.
    root = FLAVOR_TO_MODULE_NAME.get(name, name).split(".")[0]
    if root in _SHARED_ROOTS or find_spec(root) is None:
        return ""
    providers = packages_distributions().get(root)
    return version(providers[0]) if providers else ""


def tested_versions(name: str) -> str:
    """Tell which versions of an integration's library MLflow was tested with.

    ``"1.4 - 1.9"``; empty where MLflow does not say.
    """
    facts = _ML_PACKAGE_VERSIONS.get("spark" if name == "pyspark.ml" else name, {}).get("autologging")
    return f"{facts['minimum']} - {facts['maximum']}" if facts else ""


def is_on(name: str) -> bool:
    """Tell whether an integration logs, or will when its library is imported. True for both."""
    off = autologging_is_disabled(name)  # mlflow is untyped
    return not off or _is_pending(name)


def is_set_by_name(name: str) -> bool:
    """Tell whether an integration was turned on or off by its own name, which ``mlflow.autolog()`` then respects.

    False if it never was, or was by a call for everything.
    """
    config = AUTOLOGGING_INTEGRATIONS.get(name, {})
    return bool(config) and not config.get(AUTOLOGGING_CONF_KEY_IS_GLOBALLY_CONFIGURED)


def is_asked(name: str) -> bool:
    """Tell whether an integration was asked to log, be it on or kept off by the version of its library.

    True if the last call for it did not disable it.
    """
    return not AUTOLOGGING_INTEGRATIONS.get(name, {}).get("disable", True)


def triggers(name: str) -> tuple[str, ...]:
    """Name the modules whose import makes ``mlflow.autolog()`` turn an integration on."""
    return _TRIGGERS.get(name) or (FLAVOR_TO_MODULE_NAME.get(name, name),)


def _is_pending(name: str) -> bool:
    everything = AUTOLOGGING_INTEGRATIONS.get("mlflow", {})
    if everything.get("disable", True) or name in (everything.get(EXCLUDE) or ()) or is_set_by_name(name):
        return False
    return any(import_hooks.get_post_import_hooks(library) for library in triggers(name))
