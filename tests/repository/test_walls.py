"""Who may import whom. Every import of every file counts, those inside functions and TYPE_CHECKING blocks included.

The tree is read: a wing is a folder of the package, a floor is a folder of a wing, a room is a file.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import mlflow_magics

PACKAGE = Path(mlflow_magics.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# Wing -> the wings that it may import.
WINGS: Mapping[str, set[str]] = {
    "": {"shell"},  # the package itself
    "shell": {"session", "capture", "tracking", "display", "vocabulary"},
    "session": {"capture", "tracking", "display", "vocabulary"},
    "capture": {"vocabulary"},
    "tracking": {"vocabulary"},
    "display": {"vocabulary"},
    "vocabulary": set(),
}

# Wing -> its floors, from the top: each imports only those below it.
FLOORS: Mapping[str, tuple[str, ...]] = {
    "capture": ("notebook", "following", "roles", "values", "code"),
    "tracking": (
        *(
            "lookback",
            "lookback/curves",
            "connecting",
            "runs",
            "models",
            *("patches", "patches/model_records"),
            *("outbox", "outbox/numbers", "outbox/sending"),
            *("outbox/disk", "outbox/disk/points", "outbox/disk/damage"),
        ),
        *("azure", "azure/sign_in", "azure/address", "failures", "location", "calls"),
    ),
    "display": ("panel", "panel/tabs", "panel/tools", "outputs", "charts", "markup"),
}

# The plug of one kind of store.
AZURE = "tracking/azure/"

# Wing -> the packages outside the standard library that it may import. What only a type checker sees counts too.
PACKAGES = {
    "": {"IPython"},
    "shell": {"IPython", "tqdm"},
    "session": {"mlflow"},  # the type of a field only; see test_mlflow_is_imported_by_tracking_alone
    "display": {"ipywidgets"},
    "tracking": {
        *("mlflow", "requests", "urllib3", "sqlalchemy", "git", "pandas", "numpy", "packaging"),
        *("filelock", "platformdirs", "jupyter_core"),
        *("azure", "azureml", "msal"),  # in tracking/azure alone; see test_azure_is_imported_by_its_floor_alone
    },
}


def place(path: Path) -> str:
    """A room's path in the package, without its suffix."""
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


ROOMS = {place(path): path for path in FILES}


def wing(room: str) -> str:
    return room.partition("/")[0] if "/" in room else ""


def floor(room: str) -> str:
    """The folder in its wing that a room is in; empty for one at the top of it."""
    return "/".join(room.split("/")[1:-1])


def imports(path: Path, *, for_types: bool = True) -> Iterator[tuple[str, bool]]:
    """Yield ``(package or room, is_ours)`` for each import in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = set()
    if not for_types:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
                hidden |= {id(inner) for statement in node.body for inner in ast.walk(statement)}
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.split(".")[0]
                assert root != "mlflow_magics", f"{path.name}: import our own rooms relatively"
                yield root, False
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module).split(".")[0], False
        elif isinstance(node, ast.ImportFrom):
            above = place(path).split("/")[: -node.level]
            module = "/".join([*above, *(node.module or "").split(".")]).strip("/")
            for alias in node.names:
                inner = f"{module}/{alias.name}".strip("/")
                found = next((each for each in (inner, f"{inner}/__init__", module) if each in ROOMS), "")
                yield found or f"{module}/__init__".strip("/"), True


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_imports_what_it_may(room):
    for imported, ours in imports(ROOMS[room]):
        if not ours:
            allowed = imported in sys.stdlib_module_names or imported in PACKAGES.get(wing(room), ())
            assert allowed, f"{wing(room)} may not import {imported}"
        elif wing(imported) != wing(room):
            assert wing(imported) in WINGS[wing(room)], f"{wing(room)} may not import {imported}"
        elif (floors := FLOORS.get(wing(room))) and floor(imported) != floor(room) != "":
            here, there = floor(room), floor(imported)
            assert floors.index(here) < floors.index(there), f"{here} may not import {imported}: it is above"


def test_every_room_stands_in_a_wing():
    assert {wing(room) for room in ROOMS} == set(WINGS)
    assert [room for room in ROOMS if "/" not in room] == ["__init__"]
    for name, floors in FLOORS.items():
        assert {floor(room) for room in ROOMS if wing(room) == name} - {""} == set(floors)


def test_no_circle_of_files():
    """By what is imported when a room runs; a type's name alone makes no circle."""
    below = {
        room: {name for name, ours in imports(path, for_types=False) if ours and name != room}
        for room, path in ROOMS.items()
    }
    while free := [
        room for room, names in below.items() if not names & below.keys() or not any(room in n for n in below.values())
    ]:
        for room in free:
            del below[room]
    assert not below, f"a circle among {sorted(below)}"


def test_mlflow_is_imported_by_tracking_alone():
    importers = {wing(room) for room, p in ROOMS.items() if ("mlflow", False) in set(imports(p, for_types=False))}
    assert importers == {"tracking"}


def test_azure_is_imported_by_its_floor_alone():
    azure = {("azure", False), ("azureml", False), ("msal", False)}
    importers = {room for room, path in ROOMS.items() if azure & set(imports(path))}
    assert importers
    assert all(room.startswith(AZURE) for room in importers)


def test_the_plug_of_azure_ml_is_named_by_the_table_alone():
    """By an import, or by a name that is imported; what is in the plug may name it."""
    outside = {room: path for room, path in ROOMS.items() if not room.startswith(AZURE)}
    importers = {room for room, path in outside.items() for name, _ in imports(path) if name.startswith(AZURE)}
    assert not importers
    namers = {room for room, path in outside.items() if "tracking.azure" in path.read_text(encoding="utf-8")}
    assert namers == {"tracking/location/plugs"}


def drawn(drawing: str) -> set[str]:
    """The rooms in a drawing of the tree: two blanks more are a folder further in."""
    found, folders = set(), {2: ""}
    for line in drawing.splitlines()[1:]:
        depth = len(line) - len(line.lstrip())
        words = line.strip()
        if folder := re.match(r"([\w/]+)/(?=\s|$)", words):
            folders[depth + 2] = folders[depth] + folder[0]
        else:
            found |= {folders[depth] + name for name in re.findall(r"(\w+)\.py\b", words)}
    return found


def test_the_drawing_shows_every_room():
    contributing = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (drawing,) = re.findall(r"```\n(mlflow_magics/\n.*?)```", contributing, re.DOTALL)
    assert drawn(drawing) == {room for room in ROOMS if not room.endswith("/__init__")}


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
    assert "mlflow_magics.shell.magics" in loaded
    for heavy in ("mlflow", "pandas", "numpy", "ipywidgets", "requests", "detect_secrets", "matplotlib"):
        assert heavy not in loaded
    # A thread looks for what dead kernels left, and has come so far or not; these know no MLflow.
    calls = "mlflow_magics.tracking.calls."
    background = ("mlflow_magics.tracking.outbox.disk.", f"{calls}masking", f"{calls}forks")
    rooms = {name for name in loaded if re.match(r"mlflow_magics\.tracking\..*\.(?!disk$)", name)}
    assert [name for name in rooms if not name.startswith(background)] == []


def test_where_it_goes_names_rooms_that_are_there():
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rooms = re.findall(r"`(\w+(?:/\w+)+)\.py`", text.partition("## Where does it go?")[2].partition("\n## ")[0])
    assert len(rooms) >= 15
    assert [room for room in rooms if room not in ROOMS] == []
