"""Finds where a text gives a secret to a name: code, comments, messages, command lines, settings.

A text is passed once, from name to name. What follows a name that says something is looked at for a bounded number
of steps, so the cost grows with the length and no faster.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from .secret_forms import is_mixed, is_placeholder, is_random
from .secret_names import Grade, each, grade, names_several

NAMES: Final = re.compile(r"(?<!\w)[^\W\d][\w.\-]*")
"""Names with their dots; a word is begun at its beginning only."""

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

_AFTER: Final = re.compile(
    r"\\?['\"]?[ \t]{0,20}\]?[ \t]{0,20}"
    r"(?:(?P<note>:[ \t]{0,20}[\w.\[\]| ]{1,80}=(?!=))|(?P<op>==|!=|:=|"
    r"=>|=|:|,(?:\s{0,20}(?:default|fallback|value)[ \t]{0,3}=)?)"
    r"|(?P<is>[ \t](?:is|was|ist|es|é)[ \t]))"
    r"\s{0,40}"
)
_TOKEN: Final = re.compile(
    rf"(?P<space>[ \t\f]+|\\\n|\#[^\n]*)|(?P<newline>\n)|(?P<prefix>[rbfuRBFU]{{0,2}})(?P<string>{_STRING})"
    r"|(?P<word>[^\W\d][\w.]*)|(?P<number>\d[\w.]*)|(?P<sign>==|!=|:=|[\s\S])"
)
_UNQUOTED: Final = re.compile(r"[^\s'\"`,;(){}\[\]<>|&\\]{1,512}")
_TARGETS: Final = re.compile(
    r"^[ \t]*((?:[^\W\d][\w.]{0,99}[ \t]{0,9},[ \t]{0,9}){1,20}[^\W\d][\w.]{0,99})[ \t]{0,9}=(?!=)", re.MULTILINE
)
_FIELD: Final = re.compile(r"\{[^{}]*\}")
_IDENTIFIER: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_COST: Final = 3
"""What a name costs, in tokens."""

_STEPS: Final = 150
"""Tokens of an expression that are looked at behind a name."""

_DEFAULTS: Final = frozenset(
    {"get", "getenv", "pop", "setdefault", "getattr", "field", "Field", "env", "config", "getoption"}
)
"""Calls whose second argument is a value, and the first a name."""

_SETTERS: Final = each("""
    setdefault setenv putenv set put add_header log_param set_tag get getenv pop setattr set_password
    setdefault env config setitem update_or_create set_secret add_argument getattr
""")
"""Calls of a name and what goes by it: ``setdefault("X_TOKEN", "…")``."""

_WRAPPERS: Final = each("""
    str bytes bytearray SecretStr SecretBytes Secret b64encode quote quote_plus format strip encode dict
    Bearer set_password StringVar String
""")
"""Calls that hand on what they are given."""

_LOGINS: Final = re.compile(
    r"(?:login|authenticate|auth|Auth|Credentials?|set_credentials|basic_auth|BasicAuth|signin|sign_in|log_in|Login)\Z"
)
"""Calls that take a user and a password by position."""

_TYPES: Final = each("""
    str int float bool bytes None True False Optional Any dict list tuple object SecretStr
