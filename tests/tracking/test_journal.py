"""The journal: what it takes in stays, in order, for one living owner, whatever the disk does."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from mlflow_magics.tracking.outbox.disk import journals
from mlflow_magics.tracking.outbox.disk.damage import setaside
from mlflow_magics.tracking.outbox.disk.database import JournalError
from mlflow_magics.tracking.outbox.disk.entries import Key, RunEntry
from mlflow_magics.tracking.outbox.disk.journal import Journal
from tests.rig.waiting import eventually

URI = "http://tracking.example:5000"
NAMES = st.sampled_from(["run-a", "run-b", ""])
TEXTS = st.text(max_size=12)


def entry(name="r", **given):
    return RunEntry(**{"id": name, "remote": "", "experiment": "1", "creation": {}, "open": True, "written": 0} | given)


# -- against a plain model ------------------------------------------------------------------------------------------


class JournalMachine(RuleBasedStateMachine):
    """Any order of calls, and the journal opened again in between, as a dead kernel's is."""

    keys = Bundle("keys")

    @initialize()
    def begin(self):
        self.place = tempfile.TemporaryDirectory()
        self.journal = Journal(Path(self.place.name), None)
        self.rows, self.runs, self.names, self.refused, self.known, self.facts = [], {}, {}, [], {}, {}

    def teardown(self):
        if hasattr(self, "journal"):
            self.journal.close(remove=True)
            self.place.cleanup()

    @rule(run=NAMES, op=st.sampled_from(["values", "artifact", "update"]), text=TEXTS)
    def add(self, run, op, text):
        number = self.journal.add(run, op, {"key": text, "list": [1, None, {"a": 0.5}]})
        assert all(number > row[0] for row in self.rows)
        self.rows.append((number, run, op, {"key": text, "list": [1, None, {"a": 0.5}]}))

    @rule(data=st.data(), position=st.none() | st.integers(0, 1 << 40), at=st.integers(0, 1 << 42))
    def done(self, data, position, at):
        gone = data.draw(st.lists(st.sampled_from(self.rows), unique_by=lambda row: row[0])) if self.rows else []
        self.journal.done([row[0] for row in gone], position, {"run-a": at, "nobody": 1})
        self.rows = [row for row in self.rows if row not in gone]
        if position is not None:
            self.facts["position"] = str(position)
        if "run-a" in self.runs:
            self.runs["run-a"]["written"] = max(self.runs["run-a"]["written"], at)

    @rule(run=NAMES.filter(bool), name=TEXTS)
    def add_run(self, run, name):
        if run not in self.runs:
            self.runs[run] = {"remote": "", "open": True, "written": 7, "creation": {"name": name}}
            self.journal.add_run(entry(run, **self.runs[run]))

    @rule(run=NAMES, remote=TEXTS, is_open=st.booleans())
    def change(self, run, remote, is_open):
        self.journal.set_remote(run, remote)
        self.journal.set_open(run, is_open)
        if run in self.runs:
            self.runs[run] |= {"remote": remote, "open": is_open}

    @rule(local=TEXTS, remote=TEXTS)
    def rename(self, local, remote):
        self.journal.rename(local, remote)
        self.names[local] = remote

    @rule(run=NAMES, what=TEXTS)
    def reject(self, run, what):
        self.journal.reject(run, what, "because")
        self.refused.append((run, what))

    @rule(run=NAMES, name=TEXTS, rest=st.dictionaries(TEXTS, TEXTS, max_size=2))
    def add_key(self, run, name, rest):
        number = self.journal.add_key(Key(run, name, rest))
        assert number not in self.known
        assert number > 0
        self.known[number] = Key(run, name, rest)

    @rule(name=st.sampled_from(["uri", "x"]), value=TEXTS)
    def note(self, name, value):
        self.journal.note(name, value)
        self.facts[name] = value

    @rule(clean=st.booleans())
    def open_again(self, clean):
        if clean:
            self.journal.close(remove=False)
        before, self.journal = self.journal, Journal(Path(self.place.name), None)  # as after a kill: nobody closed it
        if not clean:
            before._db.close()

    @invariant()
    def is_as_the_model_says(self):
        if not hasattr(self, "journal"):
            return
        assert [(row.id, row.run, row.op, row.data) for row in self.journal.rows()] == self.rows
        assert self.journal.last() == (self.rows[-1][0] if self.rows else 0)
        assert (self.journal.oldest() is None) == (not self.rows)
        waiting = {run: sum(row[1] == run for row in self.rows) for run in {row[1] for row in self.rows}}
        assert self.journal.waiting() == waiting
        for files in (True, False):
            left = [row for row in self.rows if files or row[2] != "artifact"]
            assert self.journal.any_until(1 << 60, files=files) == bool(left)
            assert not self.journal.any_until(left[0][0] - 1 if left else 1 << 60, files=files)
        assert {run.id: run for run in self.journal.runs()} == {
            run: entry(run, **facts) for run, facts in self.runs.items()
        }
        assert self.journal.renamed() == self.names
        assert self.journal.keys() == self.known
        for run in {run for run, _ in self.refused}:
            assert [what for what, _ in self.journal.rejected(run)] == [w for r, w in self.refused if r == run]
        for name in ("uri", "x", "position"):
            assert self.journal.fact(name) == self.facts.get(name, "")


JournalMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=12)
test_any_order_of_calls = JournalMachine.TestCase


def test_numbers_of_writes_are_never_used_again(tmp_path):
    """A sender that died after its request must not take a later write for the one it did."""
    first = Journal(tmp_path, None)
    number = first.add("r", "values", {})
    first.done([number], None, {})
    first.close(remove=False)
    assert Journal(tmp_path, None).add("r", "values", {}) > number


def test_threads_share_it(tmp_path):
    shared = Journal(tmp_path, None)
    numbers = [[] for _ in range(8)]

    def write(found):
        for step in range(100):
            found.append(shared.add("r", "values", {"step": step}))
            if step % 10 == 9:
                shared.done(found[-3:], step, {})

    threads = [threading.Thread(target=write, args=(found,)) for found in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({number for found in numbers for number in found}) == 800
    assert len(shared.rows()) == 8 * 70


# -- whose it is ----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_it_is_private_whatever_the_umask(state, mask):
    before = os.umask(mask)
    try:
        made = journals.create(URI)
        (made.files.new() / "file").write_text("x")
    finally:
        os.umask(before)
    for place in (made.folder, journals.root(), journals.root().parent):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700, place
    made.close(remove=True)


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_a_root_that_others_could_read_is_closed_to_them(state):
    journals.root().mkdir(parents=True)
    journals.root().chmod(0o755)
    made = journals.create(URI)
    assert stat.S_IMODE(journals.root().stat().st_mode) == 0o700
    made.close(remove=True)


def in_another_process(code, *arguments):
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom mlflow_magics.tracking.outbox.disk import journals\n" + code
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_living_owners_journal_is_nobody_elses(state):
    made = journals.create(URI)
    assert journals.left_behind() == []
    assert journals.take_over(made.folder) is None
    with in_another_process(
        "print(journals.left_behind(), journals.take_over(Path(sys.argv[1])))", made.folder
    ) as other:
        assert other.communicate()[0].strip() == "[] None"
    made.close(remove=False)
    (folder,) = journals.left_behind()
    heir = journals.take_over(folder)
    assert heir is not None
    assert heir.fact("uri") == URI
    assert journals.left_behind() == []
    heir.close(remove=True)
    assert not made.folder.exists()


def test_whether_a_write_is_done_counts_the_write_itself(state):
    made = journals.create(URI)
    first = made.add("r", "values", {})
    assert made.any_until(first, files=False)
    assert not made.any_until(first - 1, files=True)
    made.done([first], None, {})
    file = made.add("r", "artifact", {})
    assert not made.any_until(file, files=False)
    assert made.any_until(file, files=True)
    made.close(remove=True)


def test_the_last_write_is_the_newest_one_that_is_not_done(state):
    made = journals.create(URI)
    first, second = (made.add("r", "values", {}) for _ in range(2))
    made.done([first], None, {})
    assert made.last() == second
    made.done([second], None, {})
    assert made.last() == 0
    made.close(remove=True)


def test_of_what_is_set_aside_a_param_keeps_its_first_value_and_a_tag_its_last_until_it_is_a_file(state):
    made = journals.create(URI)
    for value in ("1", "2"):
        made.set_aside("r", "params", {"a": value})
        made.set_aside("r", "tags", {"a": value})
    assert (made.aside("r", "params"), made.aside("r", "tags")) == ({"a": "1"}, {"a": "2"})
    made.stage_over_limit("r", "params", {"a": "1"}, {})
    assert (made.aside("r", "params"), made.aside("r", "tags")) == ({}, {"a": "2"})
    made.close(remove=True)


def test_where_the_counts_are_gone_the_database_says_what_was_sent(state):
    made = journals.create(URI)
    made.done([], 640, {})
    made.close(remove=False)
    (made.folder / "counts.bin").unlink()
    heir = journals.take_over(made.folder)
    assert heir.position() == 640
    heir.close(remove=True)


def test_a_folder_that_is_being_made_was_not_left_behind(state):
    made = journals.create(URI)
    half = made.folder.with_name("half-made")
    half.mkdir()
    assert journals.left_behind() == []
    assert journals.take_over(half) is None
    os.utime(half, (0, 0))
    assert journals.left_behind() == [half]
    made.close(remove=True)


def test_a_database_that_lost_its_newest_state_counts_on_from_where_it_was(state, tmp_path):
    made = journals.create(URI)
    made.add("r", "values", {})
    made.close(remove=False)
    shutil.copytree(made.folder, tmp_path / "early")
    heir = journals.take_over(made.folder)
    assert [heir.add("r", "values", {}) for _ in range(2)] == [2, 3]
    heir.done([], 640, {})
    heir.close(remove=False)
    for each in made.folder.glob("journal.db*"):
        each.unlink()
    shutil.copy(tmp_path / "early" / "journal.db", made.folder / "journal.db")
    heir = journals.take_over(made.folder)
    assert heir.add("r", "values", {}) == 4
    assert heir.position() == 640  # nor is a point sent twice
    heir.close(remove=True)


def test_a_dead_owners_journal_can_be_taken_over(state):
    code = f"made = journals.create({URI!r}); made.add('r', 'values', {{'a': 1}}); print(made.folder, flush=True)\n"
    with in_another_process(code + "time.sleep(60)") as owner:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().strip())
        assert journals.take_over(folder) is None
        owner.kill()
        owner.wait()
    heir = journals.take_over(folder)
    assert heir is not None
    assert [(row.run, row.op, row.data) for row in heir.rows()] == [("r", "values", {"a": 1})]
    heir.close(remove=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_that_outlives_its_parent_keeps_no_lock(state):
    """A worker of joblib or multiprocessing inherits the lock's handle, and would hold the journal for ever."""
    code = """
import os
made = journals.create("http://x")
if os.fork() == 0:
    made.forget_lock()
    print(made.folder, os.getpid(), flush=True)
    time.sleep(60)
time.sleep(60)
"""
    with in_another_process(code) as owner:
        assert owner.stdout is not None
        folder, child = owner.stdout.readline().split()
        assert journals.take_over(Path(folder)) is None  # closing the child's handle has not unlocked it
        owner.kill()
        owner.wait()
        heir = journals.take_over(Path(folder))
        os.kill(int(child), 9)
    assert heir is not None
    heir.close(remove=True)


RACE = """
Path(sys.argv[2]).touch()
while not Path(sys.argv[1]).exists():
    pass
won = 0
for folder in journals.left_behind():
    found = journals.take_over(folder)
    if found is not None:
        won += len(found.rows())
        time.sleep(0.05)
        found.close(remove=True)
print(won)
"""


def test_of_two_heirs_each_journal_has_one(state, tmp_path):
    for _ in range(10):
        left = journals.create(URI)
        left.add("r", "values", {})
        left.close(remove=False)
    go = tmp_path / "go"
    heirs = [in_another_process(RACE, go, tmp_path / f"ready-{number}") for number in range(2)]
    eventually(lambda: len(list(tmp_path.glob("ready-*"))) == 2)
    go.touch()
    won = [int(heir.communicate()[0]) for heir in heirs]
    assert sum(won) == 10
    assert journals.left_behind() == []


# -- journals that cannot be read -----------------------------------------------------------------------------------


def left(**files):
    """A journal that was left behind, with some of its files replaced."""
    made = journals.create(URI)
    made.add("r", "values", {"params": {"a": "1"}, "tags": {}})
    made.close(remove=False)
    for name, content in files.items():
        (made.folder / name.replace("_", ".")).write_bytes(content)
    return made.folder


def test_one_of_a_newer_format_is_left_alone(state):
    folder = left(format=b"3")
    before = (folder / "journal.db").read_bytes()
    with pytest.raises(JournalError, match=r"newer mlflow_magics; pip install --upgrade mlflow_magics"):
        journals.take_over(folder)
    assert (folder / "journal.db").read_bytes() == before
    assert journals.left_behind() == [folder]  # and it is not locked


@pytest.mark.parametrize("content", [b"one", b"\xff\xfe", b"-"])
def test_a_format_that_is_no_number_hides_nothing(state, content):
    found = journals.take_over(left(format=content))
    assert [row.data["params"] for row in found.rows()] == [{"a": "1"}]
    assert not setaside.is_any(found.folder)
    found.close(remove=False)


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xaa" * 5000])
def test_a_database_that_is_none_is_set_aside_and_its_notes_are_read(state, content):
    folder = left(journal_db=content)
    found = journals.take_over(folder)
    assert found.fact("uri") == URI
    assert found.rows() == []
    found.close(remove=True)
    assert not folder.exists()
    (line,) = setaside.tell()
    kept = setaside.place() / folder.name
    assert line == f"an earlier kernel left 1 write that cannot be read or sent: kept in {kept}"
    assert (kept / "journal.db").read_bytes() == content
    assert setaside.tell() == []
    assert [str(setaside.place()) in line for line in setaside.listed()] == [True]


def test_a_write_whose_checksum_is_wrong_is_set_aside(state):
    folder = left()
    with contextlib.closing(sqlite3.connect(folder / "journal.db")) as db, db:
        db.execute("""UPDATE rows SET data = replace(data, '"1"', '"7"')""")
    found = journals.take_over(folder)
    assert found.rows() == []
    assert found.waiting() == {}
    found.close(remove=True)
    assert [line for line in setaside.tell() if "1 write that" in line]
    assert '\\"7\\"' in (setaside.place() / folder.name / "writes.jsonl").read_text()


@pytest.mark.parametrize("table", ["facts", "runs", "keys"])
def test_what_is_wrong_in_the_database_is_read_in_the_notes(state, table):
    made = journals.create(URI)
    made.add_run(entry("r", creation={"name": "mine"}))
    made.set_remote("r", "remote")
    number = made.add_key(Key("r", "m", {}))
    made.close(remove=False)
    with contextlib.closing(sqlite3.connect(made.folder / "journal.db")) as db, db:
        columns = {"facts": "value", "runs": "creation", "keys": "name"}
        db.execute(f"UPDATE {table} SET {columns[table]} = 'x' || substr({columns[table]}, 2)")
    found = journals.take_over(made.folder)
    assert found.fact("uri") == URI
    assert found.keys() == {number: Key("r", "m", {})}
    assert found.runs() == [entry("r", remote="remote", creation={"name": "mine"})]
    found.close(remove=False)


def test_a_journal_of_the_first_format_is_read(state):
    """It has no checksums, no notes and no counts."""
    folder = left(format=b"1")
    for name in ("notes.log", "counts.bin"):
        (folder / name).unlink()
    with contextlib.closing(sqlite3.connect(folder / "journal.db")) as db, db:
        db.execute("UPDATE rows SET data = substr(data, 9)")
        db.execute("UPDATE facts SET value = substr(value, 9)")
    found = journals.take_over(folder)
    assert [row.data["params"] for row in found.rows()] == [{"a": "1"}]
    assert found.fact("uri") == URI
    found.close(remove=True)
    assert not folder.exists()
    assert setaside.tell() == []


def test_a_folder_half_made_is_deleted_when_it_is_old(state):
    made = journals.create(URI)
    made.close(remove=False)
    folder = made.folder
    (folder / "format").unlink()
    assert journals.take_over(folder) is None
    assert folder.exists()  # its maker may be at work
    os.utime(folder, (0, 0))
    assert journals.take_over(folder) is None
    assert not folder.exists()


def test_a_folder_that_lost_its_format_is_read(state):
    folder = left()
    (folder / "format").unlink()
    os.utime(folder, (0, 0))
    found = journals.take_over(folder)
    assert len(found.rows()) == 1
    found.close(remove=False)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("name", ["lock", "format", "."])
def test_a_link_or_a_pipe_is_left_alone(state, tmp_path, name):
    """Neither opened nor followed nor deleted: to open a pipe waits for ever."""
    folder = left()
    if name == ".":
        folder.rename(tmp_path / "elsewhere")
        folder.symlink_to(tmp_path / "elsewhere")
        os.mkfifo(journals.root() / "pipe")
    else:
        (folder / name).unlink()
        os.mkfifo(folder / name)
    assert journals.left_behind() == []
    assert os.path.lexists(folder)


def test_a_moved_journal_keeps_its_files(state):
    folder = left()
    found = journals.take_over(folder)
    place = found.files.new()
    (place / "a.txt").write_text("a")
    found.add("r", "artifact", {"uri": "", "path": None, "staged": str(place), "folder": False})
    found.close(remove=False)
    moved = folder.rename(folder.with_name("moved"))
    found = journals.take_over(moved)
    assert (Path(found.rows()[-1].data["staged"]) / "a.txt").read_text() == "a"
    found.close(remove=False)


def test_without_a_root_nothing_is_left(state):
    assert journals.left_behind() == []
    journals.root().parent.mkdir(parents=True)
    journals.root().write_text("a file")
    assert journals.left_behind() == []


# -- disks that do not take it --------------------------------------------------------------------------------------


def test_where_no_folder_can_be_made_it_is_kept_in_memory(state):
    journals.root().parent.mkdir(parents=True)
    journals.root().write_text("a file where the folder should be")
    made = journals.create(URI)
    assert str(journals.root()) in made.trouble
    number = made.add("r", "values", {})
    made.add_run(entry())
    assert [row.id for row in made.rows()] == [number]
    made.close(remove=True)
    assert journals.root().read_text() == "a file where the folder should be"


FULL = """
import resource
made = journals.create("http://x")
kept = [made.add("r", "values", {"n": n}) for n in range(10)]
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
for n in range(10, 2000):
    kept.append(made.add("r", "values", {"n": n, "much": "x" * 100}))
    if n % 100 == 0:
        made.done(kept[:10], n, {})
        del kept[:10]
assert [row.id for row in made.rows()] == kept, (len(made.rows()), len(kept))
assert made.fact("position") == "1900"
assert made.trouble, "the limit was never met"
print(made.trouble)
made.close(remove=True)
"""


def test_when_the_disk_is_full_it_goes_on_in_memory(state):
    pytest.importorskip("resource")
    with in_another_process(FULL) as child:
        said = child.communicate()[0]
    assert child.returncode == 0
    assert "cannot be written" in said


FULL_WHEN_DONE = """
import resource
made = journals.create("http://x")
kept = [made.add("r", "values", {"n": n, "much": "x" * 100}) for n in range(1000)]
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
made.done(kept[:500], 77, {"r": 5})
assert [row.id for row in made.rows()] == kept[500:]
assert made.fact("position") == "77"
made.close(remove=False)
print("ok", made.trouble)
"""


def test_a_disk_that_fills_up_while_writes_are_forgotten_loses_none(state):
    pytest.importorskip("resource")
    with in_another_process(FULL_WHEN_DONE) as child:
        assert child.communicate()[0].startswith("ok ")


def test_a_folder_deleted_under_it_costs_no_write(state):
    made = journals.create(URI)
    made.add("r", "values", {"n": 1})
    for path in made.folder.iterdir():
        path.unlink()
    made.folder.rmdir()
    for n in range(2, 500):
        made.add("r", "values", {"n": n, "much": "x" * 1000})
    assert [row.data["n"] for row in made.rows()] == list(range(1, 500))
    made.close(remove=True)


def test_what_it_cannot_write_down_is_the_callers_error(tmp_path):
    made = Journal(tmp_path, None)
    with pytest.raises(TypeError):
        made.add("r", "values", {"x": object()})
    with contextlib.suppress(sqlite3.Error, ValueError):
        made.add("\ud800", "values", {})
    assert made.trouble == ""
    assert made.add("r", "values", {"text": "\ud800\0\U0001f600"})
    assert made.rows()[-1].data == {"text": "\ud800\0\U0001f600"}
