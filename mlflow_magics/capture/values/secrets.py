"""Keeps secrets in the kernel: says which names and values are secret, and takes them out of texts."""

from __future__ import annotations

import functools
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, KeysView, Mapping
from typing import Any, Final
from urllib.parse import quote

from .inspection import is_a, mro
from .kinds import is_scalar
from .secret_forms import is_mixed, is_placeholder, is_random, secret_spans
from .secret_names import Grade, grade, is_password_name, is_token_name, words_of
from .secret_strings import Kind, is_secret_text
from .secret_text import named_spans

LOOKED: Final = 8_500
"""Characters of a value that are looked at: MLflow takes 8,000 of a tag and 6,000 of a param, and gets no more."""

SHORTEST: Final = 6
"""Length below which a secret's value is not looked for in texts: it would be found in any."""

_LONGEST_SOURCE: Final = 200_000
"""Characters up to which a cell is searched for the secrets that it gives to names."""


def is_secret_name(name: str) -> bool:
    """Tell whether what goes by this name is likely to be a secret.

    True for ``db_password``, ``apiKey``, ``HF_TOKEN``; False for ``max_tokens``, ``pad_token``, ``tokenizer``.
    """
    return grade(name) >= Grade.WEAK


def is_secret_value(value: object) -> bool:
    """Tell whether a value is a secret by its form, or tells one: ``"Pwd=…"``, ``"DB_PASSWORD=…"``.

    True for keys, tokens, signed URLs, URLs with credentials, settings and commands with passwords.
    """
    texts = list(_texts(value))
    # A command's words: ["curl", "-u", "user:password"].
    return any(map(_tells, texts)) or (len(texts) > 1 and _tells(" ".join(texts)[:LOOKED]))


def _tells(text: str) -> bool:
    if len(text) < SHORTEST:
        return False
    return bool(secret_spans(text)) or next(named_spans(text, "message"), None) is not None


def _texts(value: object) -> Iterator[str]:
    """Yield the beginning of a text, or those of a short sequence; as they are, whatever their class says."""
    kinds, left = mro(value), LOOKED
    if str in kinds:
        yield str.__str__(value)[:left]
    for base in (tuple, list):
        if base in kinds and base.__len__(value) <= 100:  # type: ignore[arg-type]
            parts: Any = base.__iter__(value)  # type: ignore[arg-type]
            for part in parts:
                if str in mro(part) and left > 0:
                    yield str.__str__(part)[:left]
                    left -= str.__len__(part)


