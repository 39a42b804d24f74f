"""The outbox as its user meets it: ``--offline``, ``%mlflow_sync``, ``%mlflow_status``, and what a dead kernel left."""

from __future__ import annotations

import contextlib
import itertools
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from filelock import FileLock

from mlflow_magics.session import sending
from mlflow_magics.tracking.connecting import recovery
from mlflow_magics.tracking.outbox.disk import journals
from mlflow_magics.tracking.patches import store
from tests.rig import stored
from tests.rig.children import clean_environment, prepare
from tests.rig.faulty import Fault, FaultyProxy
from tests.rig.servers import refused_port
from tests.rig.waiting import eventually

CELL = """%%mlflow_run {name} --metrics acc --params lr
import mlflow
lr = 0.1
for step in range(20):
    mlflow.log_metric("loss", 1 / (step + 1), step=step)
acc = sum([0.25, 0.25])
mlflow.log_text("kept", "file.txt")
"""


@pytest.fixture
def database(folder, _store):
    """A local store, made already."""
    shutil.copy(_store, folder / "mlflow.db")
    return folder / "mlflow.db"


def status_with(run, words):
    """What ``%mlflow_status`` shows once it holds these words."""
    told = []

    def shown():
        told.append(run("%mlflow_status"))
        return words in told[-1]

    eventually(shown)
    return told[-1]


def files(place):
    return [path for path in place.rglob("*") if path.is_file()]


# -- offline --------------------------------------------------------------------------------------------------------


def test_offline_asks_nobody_and_sync_sends_all(run, folder, database, state):
    shown = run("%mlflow_connect local -e home --offline")
    assert "offline: nothing is sent until %mlflow_sync" in shown
    shown = run(CELL.format(name="first"))
    assert re.search(r"21 points and \d+ other writes wait, offline; %mlflow_sync sends", shown)
    assert "✓" in shown
    run(CELL.format(name="second"))
    assert stored.runs(database, "home") == []
    shown = run("%mlflow_status")
    assert re.search(r"waiting first: \d+ writes", shown)
    assert re.search(r"waiting second: \d+ writes", shown)
    shown = run("%mlflow_sync")
    assert "✓ sent" in shown
    pairs = dict(re.findall(r"(offline-\w+) → (\w+)", shown))
    found = stored.runs(database, "home")
    assert [(each.name, each.status) for each in found] == [("first", "FINISHED"), ("second", "FINISHED")]
    assert sorted(pairs.values()) == sorted(each.run_id for each in found)
    for each in found:
        assert stored.params(database, each.run_id) == {"lr": "0.1"}
        assert [step for step, _, _ in stored.points(database, each.run_id, "loss")] == list(range(20))
        assert [value for _, _, value in stored.points(database, each.run_id, "acc")] == [0.5]
        assert (folder / "mlartifacts").exists()
        assert [p.read_text() for p in folder.rglob(f"{each.run_id}/artifacts/file.txt")] == ["kept"]
    assert "nothing was waiting" in run("%mlflow_sync")
    assert "nothing waits" in run("%mlflow_status")
    run("%unload_ext mlflow_magics")
    assert files(state) == []


def test_as_much_is_sent_as_was_waiting(run, database):
    run("%mlflow_connect local -e home --offline")
    run(CELL.format(name="counted"))
    counted = re.search(r"(\d+) points and (\d+) other writes", run("%mlflow_status"))
    assert f"✓ sent {sum(map(int, counted.groups()))} writes" in run("%mlflow_sync")


def test_what_is_refused_after_the_cell_is_told_by_the_next_command(run, database):
    run("%mlflow_connect local -e home --offline")
    run(CELL.format(name="lost"))
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'home', 'deleted')"
        )
    assert "lost: its experiment was refused" in run("%mlflow_sync")
    assert "was refused" not in run("%mlflow_status")
    (found,) = stored.runs(database, "Default")
    assert (found.name, found.status) == ("lost", "FINISHED")
    assert len(stored.points(database, found.run_id, "loss")) == 20


