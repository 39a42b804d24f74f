"""What must never leave the kernel: names that hold secrets, values that are secrets, and text freed of both."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, KeysView, Mapping
from typing import Any, Final

from .inspection import is_a, mro
from .secret_forms import secret_spans
from .values import is_scalar

WORDS: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
"""The words of ``snake_case``, ``camelCase`` and ``HTTPServer``."""

ALONE: Final = frozenset(
    {
        "password",
        "passwd",
        "pwd",
        "passphrase",
        "secret",
        "secrets",
        "credential",
        "credentials",
        "creds",
        "apikey",
        "authkey",
        "privatekey",
        "secretkey",
        "accesskey",
        "accountkey",
        "connectionstring",
        "connstr",
    }
)
"""Words that make a name secret wherever they stand."""

KEYS: Final = frozenset(
    {
        "api",
        "access",
        "private",
        "account",
        "secret",
        "signing",
        "encryption",
        "storage",
        "subscription",
        "auth",
        "shared",
        "master",
        "admin",
        "function",
    }
)
"""Words that make a following ``key`` secret."""

PAIRS: Final = frozenset({("connection", "string"), ("conn", "str"), ("connection", "str"), ("conn", "string")})
LAST: Final = frozenset({"token", "tokens", "bearer", "sas", "jwt"})
"""Words that make a name secret at its end, if its value is text."""

NOT_TOKENS: Final = frozenset(
    {
        "max",
        "min",
        "n",
        "num",
        "total",
        "pad",
        "eos",
        "bos",
        "unk",
        "sep",
        "cls",
        "mask",
        "special",
        "stop",
        "start",
        "end",
        "first",
        "last",
        "next",
        "prompt",
        "completion",
        "input",
        "output",
        "new",
        "generated",
        "cached",
        "prediction",
        "tokens",
        "count",
        "image",
        "audio",
        "begin",
        "decoder",
        "forced",
        "reasoning",
        "per",
        "avg",
        "mean",
        "word",
        "sub",
    }
)
"""``pad_token`` is a word of a vocabulary, ``max_tokens`` a number."""


def words_of(name: str) -> list[str]:
    """List the words of a name, in lower case.

    Parameters
    ----------
    name : str
        A variable, a dict key, an environment variable.

    Returns
    -------
    list of str
        ``["api", "key"]`` for ``apiKey``, ``API_KEY`` and ``api-key``.
    """
    return [word.lower() for word in WORDS.findall(name)]


def is_secret_name(name: str) -> bool:
    """Whether what goes by this name is likely to be a secret.

    Parameters
    ----------
    name : str
        A variable, a dict key, an environment variable; dotted names are judged step by step.

    Returns
    -------
    bool
        True for ``db_password``, ``apiKey``, ``HF_TOKEN``; False for ``max_tokens``, ``pad_token``, ``tokenizer``.
    """
    return _is_always_secret(name) or _is_token_name(name)


def _is_always_secret(name: str) -> bool:
    for step in name.split("."):
        words = words_of(step)
        if any(word in ALONE for word in words):
            return True
        pairs = list(itertools.pairwise(words))
        if any(pair in PAIRS or (pair[0] in KEYS and pair[1] in {"key", "keys"}) for pair in pairs):
            return True
    return False


def _is_token_name(name: str) -> bool:
    for step in name.split("."):
        words = words_of(step)
        while words and (words[-1].isdigit() or words[-1] in {"value", "str", "string", "header"}):
            words.pop()
        plain = words == ["tokens"] or NOT_TOKENS & set(words[:-1])  # words of a text, not `hf_tokens`
        if words and words[-1] in LAST and not (words[-1].startswith("token") and plain):
            return True
    return False


def is_secret_value(value: object) -> bool:
    """Whether a value is a secret by its form.

    Parameters
    ----------
    value : object
        Any value; text and short sequences of text are looked at.

    Returns
    -------
    bool
        True for keys, tokens, signed URLs, URLs with credentials.
    """
    kinds = mro(value)
    if str in kinds:
        return bool(secret_spans(str.__str__(value)))
    for base in (tuple, list):
        if base in kinds and base.__len__(value) <= 100:  # type: ignore[arg-type]
            parts: Any = base.__iter__(value)  # type: ignore[arg-type]
            return any(str in mro(part) and bool(secret_spans(str.__str__(part))) for part in parts)
    return False


def secret_reason(name: str, value: object) -> str:
    """Why a value must not be logged.

    Parameters
    ----------
    name : str
        Its name, dotted perhaps.
    value : object
        The value.

    Returns
    -------
    str
        ``"a secret"``; empty where it is fine. A number called token is fine; one called password is not.
    """
    if _is_always_secret(name):
        return "a secret"
    textual = not is_scalar(value) or is_a(value, str)
    if (textual and _is_token_name(name)) or is_secret_value(value):
        return "a secret"
    return ""


NAME: Final = r"[A-Za-z_][\w.\-]*"
LITERAL: Final = r"(?P<open>[rbfuRBFU]{0,2}(?P<q>'''|\"\"\"|'|\"))(?P<value>(?:\\.|(?!(?P=q))[\s\S])*)(?P=q)"
ASSIGNED: Final = re.compile(
    # name = "x", name: str = "x", name == "x", "name": "x", d["name"] = "x", f(name="x"), setdefault("name", "x")
    rf"(?P<name>{NAME})(?P<close>['\"]?\s*\]?)\s*(?::\s*[\w.\[\]| ]+=|==|!=|:=|=|:|,)\s*\(?\s*{LITERAL}"
)
FETCHED: Final = re.compile(rf"['\"](?P<name>{NAME})['\"]\s*,\s*{LITERAL}")
SHELL: Final = re.compile(rf"(?P<name>{NAME})(?P<op>=| )(?P<value>[^\s'\"`=(){{}}\[\],;]+|'[^'\n]*'|\"[^\"\n]*\")")
COMMAND: Final = re.compile(r"^\s*[%!].*$|\b(?:export|set|setx|--\w[\w-]*)\s.*$", re.MULTILINE)


def redact(text: str, namespace: Mapping[str, object] | None = None) -> str:
    """Replace every secret in a text by ``***``; its lines stay where they were.

    Parameters
    ----------
    text : str
        A cell's source, a traceback, any text.
    namespace : mapping, optional
        The variables whose values, where their names say they are secret, must not appear either.

    Returns
    -------
    str
        The text, ordinary code untouched.
    """
    spans = [*_named_spans(text), *_command_spans(text), *secret_spans(text)]
    for value in live_values(namespace or {}):
        spans += [(m.start(), m.end()) for m in re.finditer(re.escape(value), text)]
    return _masked(text, spans)


def _named_spans(text: str) -> Iterator[tuple[int, int]]:
    """Literals that are given to a name which says that they are secret."""
    for pattern in (ASSIGNED, FETCHED):
        place = 0
        while match := pattern.search(text, place):
            place = match.start() + len(match["name"])
            if match["value"] and is_secret_name(match["name"]):
                yield match.span("value")


def _command_spans(text: str) -> Iterator[tuple[int, int]]:
    """``%env API_KEY=abc`` and ``!export TOKEN=abc``."""
    for command in COMMAND.finditer(text):
        place = command.start()
        while match := SHELL.search(text, place, command.end()):
            place = match.end("name")
            # `%env KEY value` and `--token value`; in `echo token value` the word is just a word.
            named = match["op"] == "=" or match["name"].isupper() or text[match.start() - 1] == "-"
            if named and is_secret_name(match["name"]):
                yield match.span("value")
                place = match.end()


def live_values(namespace: Mapping[str, object]) -> list[str]:
    """Return the texts that variables hold whose names say they are secret, here and in the environment.

    Parameters
    ----------
    namespace : mapping
        The variables.

    Returns
    -------
    list of str
        Those of `SHORTEST` characters and more, longest first: shorter ones would be found in any text.
    """
    found = {os.environ[name] for name in _secret_names(os.environ.keys())}
    for name in _secret_names(namespace.keys()):
        if str in mro(namespace[name]):
            found.add(str.__str__(namespace[name]))
    return sorted((value for value in found if len(value) >= SHORTEST), key=len, reverse=True)


SHORTEST = 6

_judged: set[str] = set()
_secret: set[str] = set()


def _secret_names(names: KeysView[str]) -> set[str]:
    """Pick the names that say they are secret; each name is judged once, as a notebook keeps thousands of them."""
    texts = {name for name in names if type(name) is str}  # a namespace may hold any key
    if not texts <= _judged:
        fresh = texts - _judged
        _secret.update(name for name in fresh if is_secret_name(name))
        _judged.update(fresh)
    return _secret & texts


def _masked(text: str, spans: list[tuple[int, int]]) -> str:
    """One ``***`` for each stretch; line breaks inside it are kept, so that line numbers stay true."""
    parts, place = [], 0
    for start, end in _merged(spans):
        parts += [text[place:start], "***", "\n" * text.count("\n", start, end)]
        place = end
    return "".join([*parts, text[place:]])


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif start < end:
            merged.append((start, end))
    return merged
