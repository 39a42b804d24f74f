"""Looks at a store that MLflow opens itself: an SQLite file or a database server."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from ..calls.masking import one_line
from ..calls.patience.limits import CONNECT_SECONDS
from ..calls.patience.waiting import within
from ..failures.diagnosis import ReachError
from ..location.uris import Target, short_path

NEWER = ("it was made by a newer MLflow", "pip install --upgrade mlflow, then restart the kernel")
"""What was seen, and the hint, of a schema that this MLflow does not know."""


def reach_file(target: Target, path: Path) -> str:
    """See whether an SQLite store can be written; its folder is made if only that is missing.

    The revision of MLflow's schema in it; empty where there is none yet.
    """
    _ensure_folder(path.parent, target.where)
    if not path.exists():
        return ""
    if path.is_dir():
        raise ReachError(
            "name",
            target.where,
            "this is a folder, not a database file",
            f"use the folder: {short_path(path)}/",
        )
    if not os.access(path, os.R_OK | os.W_OK):
        raise ReachError(
            "name", target.where, "the file cannot be written", "check its permissions, or use another folder"
        )
    try:
        # Read through SQLite itself: MLflow meets a file that is no database with 100 s of retries.
        database = sqlite3.connect(path, timeout=1)
        try:
            tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "alembic_version" not in tables:
                return ""
            row = database.execute("SELECT version_num FROM alembic_version").fetchone()
        finally:
            database.close()
    except sqlite3.Error as error:
        hint = "another process holds it; end that one" if "locked" in str(error) else "name another file"
        raise ReachError(
            "version", target.where, f"not usable as an SQLite database: {one_line(str(error))}", hint
        ) from error
    revision = str(row[0]) if row else ""
    if revision and not is_known(revision):
        # Left alone: MLflow would first add the tables that it misses.
        raise ReachError("version", target.where, "its schema is not that of this MLflow", ": ".join(NEWER))
    return revision


def is_known(revision: str) -> bool:
    """Tell whether a schema is this MLflow's, or older: one that it has a migration for."""
    import mlflow.store.db_migrations as migrations

    folder = Path(next(iter(migrations.__path__))) / "versions"
    return any(path.name.startswith(f"{revision}_") for path in folder.glob("*.py"))


def _ensure_folder(folder: Path, where: str) -> None:
    if folder.is_dir():
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ReachError("name", where, "its folder cannot be written", "use another one: %mlflow_connect ~/mlflow")
        return
    try:
        # Only the last step of the path: more than one missing is a typo.
        folder.mkdir()
    except FileNotFoundError as error:
        reason = f"there is no folder {short_path(folder.parent)}"
        raise ReachError("name", where, reason, "check the spelling, or make it first") from error
    except FileExistsError as error:
        raise ReachError("name", where, f"{short_path(folder)} is a file, not a folder", "use another name") from error
    except OSError as error:
        reason = f"the folder cannot be made: {error.strerror or error}"
        raise ReachError("name", where, reason, "use another one: %mlflow_connect ~/mlflow") from error


def reach_database(target: Target) -> None:
    """See whether a database server lets us in."""
    import sqlalchemy

    def ask() -> None:
        engine = sqlalchemy.create_engine(target.uri)
        try:
            engine.connect().close()
        finally:
            engine.dispose()

    try:
        within(CONNECT_SECONDS + 4, ask)
    except ModuleNotFoundError as error:
        reason = f"the driver {error.name!r} is not installed"
        packages = {"psycopg2": "psycopg2-binary", "psycopg": "psycopg[binary]", "MySQLdb": "mysqlclient"}
        package = packages.get(error.name or "", error.name or "")
        raise ReachError("name", target.where, reason, f"pip install {package}") from error
    except TimeoutError as error:
        raise ReachError("port", target.where, "the database does not answer", "check host, port and VPN") from error
    except Exception as error:  # every driver has errors of its own; all end as one of ours
        reason = f"the database refuses: {one_line(str(error), 160)}"
        raise ReachError("authentication", target.where, reason, "check host, port, user and password") from error
