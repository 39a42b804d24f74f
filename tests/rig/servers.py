"""Servers that tests start: a real MLflow, one that counts, and the ways in which a server can be wrong.

All listen on the loopback only, and each ends exactly what it started.
"""

from __future__ import annotations

import contextlib
import datetime
import http.client
import ipaddress
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from .waiting import eventually

LOOPBACK = "127.0.0.1"
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "date", "server"}


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


refused_port = free_port


class _Started:
    """What is started on entering and stopped on leaving."""

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def __enter__(self):
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


class MlflowServer(_Started):
    """A real ``mlflow server`` with one worker, its SQLite store and its artifacts in `folder`.

    It may be stopped and started again: same port, same data.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, patience: float = 90.0) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", LOOPBACK]
        command += ["--port", str(self.port), "--backend-store-uri", f"sqlite:///{self.folder}/server.db"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        environment |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        # MLflow finds its own helpers (gunicorn, uvicorn) on the PATH.
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            self._wait(patience)
        except BaseException:
            self.stop()
            raise

    def _wait(self, patience: float) -> None:
        process = self._process
        assert process is not None

        def answers() -> bool:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/health", timeout=2) as answer:
                return bool(answer.status == 200)
            return False

        def told() -> str:
            return f"the start of mlflow server:\n{(self.folder / 'server.log').read_text()[-4000:]}"

        eventually(answers, told, patience, pause=0.1, unless=lambda: process.poll() is not None)

    def stop(self) -> None:
        """End the server at once, as a crash would."""
        if self._process is None:
            return
        process, self._process = self._process, None
        # Its own session: the group holds its workers and nothing else.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        # The workers die a moment after their parent, and until then the port still accepts.
        eventually(self._is_deaf, f"the end of the server's workers; they still listen on port {self.port}", 10.0)

    def _is_deaf(self) -> bool:
        """Tell whether nobody listens on the port."""
        with socket.socket() as probe:
            return probe.connect_ex((LOOPBACK, self.port)) != 0


class _HttpServer(_Started):
    """A small HTTP server of which only the handler differs."""

    handler: type[BaseHTTPRequestHandler]

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer((LOOPBACK, 0), self.handler)
        self._server.daemon_threads = True
        self._server.rig = self  # type: ignore[attr-defined]
        self.port = int(self._server.server_address[1])
        self.url = f"http://{LOOPBACK}:{self.port}"

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: pytest's output is for failures."""

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _every_method(answer):
    """Make a handler class that answers every method alike."""
    methods = {f"do_{name}": answer for name in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")}
    return type("Handler", (_Handler,), methods)


def exchange(handler: _Handler, backend: str, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
    """Pass a request on to `backend`, a host and port; return its answer: status, headers, body."""
    connection = http.client.HTTPConnection(backend, timeout=60)
    try:
        headers = {name: value for name, value in handler.headers.items() if name.lower() not in _HOP_BY_HOP}
        connection.request(handler.command, handler.path, body=body or None, headers=headers)
        answer = connection.getresponse()
        content = answer.read()
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP]
    except (OSError, http.client.HTTPException):
        return 502, [], b"the backend is gone"
    finally:
        connection.close()
    return answer.status, kept, content


def _forward(self) -> None:
    proxy = self.server.rig
    body = self.body()
    proxy.requests.append((self.command, self.path))
    self.send(*exchange(self, proxy.backend, body))


class CountingProxy(_HttpServer):
    """Forwards to `backend`, a URL, and keeps what passed: ``requests`` is a list of (method, path)."""

    handler = _every_method(_forward)

    def __init__(self, backend: str) -> None:
        super().__init__()
        self.backend = urlsplit(backend).netloc
        self.requests: list[tuple[str, str]] = []


def _fixed(self) -> None:
    server = self.server.rig
    self.body()
    server.requests.append((self.command, self.path))
    server.authorizations.append(self.headers.get("Authorization"))
    self.send(server.status, [("Content-Type", server.content_type)], server.body)


class StatusServer(_HttpServer):
    """Answers everything with one status and one body."""

    handler = _every_method(_fixed)

    def __init__(self, status: int, body: str = "", content_type: str = "text/html") -> None:
        super().__init__()
        self.status, self.body, self.content_type = status, body.encode(), content_type
        self.requests: list[tuple[str, str]] = []
        self.authorizations: list[str | None] = []


class TlsServer(StatusServer):
    """A :class:`StatusServer` behind a self-signed certificate, which lies in `certificate`."""

    def __init__(self, folder: Path, status: int = 200, body: str = "3.0.0") -> None:
        super().__init__(status, body)
        self.certificate = self_signed(Path(folder))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        # The handshake belongs to the thread of its connection: a client that refuses it must not stop the server.
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._server.handle_error = lambda request, address: None  # type: ignore[method-assign]
        self.url = f"https://{LOOPBACK}:{self.port}"


class SilentServer(_Started):
    """Accepts every connection and never answers."""

    def start(self) -> None:
        self._socket = socket.create_server((LOOPBACK, 0), backlog=50)
        self.port = int(self._socket.getsockname()[1])
        self.url = f"http://{LOOPBACK}:{self.port}"
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._open.append(self._socket.accept()[0])

    def stop(self) -> None:
        # shutdown wakes the thread that waits in accept; close alone would not.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        for connection in (self._socket, *self._open):
            connection.close()


def self_signed(folder: Path) -> Path:
    """Write a fresh key and a certificate for the loopback address into one PEM file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mlflow_magics test rig")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "rig.pem"
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path
