"""Turns MLflow's own logging of libraries on and off."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mlflow
from mlflow.utils import import_hooks
from mlflow.utils.autologging_utils import AUTOLOGGING_CONF_KEY_IS_GLOBALLY_CONFIGURED, AUTOLOGGING_INTEGRATIONS

from ..calls.guards import reason_and_class
from ..calls.quiet import quiet
from .integrations import (
    EXCLUDE,
    installed_version,
    integrations,
    is_asked,
    is_on,
    is_set_by_name,
    known_flavor,
    packages,
    tested_versions,
    triggers,
)

__all__ = ["AutologReport", "integrations", "turn_off", "turn_on"]


@dataclass(frozen=True)
class AutologReport:
    """What turning autologging on or off came to.

    Attributes
    ----------
    turned_on : tuple of str
        Integrations that are on now and were asked for; those of libraries not yet imported start with the import.
    turned_off : tuple of str
        Integrations that were on and are off now.
    notes : tuple of str
        One line each: a package that is missing, an option that an integration does not take, MLflow's warnings.
    """

    turned_on: tuple[str, ...] = ()
    turned_off: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def turn_on(flavors: Sequence[str], options: Mapping[str, object]) -> AutologReport:
    """Turn autologging on.

    Parameters
    ----------
    flavors : sequence of str
        Integrations by MLflow's name or the package's (``"scikit-learn"``); none means everything MLflow knows.
    options : mapping of str to object
        MLflow's own options: ``exclusive``, ``log_models``, ``log_input_examples``, ``log_datasets``, ``silent``,
        ``extra_tags``, ``disable_for_unsupported_versions``; and ``exclude_flavors``, for everything.

    Returns
    -------
    AutologReport
        A missing package and an option that an integration does not take are notes, not errors.

    Raises
    ------
    UnknownNameError
        MLflow has no such integration; nothing was changed.
    """
    names = [known_flavor(flavor) for flavor in flavors]
    excluded = [known_flavor(flavor) for flavor in _listed(options.get(EXCLUDE))]
    given = {key: value for key, value in options.items() if key != EXCLUDE}
    if not names:
        return _everything_on(given, excluded)
    notes = ["exclude_flavors has no meaning beside named flavors"] if excluded else []
    turned_on = tuple(name for name in dict.fromkeys(names) if _one_on(name, given, notes))
    return AutologReport(turned_on=turned_on, notes=tuple(notes))


def turn_off(flavors: Sequence[str]) -> AutologReport:
    """Turn autologging off, also for libraries that are not imported yet.

    Parameters
    ----------
    flavors : sequence of str
        Integrations by MLflow's name or the package's; none means everything.

    Returns
    -------
    AutologReport
        What was on and is off now.

    Raises
    ------
    UnknownNameError
        MLflow has no such integration; nothing was changed.
    """
    names = [known_flavor(flavor) for flavor in flavors] or list(packages())
    were_on = [name for name in dict.fromkeys(names) if is_on(name)]
    with quiet() as said:
        if not flavors:
            # Says so to MLflow itself too; it leaves alone what was turned on by name, hence the loop.
            mlflow.autolog(disable=True, silent=True)
        for name in names:
            _forget_pending(name)
            _one_off(name)
    return AutologReport(turned_off=tuple(were_on), notes=tuple(said))


def _everything_on(options: Mapping[str, object], excluded: list[str]) -> AutologReport:
    taken, notes = _taken(mlflow.autolog, options, "all flavors together take no {option}; name one")
    by_name = [name for name in packages() if is_set_by_name(name)]
    kept = [name for name in by_name if is_on(name)]
    with quiet() as said:
        for name in excluded:
            # Else an earlier call that did not exclude it would still turn it on at its import.
            _forget_pending(name)
        mlflow.autolog(**{**taken, EXCLUDE: excluded} if excluded else taken)
    on = tuple(row.name for row in integrations() if row.on and row.installed and row.name not in excluded)
    notes += [f"{name} keeps the options it was turned on with" for name in kept if name in on and options]
    notes += [note for name in on if name not in kept for note in _untaken_when_loaded(name, taken)]
    notes += [_kept_off(name) for name in packages() if is_asked(name) and not is_on(name)]
    notes += [
        f"{name} stays off: mlflow.{name}.autolog(disable=True) was called; name it to turn it on"
        for name in by_name
        if installed_version(name) and not is_asked(name) and name not in excluded
    ]
    return AutologReport(turned_on=on, notes=(*notes, *said))


def _one_on(name: str, options: Mapping[str, object], notes: list[str]) -> bool:
    package = packages()[name]
    if not installed_version(name):
        notes.append(f"{name} is not turned on: {package} is not installed; pip install {package}")
        return False
    with quiet() as said:
        try:
            autolog = importlib.import_module(f"mlflow.{name}").autolog
            taken, untaken = _taken(autolog, options, f"{name} takes no {{option}}")
            autolog(**taken)
        except Exception as error:  # noqa: BLE001  # a library may fail in any way; the others are still to be turned on
            notes.append(f"{name} is not turned on: {reason_and_class(error)}")
            return False
    notes.extend((*untaken, *said))
    if not is_on(name):
        notes.append(_kept_off(name))
    return is_on(name)


def _kept_off(name: str) -> str:
    # The one reason why an integration that was asked for is off: disable_for_unsupported_versions.
    package, found = packages()[name], installed_version(name)
    return f"{name} stays off: this MLflow supports {package} {tested_versions(name)}, not {found}"


def _one_off(name: str) -> None:
    if not AUTOLOGGING_INTEGRATIONS.get(name):
        # Its module is not loaded, or was never asked to log.
        return
    sys.modules[f"mlflow.{name}"].autolog(disable=True)
    # MLflow would remember "turned off by name" and pass it over when everything is turned on again.
    AUTOLOGGING_INTEGRATIONS[name][AUTOLOGGING_CONF_KEY_IS_GLOBALLY_CONFIGURED] = True


def _taken(
    autolog: Callable[..., Any], options: Mapping[str, object], message: str
) -> tuple[dict[str, object], list[str]]:
    """Split the options into those that `autolog` takes, and a note for each of the others."""
    takes = inspect.signature(autolog).parameters
    notes = [message.format(option=option) for option in options if option not in takes]
    return {option: value for option, value in options.items() if option in takes}, notes


def _untaken_when_loaded(name: str, options: Mapping[str, object]) -> list[str]:
    # Of a library that is not imported yet MLflow's module is not loaded either, and stays so.
    module = sys.modules.get(f"mlflow.{name}")
    return _taken(module.autolog, options, f"{name} takes no {{option}}")[1] if module else []


def _forget_pending(name: str) -> None:
    for library in triggers(name):
        if import_hooks.get_post_import_hooks(library):
            # An empty list would mean "imported already" to MLflow, so the entry goes.
            import_hooks._post_import_hooks.pop(library, None)


def _listed(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, (list, tuple)) else []
