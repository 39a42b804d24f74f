"""The panel's look, and the small parts of which its tabs are built.

Colours are the theme's: JupyterLab's variables where there are any, else what is inherited.
"""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets

from ...markup.html import EMPTY, Markup, element, join, words
from ...markup.parts import AMBER, GREEN, RED, pill
from .tabtools import one_line

PREFIX = "mlflow-magics-"

_RULES = """
.mlflow-magics-panel{color:var(--jp-ui-font-color1,inherit);font-size:13px;max-width:1180px;box-sizing:border-box;
 border:1px solid var(--jp-border-color2,rgba(128,128,128,.35));border-radius:6px;padding:6px 10px;min-width:0}
.mlflow-magics-panel .widget-html,.mlflow-magics-panel .widget-html-content{min-width:0;height:auto;
 color:inherit;line-height:1.5;overflow-wrap:anywhere}
.mlflow-magics-panel .widget-html{margin:1px 2px}
.mlflow-magics-panel .widget-box{min-width:0}
.mlflow-magics-panel a{color:var(--jp-content-link-color,inherit)}
.mlflow-magics-panel svg{max-width:100%}
.mlflow-magics-panel button:focus-visible,.mlflow-magics-panel input:focus-visible,
.mlflow-magics-panel select:focus-visible,.mlflow-magics-panel textarea:focus-visible{
 outline:2px solid var(--jp-brand-color1,currentColor);outline-offset:1px}
.mlflow-magics-panel .widget-tab>.widget-tab-contents{padding:8px 4px 4px}
.mlflow-magics-panel .widget-tab>.lm-TabBar .lm-TabBar-tab,.mlflow-magics-panel .widget-tab>.p-TabBar .p-TabBar-tab{
 flex:0 1 auto;min-width:54px;padding:0 9px}
.mlflow-magics-charts{gap:4px 14px}
.mlflow-magics-charts>.widget-html{flex:0 1 auto}
.mlflow-magics-unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.mlflow-magics-line{margin:3px 0}
"""

_STATES = {
    "not connected": ("○ not connected", AMBER),
    "connected": ("● connected", GREEN),
    "sending": ("↑ sending", GREEN),
    "waiting": ("◌ waiting", AMBER),
    "offline": ("■ offline", AMBER),
}
_STATUSES = {
    "RUNNING": ("▶ running", GREEN),
    "SCHEDULED": ("◷ scheduled", AMBER),
    "FINISHED": ("✓ finished", GREEN),
    "FAILED": ("✗ failed", RED),
    "KILLED": ("■ killed", AMBER),
}
_PLAIN = ("· unknown", AMBER)


def sheet(picture: str) -> Markup:
    """Write the panel's style sheet."""
    return Markup(f"<style>{_RULES}.{picture}{{display:none!important}}</style>")


def state_pill(state: str) -> Markup:
    """Write a connection's state: word, symbol and colour."""
    return pill(*_STATES.get(state, _PLAIN))


def status_pill(status: str) -> Markup:
    """Write a run's status: word, symbol and colour."""
    return pill(*_STATUSES.get(status, _PLAIN))


def status_word(status: str) -> str:
    """Name a run's status."""
    return _STATUSES.get(status, _PLAIN)[0]


def spoken(change: str) -> Markup:
    """Write a change so that a screen reader says "up" and "down" for its arrows."""
    said = {"▲": "up", "▼": "down", "=": "unchanged"}
    sign, rest = change[:1], change[1:]
    if sign not in said:
        return words(change)
    hidden = element("span", words(sign), **{"aria-hidden": "true"})
    return join((hidden, element("span", words(said[sign]), **{"class": f"{PREFIX}unseen"}), words(rest)))


def area(name: str = "", value: Markup = EMPTY, **layout: str) -> widgets.HTML:
    """Make a place for HTML."""
    made = widgets.HTML(value, layout=widgets.Layout(**layout))
    if name:
        made.add_class(PREFIX + name)
    return made


def button(label: str, tooltip: str, press: Callable[[], None], width: str = "auto") -> widgets.Button:
    """Make a button."""
    made = widgets.Button(description=label, tooltip=tooltip, layout=widgets.Layout(width=width, min_width="32px"))
    made.on_click(lambda _: press())
    return made


def row(*children: widgets.Widget, **layout: str) -> widgets.Box:
    """Put widgets beside each other where there is room, else on the next line."""
    style = {"display": "flex", "flex_flow": "row wrap", "align_items": "center", "width": "100%", **layout}
    return widgets.Box(children, layout=widgets.Layout(**style))


def guarded(say: Callable[[str], None], action: Callable[[], None]) -> Callable[[], None]:
    """Have an action's error shown in the panel: raised in a widget's callback it would be a traceback of ours.

    Parameters
    ----------
    say : callable
        Shows one line; is given an empty one first.
    action : callable
        What a click does.

    Returns
    -------
    callable
        The same, raising nothing.
    """

    def act() -> None:
        try:
            say("")
            action()
        except Exception as error:  # noqa: BLE001
            # Whatever the session or MLflow raises, the user sees it on one line and goes on.
            say(one_line(error))

    return act
