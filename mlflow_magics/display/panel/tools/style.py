"""The panel's look, and the HTML of which its tabs are built.

Colours are the theme's: JupyterLab's variables where there are any, else what is inherited.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...markup.html import EMPTY, Markup, element, join, words
from ...markup.parts import AMBER, GREEN, RED, line, pill
from ...markup.words import clean

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
    names = {"▲": "up", "▼": "down", "=": "unchanged"}
    sign, rest = change[:1], change[1:]
    if sign not in names:
        return words(change)
    hidden = element("span", words(sign), **{"aria-hidden": "true"})
    return join((hidden, element("span", words(names[sign]), **{"class": f"{PREFIX}unseen"}), words(rest)))


def grid(columns: str, *cells: Markup, narrowest: str = "0") -> Markup:
    """Lay cells out beside each other."""
    style = (
        f"display:grid;grid-template-columns:{columns};column-gap:8px;align-items:center;min-width:{narrowest};"
        "line-height:1.4;font-size:12px"
    )
    return element("div", *cells, style=style)


def cell(child: Markup, whole: str = "") -> Markup:
    """Write one cell of a :func:`grid`, cut where it does not fit; `whole` is shown while the mouse rests on it."""
    style = "overflow:hidden;text-overflow:ellipsis;white-space:nowrap;min-width:0"
    return element("span", child, style=style, **({"title": clean(whole, 300)} if whole else {}))


def lines(entries: Sequence[Markup]) -> Markup:
    """Write a list, an entry a line. Divs; empty where there are none."""
    style = "overflow-wrap:anywhere;line-height:1.45;font-size:12px"
    return join(element("div", entry, style=style) for entry in entries)


def hint(value: str) -> Markup:
    """Write prose of our own in the small subdued way of a hint; empty for nothing."""
    return element("span", words(value), style="opacity:0.7;font-size:12px") if value else EMPTY


def and_more(shown: Markup, more: int, where: str) -> Markup:
    """Write below a table how many rows it leaves out, and where they are."""
    return join((shown, line(words(f"… and {more} more{where}")) if more > 0 else EMPTY))
