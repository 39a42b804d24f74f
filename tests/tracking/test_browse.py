"""What the panel asks of a store: of a real server and of a real SQLite store, in time, errors on one line."""

from __future__ import annotations

import math
import os
import sqlite3
import subprocess
import sys
import threading
import time
import uuid

import mlflow
import numpy as np
import pytest
from mlflow.entities import Metric, RunTag

from mlflow_magics.tracking.connecting import connection
from mlflow_magics.tracking.lookback import browse
from mlflow_magics.tracking.lookback.curves import histories
from mlflow_magics.tracking.lookback.orders import FilterError
from mlflow_magics.tracking.outbox.sending import sender
from mlflow_magics.tracking.patches import store
from mlflow_magics.vocabulary.errors import ConnectionFailedError, MlflowMagicsError, UnknownNameError
from tests.rig.faulty import Fault, FaultyProxy

HOSTILE = ["a b", "select", "x.y/z:1", "1st", "DESC", "or 1=1 --", "loss-", "and", "metrics.loss"]


@pytest.fixture
def experiment():
    return f"browse {uuid.uuid4().hex}"


@pytest.fixture
def proxy(mlflow_server):
    with FaultyProxy(mlflow_server.url) as proxy:
        yield proxy


@pytest.fixture
def served(mlflow_as_found, folder, proxy, experiment, monkeypatch):
    """An outbox before a real server, with a proxy between them."""
    monkeypatch.setattr(sender, "FIRST_SECONDS", 0.05)
    monkeypatch.setattr(sender, "LAST_SECONDS", 0.2)
    connection.connect(proxy.url, experiment=experiment)
    yield store.current()
    proxy.heal()


@pytest.fixture
def local(mlflow_as_found, folder, experiment):
    """An outbox before an SQLite store."""
    connection.connect("local", experiment=experiment)
    return store.current()


@pytest.fixture(params=["served", "local"])
def outbox(request):
    return request.getfixturevalue(request.param)


def of(outbox, experiment):
    found = outbox.store.get_experiment_by_name(experiment)
    return found.experiment_id


def database(outbox, mlflow_server):
    """The SQLite file behind an outbox's store."""
    if outbox.tracking_uri.startswith("sqlite"):
        return sqlite3.connect(outbox.tracking_uri.removeprefix("sqlite:///"), timeout=30)
    return sqlite3.connect(mlflow_server.folder / "server.db", timeout=30)


def in_worker(job):
    """What the panel's worker gets."""
    results, errors = [], []

    def work():
        try:
            results.append(job())
        except BaseException as error:  # carried to the test, and raised there
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    if errors:
        raise errors[0]
    return results[0]


def make(name, **values):
    with mlflow.start_run(run_name=name) as run:
        for key, value in values.items():
            mlflow.log_metric(key, value)
        mlflow.log_param("lr", values.get("a", 0))
        mlflow.set_tag("team", name)
    return run.info.run_id


def test_experiments_are_listed(outbox, experiment):
    names = in_worker(lambda: browse.experiments(outbox))
    assert experiment in names
    assert len(names) == len(set(names)) <= 500
    gone = outbox.store.create_experiment(experiment + " gone", None, [])
    outbox.store.delete_experiment(gone)
    newer = outbox.store.create_experiment(experiment + " newer", None, [])
    names = in_worker(lambda: browse.experiments(outbox))
    assert names[0] == experiment + " newer"
    assert experiment + " gone" not in names
    outbox.store.delete_experiment(newer)


def test_runs_in_every_order(outbox, experiment):
    for name, value in (("b", 1.0), ("c", 3.0), ("a", 2.0)):
        make(name, a=value)
        time.sleep(0.01)
    place = of(outbox, experiment)

    def names(order, filter=""):
        page = in_worker(lambda: browse.runs(outbox, outbox.tracking_uri, place, filter, order, ""))
        assert page.next == ""
        return "".join(run.name for run in page.runs)

    assert names("newest") == "acb"
    assert names("oldest") == "bca"
    assert names("name") == "abc"
    assert names("-name") == "cba"
    assert names("status") == "acb"
    assert names("metric:a") == "bac"
    assert names("-metric:a") == "cab"
    assert names("param:lr") == "bac"
    assert names("-param:lr") == "cab"
    assert sorted(names("duration")) == ["a", "b", "c"]
    assert names("newest", "metrics.a > 1.5 and params.lr != '3.0'") == "a"
    page = browse.runs(outbox, outbox.tracking_uri, place, "", "-duration", "")
    spent = [run.ended - run.began for run in page.runs]
    assert spent == sorted(spent, reverse=True)
    first = page.runs[0]
    assert first.status == "FINISHED"
    assert first.tags["team"] == first.name
    assert not any(name.startswith("mlflow.") for name in first.tags)
    assert abs(first.began - time.time()) < 600
    assert not first.curves
    if outbox.tracking_uri.startswith("http"):
        assert first.url == f"{outbox.tracking_uri}/#/experiments/{place}/runs/{first.run_id}"


