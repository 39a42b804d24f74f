"""What dead kernels have left: sent by the next one, their open runs closed as KILLED, and nobody else's touched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time

import mlflow
import pytest
from mlflow.entities import RunStatus, RunTag
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from mlflow_magics.tracking.calls.patience import timeouts
from mlflow_magics.tracking.connecting import recovery
from mlflow_magics.tracking.outbox.disk import journals
from mlflow_magics.tracking.outbox.disk.damage import setaside
from mlflow_magics.tracking.outbox.disk.entries import Key, RunEntry
from mlflow_magics.tracking.outbox.disk.points.points import PointLog
from mlflow_magics.tracking.outbox.sending.creating import ORIGIN_TAG
from mlflow_magics.tracking.outbox.sending.refusals import REJECTED_TAG
from tests.rig.children import prepare
from tests.rig.faulty import Fault, FaultyProxy
from tests.rig.servers import refused_port

HOUR = 3_600_000


@pytest.fixture(autouse=True)
def _patience():
    yield
    timeouts.remove()  # recovery has a process of its own, and never takes it out


@pytest.fixture
def database(_store, folder):
    shutil.copy(_store, folder / "mlflow.db")
    return folder / "mlflow.db"


@pytest.fixture
def uri(database):
    return f"sqlite:///{database}"


@pytest.fixture
def store(uri, folder):
    return SqlAlchemyStore(uri, (folder / "mlartifacts").as_uri())


def leave(uri, *, rows=(), runs=(), series=None, hold=None):
    """Leave a journal behind, as a kernel that died; return its folder."""
    made = journals.create(uri)
    for run in runs:
        made.add_run(run)
    for row in rows:
        made.add(*row)
    log = PointLog(made.folder, 10, lambda *_: pytest.fail("no room"))
    for (run, name), numbers in (series or {}).items():
        append = log.appender(made.add_key(Key(run, name, {})))
        for step, value in enumerate(numbers):
            append(step, 10_000.0 + step, value)
    for (run, name), point in (hold or {}).items():
        log.held.holder(made.add_key(Key(run, name, {})))[0](0, *point)
    made.close(remove=False)
    return made.folder


def offline(name, is_open=True, experiment="0"):
    creation = {"name": name, "started": HOUR, "user": "me", "tags": {ORIGIN_TAG: name}, "doubtful": False}
    return RunEntry(f"offline-{name}", "", experiment, creation, is_open, HOUR)


def params(run, **given):
    return run, "values", {"params": given, "tags": {}}


def runs_of(store, experiment="0"):
    found = store.search_runs([experiment], "", 1, 1000, None, None)
    return {run.info.run_name: run for run in found}


# -- a kernel that was killed ---------------------------------------------------------------------------------------

CELLS = [
    "%load_ext mlflow_magics\n%mlflow_connect {uri} -e home --offline",
    "%%mlflow_run closed -e fresh --metrics acc\nlr = 0.1\n"
    "import mlflow\nmlflow.log_text('kept', 'file.txt')\n"
    "acc = sum([lr, 0.4])",
    "%mlflow_start open",
    "for i in range(1000):\n    mlflow.log_metric('loss', i / 2, step=i)",
    "mlflow.log_param('p', 1)\nmlflow.set_tag('t', 2)",
]


def test_all_that_a_killed_kernel_left_is_sent(zygote, state, folder, uri, store):
    child = zygote.spawn(prepare(folder / "child", [cell.format(uri=uri) for cell in CELLS], state, linger=True))
    results = child.wait_cells()
    assert all(ran.ok for ran in results), child.output
    assert recovery.recover() == []  # it lives, and its journal is its own
    assert store.search_experiments(filter_string="name = 'home'") == []
    before = time.time() * 1000
    child.kill()
    said = recovery.recover()
    assert recovery.recover() == []
    assert journals.left_behind() == []
    home = store.get_experiment_by_name("home").experiment_id
    fresh = store.get_experiment_by_name("fresh").experiment_id
    closed, opened = runs_of(store, fresh)["closed"], runs_of(store, home)["open"]
    assert (closed.info.status, closed.data.params, closed.data.metrics) == ("FINISHED", {"lr": "0.1"}, {"acc": 0.5})
    assert closed.info.end_time <= before
    assert opened.info.status == "FINISHED"  # as it would be, had the idle kernel ended by itself
    points = store.get_metric_history(opened.info.run_id, "loss")
    assert sorted((m.step, m.value) for m in points) == [(step, step / 2) for step in range(1000)]
    # The time of its last write, not that of the kill, nor of the recovery.
    assert max(m.timestamp for m in points) <= opened.info.end_time <= before
    assert opened.info.end_time - max(m.timestamp for m in points) < 2000
    assert (opened.data.params["p"], opened.data.tags["t"]) == ("1", "2")
    assert [path.read_text() for path in folder.rglob("file.txt") if "child" not in str(path)] == ["kept"]
    assert any("run open was open when its kernel died: closed as FINISHED" in line for line in said)
    assert any(line.startswith("sent ") for line in said)


def test_the_time_of_a_killed_run_is_that_of_its_last_write(store, uri):
    leave(uri, runs=[offline("r")], rows=[("offline-r", "create", {})], series={("offline-r", "m"): range(100)})
    recovery.recover()
    found = runs_of(store)["r"]
    assert found.info.start_time == HOUR
    assert (found.info.status, found.data.metrics) == ("KILLED", {"m": 99.0})
    # The row of its creation was written now, and is the last thing that the kernel did.
    assert found.info.end_time >= 10_099_000


def test_points_that_were_only_held_are_sent(store, uri):
    leave(uri, runs=[offline("r")], series={("offline-r", "m"): [1.0]}, hold={("offline-r", "m"): (77, 10_005.0, 7.0)})
    recovery.recover()
    found = store.get_metric_history(runs_of(store)["r"].info.run_id, "m")
    assert sorted((m.step, m.value, m.timestamp) for m in found) == [(0, 1.0, 10_000_000), (77, 7.0, 10_005_000)]


def test_only_what_was_open_and_still_runs_is_closed(store, uri):
    made = {name: store.create_run("0", "me", HOUR, [], name).info.run_id for name in ("ended", "mine", "gone")}
    store.update_run_info(made["ended"], RunStatus.FAILED, 2 * HOUR, None)
    store.delete_run(made["gone"])
    entries = [RunEntry(run_id, run_id, "0", {}, True, 3 * HOUR) for run_id in made.values()]
    closed = store.create_run("0", "me", HOUR, [], "closed").info.run_id  # closed here, gone on with elsewhere
    leave(uri, runs=[*entries, RunEntry(closed, closed, "0", {}, False, 3 * HOUR)])
    said = recovery.recover()
    found = runs_of(store)
    assert (found["ended"].info.status, found["ended"].info.end_time) == ("FAILED", 2 * HOUR)
    assert (found["mine"].info.status, found["mine"].info.end_time) == ("KILLED", 3 * HOUR)
    assert found["closed"].info.status == "RUNNING"
    assert said == ["run mine was open when its kernel died: closed as KILLED"]
    assert journals.left_behind() == []


def test_a_kernel_that_died_while_it_created_a_run(store, uri):
    """Its run is in the store, or is not: nobody has written down which."""
    store.create_run("0", "me", HOUR, [RunTag(ORIGIN_TAG, "known")], "known")
    asked = [offline(name) for name in ("known", "unknown")]
    for entry in asked:
        entry.creation["asked"] = True
    leave(uri, runs=asked)
    assert recovery.recover() == ["run known was open when its kernel died: closed as KILLED"]
    assert {name: run.info.status for name, run in runs_of(store).items()} == {"known": "KILLED"}


def test_a_kernel_that_died_between_the_stores_doing_and_its_own_note(store, uri):
    """All of it was sent, none of it acknowledged: nothing is there twice."""
    run_id = store.create_run("0", "me", HOUR, [RunTag(ORIGIN_TAG, "r")], "r").info.run_id
    leave(
        uri, runs=[offline("r", is_open=False)], rows=[params("offline-r", a="1")], series={("offline-r", "m"): [1, 2]}
    )
    recovery.recover()
    found = runs_of(store)
    assert {name: run.info.run_id for name, run in found.items()} == {"r": run_id}
    assert (found["r"].data.params, found["r"].data.metrics) == ({"a": "1"}, {"m": 2.0})


# -- what cannot be sent --------------------------------------------------------------------------------------------


def test_a_store_that_is_gone_leaves_everything_for_later(state):
    uri = f"http://127.0.0.1:{refused_port()}"
    left = leave(uri, runs=[offline("r")], rows=[params("offline-r", a="1")], series={("offline-r", "m"): range(5)})
    begun = time.monotonic()
    (line,) = recovery.recover()
    assert time.monotonic() - begun < 20
    assert line.startswith(f"an earlier kernel left 6 writes for {uri}, which cannot be sent now: ")
    assert journals.left_behind() == [left]


def test_broken_journals_are_set_aside_and_take_no_other_with_them(store, uri):
    broken = {
        "garbage": lambda folder: (folder / "journal.db").write_bytes(b"garbage " * 1000),
        "cut off": lambda folder: os.truncate(folder / "journal.db", 5000),
        "empty": lambda folder: (folder / "journal.db").write_bytes(b""),
        "newer": lambda folder: (folder / "format").write_text("99"),
        "no number": lambda folder: (folder / "format").write_text("x"),
        "a folder for a file": lambda folder: (
            (folder / "journal.db").unlink(),
            (folder / "journal.db").mkdir(),
        ),
    }
    kept = {}
    for name, breaking in broken.items():
        left = leave(uri, rows=[params("x", a="1")] * 50)
        for wal in left.glob("journal.db-*"):
            wal.unlink()
        breaking(left)
        kept[name] = left
    leave(uri, runs=[offline("good")], rows=[params("offline-good", a="1")])
    said = recovery.recover()
    assert runs_of(store)["good"].data.params == {"a": "1"}
    assert not any("\n" in line for line in said)
    for name in ("garbage", "cut off", "empty", "a folder for a file"):
        assert (setaside.place() / kept[name].name).exists(), name
        assert any(kept[name].name in line for line in said), (name, said)
    assert kept["newer"].exists()
    assert any("pip install --upgrade" in line for line in said)


def test_points_without_names_are_not_the_end_of_the_rest(store, uri):
    left = leave(uri, runs=[offline("r")], rows=[params("offline-r", a="1")])
    PointLog(left, 10, lambda *_: None).appender(99)(0, 1.0, 1.0)
    said = recovery.recover()
    assert runs_of(store)["r"].data.params == {"a": "1"}
    assert journals.left_behind() == []
    assert any(f"1 point that cannot be read or sent: kept in {setaside.place() / left.name}" in line for line in said)


def test_what_the_store_refuses_is_told_and_kept_in_the_run(store, uri):
    run_id = store.create_run("0", "me", HOUR, [], "mine").info.run_id
    leave(uri, rows=[params(run_id, a="1"), params(run_id, a="2", b="1"), params(run_id, **{"x" * 300: "1"})])
    said = recovery.recover()
    assert any("refused 2 of them (param a" in line for line in said)
    found = runs_of(store)["mine"].data
    assert found.params == {"a": "1", "b": "1"}
    assert "Changing param values" in found.tags[REJECTED_TAG]


def test_files_that_are_not_taken_stay(mlflow_server, folder, state):
    with FaultyProxy(mlflow_server.url) as proxy:
        made = journals.create(proxy.url)
        made.add_run(offline("files"))
        staged = made.files.new()
        (staged / "only-here.txt").write_text("only here")
        made.add("offline-files", "artifact", {"uri": "", "path": None, "staged": str(staged), "folder": False})
        made.close(remove=False)
        with proxy.faulty(Fault("answer", "PUT", status=503)):
            (line,) = recovery.recover()
            assert "files" in line
        assert (staged / "only-here.txt").exists()
        said = recovery.recover()
    assert any(line.startswith("sent ") for line in said)
    found = [path for path in mlflow_server.folder.rglob("only-here.txt") if path.is_file()]
    assert [path.read_text() for path in found] == ["only here"]
    assert journals.left_behind() == []


# -- credentials ----------------------------------------------------------------------------------------------------

PASSWORD = "pa55-w0rd-nobody-reads"


def test_credentials_are_in_no_file_and_are_waited_for(zygote, mlflow_server, state, folder):
    with FaultyProxy(mlflow_server.url) as proxy:
        address = f"http://***@127.0.0.1:{proxy.port}"
        secret = f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}"
        cells = [
            f"%load_ext mlflow_magics\n%mlflow_connect {secret} -e secret --offline",
            "%%mlflow_run r\nlr = 0.1\nimport mlflow\nmlflow.log_text('x', 'x.txt')\nmlflow.log_metric('m', 1.0)",
        ]
        child = zygote.spawn(prepare(folder / "child", cells, state, linger=True))
        assert all(ran.ok for ran in child.wait_cells()), child.output
        child.kill()
        files = [path for path in state.rglob("*") if path.is_file()]
        assert len(files) > 3
        assert not [path for path in files if PASSWORD.encode() in path.read_bytes()]
        assert PASSWORD not in child.output
        (line,) = recovery.recover()
        assert f"{address}; %mlflow_connect to it sends them" in line
        assert proxy.passed == []  # not even tried: it would only be refused, perhaps once too often
        (line,) = recovery.recover(mlflow_server.url, mlflow_server.url)  # another store's credentials
        assert proxy.passed == []
        said = recovery.recover(secret, address)
        assert any(line.startswith("sent ") for line in said)
        assert PASSWORD not in " ".join(said)
    assert journals.left_behind() == []


# -- its own process ------------------------------------------------------------------------------------------------


def test_of_two_recoveries_at_a_time_one_sends(store, uri, state):
    for number in range(4):
        name = f"r{number}"
        leave(uri, runs=[offline(name)], rows=[params(f"offline-{name}", a="1")])
    command = [sys.executable, "-m", "mlflow_magics.tracking.connecting.recovery"]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in both:
        process.stdin.write(json.dumps({"tracking_uri": "", "address": ""}))
        process.stdin.close()
    told = [json.loads(line) for process in both for line in process.stdout.read().splitlines()]
    said = [line for what, _, lines in told for line in lines if what == "done"]
    for process in both:
        process.wait()
        process.stdout.close()
        process.stderr.close()
    assert sorted(line for line in said if "KILLED" in line) == [
        f"run r{number} was open when its kernel died: closed as KILLED" for number in range(4)
    ]
    found = store.search_runs(["0"], "", 1, 1000, None, None)
    assert sorted(run.info.run_name for run in found) == [f"r{number}" for number in range(4)]
    assert journals.left_behind() == []


def test_mlflow_is_as_it_was(store, uri):
    before = mlflow.get_tracking_uri()
    leave(uri, runs=[offline("r")])
    recovery.recover()
    assert mlflow.get_tracking_uri() == before
    assert mlflow.active_run() is None
