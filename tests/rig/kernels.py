"""A real ipykernel that can be killed, interrupted and restarted while a cell runs."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from queue import Empty

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from .children import PATIENCE, clean_environment
from .waiting import eventually


@dataclass(frozen=True)
class Replied:
    """What a cell came to.

    Attributes
    ----------
    status : {"ok", "error", "aborted"}
        Of the reply.
    error : str
        Name of the exception; empty if there was none.
    printed : str
        What it printed, and the text of what it displayed.
    """

    status: str
    error: str
    printed: str


class KernelProcess:
    """A kernel of this Python, in a folder of its own, whose outbox lies below `state`."""

    def __init__(self, folder: Path, state: Path, **environment: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        environment |= {"IPYTHONDIR": str(folder / ".ipython")}
        # No kernel spec that happens to be installed on the machine: this Python's own ipykernel.
        self.manager = KernelManager(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
        self.manager.start_kernel(cwd=str(folder), env=clean_environment(state, **environment))
        self._connect()

    def __enter__(self) -> KernelProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()

    def _connect(self) -> None:
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)

    def start(self, code: str) -> str:
        """Send a cell and do not wait; its id, for :meth:`wait`."""
        return str(self.client.execute(code, allow_stdin=False))

    def wait(self, identity: str, patience: float = PATIENCE) -> Replied:
        """Wait until a cell is over.

        Raises
        ------
        AssertionError
            It was not over in `patience` seconds.
        """
        deadline = time.monotonic() + patience
        printed = []
        try:
            while True:
                message = self.client.get_iopub_msg(timeout=max(0.0, deadline - time.monotonic()))
                if message["parent_header"].get("msg_id") != identity:
                    continue
                kind, content = message["msg_type"], message["content"]
                if kind == "stream":
                    printed.append(content["text"])
                elif kind in ("display_data", "execute_result"):
                    printed.append(content["data"].get("text/plain", ""))
                elif kind == "status" and content["execution_state"] == "idle":
                    break
            while True:
                message = self.client.get_shell_msg(timeout=max(0.0, deadline - time.monotonic()))
                if message["parent_header"].get("msg_id") == identity:
                    reply = message["content"]
                    return Replied(reply["status"], reply.get("ename", ""), "".join(printed))
        except Empty:
            raise AssertionError(f"the cell was not over in {patience} s; it printed {''.join(printed)!r}") from None

    def run(self, code: str, patience: float = PATIENCE) -> Replied:
        """Run a cell and wait for it."""
        return self.wait(self.start(code), patience)

    def interrupt(self) -> None:
        """The stop button."""
        self.manager.interrupt_kernel()

    def kill(self) -> None:
        """SIGKILL to the kernel's process, at once."""
        provisioner = self.manager.provisioner
        assert provisioner is not None
        os.kill(provisioner.pid, signal.SIGKILL)
        eventually(lambda: not self.manager.is_alive(), "the kernel's end", PATIENCE)

    def restart(self) -> None:
        """A new process in its place, also after a kill."""
        self.client.stop_channels()
        self.manager.restart_kernel(now=True)
        self._connect()
