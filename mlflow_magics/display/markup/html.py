"""Writes HTML in which everything from outside is escaped, and only http(s) becomes a link."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import NewType
from urllib.parse import urlsplit

Markup = NewType("Markup", str)
"""A string that is HTML already, so that the type checker sees where one that is not would slip in."""

EMPTY = Markup("")
"""Nothing to show."""

# Printable ASCII: what else a link for people may hold, a browser and a person could read differently.
_URL = re.compile(r"https?://[!-\[\]-~]+", re.IGNORECASE)
_PATH = re.compile(r"/[\w.~%-][\w./~%@-]*", re.ASCII)
_LATEX = re.compile(r"[$\\]")
_APART = r"<span>\g<0></span>"  # MathJax does not look across elements.
_LONGEST_URL = 2000


def text(value: str) -> Markup:
    """Escape a clean string that came from outside.

    It is isolated, so that a right-to-left value does not turn its neighbours around; dollars and backslashes stand
    apart, as notebooks look for LaTeX in HTML outputs, and "from $5 to $6" is none.
    """
    return Markup(f"<bdi>{_LATEX.sub(_APART, escape(value))}</bdi>")


def words(value: str) -> Markup:
    """Escape a string of our own."""
    return Markup(escape(value))


def join(parts: Iterable[Markup], between: str = "") -> Markup:
    """Put parts together, the empty ones left out, with prose of our own between them."""
    return Markup(escape(between).join(part for part in parts if part))


def element(name: str, *children: Markup, style: str = "", **attributes: str) -> Markup:
    """Write one element."""
    given = {"style": style, **attributes} if style else attributes
    opening = "".join(f' {key}="{escape(value)}"' for key, value in given.items())
    return Markup(f"<{name}{opening}>{''.join(children)}</{name}>")


def safe_url(url: str) -> str:
    """Give back a URL that may become a link.

    The URL without user name and password; empty unless it is http or https, whole, and nothing in it could be read
    differently by a browser.
    """
    url = url.strip()
    if len(url) > _LONGEST_URL or not _URL.fullmatch(url):
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:  # a malformed IPv6 host
        return ""
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host).geturl() if host else ""


def link(label: Markup, url: str) -> Markup:
    """Make a label a link that opens beside the notebook; the label alone where `url` may not become one."""
    return _link(label, safe_url(url))


def local_link(label: Markup, path: str) -> Markup:
    """Make a label a link to another page of the host that shows the notebook."""
    return _link(label, path if _PATH.fullmatch(path) else "")


def _link(label: Markup, target: str) -> Markup:
    if not target:
        return label
    return element(
        "a", label, style="color:inherit;text-decoration:underline",
        href=target, target="_blank", rel="noopener noreferrer",
    )  # fmt: skip
