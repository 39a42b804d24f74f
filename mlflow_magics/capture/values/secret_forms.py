"""Recognises secrets by their form: keys, tokens, signed URLs, URLs with credentials.

Every pattern here is linear: it begins at a mark of its own (``sk-``, ``://``), its repeats are bounded, or it cannot
begin again inside what it has passed.
"""

# ruff: noqa: E501 (a pattern is read in one piece)
from __future__ import annotations

import functools
import importlib
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from ...vocabulary.untouched import untouched

_BEGIN: Final = r"(?<![A-Za-z0-9])"
_APART: Final = r"(?<![A-Za-z0-9_\-])"
_KEY: Final = r"[-_][A-Za-z0-9_\-]{20,255}"
_IN_URL: Final = re.compile(r"[?&;][\w.\-]{0,30}\Z")

MARKS: Final[tuple[tuple[str, str, str], ...]] = (
    ("accesskey sharedaccesskey accountkey sharedaccesssignature sharedsecret sharedkey",
     r"(?i:[a-z]{1,24})[ \t]{0,3}=[ \t]{0,3}(?P<v>[^;\s'\"]{6,4000})", "any"),
    ("sig= signature= token= key= secret= pass= pwd= passwd= password= code= auth= odbc_connect= credential=",
     r"[^=]{1,16}=(?P<v>[^&\s'\"#<>;{}]{6,4000})", "in url"),
    ("password passwd pwd", r"(?<![A-Za-z])[A-Za-z]{3,8}[ \t]{0,3}=[ \t]{0,3}(?=(?P<v>[^;&\s'\",)]{3,512}))(?P=v)[;&]", "any"),
    ("://", r"://[^\s/:@'\"<>?#{}]{0,256}:(?=(?P<v>[^\s/'\"{}@<>]{1,512}))(?P=v)@", "any"),
    ("://", r"://[^\s/:@'\"<>?#{}]{1,256}:(?=(?P<v>[^\s'\"{}@<>?]{1,256}))(?P=v)@", "slashed"),
    ("://", r"://(?P<v>[^\s/:@'\"<>?#{}]{8,512})(?::[^\s/:@'\"<>]{0,32})?@", "random"),
    ("-----begin",
     r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:(?:(?!-----)[\s\S])*-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
     r"|(?:\\[nr]|[A-Za-z0-9+/=\s\\])*)", "any"),
    ("private-lines:", r"Private-Lines:[ \t]{0,3}\d{1,4}\s{1,4}(?P<v>[A-Za-z0-9+/=\s]{20,8000})", "any"),
    ("age-secret-key-1", r"AGE-SECRET-KEY-1[A-Z0-9]{20,80}", "any"),
    ("github_pat_", _BEGIN + r"github_pat_[A-Za-z0-9_]{22,255}", "digit"),
    ("ghp_ gho_ ghu_ ghs_ ghr_", _BEGIN + r"gh[pousr]_[A-Za-z0-9]{20,255}", "digit"),
    ("glpat- gldt- glft- glsoat- glrt- glcbt- glimt- glptt- glagent- gloas- glffct-", _BEGIN + r"gl[a-z]{2,6}-[A-Za-z0-9_\-]{20,255}", "digit"),
    ("hf_ api_org_", _BEGIN + r"(?:hf|api_org)_[A-Za-z0-9]{30,64}", "any"),
    ("sk-", _APART + r"sk-(?:[a-z]{2,12}-)?(?:[a-z]{1,6}\d{2}-)?[A-Za-z0-9_\-]{20,255}", "keylike"),
    ("gsk_ xai- pplx- r8_ tvly- pcsk_ nvapi- fw_ lsv2_pt_ lsv2_sk_ shpat_ shpss_ shpca_ dckr_pat_ dop_v1_ doo_v1_ sntrys_ sntryu_ glsa_"
     " ntn_ secret_ lin_api_ phc_ phx_ whsec_ rpa_ csk- jina_ sbp_ pmak- rnd_ sq0csp- sq0atp- pat- patx key- sk_ pk_ api-",
     _APART + rf"[A-Za-z0-9]{{1,8}}(?:[-_](?:v1|pt|sk|pat|api))?{_KEY}", "keylike"),
    ("aiza", _BEGIN + r"AIza[A-Za-z0-9_\-]{30,45}", "digit"),
    ("gocspx-", _BEGIN + r"GOCSPX-[A-Za-z0-9_\-]{20,60}", "any"),
    ("ya29.", _BEGIN + r"ya29\.[A-Za-z0-9_\-]{20,2000}", "any"),
    ("1//0", _BEGIN + r"1//0[A-Za-z0-9_\-]{30,200}", "any"),
    ("dapi", _BEGIN + r"dapi[a-f0-9]{32}(?:-\d)?", "any"),
    ("pypi-", _BEGIN + r"pypi-[A-Za-z0-9_\-]{50,2000}", "digit"),
    ("sk_live_ sk_test_ rk_live_ rk_test_ pk_prod_ sk_prod_", _BEGIN + r"[prs]k_[a-z]{4}_[A-Za-z0-9]{10,255}", "any"),
    ("xox", _BEGIN + r"xox[abceoprs](?:\.xox[a-z])?-[A-Za-z0-9\-]{10,500}", "digit"),
    ("xapp-", _BEGIN + r"xapp-\d-[A-Za-z0-9\-]{10,500}", "digit"),
    ("hooks.slack.com/", r"(?i:hooks\.slack\.com/[a-z]{5,12}/)(?P<v>[A-Za-z0-9_/\-]{10,200})", "any"),
    ("/webhooks/", r"(?<=discord\.com/api)/webhooks/(?P<v>\d{5,30}/[A-Za-z0-9_\-]{10,200})", "any"),
    ("discordapp.com/api/", r"[a-zA-Z./]{19}(?:v\d{1,2}/)?webhooks/(?P<v>\d{5,30}/[A-Za-z0-9_\-]{10,200})", "any"),
    (".webhook.office.com/webhookb2/", r"[a-zA-Z0-9./]{30}(?P<v>[^\s'\"<>]{10,500})", "any"),
    ("api.telegram.org/bot", r"[a-zA-Z./]{20}(?P<v>\d{5,12}:[A-Za-z0-9_\-]{20,60})", "any"),
    (":aa :ab :ac :ad :ae :af :ag :ah", r"(?<=\d{8}):[A-Za-z0-9_\-]{35}(?![A-Za-z0-9_\-])", "classes"),
    ("npm_", _BEGIN + r"npm_[A-Za-z0-9]{36}", "any"),
    (":_authtoken :_auth :_password", r":_[A-Za-z]{4,9}[ \t]{0,3}=[ \t]{0,3}(?P<v>[^\s'\"]{6,500})", "any"),
    ("eyj", _APART + r"eyJ[A-Za-z0-9_\-]{8,8000}\.[A-Za-z0-9_\-]{8,8000}(?:\.[A-Za-z0-9_\-]{0,8000}){0,3}", "digit"),
    (".", r"(?<=[MNO][A-Za-z0-9_\-]{23})\.[A-Za-z0-9_\-]{6}\.[A-Za-z0-9_\-]{27,40}(?![A-Za-z0-9_\-])", "classes"),
    ("abia acca akia asia aroa aida a3t", _BEGIN + r"(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA|AROA|AIDA)[0-9A-Z]{16}(?![A-Za-z0-9])", "notprotein"),
    ("akcp", _BEGIN + r"AKCp[a-zA-Z0-9]{50,120}(?![A-Za-z0-9])", "classes"),
    ("v1.0 v1.1", _BEGIN + r"v1\.0-[0-9a-f]{16,24}-[0-9a-f]{100,160}", "any"),
    ("hvs. hvb. hvr.", _BEGIN + r"hv[sbr]\.[A-Za-z0-9_\-]{20,300}", "any"),
    ("8q~", r"(?<=[A-Za-z0-9_~.\-]{3})8Q~[A-Za-z0-9_~.\-]{30,40}", "any"),
    ("bearer", _BEGIN + r"(?i:bearer)[ \t]{1,9}(?P<v>[A-Za-z0-9._~+/\-]{8,8000}=*)", "mixed"),
    ("basic", _BEGIN + r"(?i:basic)[ \t]{1,9}(?P<v>[A-Za-z0-9+/\-_]{6,4000}={0,2})(?![A-Za-z0-9])", "basic"),
    ("authorization x-api-key x-auth-token",
     r"[A-Za-z\-]{9,13}\\?['\"]?[ \t]{0,3}[:=,][ \t]{0,3}\\?['\"]?(?P<v>(?!(?i:bearer|basic)\b)(?:[A-Za-z\-]{2,24}[ \t]{1,3})?"
     r"[^\s'\"\\,;{}()]{6,4000})", "mixed"),
    ("cookie", r"(?i:(?<![a-z])cookie)\\?['\"]?[ \t]{0,3}[:=][ \t]{0,3}\\?['\"]?"
     r"(?P<v>[A-Za-z0-9_.\-]{1,64}=[^\s'\"\\;,]{4,4000}(?:; ?[^\n'\"\\]{1,4000})?)", "any"),
    ("-u --user --proxy-user", r"(?<![\w\-])-{1,2}[a-zA-Z\-]{1,10}(?:['\"][ \t]{0,3},)?[ \t=]{0,3}['\"]?[^\s:'\"]{1,128}:(?P<v>[^\s'\"]{3,256})", "notdigits"),
    ("mysql mariadb", r"[a-z\-]{5,12}[ \t][^\n]{0,200}?[ \t]-p(?P<v>[^\s'\"-][^\s'\"]{0,200})", "any"),
    ("sshpass redis-cli", r"[a-z\-]{7,9}[ \t](?:[^\n]{0,200}?[ \t])?-[pa][ \t]{0,2}['\"]?(?P<v>[^\s'\"]{1,200})", "any"),
    ("docker login", r"docker login[ \t](?:[^\n]{0,200}?[ \t])?-p[ \t]{0,2}['\"]?(?P<v>[^\s'\"]{1,200})", "any"),
    ("machine", r"(?<![a-z])machine\s{1,9}\S{1,200}\s{1,9}login\s{1,9}\S{1,200}\s{1,9}password\s{1,9}(?P<v>\S{1,500})", "any"),
    (" ".join(kind + digit for kind in ("ac", "sk") for digit in "0123456789abcdef"), _BEGIN + r"(?:AC|SK)[a-f0-9]{32}(?![A-Za-z0-9])", "any"),
)  # fmt: skip
"""By marks, in small letters, of which one begins it: a pattern, and what its secret must look like besides.

A group named ``v`` is the secret, else all of the match. Texts are searched for the marks, which is quick, and a
pattern is tried there only.
"""

