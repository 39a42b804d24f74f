"""Sees matplotlib save and close figures while a run cell is busy, whoever's code asks for it.

Not in the cell's code: figures are drawn by functions of the notebook and by libraries, which no syntax tree of the
cell shows. And no function of matplotlib is wrapped: a wrapper's frame would stand in the traceback of a figure that
cannot be saved. Two places are watched instead that matplotlib writes to while it works, where nothing of ours is on
the stack when it fails: the flag that a canvas is saving, as an attribute that looks up who sets it, and the dict of
pyplot's open figures, as one that is asked to forget. Both are put in when a run cell begins, or when the cell imports
matplotlib, and are taken out when it ends: then nothing differs from what the bare cell leaves.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import sys
from collections import OrderedDict
from types import FrameType
from typing import Any, Final, Protocol

FLAG: Final = "_is_saving"
"""What every canvas has since matplotlib 3.1; where it is gone, saved figures are found only while they are open."""

LARGEST: Final = 20_000_000
"""Bytes up to which a saved picture is kept as it was saved."""


class Listener(Protocol):
    """Who is told of figures."""

    def saved(self, figure: Any, path: str, picture: bytes) -> None:
        """Take note of a figure that was saved; without a path where it went into memory."""

    def closed(self, figure: Any) -> None:
        """Take note of a figure that pyplot lets go."""


_listeners: list[Listener] = []
"""Those of the run cells that are busy, the innermost last: it is told."""


def listen(listener: Listener) -> None:
    """Begin to tell of figures."""
    _listeners.append(listener)
    if len(_listeners) == 1:
        sys.meta_path.insert(0, _FINDER)  # it finds nothing
    _put_in()


def leave(listener: Listener) -> None:
    """End it; after the last, matplotlib is as it was."""
    if listener in _listeners:
        _listeners.remove(listener)
    if not _listeners:
        if _FINDER in sys.meta_path:
            sys.meta_path.remove(_FINDER)
        _take_out()


class _Finder:
    """Looks, at each import, whether matplotlib is there by now. It finds no module itself."""

    def find_spec(self, *_: Any) -> None:
        """Find nothing."""
        _put_in()


_FINDER: Final = _Finder()


class _Saving:
    """Stands for the flag in the class of all canvases; each canvas keeps its own, as ever."""

    def __init__(self) -> None:
        self._errors: dict[int, BaseException | None] = {}

    def __get__(self, canvas: Any, cls: Any = None) -> Any:
        if canvas is None:
            return self
        try:
            return vars(canvas)[FLAG]
        except KeyError:
            raise AttributeError(FLAG) from None

    def __set__(self, canvas: Any, value: Any) -> None:
        vars(canvas)[FLAG] = value
        # The user's figure is being saved: whatever goes wrong here must not keep it from that.
        with contextlib.suppress(Exception):
            self._look(canvas, sys._getframe(1))

    def __delete__(self, canvas: Any) -> None:
        vars(canvas).pop(FLAG, None)

    def _look(self, canvas: Any, frame: FrameType | None) -> None:
        """Tell a saving that is over from one that begins: matplotlib sets the flag twice, from the same frame."""
        if frame is None or frame.f_code.co_name != "_setattr_cm":
            return
        while frame is not None and frame.f_code.co_name != "print_figure":
            frame = frame.f_back
        if frame is None:
            return
        error = sys.exc_info()[1]
        if id(frame) not in self._errors:
            self._errors[id(frame)] = error
            return
        # A cell that saves inside an `except` handles an error all the time.
        if self._errors.pop(id(frame)) is error and _asked_by_user(frame, saves=True):
            _tell_saved(canvas, frame.f_locals.get("filename"))


class _Open(OrderedDict[Any, Any]):
    """Stands for pyplot's dict of open figures, by number; `original` is the one that was there."""

    original: OrderedDict[Any, Any]

    def pop(self, number: Any, *default: Any) -> Any:
        _tell_closed(self.get(number))
        return super().pop(number, *default)

    def __delitem__(self, number: Any) -> None:
        _tell_closed(self.get(number))
        super().__delitem__(number)

    def clear(self) -> None:
        for manager in self.values():
            _tell_closed(manager)
        super().clear()


def open_figures() -> list[Any]:
    """Return the figures that pyplot holds open, if pyplot is in use at all."""
    pyplots = _owner("matplotlib._pylab_helpers", "Gcf")
    return [manager.canvas.figure for manager in pyplots.figs.values()] if pyplots is not None else []


def _put_in() -> None:
    canvases, pyplots = (
        _owner("matplotlib.backend_bases", "FigureCanvasBase"),
        _owner("matplotlib._pylab_helpers", "Gcf"),
    )
    if canvases is not None and FLAG not in vars(canvases):
        setattr(canvases, FLAG, _Saving())
    if pyplots is not None and type(pyplots.figs) is OrderedDict:
        watched = _Open(pyplots.figs)
        watched.original = pyplots.figs
        pyplots.figs = watched


def _take_out() -> None:
    canvases, pyplots = (
        _owner("matplotlib.backend_bases", "FigureCanvasBase"),
        _owner("matplotlib._pylab_helpers", "Gcf"),
    )
    if canvases is not None and isinstance(vars(canvases).get(FLAG), _Saving):
        delattr(canvases, FLAG)
    if pyplots is not None and isinstance(pyplots.figs, _Open):
        original = pyplots.figs.original
        original.clear()
        original.update(pyplots.figs)
        pyplots.figs = original


def _owner(module: str, name: str) -> Any:
    """Return a class of matplotlib's; None until it is imported."""
    loaded = sys.modules.get(module)
    return vars(loaded).get(name) if loaded is not None else None


def _asked_by_user(frame: FrameType | None, *, saves: bool) -> bool:
    """Tell whether the user's code, or a library's for him, asks matplotlib for this; not MLflow, nor a display."""
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if module == "matplotlib.animation":
            return False  # the frames of a film
        if module.partition(".")[0] not in {"matplotlib", "contextlib", __name__.partition(".")[0]}:
            top = module.partition(".")[0]
            return top != "mlflow" and not (saves and top in {"IPython", "matplotlib_inline", "ipykernel"})
        if module.startswith(__name__.partition(".")[0]) and module != __name__:
            return False
        frame = frame.f_back
    return True


def _tell_saved(canvas: Any, file: Any) -> None:
    if not _listeners:
        return
    if isinstance(file, str):
        known = os.stat(file)
        if stat.S_ISREG(known.st_mode) and known.st_size > 0:
            _listeners[-1].saved(canvas.figure, os.path.abspath(file), _content(file, known.st_size))
    elif type(file) is io.BytesIO:
        held = file.getvalue()
        _listeners[-1].saved(canvas.figure, "", held if held.startswith(b"\x89PNG") else b"")


def _content(file: str, size: int) -> bytes:
    if size > LARGEST:
        return b""
    with open(file, "rb") as opened:
        return opened.read(LARGEST)


def _tell_closed(manager: Any) -> None:
    with contextlib.suppress(Exception):  # as above
        if _listeners and manager is not None and _asked_by_user(sys._getframe(1), saves=False):
            _listeners[-1].closed(manager.canvas.figure)
