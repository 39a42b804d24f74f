"""Moves what of an outbox cannot be read or sent aside. It never deletes it.

While a journal is still to be sent, what is set aside lies in its folder ``damaged``; when the rest is sent, that
folder is moved beside the outbox, to ``unreadable/NAME-OF-THE-JOURNAL``. Nothing here knows MLflow.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from platformdirs import user_state_path

_DAMAGED, _COUNTS, _TOLD = "damaged", "counts.json", "told"


def place() -> Path:
    """Return the folder that holds what was set aside."""
    return Path(user_state_path("mlflow_magics")) / "unreadable"


def is_ours(path: Path, *, folder: bool = False) -> bool:
    """Tell whether something is a file, or a folder, of this user: no link, no pipe, and nobody else's.

    Whatever else lies where we look is left alone: to open a pipe would wait for ever, and a link may lead anywhere.
    """
    try:
        status = path.lstat()
    except OSError:
        return False
    kind = stat.S_ISDIR if folder else stat.S_ISREG
    return kind(status.st_mode) and (not hasattr(os, "getuid") or status.st_uid == os.getuid())


def is_strange(path: Path) -> bool:
    """Tell whether something is a link, a pipe or another user's."""
    return os.path.lexists(path) and not (is_ours(path) or is_ours(path, folder=True))


def sent_mark(staged: Path) -> Path:
    """Return the file that says that a staged file or folder is gone because it was sent."""
    return staged.with_name(f"{staged.name}.sent")


def is_first_format(folder: Path) -> bool:
    """Tell whether a journal is of the first format, which had no checksums."""
    path = folder / "format"
    try:
        return is_ours(path) and path.read_bytes().strip() == b"1"
    except OSError:
        return False


def keep(folder: Path, path: Path) -> None:
    """Move a file or folder of a journal to what cannot be read."""
    to = folder / _DAMAGED / path.name
    with contextlib.suppress(OSError):
        to.parent.mkdir(mode=0o700, exist_ok=True)
        while to.exists():
            to = to.with_name(f"{to.name}-")
        os.replace(path, to)


def add(folder: Path, name: str, items: Iterable[Any]) -> None:
    """Write down, a line each, what cannot be sent; texts that are no JSON already are written as JSON."""
    with contextlib.suppress(OSError):
        (folder / _DAMAGED).mkdir(mode=0o700, exist_ok=True)
        with (folder / _DAMAGED / name).open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(json.dumps(item, default=repr) + "\n" for item in items)


def say(folder: Path, what: str, count: int = 1) -> None:
    """Count what could not be read or sent of a journal: points, writes, files."""
    path = folder / _DAMAGED / _COUNTS
    counts = _read(path)
    counts[what] = counts.get(what, 0) + count
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_text(json.dumps(counts))


def say_once(folder: Path, what: str, count: int) -> None:
    """As :func:`say`, for what is found again each time the journal is looked at."""
    if what not in _read(folder / _DAMAGED / _COUNTS):
        say(folder, what, count)


def _read(path: Path) -> dict[str, int]:
    with contextlib.suppress(OSError, ValueError):
        return dict(json.loads(path.read_text()))
    return {}


def tell() -> list[str]:
    """Return a line for each journal of which something was set aside, and nobody was told yet."""
    lines = []
    with contextlib.suppress(OSError):
        for folder in sorted(path for path in place().iterdir() if is_ours(path, folder=True)):
            mark = folder / _TOLD
            if not mark.exists():
                mark.touch()
                found = sorted(_read(folder / _COUNTS).items())
                counts = " and ".join(f"{count} {what[: -1 if count == 1 else None]}" for what, count in found)
                lines.append(
                    f"an earlier kernel left {counts or 'writes'} that cannot be read or sent: kept in {folder}"
                )
    return lines


def is_any(folder: Path) -> bool:
    """Tell whether something of a journal was set aside."""
    return is_ours(folder / _DAMAGED, folder=True)


def move(folder: Path, *, whole: bool = False) -> Path | None:
    """Move what was set aside of a journal, or the whole journal, to where it stays.

    Where it is now; None if it could not be moved, and lies where it was.
    """
    to = place() / folder.name
    try:
        to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        while to.exists():
            to = to.with_name(f"{to.name}-")
        os.rename(folder if whole else folder / _DAMAGED, to)
    except OSError:
        return None
    return to


def listed() -> list[str]:
    """Return a line that says what lies aside; none if there is nothing."""
    try:
        many = sum(is_ours(path, folder=True) for path in place().iterdir())
    except OSError:
        return []
    what = "what one kernel" if many == 1 else f"what {many} kernels"
    return [f"{what} left and could not be read or sent is in {place()}; delete it if it is not needed"] if many else []


def delete(folder: Path) -> None:
    """Delete a journal of which nothing is needed. A mark first: a folder half deleted is no damaged one."""
    with contextlib.suppress(OSError):
        (folder / "sent").touch()
    shutil.rmtree(folder, ignore_errors=True)