PLUGINS: Final = {
    "azure_storage_key": ("AzureStorageKeyDetector", "AccountKey="),
    "gitlab_token": ("GitLabTokenDetector", "GR1348941"),
    "mailchimp": ("MailchimpDetector", "-us"),
    "sendgrid": ("SendGridDetector", "SG."),
    "slack": ("SlackDetector", "xox"),
    "square_oauth": ("SquareOAuthDetector", "sq0csp-"),
    "stripe": ("StripeDetector", "k_live_"),
}
"""detect-secrets' plugins for values with a form of their own, and a text without which they find nothing.

None guesses from entropy or keywords. Those whose patterns are quadratic on one long word (JWT, OpenAI, npm, PyPI,
Cloudant), or take a protein's letters for a key (AWS, Artifactory, Twilio), are among ours instead.
"""

SHORTEST: Final = 10
"""Length below which no text is a secret by its form; spares most cells the import of detect-secrets."""

_WORD: Final = re.compile(r"[^\W_]+")
_LETTERS_AND_DIGITS: Final = re.compile(r"[^\W\d_]\d|\d[^\W\d_]")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_PLACEHOLDER: Final = re.compile(
    r"\s*(?:\*+|\.{2,}|…|x{3,}|-+|<[^<>]{0,80}>|\[[A-Z_ ]{0,40}\]|\$\{[^{}]{0,80}\}|\$\w{1,80}|%\(?\w{1,80}\)?s?|\{[^{}]{0,80}\}"
    r"|\{\{[^{}]{0,80}\}\}|none|null|nil|true|false|n/a|na|todo|tbd|unset|empty|redacted|hidden|secret|password|token"
    r"|str|int|bool|bytes|default|optional|required|missing|invalid|expired|wrong|changed|yes|no)\s*",
    re.IGNORECASE,
)


