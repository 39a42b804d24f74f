"""The widgets of which the panel is made, their labels, and what their callbacks do about errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from ....vocabulary.errors import MlflowMagicsError
from ...markup.html import EMPTY, Markup
from ...markup.words import clean
from .style import PREFIX

HEIGHT = "420px"
"""Of a list, which is scrolled beyond: what belongs to it should be seen beside it."""

_NO_LATEX = str.maketrans({"$": "\uff04", "\\": "\uff3c"})


def label(value: str, limit: int = 60) -> str:
    """Write a foreign string as the description of a widget or an option of a list."""
    return clean(value, limit).translate(_NO_LATEX)


def one_line(error: Exception) -> str:
    """Say what went wrong on one line: ours say how to go on, the type of others helps to look them up."""
    message = str(error) if isinstance(error, MlflowMagicsError) else f"{type(error).__name__}: {error}"
    return clean(message, 300)


def area(name: str = "", value: Markup = EMPTY, **layout: str) -> widgets.HTML:
    """Make a place for HTML."""
    made = widgets.HTML(value, layout=widgets.Layout(**layout))
    if name:
        made.add_class(PREFIX + name)
    return made


def button(description: str, tooltip: str, press: Callable[[], None], **traits: Any) -> widgets.Button:
    """Make a button."""
    layout = widgets.Layout(width="auto", min_width="32px")
    made = widgets.Button(description=description, tooltip=tooltip, layout=layout, **traits)
    made.on_click(lambda _: press())
    return made


def row(*children: widgets.Widget, **layout: str) -> widgets.Box:
    """Put widgets beside each other where there is room, else on the next line."""
    style = {"display": "flex", "flex_flow": "row wrap", "align_items": "center", "width": "100%", **layout}
    return widgets.Box(children, layout=widgets.Layout(**style))


class Pager:
    """Two buttons that turn pages back and on, and a line that says where we are. `turn` is given -1 or 1."""

    def __init__(self, back: tuple[str, str], on: tuple[str, str], turn: Callable[[int], None]) -> None:
        self.back, self.on = button(*back, lambda: turn(-1)), button(*on, lambda: turn(1))
        self.where = area()

    def show(self, where: Markup, page: int, last: bool) -> None:
        """Say where we are, and offer the pages that there are; `page` counts from 0."""
        self.where.value = where
        self.back.disabled, self.on.disabled = page == 0, last

    def hold(self) -> None:
        """Offer no page until the next :meth:`show`."""
        self.back.disabled = self.on.disabled = True


def offer(chooser: widgets.Dropdown | widgets.SelectMultiple, options: tuple[tuple[str, object], ...]) -> None:
    """Change what a list offers, if it does change; the caller sets the value after."""
    if tuple(chooser.options) != options:
        chooser.options = options


def guarded(say: Callable[[str], None], action: Callable[[], None]) -> Callable[[], None]:
    """Have an action's error shown in the panel: raised in a widget's callback it would be a traceback of ours."""

    def act() -> None:
        try:
            say("")
            action()
        except Exception as error:  # noqa: BLE001
            # Whatever the session or MLflow raises, the user sees it on one line and goes on.
            say(one_line(error))

    return act


def free(widget: widgets.Widget) -> None:
    """Close a widget, all that is inside it, and its layouts and styles. A second call does nothing."""
    for child in getattr(widget, "children", ()):
        free(child)
    if isinstance(widget, widgets.DOMWidget):
        widget.unobserve_all()
        for part in (widget.layout, getattr(widget, "style", None)):
            if isinstance(part, widgets.Widget):
                part.close()
    widget.close()
