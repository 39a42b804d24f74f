"""What the fault tests share: children that are forks of one process, a proxy that goes wrong, an experiment each."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig.children import Child, prepare
from tests.rig.faulty import FaultyProxy
from tests.rig.servers import MlflowServer


@pytest.fixture
def start(zygote, tmp_path):
    """Start children whose outbox lies below ``tmp_path / "state"``; they end with the test."""
    started: list[Child] = []
    numbers = itertools.count()

    def start(cells, state=None, **how):
        child = prepare(tmp_path / f"child-{next(numbers)}", cells, state or tmp_path / "state", **how)
        started.append(zygote.spawn(child))
        return child

    yield start
    for child in started:
        child.kill()


@pytest.fixture
def proxy(mlflow_server: MlflowServer) -> Iterator[FaultyProxy]:
    """A proxy before the session's server, which goes wrong when it is told to."""
    with FaultyProxy(mlflow_server.url) as proxy:
        yield proxy


@pytest.fixture
def database(mlflow_server: MlflowServer) -> Path:
    """The database of the session's server."""
    return mlflow_server.folder / "server.db"


@pytest.fixture
def experiment(request: pytest.FixtureRequest) -> str:
    """A name that no other test uses."""
    return "".join(c if c.isalnum() else "-" for c in request.node.nodeid.split("::", 1)[1])


def _mount(folder: Path, options: str) -> bool:
    if os.geteuid() != 0:
        return False
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True)
    return done.returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MiB; skips where it cannot be mounted (another user than root)."""
    folder = tmp_path / "small"
    if not _mount(folder, "size=6m"):
        pytest.skip("cannot mount a small disk here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def read_only_home(tmp_path: Path) -> Iterator[Path]:
    """A folder that nobody can write to: root's too, where it can mount one."""
    folder = tmp_path / "read-only"
    if _mount(folder, "ro,size=1m"):
        yield folder
        subprocess.run(["umount", "--lazy", folder], check=True)
    elif os.geteuid() != 0:
        folder.mkdir(mode=0o500)
        yield folder
    else:
        pytest.skip("cannot make a folder that root cannot write to here")