@pytest.mark.parametrize(
    "wrong", ["accuracy >", "metrics.a > 'x", "nonsense", "'", "metrics.a = 1 or metrics.a = 2", "\0"]
)
def test_a_wrong_filter_is_one_line_with_the_reason_and_an_example(outbox, experiment, wrong):
    place = of(outbox, experiment)
    with pytest.raises(MlflowMagicsError) as caught:
        in_worker(lambda: browse.runs(outbox, outbox.tracking_uri, place, wrong, "newest", ""))
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, FilterError)
    assert browse.EXAMPLE in str(caught.value)


@pytest.mark.parametrize("wrong", ["", "sideways", "metric:", "tag:x", 'metric:a`b"c', "param:\n"])
def test_a_wrong_order_is_one_line(outbox, wrong):
    with pytest.raises(FilterError) as caught:
        browse.runs(outbox, "", "0", "", wrong, "")
    assert "\n" not in str(caught.value)


def test_hostile_names_sort_and_are_read(outbox, experiment):
    names = [name for name in HOSTILE if "=" not in name]
    ids = []
    for value in (2.0, 1.0, 3.0):
        with mlflow.start_run(run_name="<script>") as run:
            for name in names:
                mlflow.log_metric(name, value, step=0)
                mlflow.log_metric(name, value + 1, step=1)
            mlflow.log_params(dict.fromkeys(names, value))
        ids.append(run.info.run_id)
    place = of(outbox, experiment)
    for name in names:
        for kind in ("metric", "param"):
            page = browse.runs(outbox, outbox.tracking_uri, place, "", f"-{kind}:{name}", "")
            assert [run.run_id for run in page.runs] == [ids[2], ids[0], ids[1]], (kind, name)
    view = browse.details(outbox, outbox.tracking_uri, ids[0])
    assert {curve.name for curve in view.curves} == set(names)
    assert all(curve.values == (2.0, 3.0) for curve in view.curves)
    for name in (*HOSTILE, "'; DROP TABLE runs; --", "ÜÄ\u202e"):  # those that no metric can have are no harm
        try:
            browse.runs(outbox, outbox.tracking_uri, place, "", f"metric:{name}", "")
        except MlflowMagicsError as error:
            assert "\n" not in str(error)  # noqa: PT017 - both are fine
    assert len(browse.runs(outbox, outbox.tracking_uri, place, "", "newest", "").runs) == 3


def test_ten_thousand_runs_page_by_page(outbox, experiment, mlflow_server):
    place, begun = of(outbox, experiment), time.time() * 1000
    ids = [uuid.uuid4().hex for _ in range(10_000)]
    with database(outbox, mlflow_server) as base:
        columns = "run_uuid, name, experiment_id, status, start_time, lifecycle_stage, artifact_uri, user_id"
        rows = ((each, f"r{i}", place, "FINISHED", int(begun) + i, "active", "x", "u") for i, each in enumerate(ids))
        base.executemany(f"INSERT INTO runs ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        base.executemany(
            "INSERT INTO params (key, value, run_uuid) VALUES ('lr', ?, ?)",
            ((str(i % 7), each) for i, each in enumerate(ids)),
        )
    base.close()
    found, token = [], ""
    for _ in range(8):
        page = browse.runs(outbox, outbox.tracking_uri, place, "", "oldest", token)
        assert len(page.runs) == 50
        found += [run.run_id for run in page.runs]
        token = page.next
        assert token
    assert found == ids[:400]
    rest = browse.runs(outbox, outbox.tracking_uri, place, "params.lr = '3'", "newest", "", size=1000)
    assert len(rest.runs) == 1000
    rest = browse.runs(outbox, outbox.tracking_uri, place, "params.lr = '3'", "newest", rest.next, size=1000)
    assert len(rest.runs) == len(ids[3::7]) - 1000
    assert rest.next == ""


