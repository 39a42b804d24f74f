"""Charts of any values and names: valid, finite, inside their box, and telling the truth; also to a real browser."""

from __future__ import annotations

import importlib.util
import itertools
import math
import re
import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_magics.display.charts import scales
from mlflow_magics.display.charts.lettering import fit, room, said
from mlflow_magics.display.charts.lines import COLOURS, DASHES, columns, smooth
from mlflow_magics.display.charts.plots import plot
from mlflow_magics.vocabulary.panel import Curve
from tests.browser import lab
from tests.display import plots_screenshots
from tests.display.page import Page
from tests.display.plots_screenshots import curve, falling
from tests.display.test_hostile import CORPUS

NAN, INF = math.nan, math.inf
GREATEST, LEAST = 1.7976931348623157e308, 5e-324
LOSS = curve("loss", falling("loss", 300), every=10, seconds=2, count=3000)
OTHER = curve("loss", falling("loss", 200, seed=1), every=10, seconds=2)

floats = st.one_of(st.floats(), st.sampled_from([0.0, 1.0, -1.0, GREATEST, -GREATEST, LEAST, 2.0**62, NAN, INF, -INF]))
points = st.lists(st.tuples(floats, floats, floats), max_size=40)


def any_curve(points, count, last, least, greatest):
    steps, times, values = zip(*points, strict=True) if points else ((), (), ())
    return Curve("q", steps, times, values, count, last, least, greatest)


curves = st.builds(any_curve, points, st.integers(0, 2**62), floats, floats, floats)


def corners(svg):
    """Every point that an element's attributes name, the path's own language included."""
    for element in svg.iter():
        given = {key: element.get(key) for key in ("x", "y", "cx", "cy", "r", "width", "height")}
        at = {key: float(value) for key, value in given.items() if value is not None}
        if element.tag in ("svg", "desc", "title"):
            continue
        if element.tag == "circle":
            yield at["cx"], at["cy"]
        elif element.tag == "tspan":
            if "x" in at:
                yield at["x"], 0.0
        elif at:
            yield at["x"], at["y"]
            yield at["x"] + at.get("width", 0.0), at["y"] + at.get("height", 0.0)
        yield from walk(element.get("d", ""))


def walk(path):
    """The points of a path, of the commands that we write."""
    x = y = 0.0
    for command, rest in re.findall(r"([a-zA-Z])([^a-zA-Z]*)", path):
        numbers = [float(number) for number in re.findall(r"-?[\d.]+", rest)]
        if command in "ML":
            x, y = numbers
        elif command == "H":
            (x,) = numbers
        elif command == "V":
            (y,) = numbers
        elif command == "h":
            x += numbers[0]
        elif command == "l":
            x, y = x + numbers[0], y + numbers[1]
        else:
            assert command == "z", f"an unknown command: {command}{rest}"
        yield x, y


def checked(markup, width, height):
    """The chart as XML, after all that holds of every chart has been asked of it."""
    svg = ET.fromstring(markup)
    Page(markup)
    assert svg.get("role") == "img"
    assert [child.tag for child in svg][:2] == ["title", "desc"]
    assert svg.get("viewBox") == f"0 0 {width} {height}"
    assert not re.search("nan|inf", markup, re.IGNORECASE)
    for x, y in corners(svg):
        assert -0.1 <= x <= width + 0.1, (x, y)
        assert -0.1 <= y <= height + 0.1, (x, y)
    return svg


def texts(svg):
    return ["".join(text.itertext()) for text in svg.iter("text") if text not in tips(svg)]


def tips(svg):
    return [text for group in svg.iter("g") if group.get("class") == "tip" for text in group.iter("text")]


def cells(svg):
    return [group for group in svg.iter("g") if group.find("title") is not None]


def told(svg):
    return [cell.find("title").text for cell in cells(svg)]


def lines(svg):
    drawn = [group for group in svg.iter("g") if group.get("stroke-linejoin")]
    return [path for group in drawn for path in group.iter("path") if path.get("stroke")]


