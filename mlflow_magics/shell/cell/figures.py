"""Keeps what a run cell draws until it is over: figures it made, showed or saved, each once, and not all of many."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

from ...vocabulary.records import Drawn
from . import drawing

MOST: Final = 20
"""Pictures that are kept of a cell, and the last one beside them."""

SEEN_IN_BROWSERS: Final = (".png", ".svg", ".jpg", ".jpeg", ".webp", ".gif")
"""Of a figure that is saved in several forms, the first of these is logged."""


@dataclass
class _Picture:
    """One picture: a figure as it will be drawn at the end, or a file as it was saved."""

    figure: weakref.ref[Any]
    held: Any = None
    """Keeps a figure alive that nothing else may: it was made, shown or closed, and never saved."""
    path: str = ""
    content: bytes = b""


class CellFigures:
    """What one run cell draws, as it goes on."""

    def __init__(self) -> None:
        self.count = 0
        self._before: weakref.WeakSet[Any] = weakref.WeakSet(drawing.open_figures())
        self._known: weakref.WeakKeyDictionary[Any, weakref.WeakSet[Any]] = weakref.WeakKeyDictionary()
        self._pictures: list[_Picture] = []
        self._own: weakref.WeakSet[Any] = weakref.WeakSet()
        drawing.listen(self)

    def shown(self, figure: Any) -> None:
        """Take note of a figure that the cell displays."""
        self._own.add(figure)
        self._made(figure)

    def closed(self, figure: Any) -> None:
        """Take note of a figure that pyplot lets go."""
        if figure not in self._before or figure in self._own:
            self._made(figure)

    def saved(self, figure: Any, path: str, picture: bytes) -> None:
        """Take note of a figure that was saved to a file, or into memory where there is no path."""
        self._own.add(figure)
        same = next((one for one in self._pictures if self._is_same(one, figure, path, picture)), None)
        if same is None:
            same = self._new(figure)
        self._known[figure] = weakref.WeakSet(_parts(figure))
        if not path:
            same.content = same.content or picture
            same.held = None if same.content else figure
        elif not same.path or same.path == path or _rank(path) < _rank(same.path):
            same.figure, same.path, same.content = weakref.ref(figure), path, picture
            same.held = None if picture else figure

    def end(self) -> list[Drawn]:
        """Stop listening; return what was drawn, in its order. After a hundred pictures, the first 20 and the last."""
        drawing.leave(self)
        for figure in drawing.open_figures():
            self.closed(figure)
        found = [Drawn(one.figure(), one.path, one.content) for one in self._pictures]
        self._pictures = []
        return found

    @property
    def note(self) -> str:
        """What to tell the user of those that are left out; empty where none is."""
        return f"{self.count} figures: the first {MOST} and the last are logged" if self.count > MOST + 1 else ""

    def _made(self, figure: Any) -> None:
        """Keep a figure that the cell made or showed, unless it is known as it is."""
        if not (parts := _parts(figure)) or self._is_known(figure):
            return
        self._known[figure] = weakref.WeakSet(parts)
        self._new(figure).held = figure

    def _is_known(self, figure: Any) -> bool:
        """Tell whether some of what is drawn on a figure was there when it was last noted: it was not cleared since."""
        known = self._known.get(figure, ())
        return any(part in known for part in _parts(figure))

    def _new(self, figure: Any) -> _Picture:
        self.count += 1
        if len(self._pictures) > MOST:
            self._pictures.pop()
        self._pictures.append(_Picture(weakref.ref(figure)))
        return self._pictures[-1]

    def _is_same(self, one: _Picture, figure: Any, path: str, picture: bytes) -> bool:
        """Tell whether a figure that is saved now is that picture: its file again, another form of it, or its copy."""
        if path and one.path == path:
            return True
        if one.figure() is not figure or not self._is_known(figure):
            return False
        alike = not path or not one.path or PurePath(path).with_suffix("") == PurePath(one.path).with_suffix("")
        return alike or (bool(picture) and picture == one.content)


def _parts(figure: Any) -> list[Any]:
    """List what is drawn on a figure: its axes and texts. A figure that is blank has none."""
    return [part for part in figure.get_children() if part is not figure.patch]


def _rank(path: str) -> int:
    suffix = PurePath(path).suffix.lower()
    return SEEN_IN_BROWSERS.index(suffix) if suffix in SEEN_IN_BROWSERS else len(SEEN_IN_BROWSERS)
