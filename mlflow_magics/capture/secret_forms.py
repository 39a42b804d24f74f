"""Texts that are secrets by their form: keys, tokens, signed URLs, URLs with credentials."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Iterator
from typing import Any, Final

from ..untouched import untouched

OTHER: Final = (
    r"(?P<a>(?:Shared)?AccessKey|AccountKey|SharedAccessSignature|SharedAccessKey|SharedSecret)=(?P<v1>[^;\s'\"]{6,})",
    r"[?&](?:sig|signature|X-Amz-Signature|token|access_token|api[-_]?key|code)=(?P<v2>[^&\s'\"]{8,})",
    r"(?i:\b(?:password|passwd|pwd)=)(?P<v3>[^;&\s'\",)]{3,})(?=;|&|$|[\s'\"])",
    r"[a-zA-Z][a-zA-Z0-9+.\-]*://[^\s/:@'\"]*:(?P<v4>[^\s/'\"{}]+)@",
    r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----(?:[\s\S]*?-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----)?",
    r"\bgithub_pat_[A-Za-z0-9_]{22,}",
    r"\bgh[pousr]_[A-Za-z0-9]{20,}",
    r"\bhf_[A-Za-z0-9]{30,}",
    r"\bsk-(?:proj-|ant-|or-|svcacct-)?[A-Za-z0-9_\-]{20,}",
    r"\bAIza[A-Za-z0-9_\-]{35}",
    r"\bya29\.[A-Za-z0-9_\-]{20,}",
    r"\bdapi[a-f0-9]{32}(?:-\d)?\b",
    r"\bpypi-[A-Za-z0-9_\-]{50,}",
    r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}",
    r"\bxox[abeoprs]-[A-Za-z0-9\-]{10,}",
    r"\bnpm_[A-Za-z0-9]{36}\b",
    r"\beyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*",
    r"\b(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{16}\b",
    r"\b(?i:bearer)\s+(?P<v5>[A-Za-z0-9._~+/\-]{20,}=*)",
)
"""What the plugins lack or match only in part. A group named ``v…`` is the secret, else all of the match."""

PLUGINS: Final = {
    "artifactory": "ArtifactoryDetector",
    "aws": "AWSKeyDetector",
    "azure_storage_key": "AzureStorageKeyDetector",
    "cloudant": "CloudantDetector",
    "discord": "DiscordBotTokenDetector",
    "github_token": "GitHubTokenDetector",
    "gitlab_token": "GitLabTokenDetector",
    "jwt": "JwtTokenDetector",
    "mailchimp": "MailchimpDetector",
    "npm": "NpmDetector",
    "openai": "OpenAIDetector",
    "private_key": "PrivateKeyDetector",
    "pypi_token": "PypiTokenDetector",
    "sendgrid": "SendGridDetector",
    "slack": "SlackDetector",
    "square_oauth": "SquareOAuthDetector",
    "stripe": "StripeDetector",
    "telegram_token": "TelegramBotTokenDetector",
    "twilio": "TwilioKeyDetector",
}
"""detect-secrets' plugins for values with a form of their own; none that guesses from entropy or keywords."""

SHORTEST: Final = 12
"""Length below which no text is a secret by its form; spares most cells the import of detect-secrets."""


@functools.cache
def _own() -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern) for pattern in OTHER)


@functools.cache
def detectors() -> tuple[Any, ...]:
    """Make the plugins of detect-secrets, once; the first call imports them (0.2 s).

    Returns
    -------
    tuple
        One of each; none of them uses the network here.
    """
    found = []
    with untouched():  # the import has Python's warnings logged, where nobody sees them
        for module, name in PLUGINS.items():
            plugin = getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), name)
            found.append(plugin())
    return tuple(found)


def secret_spans(text: str) -> list[tuple[int, int]]:
    """Where a text holds secrets that have a form of their own.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    list of (int, int)
        Start and end of each, in order; they may overlap.
    """
    if len(text) < SHORTEST:
        return []
    spans = [_inner(match) for pattern in _own() for match in pattern.finditer(text)]
    for plugin in detectors():
        if any(True for _ in plugin.analyze_string(text)):
            spans += _plugin_spans(plugin, text)
    return sorted(spans)


def _inner(match: re.Match[str]) -> tuple[int, int]:
    for name, value in match.groupdict().items():
        if value and name.startswith("v"):
            return match.span(name)
    return match.span()


def _plugin_spans(plugin: Any, text: str) -> Iterator[tuple[int, int]]:
    """Find where a plugin's patterns match: the plugin itself tells only what, and that in part (``ghp``)."""
    for pattern in plugin.denylist:
        for match in pattern.finditer(text):
            long = [i for i in range(1, (match.re.groups or 0) + 1) if match[i] and len(match[i]) >= 16]
            yield match.span(long[-1] if long else 0)