@given(
    st.lists(curves, min_size=1, max_size=4),
    st.sampled_from(["step", "time"]),
    st.booleans(),
    st.floats(0, 1),
    st.integers(280, 900),
    st.integers(140, 500),
)
def test_any_curves_make_a_valid_chart_within_its_box(drawn, axis, log, smoothing, width, height):
    runs = [(f"run {place}", each) for place, each in enumerate(drawn)]
    checked(plot(runs, width=width, height=height, axis=axis, log=log, smoothing=smoothing), width, height)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    "values",
    [
        [],
        [1.0],
        [NAN] * 5,
        [INF, -INF],
        [7.5] * 9,
        [0.0, LEAST],
        [LEAST] * 3,
        [LEAST, 2 * LEAST, 3 * LEAST],
        [-GREATEST, GREATEST],
        [GREATEST] * 2,
        [1e16, 1e16 + 2],
        [-1.0, 0.0],
    ],
)
@pytest.mark.parametrize("every", [1, -1, 0, 2.0**62, 1e-9])
def test_corners(values, every, log):
    given = curve("loss", values, every=every)
    svg = checked(plot([("run", given)], log=log, smoothing=0.5), 560, 220)
    drawable = [value for value in values if math.isfinite(value) and (value > 0 or not log)]
    assert bool(lines(svg)) == bool(drawable)
    if not drawable:
        assert texts(svg)[-1] in ("no points yet", "no number yet", "nothing above zero")


@pytest.mark.parametrize("evil", CORPUS)
def test_hostile_names_are_text(evil):
    plain = Page(plot([("run", LOSS), ("other", OTHER)]))
    markup = plot([(evil, replace(LOSS, name=evil)), (evil, OTHER)])
    page = Page(markup)
    assert ET.fromstring(markup) is not None
    assert {tag for tag, _ in page.tags} <= {tag for tag, _ in plain.tags}
    allowed = {name for _, given in plain.tags for name in given}
    assert {name for _, given in page.tags for name in given} <= allowed
    assert len(markup) < 2 * len(plot([("run", LOSS), ("other", OTHER)]))
    assert not set("\u202e\u2066\u200f\x1b\x00") & set(markup)


def test_nothing_comes_from_elsewhere():
    markup = plot([("run", LOSS), ("other", OTHER)], smoothing=0.5)
    assert not re.search(r"https?:|url\(|@import|<script|xlink|href", markup)


def test_no_curve_is_no_chart():
    assert plot([]) == ""


def test_numbers_beside_the_name():
    svg = checked(plot([("run", LOSS)]), 560, 220)
    assert texts(svg)[:2] == [
        f"loss{said(LOSS.last)}",
        f"min {said(LOSS.min, 4)} · max {said(LOSS.max, 4)} · 3,000 points",
    ]
    assert svg.find("title").text == "loss"
    first = said(LOSS.values[0])
    assert svg.find("desc").text == (
        f"first {first}, last {said(LOSS.last)}, min {said(LOSS.min)}, max {said(LOSS.max)}, 3,000 points"
    )


def test_log_leaves_out_zero_and_less_and_says_so():
    given = curve("rate", [0.0, 1.0, 10.0, -1.0, 100.0, 1000.0])
    svg = checked(plot([("run", given)], log=True), 560, 220)
    assert "zero or less left out" in " ".join(texts(svg))
    assert "zero or less left out" in svg.find("desc").text
    assert len(re.findall("M", lines(svg)[0].get("d"))) == 2
    assert "zero" not in "".join(ET.fromstring(plot([("run", given)])).itertext())


def test_nan_is_a_gap_and_infinity_a_mark_at_its_edge():
    svg = checked(plot([("run", curve("loss", [1, 2, NAN, 3, INF, 4, 5, -INF, 6]))]), 560, 220)
    assert lines(svg)[0].get("d").count("M") == 4
    marks = [path for path in svg.iter("path") if path.get("fill") in COLOURS]
    up, down = (list(walk(piece)) for piece in re.findall("M[^M]*", marks[0].get("d")))
    assert up[0][1] < up[1][1]
    assert down[0][1] > down[1][1]
    assert up[0][1] < 50 < 190 < down[0][1]
    assert {"step 2\nnot a number", "step 4\n∞", "step 7\n-∞"} <= set(told(svg))


def test_curves_differ_in_colour_or_dash():
    many = [(f"run {place}", OTHER) for place in range(20)]
    looks = [(path.get("stroke"), path.get("stroke-dasharray")) for path in lines(ET.fromstring(plot(many)))]
    assert len(looks) >= 20
    assert len({(COLOURS[n % len(COLOURS)], DASHES[n % len(DASHES)]) for n in range(20)}) == 20
    assert looks[-1][1] is None  # of the run that is looked at, drawn last


