"""Reads strings where a text may give a secret: in code, behind a name, as a value rather than a key or a label."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from .secret_forms import is_mixed, is_placeholder, is_random
from .secret_names import Grade, each, grade

_STRING: Final = (
    r'"""[^"\\]*(?:(?:\\[\s\S]|"(?!""))[^"\\]*)*(?:"""|\Z)'
    r"|'''[^'\\]*(?:(?:\\[\s\S]|'(?!''))[^'\\]*)*(?:'''|\Z)"
    r'|"[^"\\\n]*(?:\\[\s\S][^"\\\n]*)*(?:"|(?=\n)|\Z)'
    r"|'[^'\\\n]*(?:\\[\s\S][^'\\\n]*)*(?:'|(?=\n)|\Z)"
)
"""A string, closed or not: where its end is missing it ends with the line, or the text."""

_PROSE: Final = re.compile(rf"{_STRING}|\#[^\n]*|^[ \t]*[%!][^\n]*", re.MULTILINE)
"""Where words are not code: strings, comments, magics, shell lines."""

_SHOWN: Final = re.compile(
    r"^[ |+]*File \"[^\"\n]*\", line \d+[^\n]*\n(?P<code>(?:[ |+]{4}[^\n]*(?:\n|\Z))*)", re.MULTILINE
)
"""The lines of code that a traceback shows."""

TOKEN: Final = re.compile(
    rf"(?P<space>[ \t\f]+|\\\n|\#[^\n]*)|(?P<newline>\n)|(?P<prefix>[rbfuRBFU]{{0,2}})(?P<string>{_STRING})"
    r"|(?P<word>[^\W\d][\w.]*)|(?P<number>\d[\w.]*)|(?P<sign>==|!=|:=|[\s\S])"
)
_FIELD: Final = re.compile(r"\{[^{}]*\}")
_STEPS: Final = 150
"""Tokens of an expression that are looked at behind a name."""

_DEFAULTS: Final = frozenset(
    {"get", "getenv", "pop", "setdefault", "getattr", "field", "Field", "env", "config", "getoption"}
)
"""Calls whose second argument is a value, and the first a name."""

_WRAPPERS: Final = each("""
    str bytes bytearray SecretStr SecretBytes Secret b64encode quote quote_plus format strip encode dict
    Bearer set_password StringVar String
""")
"""Calls that hand on what they are given."""

Kind = Literal["code", "message", "traceback"]
"""What a text is. In code a bare word behind a name is another name, in a message it is a value."""


class Place:
    """A text, and where in it words are not code."""

    def __init__(self, text: str, kind: Kind) -> None:
        self.text = text
        self.kind = kind
        self._looked = False
        self._prose: list[tuple[int, int]] = []
        self._code: list[tuple[int, int]] = []
        self.steps = 500 + len(text) // 4
        """What may still be looked at. A text that is full of secret names is no text: the rest of it is left out."""

    def is_prose(self, at: int) -> bool:
        """Whether a place is in a string, a comment or a shell line, or outside the lines of code of a traceback."""
        if self.kind == "message":
            return True
        self._look()
        if self.kind == "code":
            return _around(self._prose, at) is not None
        return _around(self._code, at) is None

    def end(self, start: int, end: int) -> int:
        """Where what is said behind a name ends: with the string that it stands in, or with the text."""
        if self.kind == "code":
            self._look()
            around = _around(self._prose, start)
            if around is not None and self.text[around[0]] in {"'", '"'}:
                mark = self.text[around[0]] * (3 if self.text[around[0] : around[0] + 3] in {"'''", '"""'} else 1)
                closed = self.text.endswith(mark, around[0] + len(mark), around[1])
                inner = around[1] - len(mark) * closed
                return inner if end < inner else len(self.text)
        return len(self.text)

    def _look(self) -> None:
        if not self._looked:
            self._looked = True
            self._prose = [match.span() for match in _PROSE.finditer(self.text)] if self.kind == "code" else []
            self._code = [match.span("code") for match in _SHOWN.finditer(self.text)]


def _around(spans: list[tuple[int, int]], at: int) -> tuple[int, int] | None:
    """Return the span that a place is in."""
    index = bisect.bisect_right(spans, (at, 1 << 62)) - 1
    return spans[index] if index >= 0 and spans[index][0] <= at < spans[index][1] else None


def strings_given(
    place: Place, at: int, said: Grade, *, direct: bool, stop: int, several: bool = False
) -> Iterator[tuple[int, int]]:
    """Strings in the expression that begins at `at` which are what the name, perhaps of several, is given."""
    text = place.text
    stack: list[_Bracket] = []
    word, previous = "", ""
    if text[at : at + 2] in {"\\'", '\\"'}:
        return  # a string in a string; its end is looked for elsewhere
    for _ in range(_STEPS):
        place.steps -= 1
        token = TOKEN.match(text, at, stop)
        if token is None:
            return
        at = token.end()
        if token["space"] or (token["newline"] and stack):
            continue
        if token["newline"] or (not stack and token["sign"] and token["sign"] in ",)]};:"):
            return
        if not stack and previous in {"string", "word"} and not token["sign"] and not _goes_on(token, word):
            return
        if token["string"]:
            if token["string"].startswith(("'", '"')) and _is_given(token, text, stack, said, several=several):
                yield inside(token)
            previous = "string"
        elif token["sign"]:
            word = _bracket(token["sign"], word, previous, stack)
            previous = token["sign"]
        else:
            if token["number"] and not previous and said is Grade.STRONG and re.fullmatch(r"\d{4,64}", token["number"]):
                yield token.span("number")
            word = token["word"] or ""
            previous = "word"
        if direct and not stack and previous not in {"(", "["}:
            return


