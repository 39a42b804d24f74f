"""Writes a text in a filter of MLflow's: one way for every search."""

from __future__ import annotations

_QUOTES = "'\""
_AMBIGUOUS = str.maketrans({"'": "_", '"': "_", "\\": "_"})


def equal(key: str, value: str) -> str:
    """Return a filter that finds what has a value.

    MLflow's filters know no escapes (2.22 to 3.17, tried with each kind of text): a text may hold all but the quotes
    that it stands in. One with both kinds of quotes is looked for with ``LIKE``, whose ``_`` is any character.
    """
    for quote in _QUOTES:
        if quote not in value:
            return f"{key} = {quote}{value}{quote}"
    return f"{key} LIKE '{value.translate(_AMBIGUOUS)}'"
