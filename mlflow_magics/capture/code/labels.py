"""Reads the name of a number off the text before it: ``"Results: accuracy = "``."""

from __future__ import annotations

import re

_MOST_WORDS, _LONGEST = 5, 40
# fmt: off
_NO_RESULTS = frozenset({
    "epoch", "step", "iter", "iteration", "fold", "trial", "batch", "seed", "run", "round", "shape", "size", "rows",
    "columns", "samples", "features", "classes", "in",
    "took", "takes", "after", "demorou", "levou", "on", "at", "from", "to", "and", "with", "of", "version",
    "época", "passo", "rodada", "lote", "semente", "linhas", "colunas", "amostras", "em",
})
_ARTICLES = frozenset({"the", "a", "an", "o", "os", "as", "um", "uma"})
# fmt: on
_DASH = "\N{EN DASH}"
_VERBS = re.compile(r"(?:\s(?:is|was|of|are|at|é|foi|de))+$", re.IGNORECASE)


def label_of(text: str) -> str:
    """Return the name that a text gives to the value behind it; empty where it gives none.

    ``"Results: accuracy = "`` gives ``"accuracy"``.
    """
    text = re.split(r"[\n\t,;|·•—]|\s{2,}|\((?![^(]*\))|\[|->|→", text.rstrip(" \t\n:=>→-.([$€£" + _DASH))[-1]
    text = text.rpartition(":")[2] if ":" in text else text
    text = re.sub(r"[()\[\]{}%*#'\"]", "", text).strip(" \t:=-.<>!?~" + _DASH)
    text = _VERBS.sub("", " " + text).strip(" :=-." + _DASH)
    words = text.split()
    while len(words) > 1 and words[0].lower() in _ARTICLES:
        words = words[1:]
    label = " ".join(words)
    if not re.search(r"[^\W\d_]", label) or len(words) > _MOST_WORDS or len(label) > _LONGEST:
        return ""
    return "" if words[-1].lower() in _NO_RESULTS else label