def test_the_details_of_a_run(outbox, experiment):
    with mlflow.start_run(run_name="whole", description="a note") as run:
        for step in range(300):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        for step, value in enumerate((1.0, math.nan, math.inf, -math.inf, 2.0)):
            mlflow.log_metric("odd", value, step=step)
        mlflow.log_metric("once", 0.5)
        mlflow.log_param("lr", 0.1)
        mlflow.set_tag("team", "x")
        # While it is open: what was written a moment ago is there.
        view = in_worker(lambda: browse.details(outbox, outbox.tracking_uri, run.info.run_id))
    assert (view.run_id, view.name, view.status, view.ended, view.note) == (
        run.info.run_id,
        "whole",
        "RUNNING",
        None,
        "a note",
    )
    assert (view.params, view.tags.get("team"), view.metrics["once"]) == ({"lr": "0.1"}, "x", 0.5)
    loss, odd = view.curves
    assert (loss.name, loss.count, loss.last, loss.max, len(loss.values)) == ("loss", 300, 1 / 300, 1.0, 300)
    assert loss.steps == tuple(map(float, range(300)))
    assert abs(loss.times[-1] - time.time()) < 600
    assert (odd.count, odd.last, odd.min, odd.max) == (5, 2.0, -math.inf, math.inf)
    assert np.array_equal(odd.values, (1.0, math.nan, math.inf, -math.inf, 2.0), equal_nan=True)


def test_a_long_metric_comes_thinned(outbox, experiment, mlflow_server, proxy, monkeypatch):
    monkeypatch.setattr(browse, "SECONDS", 60.0)
    # The server of MLflow 2 looks at each point.
    count = 200_000 if outbox.tracking_uri.startswith("sqlite") else 20_000
    run_id = make("long", spiky=0.0, flat=0.0)
    with database(outbox, mlflow_server) as base:
        insert = "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, ?)"
        values = ((99.0 if i == 12_345 else i / count, int(i == 777)) for i in range(1, count))
        base.executemany(
            insert, (("spiky", 0.0 if nan else value, i, run_id, i, nan) for i, (value, nan) in enumerate(values, 1))
        )
        # What is logged without steps.
        base.executemany(insert, (("flat", i / 5000, 10**12 + i, run_id, 0, 0) for i in range(1, 5000)))
    base.close()
    view = browse.details(outbox, outbox.tracking_uri, run_id)
    curves = {curve.name: curve for curve in view.curves}
    spiky, flat = curves["spiky"], curves["flat"]
    assert 900 <= len(spiky.values) <= 2010
    assert (spiky.steps[0], spiky.steps[-1]) == (0.0, count - 1.0)
    assert list(spiky.steps) == sorted(spiky.steps)
    assert 900 <= len(flat.values) <= 2010
    if outbox.tracking_uri.startswith("sqlite"):
        assert (spiky.count, spiky.max, flat.count) == (count, 99.0, 5000)
        assert any(value != value for value in spiky.values)
    else:
        assert not [each for each in proxy.passed if each.path.split("?")[0].endswith("get-history")]


def test_a_server_that_cannot_sample_is_asked_for_all(served, proxy, experiment):
    proxy.add(Fault("answer", "get-history-bulk-interval", status=404, body="<html>what?</html>"))
    with mlflow.start_run() as run:
        mlflow.MlflowClient().log_batch(run.info.run_id, [Metric("loss", i * 1.0, i, i) for i in range(900)])
    view = browse.details(served, served.tracking_uri, run.info.run_id)
    assert (view.curves[0].count, view.curves[0].max) == (900, 899.0)


def test_at_most_forty_curves_those_with_steps_first(local):
    with mlflow.start_run() as run:
        metrics = [Metric(f"a{i:02}", 1.0, 5, 0) for i in range(50)]
        metrics += [Metric(f"z{i:02}", 1.0, 5, step) for i in range(20) for step in range(3)]
        mlflow.MlflowClient().log_batch(run.info.run_id, metrics)
    view = browse.details(local, local.tracking_uri, run.info.run_id)
    assert [curve.name for curve in view.curves] == [f"z{i:02}" for i in range(20)]
    assert len(view.metrics) == 70


def test_a_silent_server_is_an_error_in_time(served, proxy, experiment, monkeypatch):
    run_id, place = make("here"), of(served, experiment)
    other = served.store.create_run(place, "u", 1, [RunTag("mlflow.runName", "foreign")], "foreign").info.run_id
    monkeypatch.setattr(browse, "SECONDS", 1.0)
    proxy.add(Fault("silent"))
    for job in (
        lambda: browse.experiments(served),
        lambda: browse.details(served, served.tracking_uri, other),
        lambda: browse.runs(served, served.tracking_uri, place, "metrics.a > 1", "newest", ""),
    ):
        begun = time.monotonic()
        with pytest.raises(ConnectionFailedError, match="does not answer in time") as caught:
            in_worker(job)
        assert "\n" not in str(caught.value)
        assert time.monotonic() - begun < 3.5
    # What this kernel has opened is told all the same.
    view = in_worker(lambda: browse.details(served, served.tracking_uri, run_id))
    assert (view.name, view.status) == ("here", "FINISHED")
    page = in_worker(lambda: browse.runs(served, served.tracking_uri, place, "", "newest", ""))
    assert [run.run_id for run in page.runs] == [run_id]


