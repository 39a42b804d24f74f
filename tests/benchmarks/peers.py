"""The peers, in an environment of their own: ``python -m tests.benchmarks.peers`` makes it and prints their rows.

It lies in the user's cache folder, never in the project's environment, and is made once for each Python version.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

from platformdirs import user_cache_path

from tests.rig import stored
from tests.rig.servers import MlflowServer

from .table import Row, render

SCRIPT = Path(__file__).with_name("peer_loop.py")
# Name in `peer_loop.TRACKERS`, and what pip calls it.
PEERS = {"wandb offline": "wandb", "trackio": "trackio", "tensorboardX": "tensorboardX", "dvclive": "dvclive"}
POINTS = 15_001
PATIENCE = 120.0


def environment() -> Path:
    """The Python of the peers' environment; made if it is not there yet."""
    folder = user_cache_path("mlflow_magics") / f"benchmark-peers-{sys.version_info[0]}.{sys.version_info[1]}"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    return python


def install(python: Path, package: str) -> str:
    """Install a peer if it is missing; what went wrong, empty if nothing did."""
    if subprocess.run([python, "-c", f"import {package}"], capture_output=True).returncode == 0:
        return ""
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]
    done = subprocess.run(pip, capture_output=True, text=True)
    return "" if done.returncode == 0 else f"pip install {package} failed ({done.returncode})"


def ask(python: Path | str, name: str, deed: str, points: int, folder: Path, uri: str = "") -> str:
    """Run one tracker's loop; the last word that it printed.

    Raises
    ------
    subprocess.SubprocessError
        It failed (a loop that was to be killed always does), or took too long.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    done = subprocess.run(
        [python, SCRIPT, name, deed, str(points), folder, uri],
        cwd=folder,
        env=kept | {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    if deed != "kill":
        done.check_returncode()
    return (done.stdout.split() or [""])[-1]


def measure(python: Path | str, name: str, label: str, points: int, server: MlflowServer | None = None) -> Row:
    """A tracker's row: what a point costs its loop, and what is left of it; or why there is none.

    Parameters
    ----------
    python : Path or str
        Of the environment that has it.
    name : str
        In ``peer_loop.TRACKERS``.
    label : str
        How the row calls it.
    points : int
        Of the loop.
    server : MlflowServer, optional
        Where MLflow tracks to; a fresh local store if not given.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as base:
        try:
            cost, kept = Path(base, "cost"), Path(base, "kept")
            for folder in (cost, kept):
                folder.mkdir()
            micros = float(ask(python, name, "loop", points, cost, place(server, cost)))
            ask(python, name, "kill", points, kept, place(server, kept))
            if server is None:
                left = int(ask(python, name, "count", points, kept))
            else:
                left = stored.count(server.folder / "server.db", str(kept))
        except (subprocess.SubprocessError, ValueError) as error:
            # A peer that has changed, or cannot run on this machine: the table says so, and goes on.
            return Row(label, f"not measured: {reason(error)}")
    return Row(label, f"{micros:,.1f} us", kept=f"{left:,} of {points:,}")


def place(server: MlflowServer | None, folder: Path) -> str:
    """Where MLflow tracks to."""
    return server.url if server is not None else f"sqlite:///{folder}/mlflow.db"


def reason(error: Exception) -> str:
    """The last line of what a subprocess said."""
    text = getattr(error, "stderr", None) or str(error)
    text = text.decode(errors="replace") if isinstance(text, bytes) else text
    return (text.strip().splitlines() or [type(error).__name__])[-1][:80]


def rows(points: int = POINTS) -> Iterator[Row]:
    """A row for each peer, also for one that cannot be had here."""
    python = environment()
    for name, package in PEERS.items():
        trouble = install(python, package)
        label = f"{name}: a point in a loop"
        yield Row(label, f"not measured: {trouble}") if trouble else measure(python, name, label, points)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        print(render(rows()))