def test_a_family_made_offline_stays_one(run, database):
    run("%mlflow_connect local -e home --offline")
    run("%mlflow_start parent --tags stage=dev")
    run(CELL.format(name="child"))
    run("%mlflow_end --status FAILED")
    run("%mlflow_sync")
    found = {each.name: each for each in stored.runs(database, "home")}
    assert {name: each.status for name, each in found.items()} == {"parent": "FAILED", "child": "FINISHED"}
    assert stored.tags(database, found["child"].run_id)["mlflow.parentRunId"] == found["parent"].run_id
    assert stored.tags(database, found["parent"].run_id)["stage"] == "dev"
    assert found["parent"].start <= found["child"].start <= found["child"].end <= found["parent"].end


def test_a_run_made_offline_can_be_gone_on_with(run, shell, database):
    run("%mlflow_connect local -e home --offline")
    run(CELL.format(name="mine"))
    shown = run("%mlflow_sync")
    (local,) = re.findall(r"(offline-\w+) →", shown)
    run(f"%%mlflow_run --run-id {local} --metrics more\nmore = sum([1, 2])")
    run("%mlflow_sync")
    (found,) = stored.runs(database, "home")
    assert found.status == "FINISHED"
    assert [value for _, _, value in stored.points(database, found.run_id, "more")] == [3.0]


def test_unnamed_runs_have_names_of_their_own(run, database):
    """MLflow makes names up with the global generator, whose state is put back: they would all be the same."""
    run("%mlflow_connect local -e home")
    for _ in range(3):
        run("%%mlflow_run\nx = 1")
    run("%mlflow_connect local -e home --offline")
    for _ in range(3):
        run("%%mlflow_run\nx = 1")
    run("%mlflow_sync")
    names = [each.name for each in stored.runs(database, "home")]
    assert len(set(names)) == 6
    assert all(re.fullmatch(r"[a-z]+-[a-z]+-\d+", name) for name in names)


def test_a_failing_cell_is_failed_offline_too(run, database):
    run("%mlflow_connect local -e home --offline")
    run("%%mlflow_run bad\nlr = 0.1\n1 / 0", ok=False)
    run("%mlflow_sync")
    (found,) = stored.runs(database, "home")
    assert found.status == "FAILED"


def test_a_seeded_cell_computes_the_same(run, shell, database):
    code = "import random, numpy as np\nrandom.seed(1); np.random.seed(1)\n"
    draw = "a, b = random.random(), np.random.rand()"
    run(code)
    shell.run_cell(draw)
    bare = shell.user_ns["a"], shell.user_ns["b"]
    run("%mlflow_connect local -e home --offline")
    run(code)
    run("%%mlflow_run\nimport mlflow\nmlflow.log_metric('m', 1.0)\n" + draw)
    assert (shell.user_ns["a"], shell.user_ns["b"]) == bare
    run(code)
    run("%mlflow_sync")
    time.sleep(0.3)  # the sender's thread may draw, too, or must not
    shell.run_cell(draw)
    assert (shell.user_ns["a"], shell.user_ns["b"]) == bare


def test_sync_before_connecting_is_one_line(run):
    assert "not connected; type %mlflow_connect" in run("%mlflow_sync", ok=False)
    assert "takes no arguments" in run("%mlflow_sync now", ok=False)


# -- an outage ------------------------------------------------------------------------------------------------------


@pytest.fixture
def proxy(mlflow_server):
    with FaultyProxy(mlflow_server.url) as proxy:
        yield proxy


@pytest.fixture
def served(run, proxy, request):
    run(f"%mlflow_connect {proxy.url} -e '{request.node.name}'")
    yield request.node.name
    proxy.heal()
    proxy.accept()


def test_an_outage_costs_a_cell_no_more_than_a_word(run, served, proxy, mlflow_server):
    proxy.refuse()
    begun = time.monotonic()
    shown = run(CELL.format(name="during"))
    assert "writes wait, and are sent when the store answers: nothing listens there" in shown
    run(CELL.format(name="still"))
    assert time.monotonic() - begun < 5
    shown = run("%mlflow_status")
    assert re.search(r"waiting during: \d+ writes", shown)
    assert "✗ sent 0 writes" in run("%mlflow_sync")
    proxy.accept()
    shown = run("%mlflow_sync")
    assert "✗" not in shown
    assert not re.search("waiting (?:during|still)", run("%mlflow_status"))  # sent by the sender, or because we asked
    found = stored.runs(mlflow_server.folder / "server.db", served)
    assert [(each.name, each.status) for each in found] == [("during", "FINISHED"), ("still", "FINISHED")]
    assert all(len(stored.points(mlflow_server.folder / "server.db", each.run_id, "loss")) == 20 for each in found)