@pytest.mark.parametrize("background", [1.0, 0.0056])  # white, and JupyterLab's dark #111
@pytest.mark.parametrize("colour", COLOURS)
def test_colours_stand_out_from_both_themes(colour, background):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    luminance = sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))
    bright, dark = max(luminance, background), min(luminance, background)
    assert (bright + 0.05) / (dark + 0.05) >= 3  # WCAG 2.1's contrast of graphics


def test_runs_are_named_in_a_legend_as_far_as_there_is_room():
    many = [(f"run {place}", OTHER) for place in range(40)]
    for width in (280, 560, 1000):
        shown = texts(checked(plot(many, width=width), width, 220))
        named = [text for text in shown if text.startswith("run ")]
        assert named[0].startswith("run 0")
        assert f"and {40 - len(named)} more" in shown


def test_times_run_from_each_runs_own_beginning():
    early = curve("loss", [1.0, 2.0, 3.0], seconds=60)
    late = Curve("loss", early.steps, tuple(time + 1e6 for time in early.times), early.values, 3, 3.0, 1.0, 3.0)
    svg = checked(plot([("early", early), ("late", late)], axis="time"), 560, 220)
    first, second = (path.get("d") for path in lines(svg))
    assert first == second
    assert told(svg)[1] == "1 min · step 1\nearly\u20022\nlate\u20022"


def test_a_clock_that_was_set_back_does_not_draw_backwards():
    given = Curve("loss", (0.0, 1.0, 2.0), (100.0, 300.0, 200.0), (1.0, 2.0, 3.0), 3, 3.0, 1.0, 3.0)
    svg = checked(plot([("run", given)], axis="time"), 560, 220)
    across = [x for x, _ in walk(lines(svg)[0].get("d"))]
    assert across == sorted(across)


@pytest.mark.parametrize("times", [(INF, NAN), (NAN, INF), (NAN, NAN), (0.0, INF), (INF, 0.0)])
def test_points_without_a_time_are_nowhere_on_its_axis(times):
    given = Curve("loss", (0.0, 1.0), times, (1.0, 2.0), 2, 2.0, 1.0, 2.0)
    svg = checked(plot([("run", given)], axis="time"), 560, 220)
    assert len(told(svg)) == sum(map(math.isfinite, times))


# -- values under the pointer ---------------------------------------------------------------------------------


def test_cells_tell_every_point_of_a_short_curve():
    values = [0.61, 0.72, 0.78]
    assert told(ET.fromstring(plot([("run", curve("a", values))]))) == ["step 0\n0.61", "step 1\n0.72", "step 2\n0.78"]


def test_cells_are_few_cover_all_and_do_not_overlap():
    for width in (280, 560, 5000):
        svg = ET.fromstring(plot([("run", LOSS), ("other", OTHER)], width=width))
        boxes = [cell.find("rect") for cell in cells(svg)]
        assert 20 < len(boxes) <= 120
        ends = [(float(box.get("x")), float(box.get("x")) + float(box.get("width"))) for box in boxes]
        for (_, end), (begin, _) in itertools.pairwise(ends):
            assert begin == pytest.approx(end, abs=0.11)
        assert ends[-1][1] == pytest.approx(width - 8, abs=0.11)


def test_a_cell_tells_of_the_curves_that_are_there():
    short = curve("loss", [5.0, 4.0])
    svg = ET.fromstring(plot([("long", curve("loss", [1.0, 2.0, 3.0])), ("short", short)]))
    assert told(svg) == [
        "step 0\nlong\u20021\nshort\u20025",
        "step 1\nlong\u20022\nshort\u20024",
        "step 2\nlong\u20023",
    ]


def test_a_smoothed_curve_tells_both_values_and_keeps_the_raw_line():
    svg = ET.fromstring(plot([("run", curve("loss", [0.0, 1.0]))], smoothing=0.5))
    assert told(svg) == ["step 0\n0 (raw 0)", "step 1\n0.666667 (raw 1)"]
    pale, strong = lines(svg)
    assert pale.get("stroke-opacity")
    assert pale.get("d") != strong.get("d")


def test_great_steps_are_told_without_made_up_digits():
    svg = ET.fromstring(plot([("run", curve("loss", [1.0, 2.0], every=2.0**62))]))
    assert told(svg) == ["step 0\n1", "step 4.61169e+18\n2"]


