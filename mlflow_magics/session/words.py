"""The words on a magic's line: ``k=v`` pairs, ``a,b`` lists, ``name=expression``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from ..vocabulary.errors import OptionError


def names(words: Iterable[str] | None) -> tuple[str, ...]:
    """Return names given as ``a b``, as ``a,b`` or both.

    Parameters
    ----------
    words : iterable of str or None
        As argparse collected them.

    Returns
    -------
    tuple of str
        In order.
    """
    return tuple(name for word in words or () for name in word.split(",") if name)


def pairs(words: Iterable[str] | None, option: str) -> dict[str, str]:
    """Return ``k=v`` words as a dict.

    Parameters
    ----------
    words : iterable of str or None
        As argparse collected them.
    option : str
        The option they belong to, for the message.

    Returns
    -------
    dict of str to str
        A value keeps whatever follows the first ``=``.

    Raises
    ------
    OptionError
        A word has no ``=``.
    """
    values = {}
    for word in words or ():
        key, sign, value = unquote(word).partition("=")
        if not sign or not key.strip():
            raise OptionError(f"{option} takes name=value, not {word!r}")
        values[key.strip()] = unquote(value)
    return values


def unquote(word: str) -> str:
    """Return `word` without the quotation marks around it; IPython keeps them on a magic's line.

    Parameters
    ----------
    word : str
        One word of the line.

    Returns
    -------
    str
        The text meant.
    """
    if len(word) >= 2 and word[0] == word[-1] and word[0] in "\"'":
        return word[1:-1]
    return word


def assignments(text: str) -> list[tuple[str, str]]:
    """Split ``a=1 b=f(x, y == z)`` into names and expressions; a lone ``name`` is its own expression.

    Parameters
    ----------
    text : str
        What follows ``%mlflow_log metric``. Pairs stand apart by blanks or commas.

    Returns
    -------
    list of (str, str)
        Name and Python expression.

    Raises
    ------
    OptionError
        A part is neither a name nor ``name=expression``.
    """
    expressions = []
    for part in _parts(text):
        match = re.match(
            r"""\s*(?P<quote>["']?)(?P<name>[\w.\-/@ ]+?)(?P=quote)\s*=(?!=)\s*(?P<value>.+)$""", part, re.S
        )
        name, value = (match["name"], match["value"]) if match else (part.strip(), part.strip())
        try:
            ast.parse(value, mode="eval")
        except SyntaxError:
            raise OptionError(f"not a Python expression: {value}; write name=expression") from None
        expressions.append((name, value))
    return expressions


def _parts(text: str) -> list[str]:
    """Split at blanks and commas outside brackets and quotes, but only in front of ``name=`` or a new lone name."""
    starts = [0]
    depth, quote = 0, ""
    for position, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif depth == 0 and (char.isspace() or char == ",") and _complete(text[starts[-1] : position]):
            rest = text[position + 1 :]
            if re.match(r"""\s*(["']?)[\w.\-/@]+\1\s*=(?!=)""", rest) or (
                re.match(r"\s*[A-Za-z_][\w.]*\s*(,|\s|$)", rest) and not re.match(_OPERATOR, rest)
            ):
                starts.append(position + 1)
    ends = [*starts[1:], len(text)]
    parts = [text[a:b].strip().strip(",").strip() for a, b in zip(starts, ends, strict=True)]
    return [part for part in parts if part]


_OPERATOR = r"\s*(if|else|and|or|not|in|is|for)\b"


def _complete(part: str) -> bool:
    """Tell whether `part` is a whole ``name=expression`` or a whole expression by itself."""
    value = re.sub(r"""^\s*(["']?)[\w.\-/@ ]+?\1\s*=(?!=)""", "", part.strip().strip(","))
    try:
        ast.parse(value.strip(), mode="eval")
    except SyntaxError:
        return False
    return True