""")


Kind = Literal["code", "message", "traceback"]
"""What a text is. In code a bare word behind a name is another name, in a message it is a value."""


def named_spans(text: str, kind: Kind = "code") -> Iterator[tuple[int, int]]:
    """Find what is given to names that say it is a secret."""
    place = _Place(text, kind)
    for start, end, name, said in _told(text):
        if text[end : end + 1] == "(" and _LOGINS.search(name[-40:]):
            yield from _login(text, end)
            continue
        if said is Grade.NONE and name.lower() in _SECOND and place.is_prose(start):
            said = _in_words(text, start, name)
        if said is not Grade.NONE:
            yield from _given(place, start, end, name, said)
            if place.steps < 0:
                yield end, len(text)
                return
    yield from _targets(text)


_SECOND: Final = frozenset({"key", "token", "passe", "code"})


def _in_words(text: str, start: int, name: str) -> Grade:
    """Judge the second word of ``API key: …``, as it stands in a sentence."""
    first = re.search(r"([A-Za-z]{2,20}) \Z", text[max(0, start - 21) : start])
    return grade(f"{first[1]}_{name}".lower()) if first is not None else Grade.NONE


def _told(text: str) -> Iterator[tuple[int, int, str, Grade]]:
    """Find the names that say something; each is judged once, however often it stands there."""
    judged = {name: grade(name) for name in set(NAMES.findall(text))}
    said = {
        name: each for name, each in judged.items() if each or _LOGINS.search(name[-40:]) or name.lower() in _SECOND
    }
    places: Iterable[tuple[int, str]]
    if len(said) > _FEW:
        places = ((match.start(), match[0]) for match in NAMES.finditer(text) if match[0] in said)
    else:
        places = sorted((at, name) for name in said for at in _begins(name, text))
    for at, name in places:
        yield at, at + len(name), name, said[name]


_FEW: Final = 20
"""Names up to which each is looked for by itself."""


def _begins(name: str, text: str) -> Iterator[int]:
    """Find where a whole name stands."""
    at = text.find(name)
    while at >= 0:
        end = at + len(name)
        if NAMES.match(text, at) and not (_REST.match(text, end)):
            yield at
        at = text.find(name, end)


_REST: Final = re.compile(r"[\w.\-]")


class _Place:
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


def _given(place: _Place, start: int, end: int, name: str, said: Grade) -> Iterator[tuple[int, int]]:
    """Values behind one name."""
    text = place.text
    place.steps -= _COST
    option = text[max(0, start - 2) : start] == "--"
    xml = text[start - 1 : start] == "<" and _XML.match(text, end)
    if xml and is_secret_text(xml["value"], said):
        yield xml.span("value")
        return
    after = _AFTER.match(text, end)
    if after is None or (after["is"] and not place.is_prose(start)):
        yield from _behind_space(place, start, end, name, said, option=option)
        return
    quote = text[end : end + 1] in {"'", '"'} or text[end : end + 2] in {"\\'", '\\"'}
    if (after["op"] or "").startswith(","):
        if not quote or not (option or _is_pair(text, start, said)):
            # By position to a function of the user's: f("password", "…").
            if quote and said is Grade.STRONG and place.kind == "code":
                yield from _drawn(place, after.end(), said)
            return
    elif after["op"] == ":" and text[after.start("op") : after.start("op") + 2] in {"::", ":/"}:
        return
    direct = (after["op"] or "")[:1] in {",", "!"} or after["op"] == "=="
    several = said is Grade.STRONG and names_several(name)
    found = list(_values(place, after.end(), said, direct=direct, stop=place.end(start, end), several=several))
    label = _LABEL.match(text, end) if place.kind == "code" and said is Grade.STRONG else None
    if found:
        yield from found
    elif label:  # print("password:", "…")
        yield from _drawn(place, label.end(), said)
    elif after["op"] in {"=", ":", "=>", None} and (place.is_prose(start) or not quote):
        yield from _unquoted(place, after, start, said)


def _drawn(place: _Place, at: int, said: Grade) -> Iterator[tuple[int, int]]:
    """Find the string behind a comma, where it looks drawn by chance: a label or a prompt may stand there too."""
    values = _values(place, at, said, direct=True, stop=len(place.text))
    return (span for span in values if _looks_drawn(place.text[slice(*span)]))


_XML: Final = re.compile(r">(?P<value>[^<>\n]{1,512})</")
_LABEL: Final = re.compile(r"[ \t]?[:=][ \t]?['\"][ \t]*,[ \t]*(?=['\"])")


def _is_pair(text: str, start: int, said: Grade) -> bool:
    """Tell whether ``"name", "value"`` is a name with its value: alone in brackets, or what a setter is given."""
    before = text[max(0, start - 80) : start].rstrip("'\"\\ \t\n")
    # setattr(user, "password", "…")
    if further := re.search(r"(\w{3,40})\([^()\n]{1,60},\Z", before):
        return further[1] in {"setattr", "hset", "set_option", "set_key", "setitem"}
    if not before.endswith("("):
        return False
    called = re.search(r"(\w{0,60})\($", before)
    return called is not None and (called[1] in _SETTERS or (not called[1] and said is Grade.STRONG))


def _values(
    place: _Place, at: int, said: Grade, *, direct: bool, stop: int, several: bool = False
) -> Iterator[tuple[int, int]]:
    """Strings in the expression that begins at `at` which are what the name, perhaps of several, is given."""
    text = place.text
    stack: list[_Frame] = []
    word, previous = "", ""
    if text[at : at + 2] in {"\\'", '\\"'}:
        return  # a string in a string; its end is looked for elsewhere
    for _ in range(_STEPS):
        place.steps -= 1
        token = _TOKEN.match(text, at, stop)
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
                yield _inside(token)
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
class _Frame:
    """An open bracket."""

    kind: str
    called: str = ""
    index: int = 0
    keyword: str = ""


def _bracket(sign: str, word: str, previous: str, stack: list[_Frame]) -> str:
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
        stack.append(_Frame(kind, word.rpartition(".")[2] if callable_before else ""))
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


def _is_given(token: re.Match[str], text: str, stack: list[_Frame], said: Grade, *, several: bool) -> bool:
    """Tell whether a string is the value of the name, rather than a key, a prompt, a label."""
    value = text[slice(*_inside(token))]
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
    frame = stack[-1] if stack else _Frame("")
    follows = text[token.end() : token.end() + 20].lstrip()
    if frame.kind == "{" and follows.startswith(":"):
        return False
    if frame.kind == "{":
        return is_mixed(value) or (several and _looks_drawn(value))  # passwords = {"bob": "…"}
    if frame.kind == "call":
        return _is_argument(frame, value, said)
    if frame.kind in {"(", "["} and said is Grade.WEAK and frame.index >= 1 and frame.kind == "(":
        return True
    return is_secret_text(value, said)


def _is_argument(frame: _Frame, value: str, said: Grade) -> bool:
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


def _inside(token: re.Match[str]) -> tuple[int, int]:
    start, end = token.span("string")
    mark = token["string"][:3] if token["string"][:3] in {'"""', "'''"} else token["string"][0]
    closed = token["string"].endswith(mark) and end - start >= 2 * len(mark)
    return start + len(mark), end - len(mark) * closed


