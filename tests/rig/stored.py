"""What is really in a store: read from the SQL database itself, past every client and cache."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StoredRun:
    """A row of the store's runs.

    Attributes
    ----------
    run_id, name, status : str
        As stored.
    start, end : int or None
        Milliseconds since the epoch.
    """

    run_id: str
    name: str
    status: str
    start: int
    end: int | None


def _rows(database: Path, query: str, *values: object) -> list[tuple]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
        return connection.execute(query, values).fetchall()


def runs(database: Path, experiment: str) -> list[StoredRun]:
    """The runs of an experiment, in the order in which they began."""
    query = """SELECT run_uuid, name, status, start_time, end_time FROM runs
               WHERE experiment_id = (SELECT experiment_id FROM experiments WHERE name = ?)
               AND lifecycle_stage = 'active' ORDER BY start_time, run_uuid"""
    return [StoredRun(*row) for row in _rows(database, query, experiment)]


def points(database: Path, run_id: str, name: str) -> list[tuple[int, int, float]]:
    """(step, milliseconds, value) of every stored point of a metric, by step; a doubled one would be there twice."""
    query = 'SELECT step, timestamp, value FROM metrics WHERE run_uuid = ? AND "key" = ? ORDER BY step, timestamp'
    return _rows(database, query, run_id, name)


def names(database: Path, run_id: str) -> list[str]:
    """The names of a run's metrics."""
    return [name for (name,) in _rows(database, 'SELECT DISTINCT "key" FROM metrics WHERE run_uuid = ?', run_id)]


def params(database: Path, run_id: str) -> dict[str, str]:
    """The params of a run."""
    return dict(_rows(database, 'SELECT "key", value FROM params WHERE run_uuid = ?', run_id))


def tags(database: Path, run_id: str) -> dict[str, str]:
    """The tags of a run."""
    return dict(_rows(database, 'SELECT "key", value FROM tags WHERE run_uuid = ?', run_id))


def count(database: Path, experiment: str) -> int:
    """How many points an experiment holds."""
    query = """SELECT COUNT(*) FROM metrics WHERE run_uuid IN (SELECT run_uuid FROM runs
               WHERE experiment_id = (SELECT experiment_id FROM experiments WHERE name = ?))"""
    return int(_rows(database, query, experiment)[0][0])
