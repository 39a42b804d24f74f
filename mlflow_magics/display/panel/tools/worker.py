"""The panel's second thread: what is asked of the store, one thing at a time, so that no click waits for a server."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from .controls import one_line

T = TypeVar("T")

_PATIENCE = 0.2  # seconds that close() waits for a job to end


class Worker:
    """Runs jobs in one daemon thread, which is begun with the first of them.

    `drawing` is held while what came of a job is shown, so that two threads never draw at once; it is reentrant.
    """

    def __init__(self, drawing: contextlib.AbstractContextManager[object] | None = None) -> None:
        self._drawing = drawing if drawing is not None else contextlib.nullcontext()
        self._condition = threading.Condition()
        self._jobs: deque[tuple[str, Callable[[], None]]] = deque()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(
        self, job: Callable[[], T], done: Callable[[T], None], failed: Callable[[str], None], key: str = ""
    ) -> None:
        """Have a job done when it is its turn."""

        def work() -> None:
            try:
                result = job()
            except Exception as error:  # noqa: BLE001
                # Stores and plugins fail in their own ways; nobody but the user can do something about it.
                self._show(failed, one_line(error))
            else:
                self._show(done, result, failed)

        with self._condition:
            if self._closed:
                return
            if key:
                self._jobs = deque(each for each in self._jobs if each[0] != key)
            self._jobs.append((key, work))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="mlflow_magics-panel-worker", daemon=True)
                self._thread.start()
            self._condition.notify()

    def close(self) -> None:
        """Take no more jobs, forget those that wait, and end the thread once its job is done."""
        with self._condition:
            self._closed = True
            self._jobs.clear()
            self._condition.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_PATIENCE)

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._jobs and not self._closed:
                    self._condition.wait()
                if self._closed:
                    return
                _, work = self._jobs.popleft()
            work()

    def _show(self, show: Callable[[T], None], what: T, failed: Callable[[str], None] | None = None) -> None:
        with self._drawing:
            if self._closed:
                return  # asked here: whoever closes us may free the widgets before the lock is ours
            try:
                show(what)
            except Exception as error:  # noqa: BLE001
                # A widget that was closed meanwhile, or a bug in a tab: the thread must live on for the others.
                if failed is not None:
                    self._show(failed, one_line(error))
