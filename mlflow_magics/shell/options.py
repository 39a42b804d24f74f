"""Reads the options that were typed on a magic's line as values: where to track, what a run is asked, autolog's."""

from __future__ import annotations

from typing import Any

from ..session import words
from ..vocabulary.errors import OptionError
from ..vocabulary.records import Choices, RunOptions


def place(args: Any) -> str | None:
    """Return where to track; the three names of a workspace as the id that Azure has for it."""
    names = {
        "--subscription": text(args.subscription),
        "--resource-group": text(args.resource_group),
        "--workspace": text(args.workspace),
    }
    uri = text(args.uri)
    given = {"a URI": uri, "--config": args.config, "--workspace": any(names.values())}
    ways = [way for way, value in given.items() if value]
    if len(ways) > 1:
        raise OptionError(f"{' and '.join(ways)} each say where to track; give one of them")
    if not any(names.values()):
        return uri
    missing = [option for option, value in names.items() if not value]
    if missing:
        raise OptionError(f"a workspace has three names; {' and '.join(missing)} missing")
    subscription, group, workspace = names.values()
    return (
        f"/subscriptions/{subscription}/resourceGroups/{group}"
        f"/providers/Microsoft.MachineLearningServices/workspaces/{workspace}"
    )


def run_options(args: Any) -> RunOptions:
    """Return what was typed as a value; ``%mlflow_start`` has fewer options than ``%%mlflow_run``."""
    typed = vars(args)
    if typed.get("every", 1) < 1:
        raise OptionError(f"--every takes a whole number from 1 on, not {typed['every']}")
    return RunOptions(
        name=words.unquote(typed["name"]),
        experiment=words.unquote(typed["experiment"]),
        description=words.unquote(typed["description"]),
        run_id=words.unquote(typed["run_id"]),
        choices=Choices(
            params=words.names(typed.get("params")),
            metrics=words.names(typed.get("metrics")),
            skip=words.names(typed.get("skip")),
        ),
        artifacts=tuple(words.unquote(path) for path in typed.get("artifacts") or ()),
        data=tuple(_dataset(word) for word in words.names(typed.get("data"))),
        models=tuple(_model(word) for word in words.names(typed.get("model"))),
        tags=words.pairs(typed["tags"], "--tags"),
        nested=typed["nested"],
        system_metrics=typed["log_system_metrics"],
        capture=not typed.get("no_capture", True),
        source=not typed.get("no_source", True),
        dry_run=typed.get("dry_run", False),
        watch=words.names(typed.get("watch")),
        every=typed.get("every", 1),
    )


def _dataset(word: str) -> tuple[str, str]:
    name, sign, context = words.unquote(word).partition("=")
    if not name.isidentifier() or (sign and not context.strip()):
        raise OptionError(f"--data takes a variable, or variable=testing, not {word!r}")
    return name, context.strip() or "training"


def autolog_options(args: Any) -> dict[str, Any]:
    """Return the options that were typed, under MLflow's names; what was not typed is left to MLflow."""
    typed = {
        "exclude_flavors": list(words.names(args.exclude)),
        "exclusive": args.exclusive,
        "log_input_examples": args.log_input_examples,
        "silent": args.silent,
        "extra_tags": words.pairs(args.extra_tags, "--extra-tags"),
        "disable_for_unsupported_versions": args.disable_for_unsupported_versions,
    }
    switched_off = {"log_models": args.no_log_models, "log_datasets": args.no_log_datasets}
    return {k: v for k, v in typed.items() if v} | {k: False for k, off in switched_off.items() if off}


def _model(word: str) -> tuple[str, str]:
    variable, _, name = word.partition("=")
    return variable, name or variable


def text(word: str | None) -> str | None:
    """Return what was typed, without quotation marks; None where nothing was."""
    return words.unquote(word) if word else None
