"""What a very long text costs: one word of it in a variable, in an exception, in the source."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from mlflow_magics.capture.code.dataflow import analyse
from mlflow_magics.capture.notebook import failure
from mlflow_magics.capture.roles.roles import assign, snapshot
from mlflow_magics.capture.values import secrets
from mlflow_magics.vocabulary.records import Choices

from .table import Row, at_most

CELL = "word = make()\nlr = 0.1\n"


def seconds(work: Callable[[], object]) -> float:
    """The least processor time of three: what waits for a busy machine is no cost of the text."""
    times = []
    for _ in range(3):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times)


def texts(letters: int = 10_000_000) -> Iterator[Row]:
    """Looks at a text are bounded; only storing a source goes through all of it."""
    secrets.redact("warm up: AKIA -us1 xox SG.")
    for word in ("ACGT", "a1B2", "token", "x = 1\n"):
        text = (word * (letters // len(word) + 1))[:letters]
        said = f"{letters:,} letters of {word.strip()!r}"
        namespace = {"make": lambda text=text: text}
        flow = analyse(CELL)
        before = snapshot(flow, namespace)
        namespace |= {"word": text, "lr": 0.1}
        cost = 1000 * seconds(lambda flow=flow, n=namespace, b=before: assign(flow, n, b, Choices(params=("word",))))
        yield at_most(f"{said}: in a variable", cost, 5, "ms")
        error = ValueError(text)
        yield at_most(
            f"{said}: as an exception's line", 1000 * seconds(lambda e=error: failure.last_line(e, {})), 5, "ms"
        )
        cost = seconds(lambda text=text: secrets.redact(f"x = '{text}'"))
        yield at_most(f"{said}: a source stored, a million letters", cost * 1_000_000 / letters, 1, "s")