def _unquoted(place: _Place, after: re.Match[str], start: int, said: Grade) -> Iterator[tuple[int, int]]:
    """``# password: hunter22``, ``DB_PASS=hunter22`` in a text, a command, a message."""
    text, at = place.text, after.end()
    if text[at : at + 2] in {"\\'", '\\"'}:
        stop = text.find(text[at : at + 2], at + 2, at + 4000)
        if stop > 0 and is_secret_text(text[at + 2 : stop], said):
            yield at + 2, stop
        return
    value = _UNQUOTED.match(text, at)
    if value is None or "\n" in after[0].rstrip(" \t") or value[0] in _TYPES:
        return
    word = value[0].rstrip(".:!?")
    tight = after["op"] == "=" and text[after.start("op") + 1 : after.start("op") + 2] not in {" ", "\t"}
    name_like = _IDENTIFIER.fullmatch(word) is not None
    behind = text[value.end() : value.end() + 1]
    if not place.is_prose(start):
        # In code a bare word is a name, and an expression of names and numbers no secret.
        odd = re.search(r"[!@#$?]", word) and not word.startswith(("@", "!"))
        if name_like or behind in {"(", "["} or not odd or not is_mixed(word):
            return
    elif behind in {"(", "["} or is_placeholder(word) or word.startswith(("{", "$", "<", "%", "self.", "os.", "cfg.")):
        return
    line = re.split(r"\r?\n|\\[rn]", text[value.end() : min(value.end() + 40, place.end(start, after.start()))])[0]
    ends = not line.strip("'\"`) .;,")
    bare = said is Grade.STRONG and len(word) >= 4 and (tight or ends)
    if bare or (is_mixed(word) and said >= Grade.WEAK) or is_secret_text(word, min(said, Grade.ABOUT)):
        yield at, at + len(word)


