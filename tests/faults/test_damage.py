"""Damaged disks: a killed kernel's outbox, damaged and recovered. Nothing is lost without a word, or made up."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from mlflow_magics.tracking.calls.patience import timeouts
from mlflow_magics.tracking.connecting import recovery
from tests.rig.children import clean_environment

from .expected import OWN, SERIES, loop, value

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

COPIES, REAL = 200, 2
STEPS = 200
CELL = loop("damaged", STEPS, after="mlflow.log_params({f'p{i}': i for i in range(20)})\nmlflow.set_tag('t', 'tag')\n")


# -- kinds of damage --------------------------------------------------------------------------------------------------


def flip(path: Path, chance: random.Random, first: int = 0) -> None:
    """Some bits are wrong."""
    content = bytearray(path.read_bytes())
    for _ in range(chance.choice((1, 3, 20))):
        if len(content) > first:
            content[chance.randrange(first, len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def used(path: Path) -> int:
    """Where the content of a file ends that was allocated beforehand."""
    return len(path.read_bytes().rstrip(b"\0"))


def flip_used(path: Path, chance: random.Random) -> None:
    """Some bits are wrong, where something was written."""
    content = path.read_bytes()
    end = used(path)
    path.write_bytes(content[:end])
    flip(path, chance)
    path.write_bytes(path.read_bytes() + content[end:])


def truncate(path: Path, chance: random.Random) -> None:
    """The end is gone."""
    os.truncate(path, chance.randrange(max(1, used(path))))


def zero(path: Path, chance: random.Random) -> None:
    """A page was never written: what a power cut leaves."""
    size = chance.choice((512, 4096))
    with path.open("r+b") as file:
        file.seek(chance.randrange(max(1, used(path))) // size * size)
        file.write(bytes(min(size, path.stat().st_size - file.tell())))


def empty(path: Path, chance: random.Random) -> None:
    """Nothing in it is left."""
    path.write_bytes(b"")


def delete(path: Path, chance: random.Random) -> None:
    """It is gone."""
    path.unlink()


DEEDS: list[Callable[[Path, random.Random], None]] = [flip, flip_used, truncate, zero, empty, delete]
VICTIMS = ("journal.db", "journal.db-wal", "points-00000000.bin", "notes.log", "counts.bin", "held.bin", "format")


def damage(folder: Path, chance: random.Random) -> str:
    """Damage one to three files; return what was done."""
    done = []
    for name in chance.sample(VICTIMS, chance.choice((1, 1, 2, 3))):
        if (folder / name).exists():
            deed = chance.choice(DEEDS)
            deed(folder / name, chance)
            done.append(f"{deed.__name__} {name}")
    os.utime(folder, (0, 0))
    return ", ".join(done)


# -- what is there ----------------------------------------------------------------------------------------------------


def stored(database: Path) -> set[tuple[object, ...]]:
    """All that the store holds."""
    with sqlite3.connect(database) as db:
        found: set[tuple[object, ...]] = {
            ("point", *row) for row in db.execute("SELECT key, step, value, timestamp FROM metrics")
        }
        found |= {("param", *row) for row in db.execute("SELECT key, value FROM params")}
        own = "key NOT LIKE 'mlflow_magics.%'"
        found |= {("tag", *row) for row in db.execute(f"SELECT key, value FROM tags WHERE {own}")}
        found |= {("run", *row) for row in db.execute("SELECT name, start_time FROM runs")}
    db.close()
    return found


def forget(database: Path) -> None:
    """Make the store empty."""
    with sqlite3.connect(database) as db:
        tables = ("metrics", "latest_metrics", "params", "tags", "runs")
        for table in tables:
            db.execute(f"DELETE FROM {table}")
    db.close()


def in_process(state: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    return recovery.recover()


def in_a_process(state: Path) -> list[str]:
    """As ``%load_ext`` does it."""
    done = subprocess.run(
        [sys.executable, "-m", "mlflow_magics.tracking.connecting.recovery"],
        input=json.dumps({"tracking_uri": "", "address": ""}),
        env=clean_environment(state),
        capture_output=True,
        text=True,
        check=True,
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return [line for what, _, lines in told for line in lines if what == "done"]


@pytest.fixture
def killed(start, tmp_path: Path) -> tuple[Path, Path]:
    """The folder of a killed kernel that sent nothing, and the database of its store."""
    database = tmp_path / "mlflow.db"
    SqlAlchemyStore(f"sqlite:///{database}", (tmp_path / "artifacts").as_uri())
    values = f"import math as _math, mlflow, time as _time\nvalues = [_math.sqrt(_i) / 7 for _i in range({STEPS})]"
    cells = ["%load_ext mlflow_magics", f"%mlflow_connect sqlite:///{database} --offline", values, CELL]
    child = start(cells, places=STEPS, linger=True)
    assert all(ran.ok for ran in child.wait_cells()), child.output
    child.kill()
    (folder,) = (tmp_path / "state" / "mlflow_magics" / "outbox").iterdir()
    return folder, database


def test_damaged_copies_lose_nothing_without_a_word_and_make_nothing_up(killed, tmp_path, monkeypatch):
    folder, database = killed
    states = [tmp_path / "copies" / str(number) for number in range(-1, COPIES)]
    for number, state in enumerate(states, -1):
        shutil.copytree(folder, state / "mlflow_magics" / "outbox" / folder.name)
        if number < 0:
            assert not [line for line in in_process(state, monkeypatch) if "kept" in line]
            written = stored(database)
            mine = {row[2:4] for row in written if row[:2] == ("point", OWN)}
            assert mine == {(step, value(step)) for step in range(STEPS)}
            assert len({row for row in written if row[:2] == ("point", SERIES)}) == STEPS
            continue
        what = damage(state / "mlflow_magics" / "outbox" / folder.name, random.Random(f"13-{number}"))
        forget(database)
        said = in_a_process(state) if number < REAL else in_process(state, monkeypatch)
        found = stored(database)
        assert found <= written, (number, what, sorted(map(str, found - written))[:5])
        if found != written:
            lost = f"{number}: {what}: {len(written - found)} lost; {said}"
            places = [Path(line.rpartition("kept in ")[2]) for line in said if "kept in " in line]
            left = [*(state / "mlflow_magics" / "outbox").iterdir()]
            assert said, lost
            assert left or places, lost
            assert all(any(place.iterdir()) for place in places), lost
        shutil.rmtree(state)
    timeouts.remove()
