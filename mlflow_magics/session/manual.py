"""Does what ``%mlflow_log`` asks: finds out what was meant, and logs it into the open run."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..capture.roles import roles, single
from ..capture.values import secrets
from ..vocabulary.errors import MlflowMagicsError, NotLoggableError, OptionError, UnknownNameError
from ..vocabulary.records import Metric, Param
from . import words
from .openrun import OpenRun
from .session import Session

OBJECTS = ("figure", "table", "text", "model")
KINDS = ("param", "metric", "tag", "artifact", *OBJECTS)
_STEP = re.compile(r"(?:^|\s)--step(?:[=\s]+(\{[^}]*\}|\S+)|$)")


def log(session: Session, line: str, history: Sequence[str], into: OpenRun | None = None) -> list[str]:
    """Log what a ``%mlflow_log`` line says.

    Parameters
    ----------
    session : Session
        Holds the run.
    line : str
        What was typed after the magic's name.
    history : sequence of str
        The cells run so far, newest last: they tell whether a variable is an input or a result.
    into : OpenRun, optional
        The run; the innermost open one if not given.

    Returns
    -------
    list of str
        One line for each thing logged.

    Raises
    ------
    MlflowMagicsError
        It does not make sense, or no run is open.
    """
    line, step = _take_step(session, line)
    kind, _, rest = line.strip().partition(" ")
    rest = rest.strip()
    if not kind:
        raise OptionError(f"%mlflow_log takes a variable, or one of {', '.join(KINDS)} and what to log")
    if kind not in KINDS or (not rest and kind in session.namespace):
        # The second: people call their variables model, figure and text.
        return _log_inferred(session, line.strip(), step, history, into)
    if not rest:
        raise OptionError(f"%mlflow_log {kind} takes what to log: %mlflow_log {kind} {_EXAMPLES[kind]}")
    opened = into or session.find_open()
    if kind == "artifact":
        return _log_artifacts(opened, [words.unquote(word) for word in _words(rest)])
    if kind == "tag":
        return log_tags(session, opened, _tag_values(session, rest))
    if kind in OBJECTS:
        name, variable = _name_and_variable(rest)
        return _log_object(opened, kind, name, evaluate(session, variable), session)
    values = [(name, evaluate(session, value)) for name, value in words.assignments(rest)]
    return _log_values(session, opened, kind, values, step)


def evaluate(session: Session, expression: str) -> Any:
    """Return the value of an expression in the kernel's namespace."""
    try:
        return eval(expression, session.namespace)  # type: ignore[arg-type]  # the kernel's own dict
    except NameError as error:
        raise UnknownNameError("variable", getattr(error, "name", None) or expression, session.known_names()) from None
    except Exception as error:  # noqa: BLE001
        # The expression is the user's: whatever it raises is said on one line.
        raise OptionError(f"{expression}: {type(error).__name__}: {error}") from None


_EXAMPLES = {
    "param": "learning_rate=0.1",
    "metric": "accuracy=0.9 --step 3",
    "tag": "stage=dev",
    "artifact": "plot.png",
    "figure": "fig",
    "table": "df",
    "text": "report",
    "model": "model diabetes",
}


def _take_step(session: Session, line: str) -> tuple[str, int]:
    """Take ``--step 3`` off the line; in a loop ``--step epoch``, ``--step {epoch}`` or ``--step $epoch``."""
    match = _STEP.search(line)
    if match is None:
        for word in re.findall(r"(?<!\S)--[a-z][\w-]*", line):
            raise OptionError(f"unknown option {word}; did you mean --step?")
        return line, 0
    rest, word = line[: match.start()] + line[match.end() :], match[1] or ""
    expression = word.removeprefix("$").removeprefix("{").removesuffix("}")
    try:
        step = evaluate(session, expression)
        # Also what is no int but counts: numpy's integers.
        return rest, operator.index(step)
    except (MlflowMagicsError, TypeError):
        instead = f", not {word!r}" if word else ""
        raise OptionError(f"--step takes a whole number, or a variable that holds one{instead}") from None


def _log_inferred(session: Session, text: str, step: int, history: Sequence[str], into: OpenRun | None) -> list[str]:
    lines: list[str] = []
    for name, expression in words.assignments(text):
        if name == expression and name not in session.namespace:
            raise UnknownNameError("variable", name, [*KINDS, *session.known_names()])
        value = evaluate(session, expression)
        role = roles.role_of(
            name,
            value,
            [*history, f"{name} = {expression}"] if name != expression else history,
            session.namespace,
        )
        if not isinstance(role, str):
            hint = f"; to log it all the same: {role.option}" if role.option else ""
            raise NotLoggableError(name, f"{role.reason}{hint}")
        opened = into or session.find_open()
        if role in ("param", "metric", "params", "metrics"):
            lines += _log_values(session, opened, role.removesuffix("s"), [(name, value)], step)
        elif role == "artifact":
            lines += _log_artifacts(opened, [str(value)])
        else:
            lines += _log_object(opened, role, name, value, session)
    return lines