def test_what_the_server_refuses_is_in_the_block_and_in_the_run(run, served, mlflow_server):
    shown = run("%%mlflow_run r --no-capture\nimport mlflow\nmlflow.log_param('ok', 1)\nmlflow.log_param('ok', 2)")
    assert "param ok was refused" in shown
    (found,) = stored.runs(mlflow_server.folder / "server.db", served)
    assert stored.params(mlflow_server.folder / "server.db", found.run_id) == {"ok": "1"}
    assert "param ok" in stored.tags(mlflow_server.folder / "server.db", found.run_id)["mlflow_magics.rejected"]


def test_a_server_that_answers_errors_for_a_while_gets_everything_by_itself(run, served, proxy, mlflow_server):
    with proxy.faulty(Fault("answer", "", status=503)):
        assert "writes wait, and are sent when the store answers" in run(CELL.format(name="patience"))
    found = eventually(lambda: stored.runs(mlflow_server.folder / "server.db", served))
    eventually(lambda: stored.runs(mlflow_server.folder / "server.db", served)[0].status == "FINISHED")
    assert len(found) == 1


def test_no_server_from_the_start_loses_nothing(run, folder, state, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{refused_port()}")
    begun = time.monotonic()
    assert "writes wait, and are sent when the store answers" in run(CELL.format(name="nobody"))
    assert time.monotonic() - begun < 8
    run("%unload_ext mlflow_magics")
    (left,) = {path.parent for path in files(state) if path.name == "journal.db"}
    assert (left / "format").exists()


# -- what a dead kernel left ----------------------------------------------------------------------------------------


@pytest.fixture
def victim(folder, state, zygote):
    """Run cells in a kernel of its own, in the test's folder, and kill it."""
    numbers = itertools.count()

    def die(*cells):
        here = f"import os\nos.chdir({str(folder)!r})"
        cells = [here, "%load_ext mlflow_magics", *cells]
        child = zygote.spawn(prepare(folder / f"victim-{next(numbers)}", cells, state, linger=True))
        # Killed while it is idle, unless its last cell has done that itself.
        child.until(lambda: len(child.results()) == len(cells) or child.exit_code() is not None, "its end")
        child.kill()
        assert child.exit_code() == -9, child.output
        assert all(each.ok for each in child.results()), child.output

    return die


def test_loading_sends_what_a_dead_kernel_left_and_says_so_once(bare_shell, run, database, victim, state):
    bare_shell.extension_manager.unload_extension("mlflow_magics")
    victim("%mlflow_connect local -e home --offline", CELL.format(name="closed"), "%mlflow_start open\nx = 1")
    assert stored.runs(database, "home") == []
    assert files(state)
    run("%load_ext mlflow_magics")
    eventually(lambda: not files(state))
    found = {each.name: each.status for each in stored.runs(database, "home")}
    assert found == {"closed": "FINISHED", "open": "FINISHED"}  # it was idle, and its last cell had ended well
    told = status_with(run, "kernel died")
    assert "run open was open when its kernel died: closed as FINISHED" in told
    assert "kernel died" not in run("%mlflow_status")
    # By the way: nothing of this has connected anybody.
    assert "not connected" in run("%mlflow_status")


OWN_LOOP = """%%mlflow_run own
import math, mlflow, os
def report(name, value, step):
    mlflow.log_metric(name, value, step=step)
for i in range(20):
    loss = math.sqrt(i)
    acc = 1 / (i + 1.5)
    report("acc", acc, 100 + i)
    if i == 7:
        os.kill(os.getpid(), 9)
"""


def test_points_that_were_kept_back_outlive_their_kernel_but_not_those_that_the_author_logs(
    bare_shell, run, database, victim, state
):
    bare_shell.extension_manager.unload_extension("mlflow_magics")
    victim("%mlflow_connect local -e home", OWN_LOOP)
    run("%load_ext mlflow_magics")
    eventually(lambda: not files(state))
    (found,) = stored.runs(database, "home")
    assert found.status == "KILLED"
    assert [step for step, _, _ in stored.points(database, found.run_id, "loss")] == list(range(8))
    assert [step for step, _, _ in stored.points(database, found.run_id, "acc")] == [100 + i for i in range(8)]


def test_points_that_are_kept_back_have_room_on_no_disk_too(run, database, monkeypatch):
    monkeypatch.setattr("mlflow_magics.tracking.outbox.disk.journals.segments_allowed", lambda: 0)
    run("%mlflow_connect local -e home")
    run(OWN_LOOP.replace("        os.kill(os.getpid(), 9)", "        pass"))
    run("%mlflow_sync")
    (found,) = stored.runs(database, "home")
    assert [step for step, _, _ in stored.points(database, found.run_id, "loss")] == list(range(20))
    assert [step for step, _, _ in stored.points(database, found.run_id, "acc")] == [100 + i for i in range(20)]


def test_what_waits_for_a_server_is_told_in_the_next_block_and_sent_by_sync(run, victim, proxy, mlflow_server, state):
    victim(f"%mlflow_connect {proxy.url} -e 'dead kernel' --offline", CELL.format(name="left"))
    proxy.refuse()
    run("%unload_ext mlflow_magics")
    run("%load_ext mlflow_magics")
    told = status_with(run, "earlier kernel")
    assert re.search(r"an earlier kernel left \d+ writes for http://127.0.0.1:\d+, which cannot be sent now", told)
    assert files(state)
    proxy.accept()
    run(f"%mlflow_connect {mlflow_server.url} -e 'another'")
    run("%mlflow_sync")
    eventually(lambda: stored.runs(mlflow_server.folder / "server.db", "dead kernel"))
    eventually(lambda: stored.runs(mlflow_server.folder / "server.db", "dead kernel")[0].status == "FINISHED")


LIGHT = """
import sys, threading, time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "mlflow_magics")
while ours := [thread for thread in threading.enumerate() if thread.name.startswith("mlflow_magics")]:
    ours[0].join()
heavy = {"mlflow", "numpy", "pandas", "requests"} & set(sys.modules)
print(sorted(heavy), [thread.name for thread in threading.enumerate() if "mlflow" in thread.name])
"""


def test_with_nothing_left_loading_imports_nothing(folder, state):
    done = subprocess.run(
        [sys.executable, "-c", LIGHT], cwd=folder, env=clean_environment(state), capture_output=True, text=True
    )
    assert done.stdout.strip().splitlines()[-1] == "[] []", done.stderr
    assert files(state) == []


def test_a_living_kernels_outbox_is_not_touched(run, database, state):
    run("%mlflow_connect local -e home --offline")
    run(CELL.format(name="alive"))
    before = {path: path.stat().st_size for path in files(state)}
    done = subprocess.run(
        [sys.executable, "-c", LIGHT], cwd=database.parent, env=clean_environment(state), capture_output=True, text=True
    )
    assert done.stdout.strip().splitlines()[-1] == "[] []", done.stderr
    assert {path: path.stat().st_size for path in files(state)} == before
    assert stored.runs(database, "home") == []
    run("%mlflow_sync")
    assert len(stored.runs(database, "home")) == 1


def test_loading_and_unloading_leaves_no_thread_and_no_file(run, database, state):
    for _ in range(3):
        run("%mlflow_connect local -e home")
        run(CELL.format(name="r"))
        run("%unload_ext mlflow_magics")
        run("%load_ext mlflow_magics")
    assert len(stored.runs(database, "home")) == 3
    assert files(state) == []
    eventually(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("mlflow_magics")])