# -- thinning, smoothing --------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0, 200), floats), max_size=300))
def test_columns_keep_the_least_and_the_greatest_of_each(points):
    points.sort(key=lambda point: point[0])
    pieces = columns([x for x, _ in points], [value for _, value in points])
    kept = [point for piece in pieces for point in piece]
    assert [x for x, _ in kept] == sorted(x for x, _ in kept)
    for column in range(201):
        finite = [value for x, value in points if int(x) == column and math.isfinite(value)]
        here = [value for x, value in kept if int(x) == column]
        assert len(here) <= 2
        assert (min(here, default=0), max(here, default=0)) == (min(finite, default=0), max(finite, default=0))


def test_a_long_curve_is_drawn_with_two_points_a_column():
    given = curve("loss", [math.sin(place) for place in range(20_000)])
    path = lines(ET.fromstring(plot([("run", given)])))[0].get("d")
    assert 900 < len(re.findall("[MLV]", path)) <= 2 * 560


def test_pieces_part_where_a_column_has_no_number():
    assert columns([0, 1, 2], [1.0, NAN, 2.0]) == [[(0, 1.0)], [(2, 2.0)]]
    assert columns([0, 0.5, 1], [1.0, NAN, 2.0]) == [[(0, 1.0), (1, 2.0)]]
    assert columns([], []) == []


def test_smoothing_is_tensorboards():
    # By hand: (1-w) * sum(w**k * v[-k]) / (1 - w**n); what is not finite stays, and counts nothing.
    assert smooth([1.0, 3.0, 2.0], 0.5) == pytest.approx([1.0, (0.5 * 1 + 3) / 1.5, (0.25 * 1 + 0.5 * 3 + 2) / 1.75])
    assert smooth([1.0, INF, 3.0], 0.5) == pytest.approx([1.0, INF, (0.5 * 1 + 3) / 1.5])
    assert smooth([0.1] * 9, 0.9) == [0.1] * 9
    assert math.isnan(smooth([1.0, NAN, 3.0], 0.5)[1])


@given(st.lists(floats, max_size=50), st.floats(0, 0.9999))
def test_averages_stay_within_the_values(values, weight):
    finite = [value for value in values if math.isfinite(value)]
    for value, average in zip(values, smooth(values, weight), strict=True):
        if math.isfinite(value):
            assert min(finite) <= average <= max(finite)
        else:
            assert average == value or math.isnan(average)


# -- axes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ends", "labels"),
    [
        ((0, 1), "0.0 0.2 0.4 0.6 0.8 1.0"),
        ((0.12, 2.3), "0.5 1.0 1.5 2.0"),
        ((0, 1e6), "0 200k 400k 600k 800k 1M"),
        ((0, 7e6), "0 2M 4M 6M"),
        ((0, 45_000), "0 10k 20k 30k 40k"),
        ((1995, 2005), "1996 1998 2000 2002 2004"),
        ((1e-5, 9e-5), "2e-5 4e-5 6e-5 8e-5"),
        ((-3, 3), "-2 0 2"),
        ((-GREATEST, GREATEST), "-1e308 0 1e308"),
        ((0.9999991, 0.9999999), "0.9999992 0.9999994 0.9999996 0.9999998"),
        ((0, 0), "-1.0 -0.5 0.0 0.5 1.0"),
    ],
)
def test_ticks(ends, labels):
    assert [tick.label for tick in scales.numbered(scales.around(ends), 5)] == labels.split()


@pytest.mark.parametrize(
    ("ends", "labels"),
    [
        ((0.01, 100), "0.01 0.1 1 10 100"),
        ((0.5, 60), "0.5 1 2 5 10 20 50"),
        ((1e-300, 1e300), "1e-200 1 1e200"),
        ((1e-5, 1e5), "1e-5 1 100k"),
        ((3, 4), "3 3.5 4"),
        ((LEAST, LEAST), "2e-324 5e-324 1e-323"),
    ],
)
def test_ticks_of_a_logarithmic_axis(ends, labels):
    assert [tick.label for tick in scales.numbered(scales.around(ends, log=True), 5)] == labels.split()