def _behind_space(
    place: _Place, start: int, end: int, name: str, said: Grade, *, option: bool
) -> Iterator[tuple[int, int]]:
    """``--token abc``, ``%env API_KEY abc``, ``password is hunter22``: no sign between name and value."""
    text = place.text
    shouted = name.isupper() and _line_start(text, start).lstrip()[:4] in {"%env", "%set", "!set", "!exp"}
    spoken = re.compile(r"[ \t]{1,9}(?:is|was|ist|es|é)[ \t]{1,9}").match(text, end)
    told = name.lower() in _PLAIN and _TOLD.match(text, end, place.end(start, end))
    if told and place.is_prose(start) and _looks_drawn(told["word"].rstrip(".!?")):
        yield told.start("word"), told.start("word") + len(told["word"].rstrip(".!?"))
        return
    if not (option or shouted or spoken) or said < Grade.WEAK or not (option or place.is_prose(start)):
        return
    gap = spoken or re.compile(r"[ \t]{1,9}").match(text, end)
    if gap is None:
        return
    value = re.compile(r"'[^'\n]{1,512}'|\"[^\"\n]{1,512}\"|[^\s'\"`,;(){}\[\]<>|&\\]{1,512}").match(text, gap.end())
    if value is None or value[0].startswith(("-", "$")) or is_placeholder(value[0].strip("'\"")):
        return
    if spoken and not is_mixed(value[0].strip("'\".")):
        return
    quoted = value[0][0] in "'\""
    yield value.start() + quoted, value.end() - quoted


_TOLD: Final = re.compile(r"[ \t]\\?['\"]?(?P<word>[^\s'\"`,;(){}<>|&\\]{1,512})")


def _looks_drawn(word: str) -> bool:
    """Tell whether a word behind "password" in a sentence is one: ``hunter22``, ``Clove-2627``, but not ``policy``."""
    drawn = len(word) >= _SHORT and any(map(str.isdigit, word)) and any(map(str.isalpha, word))
    return (drawn or is_mixed(word)) and not is_placeholder(word)


_SHORT: Final = 6
"""Letters below which a word with a digit is no password: ``v2``."""

_PLAIN: Final = frozenset({"password", "passwort", "pw", "pwd", "passwd", "senha", "passphrase", "kennwort"})
"""Words behind which a sentence may have the password itself: ``user bob, password hunter22``."""


def _line_start(text: str, at: int) -> str:
    begin = max(text.rfind("\n", max(0, at - 300), at) + 1, at - 300, 0)
    return text[begin:at]


def _login(text: str, at: int) -> Iterator[tuple[int, int]]:
    """``smtp.login("me@x", "…")``: of several strings by position the last is the password."""
    spans, depth = [], 0
    for _ in range(40):
        token = _TOKEN.match(text, at)
        if token is None:
            break
        at = token.end()
        if token["sign"] and token["sign"] in "([{":
            depth += 1
        elif token["sign"] and token["sign"] in ")]}":
            depth -= 1
            if not depth:
                break
        elif token["sign"] == "=":
            return  # by keyword: each has its own name
        elif token["string"] and depth == 1:
            spans.append(_inside(token))
    if spans and (len(spans) > 1 or is_mixed(text[slice(*spans[0])])) and not is_placeholder(text[slice(*spans[-1])]):
        yield spans[-1]


def _targets(text: str) -> Iterator[tuple[int, int]]:
    """``user, password = "bob", "…"``: the value at the same place."""
    for match in _TARGETS.finditer(text):
        grades = [grade(name.strip()) for name in match[1].split(",")]
        if any(grades):
            values = _listed(text, match.end())
            if len(values) == len(grades):
                for said, span in zip(grades, values, strict=True):
                    if span is not None and is_secret_text(text[slice(*span)], said):
                        yield span


def _listed(text: str, at: int) -> list[tuple[int, int] | None]:
    """Values between commas, up to the end of the line; None for one that is no string alone."""
    values: list[tuple[int, int] | None] = [None]
    depth, first = 0, True
    for _ in range(_STEPS):
        token = _TOKEN.match(text, at)
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
            values[-1] = _inside(token)
        first = False
    return values
