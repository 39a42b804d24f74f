"""Writes the user's strings, numbers and times on one line."""

from __future__ import annotations

import math
import re
import unicodedata

from ...vocabulary.stores import Waiting

LIMIT = 120
"""The characters of a value that are shown; the whole of it is in MLflow."""

_ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours and cursor moves
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC and its like: window titles, links
    r"|\x1b[ -/]*[0-~]"
)
_NEWLINE = re.compile("\r\n|[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]")
_JOINERS = "\u200c\u200d"  # Invisible too, but Persian words and family emoji are spelled with them.


def clean(text: str, limit: int = LIMIT) -> str:
    """Make one harmless line of whatever the user's string holds.

    Escape sequences, control characters and marks that reorder text are dropped; a newline becomes ``↵``,
    other white space one space, half a surrogate pair the replacement character. :mod:`.html` escapes.

    ``"(empty)"`` where nothing visible is left, so that a table has no holes.
    """
    # A margin for what cleaning drops: a megabyte is cut before it is searched, not after.
    head, cut = text[: 8 * limit], len(text) > 8 * limit
    if not (head.isascii() and head.isprintable()):
        head = _NEWLINE.sub("↵ ", _ANSI.sub("", head.strip()))
        head = "".join(map(_visible, head))
    line = " ".join(head.split())
    if cut or len(line) > limit:
        line = line[: limit - 1].rstrip() + "…"
    return line or "(empty)"


def _visible(char: str) -> str:
    if char in _JOINERS or char.isspace():
        return char
    category = unicodedata.category(char)
    if category == "Cs" or ord(char) & 0xFFFE == 0xFFFE:  # cannot be encoded, or is no character at all
        return "\ufffd"
    return "" if category in ("Cc", "Cf") else char


def number(value: float, digits: int = 6) -> str:
    """Write a number as briefly as it can be read: ``"0.947368"``, ``"1500"``, ``"1.2e-05"``, ``"nan"``, ``"-inf"``.

    `digits` are the significant ones of what is not a whole number.
    """
    if math.isfinite(value) and value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return format(float(value), f".{digits}g")


def change(value: float, previous: float | None) -> str:
    """Say how a metric moved since the previous run, without judging whether that is good.

    ``"▲ +0.0123"``, ``"▼ -2"``, ``"="``; ``"was nan"`` where no difference can be taken; empty without a previous
    value.
    """
    if previous is None:
        return ""
    difference = value - previous
    # The second half is the rounding noise of floats: it would read as a change of 1e-17.
    if value == previous or math.isclose(value, previous, rel_tol=1e-12):
        return "="
    if math.isnan(value) and math.isnan(previous):
        return "="
    if not math.isfinite(difference):
        return f"was {number(previous)}"
    arrow, sign = ("▲", "+") if difference > 0 else ("▼", "-")
    size = abs(difference)
    return f"{arrow} {sign}{number(size, digits=3 if size < 1000 else 6)}"


def duration(seconds: float) -> str:
    """Write a time span as people say it: ``"12 ms"``, ``"0.8 s"``, ``"42 s"``, ``"1 min 12 s"``, ``"3 d 4 h"``.

    A negative one (a clock that was set back) counts as nothing.
    """
    if not math.isfinite(seconds):
        return "an unknown time"
    seconds = max(0.0, seconds)
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, whole = divmod(whole, 60)
    if minutes < 60:
        return _pair(minutes, "min", whole, "s")
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return _pair(hours, "h", minutes, "min")
    days, hours = divmod(hours, 24)
    return _pair(days, "d", hours, "h")


def _pair(big: int, unit: str, small: int, subunit: str) -> str:
    return f"{big} {unit} {small} {subunit}" if small else f"{big} {unit}"


def count(many: int, noun: str) -> str:
    """Count a thing: ``"1 param"``, ``"12 params"``. The noun's plural adds an "s"."""
    return f"{many} {noun}" if many == 1 else f"{many} {noun}s"


def ordinal(many: int) -> str:
    """Write a number as a place in a row."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(many % 10, "th")
    return f"{many:,}{'th' if many % 100 in (11, 12, 13) else ending}"


def waiting(what: Waiting) -> str:
    """Say what the store has not taken yet, and why.

    ``"214 points and 3 other writes wait: the server does not answer; they are sent when it does"``
    """
    parts = [count(what.points, "point")] if what.points else []
    parts += [count(what.others, "other write" if what.points else "write")] if what.others else []
    many = " and ".join(parts) or "nothing"
    waits = "waits" if what.total <= 1 else "wait"
    if what.state == "offline":
        return f"{many} {waits}, offline{': ' + what.why if what.why else ''}; %mlflow_sync sends"
    if what.state == "waiting":
        return f"{many} {waits}, and {'is' if what.total <= 1 else 'are'} sent when the store answers: {what.why}"
    return f"{many} {waits}: being sent"
