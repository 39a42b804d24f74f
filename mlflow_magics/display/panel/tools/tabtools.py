"""What the tabs share: labels that are plain text, one line for an error, and when to look again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import ipywidgets as widgets

from ....vocabulary.errors import MlflowMagicsError
from ...markup.html import Markup, element, words
from ...markup.words import clean

HEIGHT = "420px"
"""Of a list, which is scrolled beyond: what belongs to it should be seen beside it."""

_AWAY = 2.0  # seconds; the board's ticker comes at least once a second while it ticks at all
_NO_LATEX = str.maketrans({"$": "\uff04", "\\": "\uff3c"})


def label(value: str, limit: int = 60) -> str:
    """Write a foreign string as the description of a widget or an option of a list."""
    return clean(value, limit).translate(_NO_LATEX)


def one_line(error: Exception) -> str:
    """Say what went wrong on one line.

    Parameters
    ----------
    error : Exception
        Ours, whose message says how to go on, or another.

    Returns
    -------
    str
        Clean.
    """
    said = str(error) if isinstance(error, MlflowMagicsError) else f"{type(error).__name__}: {error}"
    return clean(said, 300)


def grid(columns: str, *cells: Markup, narrowest: str = "0", **attributes: str) -> Markup:
    """Lay cells out beside each other."""
    style = (
        f"display:grid;grid-template-columns:{columns};column-gap:8px;align-items:center;min-width:{narrowest};"
        "line-height:1.4;font-size:12px"
    )
    return element("div", *cells, style=style, **attributes)


def cell(child: Markup, whole: str = "") -> Markup:
    """Write one cell of a :func:`grid`, cut where it does not fit.

    Parameters
    ----------
    child : Markup
        What is seen.
    whole : str, optional
        Shown while the mouse rests on it.

    Returns
    -------
    Markup
        A span.
    """
    style = "overflow:hidden;text-overflow:ellipsis;white-space:nowrap;min-width:0"
    return element("span", child, style=style, **({"title": clean(whole, 300)} if whole else {}))


def lines(given: Sequence[Markup]) -> Markup:
    """Write a list, an entry a line. Divs; empty where there are none."""
    style = "overflow-wrap:anywhere;line-height:1.45;font-size:12px"
    return Markup("".join(element("div", each, style=style) for each in given))


def subdued_note(value: str) -> Markup:
    """Write prose of our own in the small subdued way of a hint.

    Parameters
    ----------
    value : str
        Prose; empty for nothing.

    Returns
    -------
    Markup
        A span.
    """
    return element("span", words(value), style="opacity:0.7;font-size:12px") if value else Markup("")


def offer(chooser: widgets.Dropdown | widgets.SelectMultiple, options: tuple[tuple[str, object], ...]) -> None:
    """Change what a list offers, if it does change; the caller sets the value after."""
    if tuple(chooser.options) != options:
        chooser.options = options


def free(widget: widgets.Widget) -> None:
    """Close a widget, all that is inside it, and its layouts and styles.

    Parameters
    ----------
    widget : Widget
        The outermost. A second call does nothing.
    """
    for child in getattr(widget, "children", ()):
        free(child)
    if isinstance(widget, widgets.DOMWidget):
        widget.unobserve_all()
        for part in (widget.layout, getattr(widget, "style", None)):
            if isinstance(part, widgets.Widget):
                part.close()
    widget.close()


class Visits:
    """Tells from the calls of `refresh` alone when a tab should look again.

    A visible tab is refreshed again and again while something goes on, and else only when it is turned to.

    Parameters
    ----------
    clock : callable
        Seconds, as :func:`time.monotonic`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: float | None = None
        self._busy = False

    def news(self, busy: bool) -> bool:
        """Take note of a call. True at the first call, when a cell has ended, and after a pause outside a cell."""
        now = self._clock()
        first, ended = self._last is None, self._busy and not busy
        away = self._last is not None and now - self._last > _AWAY
        self._last, self._busy = now, busy
        return first or ended or (away and not busy)
