from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_magics.display.markup.words import LIMIT, change, clean, count, duration, number

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.9473684210526315, "0.947368"),
        (17.0, "17"),
        (-0.0, "0"),
        (1.2e-05, "1.2e-05"),
        (1234567.0, "1234567"),
        (1e15, "1e+15"),
        (1e300, "1e+300"),
        (5e-324, "4.94066e-324"),
        (123456.789, "123457"),
        (0.1 + 0.2, "0.3"),
        (NAN, "nan"),
        (INF, "inf"),
        (-INF, "-inf"),
    ],
)
def test_number(value: float, expected: str) -> None:
    assert number(value) == expected


@pytest.mark.parametrize(
    ("value", "previous", "expected"),
    [
        (0.95, 0.93, "▲ +0.02"),
        (0.93, 0.95, "▼ -0.02"),
        (0.95, 0.95, "="),
        (0.1 + 0.2, 0.3, "="),
        (0.95, None, ""),
        (15.0, 12.0, "▲ +3"),
        (1234567.0, 1200000.0, "▲ +34567"),
        (1.2e-05, 2.5e-05, "▼ -1.3e-05"),
        (NAN, NAN, "="),
        (INF, INF, "="),
        (NAN, 0.5, "was 0.5"),
        (0.5, NAN, "was nan"),
        (INF, 0.5, "was 0.5"),
        (0.5, -INF, "was -inf"),
        (1.7e308, -1.7e308, "was -1.7e+308"),
        (0.0, 1e-300, "▼ -1e-300"),
    ],
)
def test_change(value: float, previous: float | None, expected: str) -> None:
    assert change(value, previous) == expected


@given(st.floats(), st.floats())
def test_a_change_never_points_the_wrong_way(value: float, previous: float) -> None:
    said = change(value, previous)
    assert said
    if said.startswith("▲ +"):
        assert value > previous
    if said.startswith("▼ -"):
        assert value < previous


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-1.0, "0 ms"),
        (0.012, "12 ms"),
        (0.0994, "99 ms"),
        (0.0996, "0.1 s"),
        (0.8123, "0.8 s"),
        (9.94, "9.9 s"),
        (9.99, "10 s"),
        (42.4, "42 s"),
        (59.6, "1 min"),
        (72.4, "1 min 12 s"),
        (3599.7, "1 h"),
        (7500.0, "2 h 5 min"),
        (86400.0, "1 d"),
        (273600.0, "3 d 4 h"),
        (NAN, "an unknown time"),
    ],
)
def test_duration(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("liblinear", "liblinear"),
        ("", "(empty)"),
        (" \t\n", "(empty)"),
        ("\u202e", "(empty)"),
        ("a\nb", "a↵ b"),
        ("a\r\nb\u2028c", "a↵ b↵ c"),
        ("a\tb  c\u00a0d", "a b c d"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\", "click"),
        ("a\x00b\x07c\x7f", "abc"),
        ("abc\u202egpj.exe", "abcgpj.exe"),
        ("\u2066a\u2069\u200eb\u061c\ufeff", "ab"),
        ("\ud83d", "\ufffd"),
        ("\ufffe", "\ufffd"),
        ("日本語 שלום", "日本語 שלום"),
        ("👩\u200d🔬", "👩\u200d🔬"),
        ("<b>", "<b>"),
    ],
)
def test_clean(text: str, expected: str) -> None:
    assert clean(text) == expected


def test_a_long_value_ends_in_an_ellipsis() -> None:
    assert clean("x" * LIMIT) == "x" * LIMIT
    assert clean("x" * (LIMIT + 1)) == "x" * (LIMIT - 1) + "…"
    assert clean("\x1b[0m" * 10_000 + "end") == "…"


def test_a_megabyte_costs_no_more_than_a_line() -> None:
    huge = "\x1b[31mé\n" * 2_000_000
    start = time.perf_counter()
    assert len(clean(huge)) == LIMIT
    assert time.perf_counter() - start < 0.05


@given(st.text(st.characters()), st.integers(1, 200))
def test_what_is_clean_is_one_short_line_that_can_be_encoded(text: str, limit: int) -> None:
    line = clean(text, limit)
    assert line
    assert line == "(empty)" or len(line) <= limit
    assert json.loads(json.dumps(line).encode("utf-8")) == line
    assert line.encode("utf-8").decode("utf-8") == line
    assert len(line.splitlines()) == 1
    assert clean(line, 200) == line


def test_count() -> None:
    assert [count(n, "param") for n in (0, 1, 2)] == ["0 params", "1 param", "2 params"]
