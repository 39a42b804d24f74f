"""English and Portuguese are equals: the same code, the same table of magics, the same pictures and links."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
PAGES = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.pt-BR.md")]
NOTEBOOKS = [nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4) for name in ("quickstart", "inicio_rapido")]


def blocks(page):
    return re.findall(r"(?:<!-- [\w-]+ -->\n)?```\w*\n.*?```", page, re.DOTALL)


def magics(page):
    return re.findall(r"^\| (`%[^|]+) \|", page, re.MULTILINE)


def links(page):
    found = re.findall(r"\]\(([^)]+)\)", page)
    # Each points at the other, and the Portuguese page also at its own notebook.
    return sorted(each for each in found if "README" not in each and "inicio_rapido" not in each)


@pytest.mark.parametrize("part", [blocks, magics, links])
def test_the_pages_have_the_same(part):
    english, portuguese = map(part, PAGES)
    assert english == portuguese
    assert len(english) > 5


def test_the_pages_have_the_same_shape():
    for pattern in (r"^## ", r"^- ", r"^\| ", r"^!\["):
        english, portuguese = (len(re.findall(pattern, page, re.MULTILINE)) for page in PAGES)
        assert english == portuguese, pattern


def test_no_paragraph_was_left_in_english():
    text = re.sub(r"```.*?```|`[^`]*`", "", PAGES[1], flags=re.DOTALL)
    paragraphs = [each for each in text.split("\n\n") if len(each.split()) > 12]
    assert len(paragraphs) > 10
    for each in paragraphs:
        words = re.findall(r"\b(the|and|with|which|of|is|are)\b", each)
        assert len(words) < 3, each


def test_the_notebooks_have_the_same_code():
    english, portuguese = ([(c.id, c.cell_type) for c in each.cells] for each in NOTEBOOKS)
    assert english == portuguese
    for one, other in zip(*(each.cells for each in NOTEBOOKS), strict=True):
        if one.cell_type == "code":
            assert one.source == other.source
            assert len(one.outputs) == len(other.outputs)
        else:
            assert one.source != other.source