def test_the_background_thread_leaves_random_numbers_alone(run, served, proxy):
    run(CELL.format(name="before"))
    random.seed(3)
    np.random.seed(3)
    state, numpy_state = random.getstate(), np.random.get_state()
    with proxy.faulty(Fault("answer", "", status=503)):
        import mlflow

        mlflow.MlflowClient().log_metric(mlflow.last_active_run().info.run_id, "m", 1.0)
        sender = store.current().sender
        sender.nudge()
        eventually(lambda: sender._tries > 1)  # with a pause between, of a random length
    assert random.getstate() == state
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), numpy_state, strict=True))


def test_a_state_folder_that_was_deleted_is_said_by_the_status_too(run, database):
    run("%mlflow_connect local -e home")
    run("%%mlflow_run before\nx = 1")
    shutil.rmtree(store.current().journal.folder)
    shown = eventually(lambda: next((text for text in [run("%mlflow_status")] if "deleted" in text), ""))
    assert "kept in memory only, and would not survive the kernel" in shown
    assert "deleted" not in run("%mlflow_status")  # once
    run("%%mlflow_run after\nx = 2")
    assert [each.name for each in stored.runs(database, "home")] == ["before", "after"]


# -- %mlflow_sync, while others fail --------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_other_servers_have_waiting_costs_a_sync_little_and_is_named(run, victim, proxy, database, state):
    """One server takes the connection and never answers, one is gone: `%mlflow_sync` here is not their affair."""
    gone = f"http://127.0.0.1:{refused_port()}"
    # In this order: each kernel looks for what the one before it has left.
    victim("%mlflow_connect local -e home --offline", CELL.format(name="mine"))
    for uri in (gone, proxy.url):
        victim(f"%mlflow_connect {uri} -e 'dead kernel' --offline", CELL.format(name="left"))
    proxy.add(Fault("silent"))
    run("%unload_ext mlflow_magics")
    run("%load_ext mlflow_magics")
    run("%mlflow_connect local -e home")
    eventually(lambda: [each.status for each in stored.runs(database, "home")] == ["FINISHED"], patience=120)
    begun = time.monotonic()
    shown = run("%mlflow_sync")
    assert time.monotonic() - begun < 5 + 15  # not as long as the silent server, and a busy machine takes its time
    for uri in (proxy.url, gone):
        assert re.search(rf"an earlier kernel left \d+ writes for {uri}", shown + run("%mlflow_status")), shown
    proxy.heal()


