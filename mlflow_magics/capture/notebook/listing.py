"""Lists which names of a namespace can be logged, and as what."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from ...vocabulary.panel import Loggable
from ...vocabulary.records import Skipped
from ..roles.roles import role_and_reason
from ..values.inspection import class_name, is_a, mro, shape_of
from ..values.kinds import Kind, kind_of
from ..values.secrets import holds_secret
from ..values.writing import number_of, text_of

_NEVER: Collection[Kind] = frozenset({"module", "class", "function"})
_LONGEST = 80
_OBJECTS = {"figure": "figure", "model": "model"}


def loggables(names: Iterable[str], namespace: Mapping[str, object], history: Sequence[str]) -> tuple[Loggable, ...]:
    """List what can be logged.

    Parameters
    ----------
    names : iterable of str
        The user's own.
    namespace : mapping
        What they hold.
    history : sequence of str
        Sources of the cells run so far, newest last.

    Returns
    -------
    tuple of Loggable
        In the order of the names; secrets, modules, classes and functions are not among them.
    """
    found = (_loggable(name, namespace[name], namespace, history) for name in names if name in namespace)
    return tuple(one for one in found if one is not None)


def _loggable(name: str, value: object, namespace: Mapping[str, object], history: Sequence[str]) -> Loggable | None:
    kind = kind_of(value)
    if kind in _NEVER or name.startswith("_"):
        return None
    roles = _roles(value, kind)
    if not roles:
        return None
    role, reason = role_and_reason(name, value, history, namespace)
    written = _written(value, kind)
    if isinstance(role, Skipped):
        return None  # a secret: all else that has roles at all can be logged
    guess, why = role.removesuffix("s"), ""
    if guess == "metric" and reason:
        guess, why = "", reason  # a loop's counter, a clock reading: who wants it all the same can choose what it is
    if isinstance(value, str) and holds_secret(value, namespace):
        return None
    if holds_secret(written, namespace):
        return None
    return Loggable(name, class_name(type(value)), written, guess, why or _why(guess, kind), roles)


def _roles(value: object, kind: Kind) -> tuple[str, ...]:
    if kind in _OBJECTS:
        return (_OBJECTS[kind],)
    if number_of(value) is not None:
        return ("metric", "param")
    if kind == "scalar":
        return ("param", "text") if is_a(value, str) else ("param",)
    if kind == "short":
        return ("param",)
    if kind == "config":
        return ("param", "metric") if is_a(value, dict) else ("param",)
    return ("table",) if any(class_name(cls) == "DataFrame" for cls in mro(value)) else ()


def _why(role: str, kind: Kind) -> str:
    if role == "metric":
        return "computed"
    if role == "param":
        return "a configuration" if kind == "config" else "an input"
    return f"a {role}"


def _written(value: object, kind: Kind) -> str:
    """Write a value on one line; of what is large only its shape, for nobody's ``__repr__`` is to be waited for."""
    if kind in {"scalar", "short"}:
        text = text_of(value) or ""
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    number = number_of(value)
    if number is not None:
        return f"{number:g}"
    if is_a(value, dict):
        return f"{dict.__len__(value)} entries"  # type: ignore[arg-type]
    shape = shape_of(value)
    return " x ".join(map(str, shape)) if shape else ""