def is_placeholder(value: str) -> bool:
    """Tell whether a text only stands where a secret would: ``***``, ``<token>``, ``${PASSWORD}``, nothing.

    True for those, and for the words None, required and their like.
    """
    return not value.strip() or (len(value) <= 100 and _PLACEHOLDER.fullmatch(value) is not None)


def is_mixed(value: str) -> bool:
    """Tell whether a text is no word or phrase: as is ``hunter22``, not ``bert-base-uncased``, ``the`` or a date.

    True where one of its words has letters and digits, or capitals inside, or is very long, or a sign among them.
    """
    value = value[:400]
    if len(value) < 6 or any(letter.isspace() for letter in value.strip()) or value.startswith("<"):
        return False
    if _UUID.fullmatch(value):
        return True
    words = _WORD.findall(value)
    if any(len(word) >= 6 and _LETTERS_AND_DIGITS.search(word) for word in words):
        return True
    if any(len(word) > 24 or (len(word) >= 8 and _changes(word) >= 3) for word in words):
        return True
    if re.fullmatch(r"(?:[A-Z0-9]{4,8}-){2,7}[A-Z0-9]{4,8}", value) and _LETTERS_AND_DIGITS.search(value):
        return True  # a licence
    return bool(re.search(r"\w[!@#$%^&*?][\w!]|\w[!$%^&*?]$", value)) and any(len(word) >= 3 for word in words)


def is_random(value: str) -> bool:
    """Tell whether a text looks drawn by chance: a key rather than a name with a number in it.

    True where a word of 12 and more letters and digits changes between them again and again.
    """
    value = value[:400]
    if _UUID.fullmatch(value) or any(letter.isspace() for letter in value.strip()):
        return False
    return any(len(word) >= 12 and _changes(word) >= 4 for word in re.findall(r"[A-Za-z0-9+]+", value))


