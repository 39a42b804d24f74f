"""Stages a run's files and figures in one folder, to be uploaded together."""

from __future__ import annotations

import contextlib
import csv
import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException

from ...vocabulary.errors import NotLoggableError
from ...vocabulary.records import CallTable, Figure
from ..calls.guards import reason
from ..outbox.disk import copying
from .names import fix_key


@contextlib.contextmanager
def staging() -> Iterator[Path]:
    """Give a folder to stage in, and take it away.

    Yields
    ------
    pathlib.Path
        An empty folder.
    """
    with tempfile.TemporaryDirectory(prefix="mlflow_magics-") as name:
        yield Path(name)


def staged(folder: Path) -> tuple[str, ...]:
    """Return the paths of the files in `folder`, as they will be inside the run.

    Parameters
    ----------
    folder : pathlib.Path
        A staging folder.

    Returns
    -------
    tuple of str
        Sorted, with forward slashes.
    """
    return tuple(sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()))


def stage_text(name: str, text: str, folder: Path) -> list[str]:
    """Write text under a name; ``.txt`` is added where the name has no ending.

    Parameters
    ----------
    name : str
        Name or path inside the run.
    text : str
        What to write, as UTF-8.
    folder : pathlib.Path
        Where to stage.

    Returns
    -------
    list of str
        No notes.
    """
    _path(folder, name, ".txt").write_text(text, encoding="utf-8", errors="backslashreplace")
    return []


def stage_table(name: str, table: Any, folder: Path) -> list[str]:
    """Write a table as MLflow's own ``log_table`` does: JSON in pandas' "split" orientation.

    Parameters
    ----------
    name : str
        Name or path inside the run.
    table : object
        A pandas DataFrame, or a dict or list that pandas makes one of.
    folder : pathlib.Path
        Where to stage.

    Returns
    -------
    list of str
        No notes.

    Raises
    ------
    NotLoggableError
        It cannot be made a table.
    """
    import pandas

    try:
        frame = table if isinstance(table, pandas.DataFrame) else pandas.DataFrame(table)
        text = frame.to_json(orient="split", index=False)
    except (ValueError, TypeError) as error:
        raise NotLoggableError(name, f"not a table ({type(table).__name__}): {error}") from error
    _path(folder, name, ".json").write_text(text, encoding="utf-8", errors="backslashreplace")
    return []


def stage_calls(tables: Sequence[CallTable], folder: Path, cell: str = "") -> None:
    """Write what was tried in the turns of loops as ``calls.csv``; the second as ``calls_2.csv``.

    `cell` stands in the name where cells share a run.
    """
    for number, table in enumerate(tables, 1):
        with (folder / f"calls{cell}{f'_{number}' if number > 1 else ''}.csv").open(
            "w", encoding="utf-8", newline=""
        ) as file:
            writer = csv.writer(file)
            writer.writerow([*table.settings, *table.results])
            writer.writerows(table.rows)


def _path(folder: Path, name: str, suffix: str) -> Path:
    path = folder / fix_key(name)
    path = path if path.suffix else path.with_suffix(suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def stage_figures(figures: Sequence[Figure], folder: Path) -> list[str]:
    """Save figures under their names.

    Parameters
    ----------
    figures : sequence of Figure
        As captured.
    folder : pathlib.Path
        Created if there is a figure. matplotlib's are PNG, or what the cell saved them as; plotly's and altair's stay
        interactive as HTML.

    Returns
    -------
    list of str
        A note for each figure that could not be saved.
    """
    notes = []
    for figure in figures:
        folder.mkdir(exist_ok=True)
        save, suffix = _SAVERS[figure.library]
        suffix = os.path.splitext(figure.file)[1] or suffix
        path = folder / (fix_key(figure.name).replace("/", "_") + suffix)
        try:
            if figure.picture:
                path.write_bytes(figure.picture)
            else:
                save(figure.figure, path)
        except Exception as error:  # noqa: BLE001
            # The figure is the user's and draws itself with the user's data: whatever it raises is its own affair,
            # and the other figures are saved.
            notes.append(f"figure {figure.name} was not saved: {type(error).__name__}: {error}")
    return notes


def stage_paths(patterns: Sequence[str], folder: Path) -> list[str]:
    """Copy files and folders beside the staged ones, by hard link where the disk allows.

    Parameters
    ----------
    patterns : sequence of str
        Paths or glob patterns, relative to the working folder; ``~`` is expanded.
    folder : pathlib.Path
        Where to stage. Folders keep their name and layout.

    Returns
    -------
    list of str
        A note for each pattern that matches nothing.
    """
    notes: list[str] = []
    for pattern in patterns:
        expanded = os.path.expanduser(pattern)
        paths = [expanded] if os.path.lexists(expanded) else sorted(glob.glob(expanded, recursive=True))
        if not paths:
            notes.append(f"artifact {pattern!r} was not logged: no such file or folder")
        for name in paths:
            path = Path(os.path.abspath(name))
            target = _free(folder / path.name)
            if target.name != path.name:
                notes.append(f"artifact {name!r} is logged as {target.name!r}: there is another {path.name!r}")
            notes += _stage_path(name, path, target)
    return notes


def _stage_path(name: str, path: Path, target: Path) -> list[str]:
    """Stage a file, or those of a folder; return a note for each that cannot be taken."""
    parts = {path / part: target / part for part in copying.walk(str(path))} if path.is_dir() else {path: target}
    notes = []
    for source, place in parts.items():
        try:
            copying.check(str(source))
            place.parent.mkdir(parents=True, exist_ok=True)
            _link(source, place)
        except (OSError, MlflowException) as error:
            whole = "" if source == path else " whole"
            notes.append(f"artifact {name!r} was not logged{whole}: {reason(error)}")
    return notes


def _free(path: Path) -> Path:
    """Return a path beside which nothing is staged: two files of one name are two artifacts."""
    number = 2
    free = path
    while os.path.lexists(free):
        free = path.with_name(f"{path.stem}_{number}{path.suffix}")
        number += 1
    return free


def _link(source: Any, target: Any) -> None:
    # A link costs no copy of a large file. It must not be written through: the target is always a new path.
    try:
        os.link(os.path.realpath(source), target)
    except OSError:  # another disk, or a file system without links
        shutil.copyfile(source, target)


def _save_matplotlib(figure: Any, path: Path) -> None:
    figure.savefig(path, bbox_inches="tight")


def _save_plotly(figure: Any, path: Path) -> None:
    figure.write_html(str(path), include_plotlyjs="cdn", auto_open=False)


def _save_altair(figure: Any, path: Path) -> None:
    figure.save(str(path))


_SAVERS: Mapping[str, tuple[Callable[[Any, Path], None], str]] = {
    "matplotlib": (_save_matplotlib, ".png"),
    "plotly": (_save_plotly, ".html"),
    "altair": (_save_altair, ".html"),
}
