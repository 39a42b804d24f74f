"""Nothing that comes from outside may leave its place: as HTML, as a link, as style, as a terminal's command."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from mlflow_magics.display.markup.block import Block
from mlflow_magics.display.markup.html import safe_url
from mlflow_magics.display.outputs import summary, tables
from mlflow_magics.vocabulary.records import Metric, Outcome, Param, Skipped
from mlflow_magics.vocabulary.stores import CheckStep, Connection, Integration
from tests.display import samples
from tests.display.page import Page, fits

CORPUS = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "</bdi></td></tr></table></div><h1>out</h1>",
    "</details></summary></span></strong>",
    "<!-- open comment",
    "<![CDATA[ x ]]>",
    "<?xml version='1.0'?>",
    "<a href='javascript:alert(1)'>click</a>",
    "javascript:alert(1)",
    "&lt;b&gt; &amp;amp; &#x3c;script&#x3e;",
    "{{7*7}} ${7*7} $x^2$ \\(x\\)",
    "x\" style=\"position:fixed;inset:0\" y=\"",
    "red\x1b[31mred\x1b]0;title\x07\x1b[2J",
    "\x9b31m\x90sixel\x9c",
    "a\x00b\x08\x08c\x7f",
    "abc\u202egpj.exe\u2066\u200f",
    "line\nline\r\nline\u2028line\u0085line",
    "\ud800\udfff\ufffe\uffff",
    "Z\u0351\u036b\u0343" * 30,
    "x" * 1_000_000,
    "<" * 1_000_000,
    "שלום עולם",
    "  \t ",
    "",
]  # fmt: skip


def _outcome(evil: str) -> Outcome:
    return Outcome(
        run_id=evil, run_name=evil, experiment_name=evil, status="FAILED", duration=1.0, where=evil, run_url=evil,
        experiment_url=evil, params=(Param(evil, evil, evil),), metrics=(Metric(evil, 1.0, evil),),
        skipped=(Skipped(evil, evil, evil),), previous={evil: 0.5}, auto_params={evil: evil},
        auto_metrics={evil: 1.0}, artifacts=(evil,) * 12, models=(evil,), notes=(evil,), error=evil,
    )  # fmt: skip


def _connection(evil: str) -> Connection:
    return Connection(evil, evil, evil, evil, evil, evil, evil, evil, notes=(evil,))


BLOCKS: dict[str, Callable[[str], Block]] = {
    "summary": lambda evil: summary.render(_outcome(evil)),
    "connection": lambda evil: tables.connection(_connection(evil)),
    "check": lambda evil: tables.check([CheckStep(evil, "failed", evil, evil)]),
    "integrations": lambda evil: tables.integrations(
        [Integration(evil, evil, version, True, evil, evil) for version in (evil, "")], [evil]
    ),
    "status": lambda evil: tables.status(_connection(evil), [(evil, evil, evil)]),
    "notes": lambda evil: tables.notes([evil]),
}
ELEMENTS = set(re.findall(r"\w+", "div span strong bdi a table thead tbody tr th td details summary"))
ATTRIBUTES = {"style", "scope", "open", "href", "target", "rel"}


@pytest.mark.parametrize("make", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("evil", CORPUS, ids=range(len(CORPUS)))
def test_nothing_gets_out(make: Callable[[str], Block], evil: str) -> None:
    block = make(evil)
    page = Page(block.html)
    assert {tag for tag, _ in page.tags} <= ELEMENTS
    assert {name for _, attributes in page.tags for name in attributes} <= ATTRIBUTES
    assert page.all("a") == []
    assert "position" not in "".join(attributes.get("style", "") for _, attributes in page.tags)
    assert fits(block.text) == []
    assert len(block.html) < 40_000
    assert len(block.text) < 8_000
    for form in (block.text, page.words):
        form.encode("utf-8")
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", form)


@pytest.mark.parametrize("make", BLOCKS.values(), ids=BLOCKS)
def test_hostile_text_is_shown_as_text(make: Callable[[str], Block]) -> None:
    assert "<script>alert(1)</script>" in Page(make(CORPUS[0]).html).words


def test_markup_of_the_same_shape_whatever_the_strings() -> None:
    def shape(evil: str) -> tuple[str, ...]:
        # A span without attributes holds a dollar or a backslash; see below.
        return tuple(tag for tag, given in Page(summary.render(_outcome(evil)).html).tags if given or tag != "span")

    assert len({shape(evil) for evil in CORPUS if evil.strip()}) == 1


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)", "java\nscript:alert(1)",
        "data:text/html,<script>alert(1)</script>", "vbscript:x", "file:///etc/passwd", "//example.com", "/relative",
        "http:", "http://", "https:///path", "http:\\\\example.com", "http://a b", "http://a\tb", "http://a\u202eb",
        "https://exämple.com", "http://[::1", "http://user:pass@", "https://example.com/" + "a" * 2000, "", "x",
    ],
)  # fmt: skip
def test_what_never_becomes_a_link(url: str) -> None:
    assert safe_url(url) == ""
    block = summary.render(replace(samples.SERVER, run_url=url, experiment_url=url))
    assert Page(block.html).all("a") == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:5000/#/experiments/1", "http://127.0.0.1:5000/#/experiments/1"),
        ("HTTPS://ml.azure.com/runs/x?wsid=/subscriptions/a&tid=b", "https://ml.azure.com/runs/x?wsid=/subscriptions/a&tid=b"),
        ("https://***@host/p", "https://host/p"),
        ("https://user:p%40ss@host:8443/p", "https://host:8443/p"),
        ("http://[::1]:5000/", "http://[::1]:5000/"),
    ],
)  # fmt: skip
def test_what_becomes_a_link(url: str, expected: str) -> None:
    assert safe_url(url) == expected


def test_a_link_stays_in_its_attribute() -> None:
    url = 'https://example.com/"onmouseover="alert(1)\'<b>&amp;'
    page = Page(summary.render(replace(samples.SERVER, run_url=url)).html)
    assert [link["href"] for link in page.all("a")][1] == url
    assert {name for _, attributes in page.tags for name in attributes} <= ATTRIBUTES


# What JupyterLab 4's sanitizer keeps of inline style, of the properties used here. Hand-written from its list; should
# the two part ways, an untrusted notebook loses some looks and nothing else.
LENGTH = r"(0|[0-9.]+(px|em|%))"
COLOUR = r"(#[0-9a-f]{6}|rgba\(\d+,\d+,\d+,(0(\.\d+)?|1)\)|transparent)"
KEPT = {
    "background": COLOUR, "background-color": COLOUR, "border": rf"none|{LENGTH} solid {COLOUR}",
    "border-collapse": "collapse", "border-left": rf"{LENGTH} solid {COLOUR}", "border-radius": LENGTH,
    "box-sizing": "border-box", "color": COLOUR, "cursor": "pointer", "display": "inline-block",
    "font-family": r"-?[a-zA-Z-]+( [a-zA-Z]+)*(,-?[a-zA-Z-]+( [a-zA-Z]+)*)*", "font-size": LENGTH,
    "font-weight": r"400|600", "line-height": r"[0-9.]+", "margin": rf"{LENGTH}( {LENGTH}){{0,3}}",
    "margin-right": LENGTH, "max-width": LENGTH, "opacity": r"0\.\d+", "overflow-wrap": "normal|break-word",
    "padding": rf"{LENGTH}( {LENGTH}){{0,3}}", "table-layout": "auto|fixed", "text-align": "left",
    "text-decoration": "underline", "vertical-align": "top", "white-space": "nowrap", "word-break": "break-all",
}  # fmt: skip


def test_an_untrusted_notebook_keeps_every_style() -> None:
    blocks = [summary.render(outcome) for outcome in samples.RUNS.values()]
    blocks += [make("plain") for make in BLOCKS.values()]
    lost = set()
    for block in blocks:
        for tag, attributes in Page(block.html).tags:
            for rule in filter(None, attributes.get("style", "").split(";")):
                name, _, value = rule.partition(":")
                if not re.fullmatch(KEPT.get(name, "(?!)"), value):
                    lost.add((tag, rule))
    # Where links are trusted they take the text's colour; where not, the theme's.
    assert lost == {("a", "color:inherit")}


def test_a_notebook_finds_no_latex() -> None:
    block = summary.render(replace(samples.QUICK, run_name=r"from $5 to $6 \(x\) \begin{a}"))
    between_tags = re.split("<[^>]*>", block.html)
    assert not any(re.search(r"\$.*\$|\\[(\[a-z]", piece) for piece in between_tags)
    assert r"from $5 to $6 \(x\) \begin{a}" in Page(block.html).words