def _changes(word: str) -> int:
    """Count how often capitals, small letters and digits change; a capital that begins a word is no change."""
    kinds = ["d" if c.isdigit() else "u" if c.isupper() else "l" for c in word]
    return sum(a != b and (a, b) != ("u", "l") for a, b in itertools.pairwise(kinds))


def _is_keylike(value: str) -> bool:
    """Tell a key behind its prefix from words joined by hyphens: ``sk-learn-style-random-split``."""
    words = re.findall(r"[A-Za-z0-9]+", value)[1:]
    return any(len(word) >= 16 and (_changes(word) >= 2 or _LETTERS_AND_DIGITS.search(word)) for word in words) or (
        sum(_changes(word) for word in words) >= 6
    )


def _is_basic(value: str) -> bool:
    """Tell ``Basic dXNlcjpwYXNz`` (a user, a colon, a password) from words."""
    import base64
    import binascii

    try:
        plain = base64.b64decode(value[:400] + "=" * (-len(value[:400]) % 4), altchars=b"-_" if "-" in value else None)
    except (binascii.Error, ValueError):
        return False
    return b":" in plain and all(32 <= byte < 127 or byte > 127 for byte in plain)


_CHECKS: Final[dict[str, Callable[[str], bool]]] = {
    "any": lambda value: not is_placeholder(value),
    "mixed": lambda value: is_mixed(value.rpartition(" ")[2]) and not is_placeholder(value),
    "in url": lambda value: is_mixed(value) and not is_placeholder(value),
    "random": is_random,
    "digit": lambda value: any(letter.isdigit() for letter in value[:400]),
    "keylike": lambda value: _is_keylike(value[:400]),
    "basic": _is_basic,
    # A password with a raw slash in it: digits behind the colon are a port, and a path follows.
    "slashed": lambda value: "/" in value and not value.partition("/")[0].isdigit(),
    "classes": lambda value: _changes(value) >= 6,
    "notdigits": lambda value: not value.isdigit() and not is_placeholder(value),
    # Twenty letters of a protein or of DNA are no key of AWS: those have digits, or letters that no residue has.
    "notprotein": lambda value: any(letter in "BJOUXZ0123456789" for letter in value[4:]),
}


@functools.cache
def _own() -> tuple[tuple[str, tuple[re.Pattern[str], ...], tuple[str, ...]], ...]:
    """Order the patterns by mark, so that a text is searched once for each."""
    found: dict[str, list[tuple[re.Pattern[str], str]]] = {}
    for marks, pattern, check in MARKS:
        compiled = re.compile(pattern)
        for mark in ["docker login"] if marks == "docker login" else marks.split():
            found.setdefault(mark, []).append((compiled, check))
    return tuple((mark, *zip(*each, strict=True)) for mark, each in found.items())  # type: ignore[misc]


@functools.cache
def detectors() -> tuple[tuple[Any, str], ...]:
    """Make the plugins of detect-secrets, once; the first call imports them (0.2 s)."""
    found = []
    with untouched():  # the import has Python's warnings logged, where nobody sees them
        for module, (name, mark) in PLUGINS.items():
            plugin = getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), name)
            found.append((plugin(), mark))
    return tuple(found)


def secret_spans(text: str) -> list[tuple[int, int]]:
    """Where a text holds secrets that have a form of their own."""
    if len(text) < SHORTEST:
        return []
    spans = []
    lowered = text.lower()
    if len(lowered) != len(text):  # İ becomes two letters
        lowered = "".join(small if len(small := letter.lower()) == 1 else letter for letter in text)
    for mark, patterns, checks in _own():
        at = lowered.find(mark)
        while at >= 0:
            end = at + 1
            for pattern, check in zip(patterns, checks, strict=True):
                if check == "in url" and not _IN_URL.search(text, max(0, at - 32), at):
                    continue
                if (match := pattern.match(text, at)) is not None:
                    span = match.span("v") if "v" in pattern.groupindex else match.span()
                    if _CHECKS[check](text[slice(*span)]):
                        spans.append(span)
                        end = span[1]
            at = lowered.find(mark, end)
    if any(mark in text for _, mark in PLUGINS.values()):
        for plugin, mark in detectors():
            if mark in text:
                spans += _plugin_spans(plugin, text)
    return sorted(spans)


def _plugin_spans(plugin: Any, text: str) -> Iterator[tuple[int, int]]:
    """Find where a plugin's patterns match: the plugin itself tells only what, and that in part (``ghp``)."""
    for pattern in plugin.denylist:
        for match in pattern.finditer(text):
            long = [i for i in range(1, (match.re.groups or 0) + 1) if match[i] and len(match[i]) >= 16]
            if any(letter.isdigit() for letter in match[0]):
                yield match.span(long[-1] if long else 0)
