"""Reads requests to language models: their settings are logged, of their prompts only a hash and a length."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Callable
from typing import Any, Final

from ..code.constants import UNKNOWN
from ..values.secret_names import each

_TAILS: Final = frozenset(
    {
        *((owner, "create") for owner in ("completions", "messages", "responses", "embeddings")),
        *((owner, "parse") for owner in ("completions", "messages", "responses")),
        *((owner, "stream") for owner in ("completions", "messages", "responses")),
        *(("litellm", function) for function in ("completion", "acompletion", "responses", "embedding")),
        *(("ollama", function) for function in ("chat", "generate")),
        *(("models", function) for function in ("generate_content", "generate_content_stream")),
        *(("chat", function) for function in ("complete", "complete_async", "stream")),
    }
)
"""Last two names of the calls that are requests, where they are given a model."""

SETTINGS: Final = each("""
    model temperature top_p top_k min_p max_tokens max_completion_tokens max_output_tokens seed n stop stop_sequences
    presence_penalty frequency_penalty repetition_penalty repeat_penalty reasoning_effort reasoning thinking verbosity
    dimensions tool_choice response_format config options num_ctx num_predict truncation
""")
"""Parameters of a request that are its settings."""

PROMPTS: Final = each("messages prompt input instructions system contents")
"""Parameters of a request that are texts."""

_MOST: Final = 100_000
"""Characters of a prompt beyond which it is not read."""

_DEEPEST: Final = 6

Names = Callable[[str], object]
"""Gives the value of a variable; `UNKNOWN` where it may have been another one at the call."""


def request_name(code: ast.Call) -> str:
    """Give the name of a request, ``completions.create``; empty where a call is none."""
    names: list[str] = []
    func: ast.expr = code.func
    while isinstance(func, ast.Attribute):
        names.append(func.attr)
        func = func.value
    if isinstance(func, ast.Name):
        names.append(func.id)
    given = {keyword.arg for keyword in code.keywords}
    if tuple(reversed(names[:2])) in _TAILS and "model" in given:
        return ".".join(reversed(names[:2]))
    # from litellm import completion
    return names[0] if names in (["completion"], ["acompletion"]) and {"model", "messages"} <= given else ""


def told_of(expr: ast.expr, names: Names) -> tuple[tuple[str, str], ...]:
    """Give what is logged of a prompt.

    Parameters
    ----------
    expr : ast.expr
        The prompt, as it is written in the call.
    names : callable
        Gives the values of variables.

    Returns
    -------
    tuple of (str, str)
        ``sha256`` (its first 12 digits) and ``length`` (characters of its texts); empty where it cannot be read.
    """
    value = _read(expr, names)
    length = _length(value, _DEEPEST)
    if value is UNKNOWN or length is None or not length:
        return ()
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    digest = hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()
    return ("sha256", digest[:12]), ("length", str(length))


def variables_of(expr: ast.expr) -> set[str]:
    """List the variables that hold the texts of a prompt themselves, not parts of one."""
    match expr:
        case ast.Name(id=name):
            return {name}
        case ast.List(elts=elts) | ast.Tuple(elts=elts):
            return {name for elt in elts for name in variables_of(elt)}
        case ast.Dict(keys=keys, values=values):
            named = zip(keys, values, strict=True)
            texts = [value for key, value in named if isinstance(key, ast.Constant) and key.value in _TEXTS]
            return {name for text in texts for name in variables_of(text)}
    return set()


_TEXTS: Final = ("content", "text", "parts")


def _read(expr: ast.expr, names: Names) -> Any:
    match expr:
        case ast.Constant(value=str() | int() | float() | None as value):
            return value
        case ast.Name(id=name):
            return _copied(names(name), _DEEPEST)
        case ast.List(elts=elts) | ast.Tuple(elts=elts):
            parts = [_read(elt, names) for elt in elts]
            return UNKNOWN if any(part is UNKNOWN for part in parts) else parts
        case ast.Dict(keys=keys, values=values):
            return _read_dict(keys, [_read(value, names) for value in values])
        case ast.JoinedStr(values=values):
            return _read_joined(values, names)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            one, other = _read(left, names), _read(right, names)
            return one + other if type(one) is type(other) and isinstance(one, str | list) else UNKNOWN
    return UNKNOWN


def _read_dict(keys: list[ast.expr | None], values: list[Any]) -> Any:
    found = {}
    for key, value in zip(keys, values, strict=True):
        if not isinstance(key, ast.Constant) or not isinstance(key.value, str) or value is UNKNOWN:
            return UNKNOWN
        found[key.value] = value
    return found


def _read_joined(values: list[ast.expr], names: Names) -> Any:
    texts = []
    for part in values:
        if isinstance(part, ast.FormattedValue):
            inner = _read(part.value, names) if part.conversion == -1 and part.format_spec is None else UNKNOWN
            if type(inner) not in (str, int, float):
                return UNKNOWN
            texts.append(str(inner))
        elif isinstance(part, ast.Constant):
            texts.append(str(part.value))
    return "".join(texts)


def _copied(value: Any, depth: int) -> Any:
    """Copy what is made of Python's own texts, numbers, lists and dicts alone; of anything else nothing is read."""
    kind = type(value)
    if kind is str or kind is int or kind is float or kind is bool or value is None:
        return value
    if (kind is list or kind is tuple) and depth and len(value) <= 1_000:
        parts = [_copied(one, depth - 1) for one in value]
        return UNKNOWN if any(part is UNKNOWN for part in parts) else parts
    if kind is dict and depth and len(value) <= 1_000:
        inner = {key: _copied(one, depth - 1) for key, one in value.items() if type(key) is str}
        return UNKNOWN if len(inner) < len(value) or any(one is UNKNOWN for one in inner.values()) else inner
    return UNKNOWN


def _length(value: Any, depth: int) -> int | None:
    """Count the characters of a prompt's texts, those of roles and types left out; None where there are too many."""
    if isinstance(value, str):
        total = len(value)
    elif isinstance(value, list | dict) and depth:
        parts = value.values() if isinstance(value, dict) else value
        if isinstance(value, dict):
            parts = [one for key, one in value.items() if key not in ("role", "type", "name")]
        counts = [_length(one, depth - 1) for one in parts]
        if any(count is None for count in counts):
            return None
        total = sum(count or 0 for count in counts)
    else:
        total = 0
    return total if total <= _MOST else None
