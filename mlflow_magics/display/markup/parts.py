"""Builds the parts of what is shown, right in JupyterLab, Notebook 7, VS Code and Azure's portal, trusted or not.

An untrusted notebook in JupyterLab keeps only the elements, attributes and style values on its sanitizer's
list, which knows no ``var()``, ``flex-wrap``, ``gap`` or ``overflow-wrap: anywhere``. So all is written with what
that list lets through (a test holds it), and looks the same before and after. Colours come from the theme: text
inherits, backgrounds are translucent, and the few hues read on white as on black.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from .html import EMPTY, Markup, element, join, text, words

GREEN, RED, AMBER = "#2da160", "#e5534b", "#c9882b"
_TINTS = {GREEN: "45,161,96", RED: "229,83,75", AMBER: "201,136,43"}

_SANS = "font-family:system-ui,-apple-system,Segoe UI,Helvetica,Arial,sans-serif"
_MONO = "font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace"
_SUBDUED = "opacity:0.65"
_UNBREAKABLE = re.compile(r"\S{28}")


def subdued(*children: Markup) -> Markup:
    """Say it more quietly."""
    return element("span", *children, style=_SUBDUED)


def mono(*children: Markup) -> Markup:
    """Set names and values as code is set."""
    return element("span", *children, style=f"{_MONO};font-size:12px;overflow-wrap:break-word")


def unbroken(child: Markup) -> Markup:
    """Keep what is short on one line, however narrow the column: a number in two halves is two numbers."""
    return element("span", child, style="white-space:nowrap")


def pill(label: str, colour: str) -> Markup:
    """Write a word on a tint."""
    style = (
        f"background-color:rgba({_TINTS[colour]},0.18);border-radius:10px;padding:1px 9px;margin-right:4px;"
        "font-size:12px;font-weight:600;white-space:nowrap"
    )
    # The space is for those who copy or hear it; the margin, for those who see it.
    return join((element("span", words(label), style=style), words(" ")))


def line(*children: Markup) -> Markup:
    """Put children on a line of their own."""
    return element("div", *children, style="margin:2px 0;overflow-wrap:break-word")


def callout(colour: str, *children: Markup) -> Markup:
    """Set a line apart with a bar at its left."""
    style = f"border-left:3px solid {colour};padding:1px 0 1px 9px;margin:5px 0;overflow-wrap:break-word"
    return element("div", *children, style=style)


def note(marker: str, *lines: str) -> Markup:
    """Set clean strings apart as a note, joined by colons; its marker is a word, as "note" or "hint"."""
    return callout(AMBER, subdued(words(f"{marker} ")), join((text(line) for line in lines), ": "))


def table(head: Sequence[str], rows: Iterable[Sequence[Markup]]) -> Markup:
    """Write a compact table whose first column names the row."""
    plain = "background:transparent;border:none"
    cell = "text-align:left;vertical-align:top;border:none;line-height:1.5;"
    top = f"{cell}padding:0 20px 1px 0;font-weight:400;font-size:11px;white-space:nowrap;{_SUBDUED}"
    titles = join(element("th", words(title), style=top, scope="col") for title in head)
    body = []
    for first, *rest in rows:
        cells = [element("th", first, style=f"{cell}{_set(first)}font-weight:400", scope="row")]
        cells += [element("td", each, style=f"{cell}{_set(each)}") for each in rest]
        body.append(element("tr", *cells, style=plain))
    return element(
        "table",
        element("thead", element("tr", titles, style=plain), style=f"border:none;{_SANS}"),
        element("tbody", *body),
        style="border-collapse:collapse;border:none;margin:0;table-layout:auto;max-width:100%;font-size:12px;" + _MONO,
    )


def _set(cell: Markup) -> str:
    # Breaking anywhere would also break short words, so only a cell with a very long one asks for it.
    breaks = "word-break:break-all;" if _UNBREAKABLE.search(re.sub(r"<[^<>]*>", "", cell)) else ""
    return f"padding:1px 20px 1px 0;{breaks}"


def beside(*parts: Markup) -> Markup:
    """Put tables or folds side by side where there is room, else below each other; the empty ones are left out."""
    style = "display:inline-block;vertical-align:top;max-width:100%;margin:0 24px 5px 0"
    boxes = [element("div", part, style=style) for part in parts if part]
    return element("div", *boxes, style="margin:5px 0 0 0") if boxes else EMPTY


def fold(title: Markup, body: Markup, unfolded: bool = False) -> Markup:
    """Hide detail behind a title."""
    summary = element("summary", title, style=f"cursor:pointer;font-size:12px;{_SUBDUED}")
    inner = element("div", body, style="margin:3px 0 4px 14px")
    return element("details", summary, inner, **({"open": "open"} if unfolded else {}))


def card(*children: Markup) -> str:
    """Frame a block."""
    style = (
        f"{_SANS};font-size:13px;line-height:1.5;text-align:left;border:1px solid rgba(128,128,128,0.3);"
        "border-radius:6px;padding:7px 12px;margin:2px 0;max-width:980px;box-sizing:border-box"
    )
    return element("div", *children, style=style)
