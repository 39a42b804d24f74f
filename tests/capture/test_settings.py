"""Settings that a cell gives in calls, to models, to functions of its own, to language models."""

from __future__ import annotations

import pytest

from .cells import capture, fresh, metrics, params
from .settings_cells import EARLIER, LIBRARIES, LIBRARIES_EARLIER, MODELS, OWN, REQUESTS, Cell


@pytest.mark.parametrize("cell", [*MODELS, *OWN, *REQUESTS], ids=lambda cell: cell.about)
def test_cell(cell: Cell) -> None:
    check(cell, EARLIER)


@pytest.mark.parametrize("cell", LIBRARIES, ids=lambda cell: cell.about)
def test_library(cell: Cell) -> None:
    """Neither torch nor keras nor transformers is installed here: classes of their names and modules stand in."""
    check(cell, EARLIER + LIBRARIES_EARLIER)


def check(cell: Cell, earlier: str) -> None:
    captured = capture(cell.code, fresh(earlier + "\n" + cell.earlier))
    found = params(captured)
    assert {name: "*" if cell.P.get(name) == "*" else value for name, value in found.items()} == cell.P
    if cell.M is not None:
        assert set(metrics(captured)) == set(cell.M)
    assert not (found.keys() | metrics(captured).keys()) & set(cell.N)
    assert not captured.notes


def test_there_are_enough_cells() -> None:
    assert len([*MODELS, *OWN, *REQUESTS, *LIBRARIES]) >= 60
