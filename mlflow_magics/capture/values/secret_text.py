"""Finds where a text gives a secret to a name: code, comments, messages, command lines, settings.

A text is passed once, from name to name. What follows a name that says something is looked at for a bounded number
of steps, so the cost grows with the length and no faster.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from .secret_forms import is_mixed, is_placeholder
from .secret_names import Grade, each, grade, names_several
from .secret_strings import TOKEN, Kind, Place, inside, is_secret_text, listed, looks_drawn, strings_given

NAMES: Final = re.compile(r"(?<!\w)[^\W\d][\w.\-]*")
"""Names with their dots; a word is begun at its beginning only."""

_AFTER: Final = re.compile(
    r"\\?['\"]?[ \t]{0,20}\]?[ \t]{0,20}"
    r"(?:(?P<note>:[ \t]{0,20}[\w.\[\]| ]{1,80}=(?!=))|(?P<op>==|!=|:=|"
    r"=>|=|:|,(?:\s{0,20}(?:default|fallback|value)[ \t]{0,3}=)?)"
    r"|(?P<is>[ \t](?:is|was|ist|es|é)[ \t]))"
    r"\s{0,40}"
)
_UNQUOTED: Final = re.compile(r"[^\s'\"`,;(){}\[\]<>|&\\]{1,512}")
_TARGETS: Final = re.compile(
    r"^[ \t]*((?:[^\W\d][\w.]{0,99}[ \t]{0,9},[ \t]{0,9}){1,20}[^\W\d][\w.]{0,99})[ \t]{0,9}=(?!=)", re.MULTILINE
)
_IDENTIFIER: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_COST: Final = 3
"""What a name costs, in tokens."""

_SETTERS: Final = each("""
    setdefault setenv putenv set put add_header log_param set_tag get getenv pop setattr set_password
    setdefault env config setitem update_or_create set_secret add_argument getattr
""")
"""Calls of a name and what goes by it: ``setdefault("X_TOKEN", "…")``."""

_LOGINS: Final = re.compile(
    r"(?:login|authenticate|auth|Auth|Credentials?|set_credentials|basic_auth|BasicAuth|signin|sign_in|log_in|Login)\Z"
)
"""Calls that take a user and a password by position."""

_TYPES: Final = each("""
    str int float bool bytes None True False Optional Any dict list tuple object SecretStr
""")


def named_spans(text: str, kind: Kind = "code") -> Iterator[tuple[int, int]]:
    """Find what is given to names that say it is a secret."""
    place = Place(text, kind)
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


def _given(place: Place, start: int, end: int, name: str, said: Grade) -> Iterator[tuple[int, int]]:
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
    found = list(strings_given(place, after.end(), said, direct=direct, stop=place.end(start, end), several=several))
    label = _LABEL.match(text, end) if place.kind == "code" and said is Grade.STRONG else None
    if found:
        yield from found
    elif label:  # print("password:", "…")
        yield from _drawn(place, label.end(), said)
    elif after["op"] in {"=", ":", "=>", None} and (place.is_prose(start) or not quote):
        yield from _unquoted(place, after, start, said)


def _drawn(place: Place, at: int, said: Grade) -> Iterator[tuple[int, int]]:
    """Find the string behind a comma, where it looks drawn by chance: a label or a prompt may stand there too."""
    values = strings_given(place, at, said, direct=True, stop=len(place.text))
    return (span for span in values if looks_drawn(place.text[slice(*span)]))


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


def _unquoted(place: Place, after: re.Match[str], start: int, said: Grade) -> Iterator[tuple[int, int]]:
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
    place: Place, start: int, end: int, name: str, said: Grade, *, option: bool
) -> Iterator[tuple[int, int]]:
    """``--token abc``, ``%env API_KEY abc``, ``password is hunter22``: no sign between name and value."""
    text = place.text
    shouted = name.isupper() and _line_start(text, start).lstrip()[:4] in {"%env", "%set", "!set", "!exp"}
    spoken = re.compile(r"[ \t]{1,9}(?:is|was|ist|es|é)[ \t]{1,9}").match(text, end)
    told = name.lower() in _PLAIN and _TOLD.match(text, end, place.end(start, end))
    if told and place.is_prose(start) and looks_drawn(told["word"].rstrip(".!?")):
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


_PLAIN: Final = frozenset({"password", "passwort", "pw", "pwd", "passwd", "senha", "passphrase", "kennwort"})
"""Words behind which a sentence may have the password itself: ``user bob, password hunter22``."""


def _line_start(text: str, at: int) -> str:
    begin = max(text.rfind("\n", max(0, at - 300), at) + 1, at - 300, 0)
    return text[begin:at]


def _login(text: str, at: int) -> Iterator[tuple[int, int]]:
    """``smtp.login("me@x", "…")``: of several strings by position the last is the password."""
    spans, depth = [], 0
    for _ in range(40):
        token = TOKEN.match(text, at)
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
            spans.append(inside(token))
    if spans and (len(spans) > 1 or is_mixed(text[slice(*spans[0])])) and not is_placeholder(text[slice(*spans[-1])]):
        yield spans[-1]


def _targets(text: str) -> Iterator[tuple[int, int]]:
    """``user, password = "bob", "…"``: the value at the same place."""
    for match in _TARGETS.finditer(text):
        grades = [grade(name.strip()) for name in match[1].split(",")]
        if any(grades):
            values = listed(text, match.end())
            if len(values) == len(grades):
                for said, span in zip(grades, values, strict=True):
                    if span is not None and is_secret_text(text[slice(*span)], said):
                        yield span
