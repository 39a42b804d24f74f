"""Starts MLflow's web interface for a local store once, finds it again, and ends it with the kernel."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ...vocabulary.errors import OptionError, TrackingError

_READY_SECONDS = 60.0
_DEFAULT_PORT = 5000


@dataclass
class _Served:
    uri: str
    port: int
    process: subprocess.Popen[bytes]


_served: _Served | None = None


def serve(uri: str, artifacts: str, port: int | None = None) -> tuple[int, bool]:
    """Have a web interface for a store.

    Parameters
    ----------
    uri : str
        The store, local.
    artifacts : str
        Where its artifacts are; empty for MLflow's own default.
    port : int, optional
        On which; 5000, or another free one, if None.

    Returns
    -------
    tuple of (int, bool)
        The port on the loopback, and whether it was started just now.

    Raises
    ------
    OptionError
        It is no port, or it is taken.
    TrackingError
        It does not start.
    """
    global _served
    if port is not None and not 0 < port < 65536:
        raise OptionError(f"--port takes a number from 1 to 65535, not {port}")
    if _served is not None and _served.process.poll() is None:
        if _served.uri == uri and port in (None, _served.port):
            return _served.port, False
        stop()
    if port is not None and not _is_free(port):
        raise OptionError(f"port {port} is taken; leave --port out for a free one")
    chosen = port or (_DEFAULT_PORT if _is_free(_DEFAULT_PORT) else _any_port())
    command = [sys.executable, "-m", "mlflow_magics.tracking.lookback.webui", str(chosen)]
    # Its standard input is a pipe from this kernel: it ends when the kernel is gone, however that went.
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=_environment(uri, artifacts),
        start_new_session=True,  # a Ctrl-C is meant for the cell
    )
    _served = _Served(uri, chosen, process)
    try:
        _wait(process, chosen)
    except BaseException:
        stop()
        raise
    return chosen, True


def through_jupyter() -> tuple[str, bool]:
    """Tell where Jupyter serves this machine's ports.

    Returns
    -------
    tuple of (str, bool)
        The path on Jupyter's own host, before a port and ``/``; empty where there is no jupyter-server-proxy. And
        whether people reach that host from other machines.
    """
    if find_spec("jupyter_server_proxy") is None:
        return "", False
    if prefix := os.environ.get("JUPYTERHUB_SERVICE_PREFIX"):
        return f"{prefix.rstrip('/')}/proxy/", True
    from jupyter_core.paths import jupyter_runtime_dir

    # A server tells its kernels its process, and keeps a file about itself.
    file = Path(jupyter_runtime_dir(), f"jpserver-{os.environ.get('JPY_PARENT_PID')}.json")
    try:
        server = json.loads(file.read_text(encoding="utf-8"))
        return f"{server['base_url'].rstrip('/')}/proxy/", server["hostname"] not in ("localhost", "127.0.0.1", "::1")
    except (OSError, ValueError, KeyError, TypeError):
        return "", False


def stop() -> bool:
    """End the web interface; return whether there was one."""
    global _served
    if _served is None:
        return False
    served, _served = _served, None
    was_there = served.process.poll() is None
    if served.process.stdin is not None:
        with contextlib.suppress(OSError):
            served.process.stdin.close()
    try:
        served.process.wait(10)
    except subprocess.TimeoutExpired:
        served.process.kill()
        served.process.wait()
    return was_there


def _environment(uri: str, artifacts: str) -> dict[str, str]:
    """Return what MLflow's server is told: not on a command line, which every user of the machine may read."""
    kept = ("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_SERVER_")
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_") or name.startswith(kept)
    }
    variables |= {"MLFLOW_BACKEND_STORE_URI": uri, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    variables |= {"MLFLOW_DEFAULT_ARTIFACT_ROOT": artifacts} if artifacts else {}
    if through_jupyter()[1]:
        # MLflow refuses a host it does not know, and the browser names the one at which it found Jupyter. Jupyter
        # checks that host itself, asks who it is, and nobody browses on this machine.
        variables = {"MLFLOW_SERVER_ALLOWED_HOSTS": "*", "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": "*"} | variables
    variables["PYTHONPATH"] = os.pathsep.join(
        filter(None, (str(Path(__file__).parents[3]), variables.get("PYTHONPATH")))
    )
    # MLflow starts its workers by name.
    variables["PATH"] = os.pathsep.join((os.path.dirname(sys.executable), variables.get("PATH", "")))
    return variables


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _any_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError, urllib.error.URLError):
            # Past any proxy: it is on this machine.
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        time.sleep(0.1)
    raise TrackingError("MLflow's web interface does not start; try `mlflow ui` in a terminal to see why")


def _main(port: str) -> None:
    """Run MLflow's server until standard input ends."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", "1"]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        while server.poll() is None and sys.stdin.buffer.read(1):
            pass
    finally:
        with contextlib.suppress(OSError):
            # Its workers too, which belong to its session.
            os.killpg(server.pid, signal.SIGTERM) if hasattr(os, "killpg") else server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(5)
        with contextlib.suppress(OSError):
            os.killpg(server.pid, signal.SIGKILL) if hasattr(os, "killpg") else server.kill()


if __name__ == "__main__":
    _main(*sys.argv[1:])