@pytest.mark.slow
def test_a_sync_waits_for_what_the_loading_has_begun_to_send(run, victim, proxy, mlflow_server, served):
    """Its journal is locked then, and looks like a living kernel's."""
    victim(f"%mlflow_connect {proxy.url} -e '{served}' --offline", CELL.format(name="left"))
    with proxy.faulty(Fault("delay", seconds=1.0)):
        run("%unload_ext mlflow_magics")
        run("%load_ext mlflow_magics")
        run(f"%mlflow_connect {proxy.url} -e '{served}'")
        run("%mlflow_sync")
        found = stored.runs(mlflow_server.folder / "server.db", served)
    assert [(each.name, each.status) for each in found] == [("left", "FINISHED")]


@pytest.mark.slow
def test_a_sync_waits_for_what_is_locked_after_it_was_listed(run, victim, proxy, mlflow_server, served, monkeypatch):
    """Another recovery, begun a moment earlier, was faster; here it locks, and sends nothing before it lets go."""
    run("%mlflow_connect local")
    victim(f"%mlflow_connect {proxy.url} -e '{served}' --offline", CELL.format(name="left"))
    (folder,) = journals.left_behind()
    list_them, locked = recovery.left, []

    def left():
        listed = list_them()
        if not locked:
            locked.append(FileLock(folder / "lock", thread_local=False))
            locked[0].acquire(blocking=False)
            threading.Thread(target=let_go).start()
        return listed

    def let_go():
        eventually(lambda: sending._running)
        eventually(lambda: not sending._running, patience=120)
        time.sleep(1.0)
        locked[0].release()

    monkeypatch.setattr(sending, "recover", lambda _: None)  # that of the connect: it would send it
    monkeypatch.setattr(recovery, "left", left)
    run(f"%mlflow_connect {proxy.url} -e '{served}'")
    shown = run("%mlflow_sync")
    assert "not through yet" not in shown
    found = stored.runs(mlflow_server.folder / "server.db", served)
    assert [(each.name, each.status) for each in found] == [("left", "FINISHED")]