@pytest.mark.parametrize(
    ("seconds", "labels"),
    [
        (0.01, "0 ms,2 ms,4 ms,6 ms,8 ms,10 ms"),
        (1, "0.0 s,0.2 s,0.4 s,0.6 s,0.8 s,1.0 s"),
        (40, "0 s,10 s,20 s,30 s,40 s"),
        (200, "0 min,1 min,2 min,3 min"),
        (4000, "0 min,15 min,30 min,45 min,60 min"),
        (30_000, "0 h,2 h,4 h,6 h,8 h"),
        (1e6, "0 d,2 d,4 d,6 d,8 d,10 d"),
    ],
)
def test_ticks_of_times(seconds, labels):
    assert [tick.label for tick in scales.timed(scales.around([0, seconds]), 6)] == labels.split(",")


@given(st.lists(floats, min_size=1), st.booleans(), st.integers(1, 12), st.booleans())
def test_ticks_are_few_ascending_and_on_the_axis(numbers, log, most, whole):
    if (scale := scales.around(numbers, log)) is None:
        return
    ticks = scales.numbered(scale, most, whole)
    if not log:
        ticks += scales.timed(scale, most)
    assert len(ticks) <= 2 * most + 4
    for tick in ticks:
        assert 0 <= tick.at <= 1
        assert re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?[kMGT]?( (ms|s|min|h|d))?", tick.label)
        assert len(tick.label) <= 16


def test_steps_have_whole_ticks():
    shown = texts(ET.fromstring(plot([("run", curve("loss", [1.0, 2.0, 3.0]))])))
    assert {"0", "1", "2", "step"} <= set(shown)
    assert "0.5" not in shown


@given(st.integers(280, 800), st.floats(1, 1e9), st.sampled_from(["step", "time"]))
def test_labels_along_do_not_meet(width, every, axis):
    given = curve("loss", [1.0, 2.0, 3.0], every=every, seconds=every)
    svg = ET.fromstring(plot([("run", given)], width=width, axis=axis))
    feet = next(group for group in svg.iter("g") if group.get("text-anchor") == "middle")
    spans = [(float(t.get("x")) - room(t.text) / 2, float(t.get("x")) + room(t.text) / 2) for t in feet]
    assert spans
    assert all(end < begin for (_, end), (begin, _) in itertools.pairwise(spans))


@pytest.mark.parametrize("name", ["x" * 500, "W" * 500, "漢" * 500, "Z\u0351" * 60, "a", ""])
def test_names_are_cut_to_fit(name):
    assert room(fit(name, 100)) <= 100
    assert len(fit("a name", 1)) <= 2


# -- a real browser -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tab():
    missing = [
        name
        for name, there in {
            "playwright": importlib.util.find_spec("playwright"),
            "chromium": shutil.which("chromium"),
        }.items()
        if not there
    ]
    if missing:
        (pytest.fail if lab.in_ci() else pytest.skip)(f"not installed: {' and '.join(missing)}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=lab.CHROMIUM)
        yield browser.new_page(viewport={"width": 800, "height": 600})
        browser.close()


@pytest.mark.parametrize("width", [560, 280])
def test_no_text_sticks_out_in_a_browser(tab, width):
    charts = plots_screenshots.charts(width)
    charts |= {evil[:9]: plot([(evil, LOSS), (evil[::-1], OTHER)], width=width) for evil in CORPUS}
    tab.set_content("<!doctype html><meta charset=utf-8>" + "".join(charts.values()))
    assert tab.evaluate("document.querySelectorAll('svg').length") == len(charts)
    assert tab.evaluate(plots_screenshots.MEASURE) == []


def test_pointing_shows_the_value_without_a_script(tab):
    values = [5.0, 4.0, 3.0]
    tab.set_content("<!doctype html><meta charset=utf-8>" + plot([("run", curve("loss", values))]))
    opacity = "() => [...document.querySelectorAll('.tip')].map(tip => getComputedStyle(tip).opacity)"
    for place in range(3):
        box = tab.locator("svg > g > g > rect").nth(place).bounding_box()
        tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        assert tab.evaluate(opacity) == ["1" if each == place else "0" for each in range(3)]
        under = "([x, y]) => document.elementFromPoint(x, y).parentNode.querySelector('title').textContent"
        at = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
        assert tab.evaluate(under, at) == f"step {place}\n{values[place]:g}"
    tab.mouse.move(700, 500)
    assert tab.evaluate(opacity) == ["0", "0", "0"]