def is_path(value: str) -> bool:
    """Tell whether a text is the path of something that exists, or can only be a path.

    True for the ``PWD`` that every shell exports, and for ``~/.ssh/id_rsa``.
    """
    if not 0 < len(value) < 4096 or "\n" in value or "\0" in value:
        return False
    if re.match(r"(?:~|\.{1,2})?[/\\]|[A-Za-z]:[/\\]", value) and not any(map(is_random, re.split(r"[/\\]", value))):
        return value.count("/") + value.count("\\") > 1 or os.path.exists(os.path.expanduser(value))
    try:
        return os.path.exists(value)
    except (OSError, ValueError):
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
        ``"a secret"``; empty where it is fine. A number called token is fine; one called password is not. A yes or
        no is fine whatever its name.
    """
    said = grade(name)
    if (said is not Grade.NONE and _is_secret(name, value, said)) or is_secret_value(value):
        return "a secret"
    return ""


def _is_secret(name: str, value: object, said: Grade) -> bool:
    """Judge a value by what its name says, and by its shape."""
    if value is None or is_a(value, bool, pathlib.PurePath):
        return False
    if is_a(value, str):
        text = str.__str__(value)[:LOOKED]
        if _as_word(name, text):
            return False
        return is_secret_text(text, said) and not is_path(text)
    if is_scalar(value):
        # A number of one or two digits is a count, and a token is no number.
        large = is_a(value, int) and int.__abs__(value) >= 1000  # type: ignore[arg-type]  # an int, as just seen
        number = large and words_of(name)[-1] not in {"token", "tokens"}
        return is_password_name(name) or (said is Grade.STRONG and number)
    if is_a(value, tuple, list):
        texts = [text for text in _texts(value) if not is_path(text)]
        if said is Grade.WEAK and is_a(value, tuple) and len(texts) == 2:
            return not any(map(is_placeholder, texts))  # auth=("user", "password")
        return any(is_secret_text(text, said) for text in texts) or (said is Grade.STRONG and not texts)
    return said is Grade.STRONG


def _as_word(name: str, text: str) -> bool:
    """``POSTGRES_PASSWORD=postgres`` tells no more than the name; ``secret_key = "key"`` neither."""
    return len(text) <= 12 and text.isalpha() and text.lower() in words_of(name)


def redact(
    text: str, namespace: Mapping[str, object] | None = None, kind: Kind = "code", also: Iterable[str] = ()
) -> str:
    """Replace every secret in a text by ``***``; its lines stay where they were.

    The time grows with the length, and no faster.

    Parameters
    ----------
    text : str
        A cell's source, a traceback, any text.
    namespace : mapping, optional
        The variables whose values, where their names say they are secret, must not appear either, nor what the
        notebook's cells gave to such names.
    kind : {"code", "message", "traceback"}, optional
        What the text is.
    also : iterable of str, optional
        More secrets that must not appear.

    Returns
    -------
    str
        The text, ordinary code untouched.
    """
    return _masked(text, _spans(text, namespace or {}, kind, also))


def holds_secret(text: str, namespace: Mapping[str, object]) -> bool:
    """Tell whether the beginning of a value, which is all that MLflow gets of it, holds a secret.

    Parameters
    ----------
    text : str
        The value.
    namespace : mapping
        The variables, as in :func:`redact`.

    Returns
    -------
    bool
        True where :func:`redact` would take something out of its first `LOOKED` characters.
    """
    return bool(_spans(text[:LOOKED], namespace, "message", ()))


def redact_beginning(
    text: str, namespace: Mapping[str, object] | None = None, also: Iterable[str] = (), *, most: int = LOOKED
) -> str:
    """Give the beginning of a message without secrets; the rest is not looked at, and is not in the answer."""
    # More is looked at than is given: a secret that begins before the cut is known by what follows it.
    seen = text[: most + _MARGIN]
    spans = [(start, min(end, most)) for start, end in _spans(seen, namespace or {}, "message", also) if start < most]
    rest = len(text) - most
    return _masked(seen[:most], spans) + (f" … ({rest:,} more characters)\n" if rest > 0 else "")


def _spans(text: str, namespace: Mapping[str, object], kind: Kind, also: Iterable[str]) -> list[tuple[int, int]]:
    """Find every secret: by its form, by its name, and by the values of secret names wherever they stand."""
    spans = secret_spans(text)
    spans += [(start, end) for start, end in named_spans(text, kind) if not is_path(text[start:end])]
    told = {text[start:end] for start, end in spans if SHORTEST <= end - start <= 500}
    for value in dict.fromkeys([*sorted(told, key=len)[-_MOST:], *live_values(namespace), *also]):
        spans += _places(value, text)
    return spans


_MOST: Final = 100
"""Secrets of a text that are looked for in the rest of it."""

_MARGIN: Final = 3_000
"""Characters behind a cut that are looked at."""


def _places(value: str, text: str) -> Iterator[tuple[int, int]]:
    """Find where a text holds a value, also as ``repr`` and a URL write it; a plain word as a whole word only."""
    for form in {value, repr(value)[1:-1], quote(value, safe="")} if len(value) <= 4096 else {value}:
        at = text.find(form)
        while at >= 0:
            end = at + len(form)
            whole = not (form.isalpha() or form.isdigit()) or not (
                text[at - 1 : at].isalnum() or text[end : end + 1].isalnum()
            )
            if whole:
                yield at, end
            at = text.find(form, end)


def live_values(namespace: Mapping[str, object]) -> list[str]:
    """Return the texts that variables hold whose names say they are secret, here and in the environment."""
    found = [
        value
        for name in _secret_names(os.environ.keys())
        if _lives(name, value := os.environ[name], sure=is_token_name(name))
    ]
    found += values_under(namespace)
    history = namespace.get("In")
    if type(history) is list:
        for source in history[-_CELLS:]:
            if type(source) is str and len(source) <= _LONGEST_SOURCE:
                found += told_in(source)
    return sorted(dict.fromkeys(found), key=len, reverse=True)


def values_under(namespace: Mapping[str, object]) -> list[str]:
    """Return the texts that variables hold whose names say they are secret."""
    found = []
    for name in _secret_names(namespace.keys()):
        value = namespace[name]
        # auth = ("user", "password")
        texts = _texts(value)
        found += [text for text in texts if _lives(name, text, sure=is_a(value, tuple) and is_mixed(text))]
    return found


_CELLS: Final = 500
"""Cells of the notebook that are searched for what they give to secret names."""


def _lives(name: str, text: str, *, sure: bool) -> bool:
    """Tell whether a text that goes by a secret name must be looked for wherever it stands."""
    if not SHORTEST <= len(text) < LOOKED or _as_word(name, text):
        return False
    said = Grade.STRONG if sure else grade(name)
    return is_secret_text(text, said) and not is_path(text)


@functools.lru_cache(maxsize=1024)
def told_in(source: str) -> tuple[str, ...]:
    """Return the texts that a cell gives to secret names; an exception may show them without the name.

    Parameters
    ----------
    source : str
        The cell.

    Returns
    -------
    tuple of str
        Those of `SHORTEST` characters and more.
    """
    found = (source[start:end] for start, end in named_spans(source, "code") if end - start >= SHORTEST)
    return tuple(value for value in dict.fromkeys(found) if not is_path(value))


_judged: set[str] = set()
_secret: set[str] = set()


def _secret_names(names: KeysView[str]) -> set[str]:
    """Pick the names that say they are secret; each name is judged once, as a notebook keeps thousands of them."""
    if not names <= _judged:
        fresh = {name for name in names - _judged if type(name) is str}  # a namespace may hold any key
        _secret.update(name for name in fresh if is_secret_name(name))
        _judged.update(fresh)
    return {name for name in _secret if name in names}


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
