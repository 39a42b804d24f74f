"""A store as text: its runs as an author would compare them, without ids, times, and the tags of others than him."""

from __future__ import annotations

import json
import math
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlparse

# MLflow's own words for a run that nobody named.
_UNNAMED = re.compile(r"[a-z]+-[a-z]+-\d+")
# Facts of the machine and of the shell, and ours.
_CONTEXT = re.compile(r"mlflow\.(user|source\.|runName|parentRunId|log-model\.history|gitRepo)|mlflow_magics\.")
OUR_FILES = ("cell.py", "traceback.txt")
# Seconds that a search took: only that they are there can be compared.
_VARYING = re.compile(r"(fit|score)_time")


@dataclass
class Run:
    """A stored run.

    Attributes
    ----------
    run_id, parent_id : str
        As stored; empty where there is no parent.
    name, status, experiment : str
        The name is empty where MLflow chose it.
    ours : bool
        Whether it is the run of a ``%%mlflow_run`` cell.
    facts : dict of str to str
        Everything else, such as ``metric loss`` -> ``0=0.5 1=0.25``.
    """

    run_id: str
    parent_id: str
    name: str
    status: str
    experiment: str
    ours: bool
    facts: dict[str, str] = field(default_factory=dict)
    points: dict[str, list[tuple[int, float]]] = field(default_factory=dict)


def read(database: Path) -> list[Run]:
    """The runs of a store, in the order in which they were made, deleted ones too."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        experiments = dict(connection.execute("SELECT experiment_id, name FROM experiments"))
        query = "SELECT run_uuid, name, status, experiment_id, lifecycle_stage, artifact_uri FROM runs ORDER BY rowid"
        return [
            _run(connection, tables, run_id, name or "", status, experiments[experiment], stage, folder(uri, database))
            for run_id, name, status, experiment, stage, uri in connection.execute(query).fetchall()
        ]


def folder(uri: str, database: Path) -> Path:
    """The folder that an artifact URI means, for a process that ran beside the database."""
    return database.parent / (unquote(urlparse(uri).path) if uri.startswith("file:") else uri)


def _run(
    connection: sqlite3.Connection,
    tables: set[str],
    run_id: str,
    name: str,
    status: str,
    experiment: str,
    stage: str,
    artifacts: Path,
) -> Run:
    def rows(query: str) -> list[tuple]:
        return connection.execute(query, (run_id,)).fetchall()

    tags = dict(rows("SELECT key, value FROM tags WHERE run_uuid = ?"))
    facts = {f"param {key}": str(value) for key, value in rows("SELECT key, value FROM params WHERE run_uuid = ?")}
    points: dict[str, list[tuple[int, float]]] = {}
    for key, step, value, nan in rows(
        "SELECT key, step, value, is_nan FROM metrics WHERE run_uuid = ? ORDER BY step, value"
    ):
        points.setdefault(key, []).append((step, math.nan if nan else value))
    for key, found in points.items():
        facts[f"metric {key}"] = (
            "(varies)" if _VARYING.search(key) else " ".join(f"{step}={value!r}" for step, value in found)
        )
    for key, value in rows("SELECT key, value FROM latest_metrics WHERE run_uuid = ?"):
        if not _VARYING.search(key):
            facts[f"latest {key}"] = repr(value)
    facts |= {f"tag {key}": value for key, value in tags.items() if not _CONTEXT.match(key)}
    ours = any(key.startswith("mlflow_magics.execution") for key in tags)
    if stage != "active":
        facts["deleted"] = "yes"
    for path in sorted(artifacts.rglob("*")) if artifacts.is_dir() else ():
        if path.is_file():
            place = path.relative_to(artifacts).as_posix()
            ours = ours or place == "cell.py"
            facts[f"artifact {place}"] = path.read_text() if path.suffix == ".txt" and "/" not in place else "(there)"
    if "logged_models" in tables:
        for (model,) in rows("SELECT name FROM logged_models WHERE source_run_id = ? AND lifecycle_stage = 'active'"):
            facts[f"model {model}"] = str(int(facts.get(f"model {model}", "0")) + 1)
    if "mlflow.log-model.history" in tags:
        # Ids and times apart.
        facts["models in the tag"] = str(len(json.loads(tags["mlflow.log-model.history"])))
    query = """SELECT datasets.name, datasets.digest, input_tags.value FROM inputs
               JOIN datasets ON datasets.dataset_uuid = inputs.source_id
               LEFT JOIN input_tags ON input_tags.input_uuid = inputs.input_uuid
                                    AND input_tags.name = 'mlflow.data.context'
               WHERE inputs.destination_id = ?"""
    facts |= {f"dataset {name} {digest}": str(use) for name, digest, use in rows(query)}
    parent = tags.get("mlflow.parentRunId", "")
    return Run(run_id, parent, "" if _UNNAMED.fullmatch(name) else name, status, experiment, ours, facts, points)


def as_text(runs: list[Run]) -> str:
    """The runs for the eye."""
    labels = {run.run_id: label(run, runs) for run in runs}
    lines = []
    for run in runs:
        inside = f" in {labels.get(run.parent_id, run.parent_id)}" if run.parent_id else ""
        lines.append(
            f"run {labels[run.run_id]}{inside}: {run.status}, {run.experiment}{', the cell’s' if run.ours else ''}"
        )
        lines += [f"    {key}: {value.strip()}" for key, value in sorted(run.facts.items())]
    return "\n".join(lines) or "(no runs)"


def label(run: Run, runs: list[Run]) -> str:
    """What to call a run: its name, or its number."""
    return run.name or f"#{runs.index(run) + 1}"
