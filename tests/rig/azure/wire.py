"""Requests and answers, and the listener that carries them."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qs, unquote, urlsplit

_CHUNK = 1 << 18


@dataclass(frozen=True)
class Request:
    """What a client sent.

    Attributes
    ----------
    method, path, target : str
        The path without its query and unquoted; the target as it came.
    query : mapping of str to str
        The query's last words for each name.
    headers : email.message.Message
        The headers.
    content : binary file
        The body: in memory if it is small, else on disk.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Any
    content: IO[bytes]
    target: str

    @property
    def body(self) -> bytes:
        """The whole body."""
        self.content.seek(0)
        return self.content.read()

    @property
    def form(self) -> dict[str, str]:
        """The body as a form."""
        return {key: values[0] for key, values in parse_qs(self.body.decode()).items()}

    @property
    def bearer(self) -> str:
        """The token that came along."""
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")


@dataclass(frozen=True)
class Answer:
    """What it gets.

    Attributes
    ----------
    status : int
        The status.
    body : bytes
        The body, if `part` is None.
    headers : mapping of str to str
        Headers besides the length.
    part : tuple of (Path, int, int), optional
        The body as a part of a file: where it begins and how long it is, in bytes.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    part: tuple[Path, int, int] | None = None

    @classmethod
    def of(cls, content: Any, status: int = 200, **headers: str) -> Answer:
        """Answer with JSON."""
        return cls(status, json.dumps(content).encode(), {"Content-Type": "application/json", **headers})


@dataclass(frozen=True)
class Seen:
    """One request that arrived, and the status it was answered with."""

    method: str
    path: str
    status: int


class Listener:
    """Serves a function from requests to answers, on a free port of the loopback, with or without TLS.

    Parameters
    ----------
    answer : callable
        From a :class:`Request` to its :class:`Answer`.
    context : ssl.SSLContext, optional
        For TLS.
    leads_to : callable, optional
        Makes a proxy of it: for the name of a host, the function that answers for it and its TLS; None refuses.
    """

    def __init__(
        self,
        answer: Callable[[Request], Answer],
        context: ssl.SSLContext | None = None,
        leads_to: Callable[[str], tuple[Callable[[Request], Answer], ssl.SSLContext] | None] | None = None,
    ) -> None:
        handler = type("Handler", (_Handler,), {"answer": staticmethod(answer), "leads_to": staticmethod(leads_to)})
        self._server = _Server(("127.0.0.1", 0), handler)
        if context is not None:
            # The handshake in the connection's thread: one client that never begins it must not stop all others.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening, hang up on everybody, and end all threads."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
        self._server.hang_up()


class _Server(ThreadingHTTPServer):
    """Knows its connections: a client keeps one open as long as it lives, and a thread of ours with it."""

    daemon_threads = True
    # Many threads of a client may come at once.
    request_queue_size = 50

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._lock = threading.Lock()
        self.connections: dict[threading.Thread, socket.socket] = {}

    def keep(self, connection: socket.socket) -> None:
        """Say that this thread serves a connection."""
        with self._lock:
            self.connections[threading.current_thread()] = connection

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        self.keep(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                del self.connections[threading.current_thread()]

    def hang_up(self) -> None:
        """End all connections and their threads."""
        with self._lock:
            kept = dict(self.connections)
        for connection in kept.values():
            # Shut, not closed: closing alone does not wake the thread that reads from it.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in kept:
            thread.join(5)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that goes away or refuses our certificate is no error of the emulator's.
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body go out as two packets, and the second must not wait for the first's acknowledgement.
    disable_nagle_algorithm = True
    answer: Callable[[Request], Answer]
    leads_to: Callable[[str], tuple[Callable[[Request], Answer], ssl.SSLContext] | None] | None
    server: _Server

    def log_message(self, *_: object) -> None:
        """Say nothing: pytest's output is for failures."""

    def finish(self) -> None:
        super().finish()
        self.connection.close()  # behind a proxy's CONNECT it is another than the server knows

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
        with tempfile.SpooledTemporaryFile(_CHUNK) as content:
            if not self._received(content):
                self.close_connection = True
                return  # the client has gone in the middle of it: nothing of it counts
            request = Request(self.command, unquote(parts.path), query, self.headers, content, self.path)
            try:
                answer = self.answer(request)
            except Exception:  # an error of the emulator's own: say so where the test's failure is read
                answer = Answer(500, f"the emulator failed:\n{traceback.format_exc()}".encode())
        try:
            self._send(answer)
        except OSError:
            self.close_connection = True  # the client has given up

    def _received(self, content: IO[bytes]) -> bool:
        missing = int(self.headers.get("Content-Length") or 0)
        while missing:
            chunk = self.rfile.read(min(missing, _CHUNK))
            if not chunk:
                return False
            content.write(chunk)
            missing -= len(chunk)
        return True

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in answer.headers:
            self.send_header("Content-Length", str(answer.part[2] if answer.part else len(answer.body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if answer.part is None:
            self.wfile.write(answer.body)
            return
        path, start, missing = answer.part
        with path.open("rb") as source:
            source.seek(start)
            while missing and (chunk := source.read(min(missing, _CHUNK))):
                self.wfile.write(chunk)
                missing -= len(chunk)

    def do_CONNECT(self) -> None:
        """Become, within this connection, the server that was asked for."""
        found = self.leads_to(self.path.rpartition(":")[0]) if self.leads_to is not None else None
        if found is None:
            self._send(Answer(403))
            self.close_connection = True
            return
        self.send_response(200)
        self.end_headers()
        self.answer, context = found
        self.leads_to = None
        self.rfile.close()
        self.connection = context.wrap_socket(self.connection, server_side=True, do_handshake_on_connect=False)
        self.server.keep(self.connection)
        self.connection.do_handshake()
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
        self.close_connection = False


for _method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"):
    setattr(_Handler, f"do_{_method}", _Handler._serve)
