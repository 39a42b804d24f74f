"""Copies what is to become an artifact: only files, counted byte by byte, and links inside a folder not followed.

MLflow walks a folder likewise: a link to a file is that file, a link to a folder is left out.
"""

from __future__ import annotations

import io
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_CHUNK = 1 << 20


class NoRoomError(Exception):
    """The copy would be larger than it may be, or the disk takes no more."""


def check(path: str) -> None:
    """Raise for what is no file: to read a FIFO or a device would never end.

    Parameters
    ----------
    path : str
        Whatever it is.

    Raises
    ------
    OSError
        It leads nowhere, or in a circle.
    mlflow.exceptions.MlflowException
        It is a FIFO, a socket or a device.
    """
    mode = os.stat(path).st_mode
    if (kind := _KINDS.get(stat.S_IFMT(mode))) is not None:
        raise MlflowException(f"{path} is {kind}, not a file", error_code=INVALID_PARAMETER_VALUE)


def walk(source: str) -> Iterator[str]:
    """Yield the files of a folder as MLflow finds them.

    Parameters
    ----------
    source : str
        The folder.

    Yields
    ------
    str
        A path, relative to the folder.
    """
    for folder, _, names in os.walk(source):
        for name in names:
            yield os.path.relpath(os.path.join(folder, name), source)


def check_all(source: Path) -> list[str]:
    """Check a file, or all files of a folder, before any is read; return their names. Raises as :func:`check`."""
    if not source.is_dir():
        check(str(source))
        return []
    names = list(walk(str(source)))
    for name in names:
        check(os.path.join(source, name))
    return names


def copy(source: Path, place: Path, room: int) -> int:
    """Copy a file, or all files of a folder, into an empty folder.

    Parameters
    ----------
    source : pathlib.Path
        What to copy.
    place : pathlib.Path
        Where to.
    room : int
        How many bytes it may come to, counted as they are copied: files grow, and a sparse one is larger than its disk.

    Returns
    -------
    int
        How many bytes it came to.

    Raises
    ------
    NoRoomError
        They are more, or the disk takes no more.
    OSError, mlflow.exceptions.MlflowException
        Something cannot be read, or is no file.
    """
    names = check_all(source)
    if not source.is_dir():
        return copy_file(source, place / source.name, room)
    total = 0
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        total += copy_file(source / name, place / name, room - total)
    return total


def copy_file(source: Path, target: Path, room: int) -> int:
    """Copy one file with its times and its permissions; return its bytes. Raises as :func:`copy`."""
    total = 0
    with source.open("rb") as reading:
        try:
            writing = target.open("wb", buffering=0)
        except OSError as error:
            raise NoRoomError(str(error)) from error
        with writing:
            while chunk := reading.read(_CHUNK):
                total += len(chunk)
                if total > room:
                    raise NoRoomError(f"{source} is larger than the room that is left")
                _write(writing, chunk)
    shutil.copystat(source, target)
    return total


def _write(file: io.FileIO, chunk: bytes) -> None:
    """Write all of it: a disk that is nearly full takes a part first, and then says so."""
    rest = memoryview(chunk)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        raise NoRoomError(str(error)) from error
