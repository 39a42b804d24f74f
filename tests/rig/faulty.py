"""A proxy before a real server that goes wrong when it is told to, while it runs.

with FaultyProxy(server.url) as proxy:
    proxy.refuse()                                            # nothing listens; the port stays the proxy's
    proxy.accept()                                            # and listens again, on the same port
    with proxy.faulty(Fault("answer", status=500)):           # until the block ends
        ...
    proxy.add(Fault("cut after", "runs/create", times=1))     # the backend applied it; nobody is told
    proxy.heal()
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from typing import Literal

from .servers import LOOPBACK, CountingProxy, _every_method, _Handler, exchange

Deed = Literal["answer", "silent", "cut before", "cut after", "reset", "delay"]


@dataclass(frozen=True)
class Fault:
    """What to do to requests.

    Attributes
    ----------
    deed : str
        ``"answer"`` with `status` (the backend is not asked); ``"silent"``: take the request and never answer;
        ``"cut before"``: break the connection, the backend is not asked; ``"cut after"``: break it once the backend
        has applied the request; ``"reset"``: break it in the middle of the answer's body; ``"delay"``: forward it
        after `seconds`.
    match : str
        A regular expression, looked for in ``"METHOD path"``; empty for every request.
    times : int or None
        How many requests it happens to; None for all, until it is taken out.
    status : int
        Of an answer.
    headers : tuple of (str, str)
        Of an answer: ``(("Retry-After", "3"),)``.
    body : str
        Of an answer.
    seconds : float
        Of a delay.
    """

    deed: Deed
    match: str = ""
    times: int | None = None
    status: int = 500
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Passed:
    """One request that came in.

    Attributes
    ----------
    when : float
        ``time.monotonic()`` when it had been read.
    method, path : str
        As it came.
    done : str
        ``"forwarded"``, or the deed of the fault that it met; of an answer ``"answer 429"``.
    size : int
        Bytes of its body.
    """

    when: float
    method: str
    path: str
    done: str
    size: int


class FaultyProxy(CountingProxy):
    """Forwards to `backend`, a URL, and goes wrong as told.

    ``passed`` holds every request in the order of its arrival, ``requests`` those that reached the backend.
    """

    def __init__(self, backend: str) -> None:
        self.passed: list[Passed] = []
        self.connections: set[socket.socket] = set()
        self._faults: list[list] = []  # [fault, how many more times]
        self._lock = threading.Lock()
        self._healed = threading.Event()
        self._held: socket.socket | None = None
        super().__init__(backend)
        self._server.request_queue_size = 128

    # -- what it is told ------------------------------------------------------------------------------------------

    def add(self, fault: Fault) -> None:
        """Let this happen from now on; of several faults that match a request the first one added happens."""
        with self._lock:
            self._faults.append([fault, fault.times])

    def heal(self) -> None:
        """Forward everything again; whoever still waits for an answer is cut off."""
        with self._lock:
            self._faults.clear()
            healed, self._healed = self._healed, threading.Event()
        healed.set()

    @contextlib.contextmanager
    def faulty(self, fault: Fault) -> Iterator[None]:
        """Let this happen inside the block."""
        self.add(fault)
        try:
            yield
        finally:
            self.heal()

    def refuse(self) -> None:
        """Stop listening and break every connection, as a server that died."""
        if self._held is not None:
            return
        self._server.shutdown()
        self._server.server_close()
        self.cut_connections()
        # Bound but not listening: it refuses, and the system gives the port to nobody else meanwhile (not even to
        # a client that connects to this very port, which could then talk to itself).
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._held.bind((LOOPBACK, self.port))

    def accept(self) -> None:
        """Listen again, on the same port."""
        if self._held is None:
            return
        held, self._held = self._held, None
        server = ThreadingHTTPServer((LOOPBACK, self.port), self.handler, bind_and_activate=False)
        server.socket.close()
        server.socket = held
        server.server_address = held.getsockname()
        server.daemon_threads = True
        server.request_queue_size = 128
        server.rig = self  # type: ignore[attr-defined]
        server.server_activate()
        self._server = server
        self.start()

    def cut_connections(self) -> None:
        """Break every connection that is open now."""
        with self._lock:
            connections = list(self.connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        self.heal()
        if self._held is not None:
            self._held.close()
            return
        super().stop()
        self.cut_connections()

    # -- what its tests ask ---------------------------------------------------------------------------------------

    def matching(self, pattern: str) -> list[Passed]:
        """The requests whose ``"METHOD path"`` holds `pattern`, a regular expression."""
        with self._lock:
            return [each for each in self.passed if re.search(pattern, f"{each.method} {each.path}")]

    def take(self, method: str, path: str, size: int) -> tuple[Fault | None, threading.Event]:
        """Note a request that came in; return what happens to it, and what ends a silence."""
        with self._lock:
            fault = self._next(f"{method} {path}")
            done = "forwarded" if fault is None else fault.deed
            if fault is not None and fault.deed == "answer":
                done = f"answer {fault.status}"
            self.passed.append(Passed(time.monotonic(), method, path, done, size))
            if fault is None or fault.deed in ("cut after", "reset", "delay"):
                self.requests.append((method, path))
            return fault, self._healed

    def _next(self, request: str) -> Fault | None:
        for entry in self._faults:
            fault, left = entry
            if left != 0 and re.search(fault.match, request):
                entry[1] = None if left is None else left - 1
                return fault
        return None


def _reset(handler: _Handler) -> None:
    """Break the connection at once: the client's next read ends in a reset."""
    handler.close_connection = True
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # The handler's files hold the socket open after its close(); the descriptor itself does not wait for them.
    os.close(handler.connection.detach())


def _answer(self: _Handler) -> None:
    proxy: FaultyProxy = self.server.rig  # type: ignore[attr-defined]
    body = self.body()
    fault, healed = proxy.take(self.command, self.path, len(body))
    deed = fault.deed if fault is not None else "forward"
    if deed == "silent":
        healed.wait()
    if deed in ("silent", "cut before"):
        _reset(self)
        return
    if deed == "answer":
        assert fault is not None
        self.send(fault.status, list(fault.headers), fault.body.encode())
        return
    if deed == "delay":
        assert fault is not None
        time.sleep(fault.seconds)
    status, headers, content = exchange(self, proxy.backend, body)
    if deed == "cut after":
        _reset(self)
    elif deed == "reset":
        headers.append(("Content-Length", str(len(content) + 1)))
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])
        _reset(self)
    else:
        self.send(status, headers, content)


class _Tracked(_every_method(_answer)):  # type: ignore[misc]
    """A handler whose connection can be broken from outside, and to whom a client that left is no error."""

    def setup(self) -> None:
        super().setup()
        self.rig: FaultyProxy = self.server.rig
        self.broken = self.connection
        with self.rig._lock:
            self.rig.connections.add(self.broken)

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, ValueError):
            super().handle()

    def finish(self) -> None:
        with self.rig._lock:
            self.rig.connections.discard(self.broken)
        with contextlib.suppress(OSError):
            super().finish()


FaultyProxy.handler = _Tracked