def test_sync_goes_on_as_long_as_the_server_takes_writes_and_tells_each(run, served, proxy, mlflow_server):
    """It takes one request of points, and sends the next one away for a moment, over and over."""
    run("import mlflow")
    run(f"%mlflow_connect {proxy.url} -e '{served}' --offline")
    run("%%mlflow_run many\nfor step in range(6000):\n    mlflow.log_metric('m', step, step=step)")
    told = []

    def progress(sent, left):
        if told and sent > max(told)[0]:
            proxy.heal()  # at most one of them waits: two in a row are an outage
            proxy.add(Fault("answer", "log-batch", times=1, status=503, headers=(("Retry-After", "0.1"),)))
        told.append((sent, left))

    outbox = store.current()
    total = outbox.telling.waiting().total
    done = outbox.syncing.sync(progress)
    assert done.waiting.total == 0
    assert done.sent >= total
    answered = [each for each in proxy.matching("log-batch") if each.done == "forwarded"]
    assert len(answered) >= 6
    assert len({sent for sent, _ in told}) >= 6
    assert told[-1][1] == 0
    (found,) = stored.runs(mlflow_server.folder / "server.db", served)
    assert len(stored.points(mlflow_server.folder / "server.db", found.run_id, "m")) == 6000


def test_the_last_line_of_a_sync_says_why_something_waits(run, served, proxy):
    run(f"%mlflow_connect {proxy.url} -e '{served}' --offline")
    run("%%mlflow_run r\nx = 1")
    proxy.refuse()
    assert "nothing listens there" in run("%mlflow_sync")


@pytest.mark.parametrize("asked", ["86400", "1e10", "inf", "-5", "nan", "0", "soon", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_store_that_asks_to_wait_is_waited_for_a_minute_at_the_most_and_sync_tries_now(run, served, proxy, asked):
    proxy.add(Fault("answer", status=503, headers=(("Retry-After", asked),)))
    run("%%mlflow_run r\nx = 1")
    sender = store.current().sender
    eventually(lambda: sender.trouble)
    assert sender._resumes - time.monotonic() <= 60
    tried = len(proxy.passed)
    time.sleep(0.5)
    assert len(proxy.passed) - tried < 20  # nor does it hammer
    proxy.heal()
    begun = time.monotonic()
    shown = run("%mlflow_sync")
    assert "✗" not in shown
    assert time.monotonic() - begun < 20
    assert store.current().telling.waiting().total == 0


# -- what cannot be read or sent ------------------------------------------------------------------------------------


def test_what_was_set_aside_is_told_once_and_status_says_where_it_is(bare_shell, state, capsys):
    kept = state / "mlflow_magics" / "unreadable" / "an-outbox"
    kept.mkdir(parents=True)
    (kept / "counts.json").write_text('{"points": 3, "writes": 1}')
    bare_shell.extension_manager.load_extension("mlflow_magics")
    told = f"an earlier kernel left 3 points and 1 write that cannot be read or sent: kept in {kept}"

    def status():
        capsys.readouterr()
        assert bare_shell.run_cell("%mlflow_status").success
        return " ".join(capsys.readouterr().out.split())

    shown = []
    eventually(lambda: shown.append(status()) or told[:60] in shown[-1])
    assert "could not be read or sent is in" in shown[-1]
    assert told[:60] not in status()
    assert "could not be read or sent is in" in status()


@pytest.mark.parametrize("odd", ["float('nan')", "10**300"])
def test_a_time_that_is_none_is_an_error_in_the_cell_and_stops_nothing(tracked, odd):
    """It blocked the outbox for ever, this kernel's and the next's."""
    import mlflow

    from mlflow_magics.tracking.patches import store

    cell = (
        "%%mlflow_run odd\nimport mlflow\ntry:\n    mlflow.log_metric('m', 1.0, timestamp=" + odd + ")\n"
        "except mlflow.exceptions.MlflowException as error:\n    caught = error\nmlflow.log_metric('after', 2.0)"
    )
    assert tracked.run_cell(cell).success
    assert "caught" in tracked.user_ns
    assert store.current().flush(30)
    (run,) = mlflow.search_runs(output_format="list", search_all_experiments=True)
    assert run.data.metrics == {"after": 2.0}