def _goes_on(token: re.Match[str], word: str) -> bool:
    """Whether a string or a word may follow another: two strings, or ``x if y else z``; else this is no expression."""
    return bool(token["string"]) if not word and token["string"] else bool({word, token["word"]} & _BETWEEN)


_BETWEEN: Final = each("""
    if else or and not in is for await lambda return yield from
""")


@dataclass
class _Bracket:
    """An open bracket."""

    kind: str
    called: str = ""
    index: int = 0
    keyword: str = ""


def _bracket(sign: str, word: str, previous: str, stack: list[_Bracket]) -> str:
    """Follow brackets and commas; return the word that may be called next."""
    if sign in "([{":
        callable_before = previous in {"word", ")", "]"} and word not in {
            "in",
            "or",
            "and",
            "not",
            "if",
            "else",
            "return",
        }
        kind = {"(": "call", "[": "index"}.get(sign, "dict") if callable_before and sign != "{" else sign
        stack.append(_Bracket(kind, word.rpartition(".")[2] if callable_before else ""))
    elif sign in ")]}" and stack:
        stack.pop()
    elif sign == "," and stack:
        stack[-1].index += 1
        stack[-1].keyword = ""
    elif sign == "=" and stack:
        stack[-1].keyword = word
    elif sign == ".":
        return word
    return ""


def _is_given(token: re.Match[str], text: str, stack: list[_Bracket], said: Grade, *, several: bool) -> bool:
    """Tell whether a string is the value of the name, rather than a key, a prompt, a label."""
    value = text[slice(*inside(token))]
    if "f" in token["prefix"].lower():
        value = _FIELD.sub("", value)
        if (
            len(value.strip()) < 4
            or not any(letter.isalnum() for letter in value)
            or value.strip() in {"Bearer", "Basic"}
        ):
            return False
    if is_placeholder(value):
        return False
    for frame in stack:
        if frame.kind == "index":
            return False
    frame = stack[-1] if stack else _Bracket("")
    follows = text[token.end() : token.end() + 20].lstrip()
    if frame.kind == "{" and follows.startswith(":"):
        return False
    if frame.kind == "{":
        return is_mixed(value) or (several and looks_drawn(value))  # passwords = {"bob": "…"}
    if frame.kind == "call":
        return _is_argument(frame, value, said)
    if frame.kind in {"(", "["} and said is Grade.WEAK and frame.index >= 1 and frame.kind == "(":
        return True
    return is_secret_text(value, said)


def _is_argument(frame: _Bracket, value: str, said: Grade) -> bool:
    if frame.keyword:
        return frame.keyword in {"default", "value", "fallback", "default_value"} and is_secret_text(value, said)
    if frame.called in _DEFAULTS:
        return frame.index >= 1 and is_secret_text(value, said)
    if frame.called in _WRAPPERS:
        return is_secret_text(value, said)
    if frame.called[:1].isupper():
        return is_mixed(value)
    return is_random(value) and frame.called not in {"open", "join", "split"}


def is_secret_text(value: str, said: Grade) -> bool:
    """Tell whether a text is a secret under a name that says so much.

    Under a strong name whatever is no placeholder; else what looks like one.
    """
    if said is Grade.NONE or is_placeholder(value):
        return False
    if (
        len(value) <= 80
        and "_" in value
        and value.isupper()
        and value.isidentifier()
        and grade(value) is not Grade.NONE
    ):
        return False  # api_key_env = "OPENAI_API_KEY"
    if said is Grade.STRONG:
        return True
    scheme, _, rest = value.strip().partition(" ")
    value = rest if scheme.isalpha() and rest else value  # Authorization: Token …
    return is_mixed(value) if said is Grade.WEAK else is_random(value)


def inside(token: re.Match[str]) -> tuple[int, int]:
    """Return where a string is between its quotation marks."""
    start, end = token.span("string")
    mark = token["string"][:3] if token["string"][:3] in {'"""', "'''"} else token["string"][0]
    closed = token["string"].endswith(mark) and end - start >= 2 * len(mark)
    return start + len(mark), end - len(mark) * closed


def listed(text: str, at: int) -> list[tuple[int, int] | None]:
    """Values between commas, up to the end of the line; None for one that is no string alone."""
    values: list[tuple[int, int] | None] = [None]
    depth, first = 0, True
    for _ in range(_STEPS):
        token = TOKEN.match(text, at)
        if token is None or token["newline"]:
            break
        at = token.end()
        if token["space"]:
            continue
        if token["sign"] and token["sign"] in "([{":
            depth += not first
        elif token["sign"] and token["sign"] in ")]}":
            depth -= 1
        elif token["sign"] == "," and depth <= 0:
            values.append(None)
        elif token["string"]:
            values[-1] = inside(token)
        first = False
    return values


def looks_drawn(word: str) -> bool:
    """Tell whether a word behind "password" in a sentence is one: ``hunter22``, ``Clove-2627``, but not ``policy``."""
    drawn = len(word) >= _SHORT and any(map(str.isdigit, word)) and any(map(str.isalpha, word))
    return (drawn or is_mixed(word)) and not is_placeholder(word)


_SHORT: Final = 6
"""Letters below which a word with a digit is no password: ``v2``."""
