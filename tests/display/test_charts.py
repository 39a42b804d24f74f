"""Sparklines of any values, and the rows that a run's block has for its series."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_magics.display.charts.charts import BLOCKS, GAP, curve, spark
from mlflow_magics.display.markup.words import ordinal
from mlflow_magics.display.outputs import summary
from mlflow_magics.vocabulary.records import Series
from tests.display import samples
from tests.display.page import Page, fits
from tests.display.test_hostile import CORPUS

NAN, INF = math.nan, math.inf


def series(name, values, *, count=0, thinned=1, why="computed in a loop"):
    numbers = [value for value in values if not math.isnan(value)] or [NAN]
    count = count or len(values)
    return Series(name, why, count, count, values[0], values[-1], min(numbers), max(numbers), tuple(values), thinned)


LOSS = series("loss", [2.5 * 0.9**n for n in range(50)])
LONG = series("val_loss", [3.0 * 0.95**n for n in range(150)], count=80_000, thinned=8)
RUN = replace(samples.QUICK, metrics=(), series=(LOSS, LONG), previous={"loss": 0.02})


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([1, 0], "█▁"),
        ([3.0, 3.0, 3.0], "▅▅▅"),
        ([0.1] * 100, "▅" * 16),
        ([5.0], "▅"),
        ([], ""),
        ([NAN, NAN], "··"),
        ([0, NAN, 1], "▁·█"),
        ([INF, 0, 1, -INF], "█▁█▁"),
        ([INF], "█"),
        ([-1e308, 0.0, 1e308], "▁▅█"),
        ([1e308] * 64, "▅" * 16),
        ([0.0, 5e-324], "▁█"),
        ([0.0, 1e-300, 2e-300], "▁▅█"),
    ],
)
def test_spark(values, drawn):
    assert spark(values) == drawn


@given(st.lists(st.floats(), max_size=300))
def test_any_values_are_drawn(values):
    word = spark(values)
    assert len(word) <= 16
    assert set(word) <= set(BLOCKS + GAP)
    page = Page(curve(values))
    (svg,) = page.all("svg")
    width, height = float(svg["width"]), float(svg["height"])
    for x, y in places(page):
        assert 0 <= x <= width
        assert 0 <= y <= height
    assert len(curve(values)) < 3_000


def places(page):
    for line in page.all("polyline"):
        yield from (tuple(map(float, pair.split(","))) for pair in line["points"].split())
    yield from ((float(dot["cx"]), float(dot["cy"])) for dot in page.all("circle"))


def test_a_curve_falls_as_its_values_do():
    page = Page(curve([3.0, 2.0, 1.0]))
    (line,) = page.all("polyline")
    xs, ys = zip(*(map(float, pair.split(",")) for pair in line["points"].split()), strict=True)
    assert list(xs) == sorted(xs)
    assert list(ys) == sorted(ys)
    assert len(page.all("circle")) == 1


def test_a_gap_parts_the_line_and_a_lone_point_is_a_dot():
    page = Page(curve([1.0, 2.0, NAN, 3.0, NAN, 1.0, 2.0]))
    assert len(page.all("polyline")) == 2
    assert len(page.all("circle")) == 2


def test_a_curve_takes_the_themes_colour_and_needs_no_script():
    page = Page(curve(LOSS.sample))
    assert {tag for tag, _ in page.tags} == {"svg", "title", "polyline", "circle"}
    colours = {attributes[key] for _, attributes in page.tags for key in ("stroke", "fill") if key in attributes}
    assert colours == {"currentColor", "none"}


def test_where_svg_is_stripped_the_characters_remain():
    """An untrusted notebook in JupyterLab drops unknown elements, not the text in them."""
    assert re.sub("<[^>]*>", "", curve(LOSS.sample)) == spark(LOSS.sample)


TEXT = """\
  series   loss      █▆▄▃▃▂▂▁▁▁▁▁▁▁▁▁  2.5 → 0.014316  ▼ -0.00568
             min 0.01432 · max 2.5 · 50 points
           val_loss  █▅▃▂▁▁▁▁▁▁▁▁▁▁▁▁  3 → 0.00143859
             min 0.001439 · max 3 · every 8th of 80,000 points kept
"""


def test_text():
    block = summary.render(RUN)
    assert TEXT in block.text + "\n"
    assert "computed in a loop: loss, val_loss" in " ".join(block.text.split())
    assert fits(block.text) == []


def test_html():
    page = Page(summary.render(RUN).html)
    assert len(page.all("svg")) == 2
    for words in ("2.5 → 0.014316", "▼ -0.00568", "0.001439 … 3", "every 8th of 80,000 points kept", "50 points"):
        assert words in page.words


def test_one_point_is_one_point():
    assert "min 0.5 · max 0.5 · 1 point\n" in summary.render(replace(RUN, series=(series("a", [0.5]),))).text


def test_hundreds_of_series_are_twelve_and_a_fold():
    many = tuple(series(f"s{n}", [float(k) for k in range(240)]) for n in range(500))
    block = summary.render(replace(RUN, series=many))
    assert "… and 488 more" in block.text
    assert block.html.count("<svg") == 12
    assert "488 more series, the first 200 here" in Page(block.html).words
    assert len(block.html) < 400_000


@pytest.mark.parametrize("evil", CORPUS, ids=range(len(CORPUS)))
def test_a_hostile_name_stays_in_its_place(evil):
    block = summary.render(replace(RUN, series=(series(evil, [1.0, NAN, INF], why=evil),)))
    page = Page(block.html)
    assert {tag for tag, _ in page.tags} <= {
        "div", "span", "strong", "bdi", "table", "thead", "tbody", "tr", "th", "td", "details", "summary",
        "svg", "title", "polyline", "circle",
    }  # fmt: skip
    assert fits(block.text) == []


@given(st.lists(st.builds(series, st.text(max_size=60), st.lists(st.floats(), min_size=1, max_size=60)), max_size=15))
def test_any_series_fit(found):
    block = summary.render(replace(RUN, series=tuple(found)))
    assert fits(block.text) == []
    Page(block.html)


@pytest.mark.parametrize(
    ("number", "words"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (8, "8th"), (11, "11th"), (112, "112th"), (1022, "1,022nd")],
)
def test_ordinals(number, words):
    assert ordinal(number) == words