def test_curves_that_do_not_come_in_time_are_left_out(served, proxy, monkeypatch):
    with mlflow.start_run() as run:
        for step in range(5):
            mlflow.log_metric("loss", 1.0, step=step)
    served.flush()
    monkeypatch.setattr(browse, "SECONDS", 1.0)
    proxy.add(Fault("silent", "get-history"))
    begun = time.monotonic()
    view = browse.details(served, served.tracking_uri, run.info.run_id)
    assert time.monotonic() - begun < 3
    assert (view.metrics, view.curves, view.slow) == ({"loss": 1.0}, (), ("loss",))


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_a_server_that_refuses_is_one_line(served, proxy, experiment, status):
    place = of(served, experiment)
    proxy.add(Fault("answer", status=status, body="<html>\nsecret=abcdef\n</html>"))
    for job in (lambda: browse.experiments(served), lambda: browse.runs(served, "", place, "a", "newest", "")):
        with pytest.raises(MlflowMagicsError) as caught:
            job()
        assert "\n" not in str(caught.value)
        assert "abcdef" not in str(caught.value)


def test_a_run_that_the_store_does_not_know_yet(served, proxy, experiment):
    place = of(served, experiment)
    proxy.refuse()
    with mlflow.start_run(run_name="<b>away</b>") as run:
        mlflow.log_metric("loss", 0.5)
        mlflow.log_param("lr", 0.1)
        mlflow.set_tag("team", "x")
    run_id = run.info.run_id
    assert run_id.startswith("offline-")
    view = in_worker(lambda: browse.details(served, served.tracking_uri, run_id))
    assert (view.name, view.status, view.url) == ("<b>away</b>", "FINISHED", "")
    assert (view.metrics, view.params, view.tags["team"]) == ({"loss": 0.5}, {"lr": "0.1"}, "x")
    page = in_worker(lambda: browse.runs(served, served.tracking_uri, place, "", "newest", ""))
    assert [each.run_id for each in page.runs] == [run_id]
    with pytest.raises(UnknownNameError):
        browse.details(served, served.tracking_uri, "offline-of-another-kernel")
    proxy.accept()
    served.syncing.sync(lambda sent, left: None)
    view = browse.details(served, served.tracking_uri, run_id)
    assert view.run_id == served.ids[run_id]
    assert (view.name, view.metrics) == ("<b>away</b>", {"loss": 0.5})
    assert [each.run_id for each in browse.runs(served, served.tracking_uri, place, "", "newest", "").runs] == [
        view.run_id
    ]


def test_an_experiment_that_the_store_does_not_know_yet(served, proxy, experiment):
    proxy.refuse()
    mlflow.set_experiment(experiment + " later")
    with mlflow.start_run(run_name="first") as run:
        pass
    place = run.info.experiment_id
    assert place.startswith("offline-")
    assert [each.name for each in browse.runs(served, served.tracking_uri, place, "", "newest", "").runs] == ["first"]


def test_an_unknown_run_is_one_line(outbox):
    with pytest.raises(MlflowMagicsError, match="refuses") as caught:
        browse.details(outbox, outbox.tracking_uri, "0" * 32)
    assert "\n" not in str(caught.value)


def test_infinite_values_are_told_as_they_were_written():
    assert histories.as_written(sys.float_info.max) == math.inf
    assert histories.as_written(-sys.float_info.max) == -math.inf
    assert histories.as_written(-1.5) == -1.5
    assert math.isnan(histories.as_written(math.nan))


IMPORTS = """
import sys, threading
from mlflow_magics.tracking.lookback import browse
from mlflow_magics.tracking.connecting import connection
from mlflow_magics.tracking.patches import store
import mlflow, random
connection.connect(sys.argv[1], experiment="Default")
box = store.current()
with mlflow.start_run() as run:
    for step in range(3): mlflow.log_metric("loss", 1.0, step=step)
box.flush()
seen = []
class Watch:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is not threading.main_thread() and name.startswith("mlflow"):
            seen.append(name)
sys.meta_path.insert(0, Watch())
random.seed(1); state = random.getstate()
def work():
    assert browse.experiments(box)
    assert browse.runs(box, "", "0", "metrics.loss > 0", "-metric:loss", "").runs
    assert browse.details(box, "", run.info.run_id).curves
thread = threading.Thread(target=work); thread.start(); thread.join()
print("SEEN", seen, random.getstate() == state)
"""


@pytest.mark.parametrize("kind", ["server", "sqlite"])
def test_the_worker_imports_nothing_of_mlflow_and_leaves_the_random_state(kind, mlflow_server, folder):
    uri = mlflow_server.url if kind == "server" else f"sqlite:///{folder}/mlflow.db"
    environment = dict(os.environ)
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, uri], capture_output=True, text=True, cwd=folder, env=environment, timeout=90
    )
    assert "SEEN [] True" in done.stdout, done.stdout + done.stderr
