"""Children: real processes that run cells in an InteractiveShell, to be killed, interrupted and read afterwards.

A child is much faster to start than a kernel, and from a :class:`Zygote` (a process that has imported IPython and
MLflow already, and forks) ten times faster still. What a child can say while its cells run:

- ``_marks[i] = _now()`` writes a double into a mapped file, which survives ``kill -9`` the moment it is written;
- ``_gate("name")`` waits until the test calls :meth:`Child.open`, and lets it :meth:`Child.wait_at` meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .waiting import eventually

MAIN = Path(__file__).with_name("child_main.py")
PATIENCE = 60.0


@dataclass(frozen=True)
class Ran:
    """What became of one cell.

    Attributes
    ----------
    ok : bool
        Whether it ended without an error.
    error, value : str
        ``repr`` of each; an empty error where there was none.
    seconds : float
        From ``run_cell`` to its return.
    """

    ok: bool
    error: str
    value: str
    seconds: float


def clean_environment(state: Path, **more: str) -> dict[str, str]:
    """The environment of a fresh machine whose outbox lies below `state`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_") and k != "JPY_SESSION_NAME"}
    return kept | {"MLFLOW_DISABLE_TELEMETRY": "true", "MPLBACKEND": "agg", "XDG_STATE_HOME": str(state)} | more


class Child:
    """A child process; see :meth:`Zygote.spawn` and :func:`spawn`."""

    def __init__(self, folder: Path, spec: dict) -> None:
        self.folder = folder
        self.spec = spec
        self.pid = 0
        self.process: subprocess.Popen[bytes] | None = None

    # -- what it said ---------------------------------------------------------------------------------------------

    def marks(self) -> list[float]:
        """The times that the loop left, up to the first step that it did not reach."""
        content = (self.folder / "trail").read_bytes()
        marks = struct.unpack(f"{len(content) // 8}d", content)
        return list(marks[: marks.index(0.0)] if 0.0 in marks else marks)

    def results(self) -> list[Ran]:
        """What became of the cells that are over."""
        path = self.folder / "results"
        lines = path.read_text().splitlines() if path.exists() else []
        return [Ran(**json.loads(line)) for line in lines]

    @property
    def output(self) -> str:
        """All that was printed."""
        path = self.folder / "output"
        return path.read_text(errors="replace") if path.exists() else ""

    # -- waiting for it -------------------------------------------------------------------------------------------

    def until(self, happened: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
        """Wait until something has happened."""

        def told() -> str:
            return f"{what} (exit {self.exit_code()}); its output:\n{self.output}"

        eventually(happened, told, patience, pause=0.005, unless=lambda: self.exit_code() is not None)

    def wait_begun(self) -> None:
        """Wait until it is about to run its first cell."""
        self.until((self.folder / "begun").exists, "the first cell")

    def wait_mark(self, place: int, patience: float = PATIENCE) -> None:
        """Wait until the loop has reached a step."""
        path = self.folder / "trail"

        def reached() -> bool:
            with path.open("rb") as file:
                file.seek(8 * place)
                return file.read(8) != bytes(8)

        self.until(reached, f"step {place}", patience)

    def wait_at(self, name: str, patience: float = PATIENCE) -> None:
        """Wait until it waits at a gate."""
        self.until((self.folder / f"{name}.waiting").exists, f"gate {name}", patience)

    def open(self, name: str) -> None:
        """Open a gate."""
        (self.folder / f"{name}.open").touch()

    def wait_cells(self, count: int | None = None, patience: float = PATIENCE) -> list[Ran]:
        """Wait until so many cells are over; all of them if no number is given."""
        wanted = len(self.spec["cells"]) if count is None else count
        self.until(lambda: len(self.results()) >= wanted, f"the end of {wanted} cells", patience)
        return self.results()

    def wait(self, patience: float = PATIENCE) -> list[Ran]:
        """Wait until the process has ended by itself."""
        eventually(
            lambda: self.exit_code() is not None, lambda: f"its end; its output:\n{self.output}", patience, pause=0.005
        )
        return self.results()

    # -- what is done to it ---------------------------------------------------------------------------------------

    def exit_code(self) -> int | None:
        """None while it lives; negative where a signal ended it."""
        if self.process is not None:
            return self.process.poll()
        path = self.folder / "exit"
        # Written by the zygote: the file is there a moment before its text is.
        text = path.read_text() if path.exists() else ""
        return int(text) if text else None

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.kill(self.pid, signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone. Harmless if it is."""
        if self.exit_code() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.wait()


def prepare(
    folder: Path,
    cells: Sequence[str],
    state: Path,
    *,
    places: int = 1,
    linger: bool = False,
    jumping_clock: bool = False,
    file_limit: int = 0,
    **environment: str,
) -> Child:
    """A child that is yet to be started.

    Parameters
    ----------
    folder : Path
        Its current folder; made if missing, and its own.
    cells : sequence of str
        What it runs, in order, whatever becomes of each.
    state : Path
        Its ``XDG_STATE_HOME``.
    places : int
        How many marks it can leave.
    linger : bool
        Whether it stays when the cells are over, as an idle kernel does.
    jumping_clock : bool
        Whether its ``time.time`` can be set ahead and back: ``_clock.offset = -3600``.
    file_limit : int
        Bytes beyond which no file of its can grow, as on a full disk; 0 for no limit.
    **environment : str
        More of its environment.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state.parent.mkdir(parents=True, exist_ok=True)
    (folder / "trail").write_bytes(bytes(8 * places))
    spec = {"folder": str(folder), "cells": list(cells), "places": places, "linger": linger}
    spec |= {"environment": clean_environment(state, **environment)}
    return Child(folder, spec | {"jumping_clock": jumping_clock, "file_limit": file_limit})


def spawn(child: Child) -> Child:
    """Start a child as a process of its own: a fresh interpreter."""
    path = child.folder / "spec.json"
    path.write_text(json.dumps(child.spec))
    with (child.folder / "output").open("ab") as out:
        child.process = subprocess.Popen(
            [sys.executable, str(MAIN), str(path)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=child.spec["environment"],
            start_new_session=True,
        )
    child.pid = child.process.pid
    return child


class Zygote:
    """Starts children in a few hundredths of a second: IPython and MLflow are imported once, and each is a fork."""

    def __enter__(self) -> Zygote:
        self._process = subprocess.Popen(
            [sys.executable, str(MAIN), "--zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=clean_environment(Path(os.devnull)),
            start_new_session=True,
        )
        self.children: list[Child] = []
        self._ask(None)
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.children:
            child.kill()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _ask(self, child: Child | None) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if child is not None:
            self._process.stdin.write(json.dumps(child.spec) + "\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        if not answer:
            raise RuntimeError("the zygote died")
        return answer

    def spawn(self, child: Child) -> Child:
        """Start a child."""
        child.pid = int(self._ask(child))
        self.children.append(child)
        return child
