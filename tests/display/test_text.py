from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcswidth

from mlflow_magics.display.markup import text

# Latin, combining marks, Greek, Hebrew, kana, Han: where tables of widths agree whatever their Unicode version.
LETTERS = st.sampled_from("ab .-_/éß\u0301\u0308αωשלアイ日本語↵…")


@given(st.text(LETTERS, max_size=60))
def test_width_agrees_with_wcwidth(line: str) -> None:
    assert text.width(line) == wcswidth(line)


@given(st.text(LETTERS, max_size=300), st.integers(2, 80))
def test_wrap_loses_nothing_and_fits(line: str, limit: int) -> None:
    lines = text.wrap(line, limit)
    assert all(text.width(each) <= limit for each in lines)
    assert "".join(lines).replace(" ", "") == line.replace(" ", "")


@given(st.lists(st.tuples(*[st.text(LETTERS, max_size=150)] * 3), max_size=8))
def test_columns_fit_and_lose_nothing(rows: list[tuple[str, str, str]]) -> None:
    lines = text.columns(rows)
    assert all(text.width(line) <= 69 for line in lines)
    assert all(line == line.rstrip() for line in lines)
    there, given_ = sorted("".join(lines)), sorted("".join(map("".join, rows)))
    assert [c for c in there if c != " "] == [c for c in given_ if c != " "]


def test_columns_line_up_by_what_is_seen_and_leave_empty_ones_out() -> None:
    assert text.columns([("a", "", "1"), ("日本", "", "2"), ("e\u0301e\u0301e\u0301", "", "3")]) == [
        "a     1",
        "日本  2",
        "e\u0301e\u0301e\u0301   3",
    ]


def test_listed() -> None:
    items = [str(n) for n in range(20)]
    assert text.listed(items[:3]) == "0, 1, 2"
    assert text.listed(items) == "0, 1, 2, 3, 4, 5, 6, 7 and 12 more"
    assert text.listed(items[:3], 30) == "0, 1, 2 and 27 more"


def test_a_label_stands_once() -> None:
    assert text.labelled("params", ["a", "b"]) == ["  params   a", "           b"]
    assert text.labelled("params", []) == []
    assert text.paragraph("note", "") == []
