"""Draw charts of all kinds with Chromium, for looking: ``python -m tests.display.plots_screenshots FOLDER``.

Not a test, but it says where a text sticks out of its chart, as only a browser knows how wide a letter is.
Needs Playwright and Chromium (``apt-get install chromium; pip install playwright``).
"""

from __future__ import annotations

import math
import random
import sys
from pathlib import Path

from mlflow_magics.display.charts.plots import plot
from mlflow_magics.display.markup.html import Markup
from mlflow_magics.vocabulary.panel import Curve
from tests.display.screenshots import RULES, THEMES

MEASURE = """() => [...document.querySelectorAll('svg')].flatMap(svg => {
    const box = svg.getBoundingClientRect();
    return [...svg.querySelectorAll('text')].filter(text => {
        const own = text.getBoundingClientRect();
        return own.left < box.left - 0.5 || own.right > box.right + 0.5 || own.top < box.top || own.bottom > box.bottom;
    }).map(text => svg.querySelector('title').textContent + ': ' + text.textContent);
})"""


def curve(name: str, values: list[float], *, every: float = 1, seconds: float = 1.0, count: int = 0) -> Curve:
    """A curve of these values."""
    numbers = [value for value in values if not math.isnan(value)] or [math.nan]
    return Curve(
        name,
        tuple(place * every for place in range(len(values))),
        tuple(1.7e9 + place * seconds for place in range(len(values))),
        tuple(values),
        count or len(values),
        values[-1] if values else math.nan,
        min(numbers),
        max(numbers),
    )


def falling(
    name: str, many: int, *, start: float = 2.3, end: float = 0.12, noise: float = 0.06, seed: int = 0
) -> list[float]:
    """A loss as losses are."""
    dice = random.Random(f"{name}{seed}")
    course = (end + (start - end) * math.exp(-6 * place / many) for place in range(many))
    return [value * (1 + 0.06 * dice.gauss(0, 1)) for value in course]


def charts(width: int) -> dict[str, Markup]:
    """Every kind of chart, at a width."""
    long = curve("loss", falling("loss", 2000), every=500, seconds=3.7, count=1_000_000)
    other = curve("loss", falling("loss", 1500, start=2.6, end=0.3, seed=1), every=500, seconds=2.1, count=750_000)
    third = curve("loss", falling("loss", 1200, start=1.9, end=0.2, seed=2), every=500, seconds=4.0, count=600_000)
    epochs = curve("val_accuracy", [0.61, 0.72, 0.78, 0.81, 0.83, 0.84, 0.835, 0.848, 0.851, 0.85], seconds=95)
    holes = [math.sin(place / 9) if place % 40 > 4 else math.nan for place in range(200)]
    holes[60], holes[130], holes[25] = math.inf, -math.inf, math.inf
    rate = [1e-3 * 0.97**place for place in range(300)] + [0.0]
    slower = curve("val_accuracy", [0.5, 0.6, 0.7, 0.72], seconds=120)
    eight = [(f"run-{seed}", curve("loss", falling("loss", 60, end=0.1 * seed, seed=seed))) for seed in range(8)]
    runs = [("forest", long), ("baseline, the one from last week", other), ("שלום עולם", third)]
    return {
        "one": plot([("run", long)], width=width),
        "three": plot(runs, width=width),
        "three_smoothed_time": plot(runs, width=width, axis="time", smoothing=0.9),
        "smoothed": plot([("run", long)], width=width, smoothing=0.95),
        "epochs": plot([("run", epochs)], width=width),
        "epochs_time": plot([("a", epochs), ("b", slower)], width=width, axis="time"),
        "log": plot([("run", curve("learning_rate", rate))], width=width, log=True),
        "log_three": plot(runs, width=width, log=True, smoothing=0.8),
        "holes": plot([("run", curve("gradient norm", holes))], width=width),
        "point": plot([("run", curve("loss", [0.5]))], width=width),
        "empty": plot([("run", curve("loss", []))], width=width),
        "nan": plot([("run", curve("loss", [math.nan] * 5))], width=width),
        "huge": plot([("run", curve("loss", [-1.7e308, 1e308, 1.7e308]))], width=width),
        "constant": plot([("run", curve("loss", [12345.678] * 50, every=1e5))], width=width),
        "evil": plot([('<script>alert(1)</script>"onload=', long), ("W" * 200, other)], width=width),
        "evil_name": plot([("x", curve("M" * 500 + "<svg/onload=alert(1)>", falling("x", 90)))], width=width),
        "eight": plot(eight, width=width),
    }  # fmt: skip


def main(folder: Path) -> None:
    """Write ``plots_<theme>_<width>.png`` for both themes, wide and small, and one with a pointer on it."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for theme, colors in THEMES.items():
            for width in (560, 280):
                tab = browser.new_page(viewport={"width": 2 * width + 120, "height": 400}, device_scale_factor=1.5)
                boxes = [
                    f'<div id="{name}" style="margin:6px;padding:4px;border:1px dotted #8885">{chart}</div>'
                    for name, chart in charts(width).items()
                ]
                style = f"<style>{RULES.format(**colors)} .all {{ display:flex;flex-wrap:wrap }}</style>"
                tab.set_content(f'<!doctype html><meta charset=utf-8>{style}<div class="all">{"".join(boxes)}</div>')
                for outside in tab.evaluate(MEASURE):
                    print(f"{theme} {width}: sticks out: {outside[:150]}")
                for name in ("one", "three", "three_smoothed_time", "epochs"):
                    chart = tab.locator(f"#{name} svg")
                    for share in (0.3, 0.85):
                        chart.hover(position={"x": width * share, "y": 150})
                        chart.screenshot(path=folder / f"hover_{name}_{theme}_{width}_{share}.png")
                tab.mouse.move(0, 0)
                tab.screenshot(path=folder / f"plots_{theme}_{width}.png", full_page=True)
                tab.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
