"""Reads a block's HTML as strictly as a test needs."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from wcwidth import wcswidth

from mlflow_magics.display.markup.text import width


class Page(HTMLParser):
    """The tags and the visible text of a piece of HTML; complains where tags do not balance.

    Attributes
    ----------
    tags : list of (str, dict)
        Every element with its attributes.
    words : str
        All text, every run of white space one space.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self._open: list[str] = []
        self._text: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, f"never closed: {self._open}"
        self.words = " ".join("".join(self._text).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"twice in <{tag}>: {names}"
        self._open.append(tag)
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self._text.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(f"a declaration: {decl}")

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"an instruction: {data}")

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of every `tag`."""
        return [attributes for name, attributes in self.tags if name == tag]


def fits(text: str) -> list[str]:
    """The lines that are wider than a terminal, or hold what a terminal would obey; a URL alone may be long.

    Widths are checked with another's table (wcwidth, which comes with IPython) where it can agree with ours; ours
    decides for emoji sequences and characters newer than either table.
    """
    wrong = []
    for line in text.split("\n"):
        alone = line.strip()
        if re.fullmatch(r"https?://\S+", alone):
            continue
        columns = wcswidth(line) if all(ord(char) < 0x0530 for char in line) else width(line)
        if columns > 80 or not alone or line != line.rstrip() or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in line):
            wrong.append(line)
    return wrong
