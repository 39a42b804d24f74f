"""The corpus of secrets and innocents: no leak, no false alarm."""

from __future__ import annotations

from typing import Any

import pytest

from mlflow_magics.capture.notebook.failure import last_line, traceback_text
from mlflow_magics.capture.values.secrets import redact

from . import secrets_heldout
from .cells import capture, execute, fresh, params
from .secrets_corpus import INNOCENTS, SECRETS, Innocent, Secret


def test_the_corpus_is_large_enough() -> None:
    assert len({one.cell for one in SECRETS}) >= 60
    assert len({one.cell for one in INNOCENTS}) >= 80


def kept(cell: str, *, fails: bool = False) -> str:
    """All that would be kept of a cell."""
    namespace: dict[str, Any] = fresh()
    namespace["In"] = ["", cell]
    parts = []
    if fails:
        try:
            execute(cell, namespace)
        except Exception as error:
            parts = [traceback_text(error, namespace, cell), last_line(error, namespace, cell)]
        assert parts
    else:
        captured = capture(cell, namespace)
        parts = [repr(captured.params), repr(captured.metrics), repr(captured.skipped), repr(captured.notes)]
    return "\n".join([*parts, redact(cell, namespace)])


@pytest.mark.parametrize("one", SECRETS, ids=lambda one: one.kind)
def test_a_secret_does_not_leave(one: Secret) -> None:
    assert one.text not in kept(one.cell, fails=one.fails)


@pytest.mark.parametrize("one", INNOCENTS, ids=lambda one: one.kind)
def test_an_innocent_arrives(one: Innocent) -> None:
    namespace: dict[str, Any] = fresh()
    captured = capture(one.cell, namespace)
    assert one.params.items() <= params(captured).items()
    assert "a secret" not in {skip.reason for skip in captured.skipped}
    assert redact(one.cell, namespace) == one.cell


@pytest.mark.parametrize(("cell", "text"), secrets_heldout.SECRETS)
def test_a_secret_of_the_second_corpus_does_not_leave(cell: str, text: str) -> None:
    cell = cell.replace("§", text)
    # A line of the shell's is no Python: its source alone is kept.
    assert text not in (redact(cell) if cell.startswith(("%", "!")) else kept(cell))


@pytest.mark.parametrize("cell", [cell for (cell,) in secrets_heldout.INNOCENTS])
def test_an_innocent_of_the_second_corpus_arrives(cell: str) -> None:
    captured = capture(cell, fresh())
    assert "a secret" not in {skip.reason for skip in captured.skipped}
    assert redact(cell) == cell
