"""Nothing foreign leaves its place in the panel: every HTML value is parsed, its tags and attributes looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import ipywidgets as widgets
import pytest

from mlflow_magics.display.panel import Panel
from mlflow_magics.display.panel.picture import picture
from mlflow_magics.vocabulary.errors import MlflowMagicsError
from mlflow_magics.vocabulary.panel import Header, RunView
from tests.display.clock import Clock
from tests.display.desks import OTHER, RUN, FakeDesk, falling
from tests.display.page import Page, fits
from tests.display.test_hostile import CORPUS
from tests.display.test_panel import inside, pick
from tests.rig.waiting import eventually

EVIL = [
    *CORPUS,
    "</svg><script>alert(1)</script>",
    '<svg onload="alert(1)"><title>x</title>',
    "</title></svg><img src=x onerror=alert(1)>",
    "</style><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "]]><script>alert(1)</script>",
    "data:text/html,<script>alert(1)</script>",
]
SVG = {
    *("svg", "g", "title", "desc", "path", "polyline", "polygon", "line", "rect", "circle", "ellipse"),
    *("text", "tspan", "clippath", "defs"),
}
ELEMENTS = SVG | {
    *("div", "span", "strong", "em", "bdi", "a", "table", "thead", "tbody", "tr", "th", "td", "style"),
    *("details", "summary", "br", "code"),
}
REORDERING = [chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F)]


def looks_harmless(value: str, evil: str, longest: int) -> None:
    page = Page(value)
    for tag, attributes in page.tags:
        assert tag in ELEMENTS, tag
        assert not [name for name in attributes if name.startswith("on")], attributes
        assert "src" not in attributes
        assert "xlink:href" not in attributes
        if "href" in attributes:
            assert tag == "a"
            assert attributes["href"].startswith(("http://", "https://")), attributes
        for name, text in attributes.items():
            assert "alert(" not in text or name in ("title", "aria-label"), (name, text)
            assert "position:fixed" not in text or name in ("title", "aria-label"), (name, text)
    assert not [mark for mark in REORDERING if mark in value]
    assert len(value) < longest, len(value)


def style_values(value: str) -> Iterator[str]:
    """What is inside each <style>."""
    for piece in value.split("<style")[1:]:
        yield piece.split("</style")[0]


def texts(widget: Any) -> Iterator[tuple[str, str]]:
    """Every string that a widget hands to the browser, with what it is."""
    for each in inside(widget):
        for name in ("description", "placeholder", "tooltip", "value"):
            held = getattr(each, name, None)
            if isinstance(held, str) and not (name == "value" and isinstance(each, widgets.HTML)):
                yield f"{type(each).__name__}.{name}", held
        for label in getattr(each, "_options_labels", None) or getattr(each, "options", None) or ():
            yield f"{type(each).__name__}.options", str(label)


def evil_run(evil: str, run_id: str) -> RunView:
    return replace(
        RUN,
        run_id=run_id,
        name=evil,
        status=evil,
        url=evil,
        params={evil: evil, "plain": evil},
        metrics={evil: 1.0, "single": 0.5, "two" + evil: 3.0},
        tags={evil: evil, "plain": evil},
        note=evil,
        curves=(falling(evil, 30), falling("loss", 30)),
    )


def evil_desk(evil: str) -> FakeDesk:
    header = Header(evil or "somewhere", "waiting", evil, evil, evil, evil)
    backend = FakeDesk(evil_run(evil, "a" * 32), header)
    backend.names = (evil, "iris")
    backend.known = {"b" * 32: evil_run(evil, "b" * 32)}
    return backend


@pytest.mark.parametrize("compact", [False, True], ids=["whole", "compact"])
@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
def test_nothing_gets_out_of_the_panel(evil, compact):
    backend = evil_desk(evil)
    panel = Panel(backend, compact=compact)
    try:
        if not compact:
            compare(panel, backend)
        panel._say(evil)
        for widget in inside(panel.widget):
            if isinstance(widget, widgets.HTML):
                looks_harmless(widget.value, evil, 200_000)
                for rules in style_values(widget.value):
                    assert "alert" not in rules
        for what, held in texts(panel.widget):
            assert len(held) <= 5000, what
            if what.endswith((".description", ".tooltip", ".options")):
                assert "$" not in held or "tooltip" in what, "JupyterLab typesets LaTeX in descriptions"
                assert not [mark for mark in REORDERING if mark in held], what
    finally:
        panel.close()


def compare(panel: Panel, backend: FakeDesk) -> None:
    """Have all three live tabs drawn, another run beside."""
    metrics = pick(panel, "Metrics")
    dropdown = next(each for each in inside(metrics) if isinstance(each, widgets.Dropdown))
    eventually(lambda: len(dropdown.options) == 2)
    dropdown.value = "b" * 32
    eventually(lambda: backend.asked("details"))
    panel.set_baseline(replace(OTHER, name=backend.shown_run.name, params=backend.shown_run.params | {"loss": "gone"}))
    values = pick(panel, "Params & results")
    eventually(lambda: any("against" in each.value for each in inside(values) if isinstance(each, widgets.HTML)))


@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
def test_nothing_gets_out_of_the_picture(evil):
    backend = evil_desk(evil)
    block = picture(backend.shown_header, backend.shown_run, "mlflow-magics-picture-1")
    looks_harmless(block.html, evil, 60_000)
    assert fits(block.text) == []


@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
def test_errors_are_one_harmless_line(evil):
    backend = FakeDesk(RUN)
    panel = Panel(backend)
    try:
        eventually(lambda: backend.asked("experiments"))
        backend.error = MlflowMagicsError(evil) if evil else ValueError(evil)
        key = next(e for e in inside(panel.widget) if isinstance(e, widgets.Text) and e.placeholder == "tag")
        key.value = "a"
        next(e for e in inside(panel.widget) if isinstance(e, widgets.Button) and e.description == "Set").click()
        message = panel._message.value
        assert message
        looks_harmless(message, evil, 6000)
    finally:
        panel.close()


def test_odd_numbers_are_drawn():
    odd = (float("nan"), float("inf"), -float("inf"), 1e308, -1e308, 5e-324, 0.0)
    curves = (
        replace(falling("odd", 7), values=odd, last=float("nan"), min=-1e308, max=1e308),
        replace(falling("empty", 0), steps=(), times=(), values=(), last=float("nan")),
        falling("one", 1),
    )
    run = replace(RUN, began=-1e300, ended=1e300, curves=curves, metrics={"nan": float("nan"), "inf": float("inf")})
    backend = FakeDesk(run)
    clock = Clock()
    panel = Panel(backend, ticker=clock.ticker)
    try:
        for title in ("Metrics", "Params & results"):
            pick(panel, title)
            clock.advance(1)
        panel.set_baseline(replace(OTHER, metrics={"nan": 1.0, "inf": -float("inf")}))
        clock.advance(1)
        assert "not redrawn" not in "".join(e.value for e in inside(panel.widget) if isinstance(e, widgets.HTML))
        assert fits(picture(backend.shown_header, run).text) == []
    finally:
        panel.close()
