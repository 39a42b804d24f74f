"""Who may import whom. Every import of every file counts, those inside functions and TYPE_CHECKING blocks included."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mlflow_magics

PACKAGE = Path(mlflow_magics.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# Room -> the rooms of our own that it may import.
ROOMS = {
    "__init__": {"magics"},
    "magics": {
        "lookback",
        "arguments",
        "sending",
        "completion",
        "manual",
        "cells",
        "display",
        "session",
        "panels",
        "records",
        "errors",
    },
    "lookback": {"arguments", "session", "display", "tracking", "capture", "boards", "findings", "records", "errors"},
    "findings": {"boards"},
    "panels": {"desk", "display", "session", "cells", "boards", "records", "errors"},
    "desk": {"manual", "session", "openrun", "capture", "tracking", "boards", "records", "errors"},
    "completion": {"arguments"},
    "arguments": {"untouched", "errors"},
    "manual": {"arguments", "session", "openrun", "capture", "tracking", "records", "errors"},
    "cells": {"rewriting", "untouched", "session", "openrun", "capture", "records", "errors"},
    "rewriting": {"capture", "records", "errors"},
    "display": {"display", "boards", "findings", "records", "errors"},
    "sending": {"session", "tracking", "records", "errors"},
    "session": {"recording", "sending", "openrun", "capture", "tracking", "records", "errors"},
    "recording": {"session", "openrun", "capture", "tracking", "records", "errors"},
    "openrun": {"capture", "tracking", "records", "errors"},
    "capture": {"capture", "untouched", "boards", "records", "errors"},
    "tracking": {"tracking", "untouched", "boards", "findings", "records", "errors"},
    "boards": {"records"},
    "untouched": set(),
    "records": set(),
    "errors": set(),
}

# Room -> the packages outside the standard library that it may import. What only a type checker sees counts too.
PACKAGES = {
    "__init__": {"IPython"},
    "magics": {"IPython", "tqdm"},
    "lookback": {"IPython"},
    "completion": {"IPython"},
    "arguments": {"IPython"},
    "cells": {"IPython"},
    "panels": {"IPython"},
    "display": {"ipywidgets"},
    "openrun": {"mlflow"},  # the type of a field only; see test_mlflow_is_imported_by_tracking_alone
    "tracking": {
        *("mlflow", "requests", "urllib3", "sqlalchemy", "git", "pandas", "numpy", "packaging"),
        *("filelock", "platformdirs", "jupyter_core"),
        *("azure", "azureml", "msal"),  # in tracking/azure alone; see test_azure_is_imported_by_its_room_alone
    },
}


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imports(path: Path, *, for_types: bool = True):
    """Yield ``(package or room, is_ours)`` for each import in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = set()
    if not for_types:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
                hidden |= {id(inner) for statement in node.body for inner in ast.walk(statement)}
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.split(".")[0]
                assert root != "mlflow_magics", f"{path.name}: import our own rooms relatively"
                yield root, False
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0:
                yield node.module.split(".")[0], False
            elif node.level < depth:
                yield room(path), True  # inside the room
            elif node.module:
                yield node.module.split(".")[0], True
            else:
                for alias in node.names:
                    yield alias.name, True


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_each_room_imports_what_it_may(path):
    name = room(path)
    for imported, ours in imports(path):
        if ours:
            assert imported == name or imported in ROOMS[name], f"{name} may not import {imported}"
        elif imported not in sys.stdlib_module_names:
            allowed = PACKAGES.get(name, set())
            if path.name == "secrets.py" and name == "capture":
                allowed = {"detect_secrets"}
            assert imported in allowed, f"{name} may not import {imported}"


def test_mlflow_is_imported_by_tracking_alone():
    importers = {room(p) for p in FILES if ("mlflow", False) in set(imports(p, for_types=False))}
    assert importers == {"tracking"}


def test_azure_is_imported_by_its_room_alone():
    azure = {("azure", False), ("azureml", False), ("msal", False)}
    importers = {p for p in FILES if azure & set(imports(p))}
    assert importers
    assert {p.parent.relative_to(PACKAGE).as_posix() for p in importers} == {"tracking/azure"}


def test_every_room_has_its_wall():
    assert {room(path) for path in FILES} == set(ROOMS)


def test_the_drawing_shows_every_room():
    contributing = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    drawn = set(re.findall(r"\w+\.py", contributing))
    assert {path.name for path in FILES} <= drawn


LOADED = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
before = set(sys.modules)
shell.run_line_magic("load_ext", "mlflow_magics")
print(*sorted(name for name in set(sys.modules) - before if "." not in name or name.startswith("mlflow_magics")))
"""


def test_loading_imports_nothing_heavy(tmp_path):
    out = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, cwd=tmp_path, check=True)
    loaded = set(out.stdout.split())
    assert "mlflow_magics.magics" in loaded
    for heavy in ("mlflow", "pandas", "numpy", "ipywidgets", "requests", "detect_secrets", "matplotlib"):
        assert heavy not in loaded
    # A thread looks for what dead kernels left, and has come so far or not; these know no MLflow.
    background = {f"mlflow_magics.tracking.{name}" for name in ("journal", "points", "masking")}
    assert {name for name in loaded if name.startswith("mlflow_magics.tracking.")} <= background
