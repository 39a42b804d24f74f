"""The backend in memory with a store of many runs, for the tabs that list things; and how they are worked in a test.

Like `desks`, it stands in for the session, whose own tests use the real one: here thousands of runs, late answers and
refusals are made at will.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import ipywidgets as widgets
from ipywidgets.widgets import widget as registry

from mlflow_magics.display.panel.tools.worker import Worker
from mlflow_magics.vocabulary.errors import OptionError
from mlflow_magics.vocabulary.panel import Curve, Page, RunView
from tests.display.desks import FakeDesk

SIZE = 50


class TabDesk(FakeDesk):
    """Pages, sorts and filters a list of runs; a filter is a part of the name here.

    Attributes
    ----------
    stored : list of RunView
        The experiment's runs.
    curves : dict
        Of some of them.
    notes : tuple of str
        What switching says.
    threads : set
        Those in which the store was asked.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stored: list[RunView] = []
        self.curves: dict[str, tuple[Curve, ...]] = {}
        self.notes: tuple[str, ...] = ()
        self.threads: set[threading.Thread] = set()

    @property
    def pages(self) -> list[tuple[object, ...]]:
        """What pages were asked with."""
        return [call[1:] for call in self.asked("runs")]

    def switch(self, name: str, on: bool) -> tuple[str, ...]:
        super().switch(name, on)
        return self.notes

    def runs(self, filter: str, order: str, token: str) -> Page:
        self._store("runs", filter, order, token)
        self.threads.add(threading.current_thread())
        if "!!" in filter:
            raise OptionError("filter: unexpected '!!'; write metrics.accuracy > 0.9")
        found = [run for run in self.stored if filter in run.name]
        begin = int(token or 0)
        end = begin + SIZE
        return Page(tuple(found[begin:end]), str(end) if end < len(found) else "")

    def details(self, run_id: str) -> RunView:
        self._store("details", run_id)
        self.threads.add(threading.current_thread())
        (run,) = [run for run in self.stored if run.run_id == run_id]
        return replace(run, curves=self.curves.get(run_id, ()))


def settle(worker: Worker) -> None:
    """Wait until the worker has done what it was given."""
    done = threading.Event()
    worker.submit(lambda: None, lambda _: done.set(), lambda _: done.set())
    assert done.wait(20), "the worker hangs"


def tree(widget: widgets.Widget) -> list[widgets.Widget]:
    """A widget and all that is inside it."""
    return [widget, *(each for child in getattr(widget, "children", ()) for each in tree(child))]


def find(widget: widgets.Widget, kind: type[Any], description: str = "") -> Any:
    """The one widget of a kind whose description begins so."""
    found = [each for each in tree(widget) if type(each) is kind and each.description.startswith(description)]
    assert len(found) == 1, f"{len(found)} of {kind.__name__} {description!r}"
    return found[0]


def living() -> int:
    """How many widgets the kernel holds."""
    return len(registry._instances)