# -- each kind of thing -------------------------------------------------------------------------------------------


def _refuse_secret(session: Session, name: str, value: Any) -> None:
    """Raise for what is a secret by its name or form, or holds the value of a variable that is one by its name."""
    held = isinstance(value, str) and secrets.holds_secret(value, session.namespace)
    if held or secrets.secret_reason(name, value):
        raise NotLoggableError(name, "it looks like a secret, so it is not logged")


def _log_values(
    session: Session, opened: OpenRun, kind: str, values: Sequence[tuple[str, Any]], step: int
) -> list[str]:
    from ..tracking.calls import guards
    from ..tracking.runs import runs

    params: list[Param] = []
    metrics: list[Metric] = []
    for name, value in values:
        _refuse_secret(session, name, value)
        if kind == "param":
            params += single.as_params(name, value)
        else:
            metrics += single.as_metrics(name, value)
    for param in params:
        _refuse_secret(session, param.name, param.value)
    with guards.unseeded():
        notes = runs.write_one(opened.tracked, params=params, metrics=metrics, step=step)
    at = f" at step {step}" if step else ""
    refused = {note.split(" was refused")[0] for note in notes if " was refused" in note}
    lines = [f"param {p.name} = {p.value}" for p in params] + [f"metric {m.name} = {m.value:g}{at}" for m in metrics]
    return [f"{line}  →  run {opened.name}" for line in lines if line.split(" = ")[0] not in refused] + notes


def log_tags(session: Session, opened: OpenRun, tags: Mapping[str, str]) -> list[str]:
    """Set tags of a run."""
    from ..tracking.calls import guards
    from ..tracking.runs import runs

    for name, value in tags.items():
        _refuse_secret(session, name, value)
    with guards.unseeded():
        notes = runs.write_tags(opened.tracked, tags)
    return [f"tag {name} = {value}  →  run {opened.name}" for name, value in tags.items()] + notes


def _log_artifacts(opened: OpenRun, patterns: Sequence[str]) -> list[str]:
    from ..tracking.calls import guards
    from ..tracking.runs import artifacts, files

    with guards.unseeded(), files.staging() as folder:
        notes = files.stage_paths(patterns, folder)
        staged = files.staged(folder)
        if not staged and notes:
            raise NotLoggableError(patterns[0], notes[0].partition(" was not logged: ")[2])
        artifacts.upload(opened.tracked, folder)
    return [f"artifact {name}  →  run {opened.name}" for name in staged] + notes


def _log_object(opened: OpenRun, kind: str, name: str, value: Any, session: Session) -> list[str]:
    from ..tracking.calls import guards
    from ..tracking.models import models
    from ..tracking.runs import artifacts, files

    if kind == "model":
        with guards.unseeded():
            logged = models.log_model(value, name, run_id=_id(opened))
        return [f"model {logged.name} ({logged.flavor})  →  run {opened.name}", *logged.notes]
    with guards.unseeded(), files.staging() as folder:
        if kind == "figure":
            figure = single.as_figure(name, value)
            notes = files.stage_figures([figure], folder / "figures")
        elif kind == "table":
            notes = files.stage_table(name, value, folder)
        else:
            notes = files.stage_text(name, secrets.redact(str(value), session.namespace), folder)
        staged = files.staged(folder)
        artifacts.upload(opened.tracked, folder)
    return [f"{kind} {path}  →  run {opened.name}" for path in staged] + notes


def _id(opened: OpenRun) -> str:
    return str(opened.tracked.info.run_id)


# -- words --------------------------------------------------------------------------------------------------------


def _name_and_variable(text: str) -> tuple[str, str]:
    """``model diabetes``: a variable and a name; ``diabetes=model``: a name and an expression; ``model``: both."""
    ((name, variable), *more) = words.assignments(text)
    if more and name == variable and len(more) == 1 and more[0][0] == more[0][1]:
        return more[0][0], variable
    if more:
        raise OptionError(f"one at a time: {text}")
    return name, variable


def _tag_values(session: Session, text: str) -> dict[str, str]:
    """Tags are text: ``stage=dev`` means the word, ``stage=f"{x}"`` and ``stage=var`` mean the value."""
    try:
        parts = words.assignments(text)
    except OptionError:
        # No Python, so text: version=1.2.3
        return words.pairs(_words(text), "%mlflow_log tag")
    found = {}
    for name, expression in parts:
        try:
            # A word that is only a builtin's name (all, id, max) is meant as a word.
            word = expression.isidentifier() and expression not in session.namespace
            found[name] = expression if word else str(evaluate(session, expression))
        except UnknownNameError:
            found[name] = expression
    return found


def _words(text: str) -> list[str]:
    return re.findall(r"\"[^\"]*\"|'[^']*'|\S+", text)
