"""MLflow's own functions and clients, in front of the outbox: they write as ever, and read what they wrote."""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import subprocess
import sys
import threading
import time

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry
from mlflow.store.tracking.rest_store import RestStore
from mlflow.tracking._tracking_service.utils import _get_store, _tracking_store_registry
from mlflow.utils import rest_utils

from mlflow_magics.tracking.connecting import connection
from mlflow_magics.tracking.outbox.sending import sender
from mlflow_magics.tracking.patches import store
from tests.rig.faulty import Fault, FaultyProxy
from tests.rig.servers import refused_port

MLFLOW_3 = int(mlflow.__version__.partition(".")[0]) >= 3


@pytest.fixture
def experiment(request):
    """A name of its own for each test: they share a server."""
    return f"store {request.node.name}"[:200]


@pytest.fixture
def plain(mlflow_server):
    """A client of its own, past the outbox."""

    def get_store():
        from mlflow.utils.rest_utils import MlflowHostCreds

        return RestStore(lambda: MlflowHostCreds(mlflow_server.url))

    return get_store()


@pytest.fixture
def proxy(mlflow_server):
    with FaultyProxy(mlflow_server.url) as proxy:
        yield proxy


@pytest.fixture
def connected(mlflow_as_found, folder, proxy, experiment, monkeypatch):
    """Connected to a real server through a proxy that goes wrong when told to."""
    monkeypatch.setattr(sender, "FIRST_SECONDS", 0.05)
    monkeypatch.setattr(sender, "LAST_SECONDS", 0.2)
    connection.connect(proxy.url, experiment=experiment)
    yield proxy
    proxy.heal()
    proxy.accept()


@pytest.fixture
def offline(mlflow_as_found, folder, proxy, experiment):
    connection.connect(proxy.url, experiment=experiment, offline=True)
    return proxy


@pytest.fixture
def other(_store, tmp_path):
    """A local store beside the server."""
    shutil.copy(_store, tmp_path / "other.db")
    return tmp_path / "other.db"


def sync():
    done = store.current().syncing.sync(lambda sent, left: None)
    assert done.waiting.total == 0, done.waiting
    return done


def points(plain, run_id, name):
    return [(m.step, m.timestamp, m.value) for m in plain.get_metric_history(run_id, name)]


# -- every write ----------------------------------------------------------------------------------------------------


def log_input(run_id):
    import pandas as pd

    mlflow.log_input(mlflow.data.from_pandas(pd.DataFrame({"x": [1, 2]}), name="frame"), context="train")


def log_figure(run_id):
    from matplotlib.figure import Figure

    mlflow.log_figure(Figure(), "figure.png")


def log_image(run_id, **options):
    import numpy as np

    mlflow.log_image(np.zeros((4, 4, 3), dtype=np.uint8), **options)


def file_at(folder="."):
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "file.txt")
    with open(path, "w") as file:
        file.write("content")
    return path


NOW = int(time.time() * 1000)
WRITES = {
    "log_param": lambda run: mlflow.log_param("lr", 0.1),
    "log_params": lambda run: mlflow.log_params({"lr": 0.1, "b": "x"}),
    "log_params later": lambda run: mlflow.log_params({"lr": 0.1}, synchronous=False),
    "log_param later": lambda run: mlflow.log_param("lr", 0.1, synchronous=False),
    "log_metric": lambda run: mlflow.log_metric("loss", 0.5, step=3),
    "log_metric later": lambda run: mlflow.log_metric("loss", 0.5, step=3, synchronous=False),
    "log_metrics": lambda run: mlflow.log_metrics({"loss": 0.5, "acc": 1}, step=3),
    "log_metrics later": lambda run: mlflow.log_metrics({"loss": 0.5}, step=3, synchronous=False),
    "client.log_metric": lambda run: MlflowClient().log_metric(run, "loss", 0.5, NOW, 3),
    "client.log_batch": lambda run: MlflowClient().log_batch(
        run, [Metric("loss", 0.5, NOW, 3)], [Param("lr", "0.1")], [RunTag("stage", "dev")]
    ),
    "client.log_batch later": lambda run: (
        MlflowClient()
        .log_batch(
            run,
            [Metric("loss", 0.5, NOW, 3)],
            [Param("lr", "0.1")],
            [RunTag("stage", "dev")],
            synchronous=False,
        )
        .wait()
    ),
    "set_tag": lambda run: mlflow.set_tag("stage", "dev"),
    "set_tags": lambda run: mlflow.set_tags({"stage": "dev", "b": 1}),
    "set_tag later": lambda run: mlflow.set_tag("stage", "dev", synchronous=False),
    "delete_tag": lambda run: (mlflow.set_tag("gone", "x"), mlflow.delete_tag("gone"), mlflow.set_tag("stage", "dev")),
    "log_input": log_input,
    "log_text": lambda run: mlflow.log_text("text", "folder/text.txt"),
    "log_dict": lambda run: mlflow.log_dict({"a": 1}, "dict.json"),
    "log_artifact": lambda run: mlflow.log_artifact(file_at()),
    "log_artifact in a folder": lambda run: mlflow.log_artifact(file_at(), "deep/folder"),
    "log_artifacts": lambda run: mlflow.log_artifacts(os.path.dirname(file_at("some")), "all"),
    "log_figure": log_figure,
    "log_image": lambda run: log_image(run, artifact_file="image.png"),
    "log_image at a step": lambda run: log_image(run, key="image", step=1),
    "log_image at a step, now": lambda run: log_image(run, key="image", step=1, synchronous=True),
    "log_table": lambda run: mlflow.log_table({"a": [1, 2]}, "table.json"),
    "client.update_run": lambda run: MlflowClient().update_run(run, name="renamed"),
    "client.set_terminated": lambda run: MlflowClient().set_terminated(run, "FAILED", NOW),
}


FILES = [
    name for name in WRITES if name.startswith(("log_text", "log_dict", "log_art", "log_fig", "log_im", "log_tab"))
]


def held(plain, url, run_id, write):
    """Everything that a run holds, by what the server itself says."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    run = plain.get_run(run_id)
    own = {key: value for key, value in run.data.tags.items() if not key.startswith(("mlflow.", "mlflow_magics."))}
    uri = run.info.artifact_uri.replace("mlflow-artifacts:", f"{url}/api/2.0/mlflow-artifacts/artifacts")
    repository = get_artifact_repository(uri)

    def files(path=None):
        found = repository.list_artifacts(path)
        return sorted(name for each in found for name in (files(each.path) if each.is_dir else [each.path]))

    datasets = [(each.dataset.name, each.tags[0].value) for each in run.inputs.dataset_inputs] if run.inputs else []
    # MLflow puts the time and something unique into the names of images at a step.
    names = [re.sub(r"timestamp.*?(?=[+%]compressed|\.\w+$)", "", name) for name in (files() if write in FILES else ())]
    metrics = {key: [(m[0], m[2]) for m in points(plain, run_id, key)] for key in run.data.metrics}
    name = run.info.run_name if run.info.run_name == "renamed" else ""
    return run.data.params, own, metrics, datasets, names, run.info.status, name


def do_every_write(flush=()):
    done = {}
    for name, write in WRITES.items():
        with mlflow.start_run() as run:
            write(run.info.run_id)
            if name in flush:
                mlflow.flush_async_logging()
                mlflow.flush_artifact_async_logging()
        done[name] = run.info.run_id
    return done


@pytest.fixture(scope="module")
def expected(mlflow_server, tmp_path_factory):
    """What runs hold after each write by plain MLflow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("plain"))
        mlflow.set_tracking_uri(mlflow_server.url)
        mlflow.set_experiment("plain MLflow")
        done = do_every_write(flush=[name for name in WRITES if "later" in name or "image" in name])
        plain = _get_store()
        found = {name: held(plain, mlflow_server.url, run_id, name) for name, run_id in done.items()}
        mlflow.set_tracking_uri(None)
    return found


@pytest.mark.parametrize("mode", ["online", "outage", "offline"])
def test_every_write_arrives_as_plain_mlflow_writes_it(mode, expected, mlflow_as_found, folder, proxy, plain):
    connection.connect(proxy.url, experiment=f"every write {mode}", offline=mode == "offline")
    if mode == "outage":
        proxy.refuse()
    begun = time.monotonic()
    done = do_every_write()
    if mode != "online":
        assert time.monotonic() - begun < 2.5 + 0.2 * len(done)
    proxy.accept()
    sync()
    ids = store.current().ids
    assert {run_id in ids for run_id in done.values()} == {mode != "online"}
    backend = f"http://{proxy.backend}"
    found = {name: held(plain, backend, ids.get(run_id, run_id), name) for name, run_id in done.items()}
    for name, holds in expected.items():
        assert found[name] == holds, name
    assert not any(store.current().delivery.refusals.by_run.values())


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_autolog_writes_through_it(mode, mlflow_as_found, folder, proxy, experiment, plain):
    from sklearn.linear_model import LogisticRegression

    connection.connect(proxy.url, experiment=experiment, offline=mode == "offline")
    mlflow.sklearn.autolog(log_models=False, silent=True)
    try:
        with mlflow.start_run() as run:
            LogisticRegression(C=0.25).fit([[0], [1], [2], [3]], [0, 0, 1, 1])
    finally:
        mlflow.sklearn.autolog(disable=True)
    sync()
    run_id = store.current().ids.get(run.info.run_id, run.info.run_id)
    found = plain.get_run(run_id)
    assert found.data.params["C"] == "0.25"
    assert found.data.metrics["training_accuracy_score"] == 1.0
    assert found.info.status == "FINISHED"


@pytest.mark.skipif(not MLFLOW_3, reason="MLflow 3 knows whose a metric is")
def test_metrics_of_a_model_and_a_dataset_stay_apart(connected, plain):
    import pandas as pd

    data = mlflow.data.from_pandas(pd.DataFrame({"x": [1]}), name="frame")
    with mlflow.start_run() as run:
        model = mlflow.initialize_logged_model("m")
        mlflow.log_metric("acc", 0.1, step=1)
        mlflow.log_metric("acc", 0.2, step=2, dataset=data)
        mlflow.log_metric("acc", 0.3, step=3, model_id=model.model_id)
        mlflow.log_metric("acc", 0.4, step=4, model_id=model.model_id, dataset=data)
    sync()
    found = {m.step: (m.value, m.model_id, m.dataset_name) for m in plain.get_metric_history(run.info.run_id, "acc")}
    assert {step: value for step, (value, _, _) in found.items()} == {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4}
    of_model = {m.step: (m.value, m.dataset_name) for m in plain.get_logged_model(model.model_id).metrics}
    assert of_model == {3: (0.3, None), 4: (0.4, "frame")}


# -- the caller's own mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e308, True, "0.5", 7], ids=repr)
def test_odd_numbers_are_kept_as_plain_mlflow_keeps_them(value, connected, plain, experiment):
    mlflow.set_tracking_uri(f"http://{connected.backend}")
    mlflow.set_experiment(experiment)
    with mlflow.start_run() as bare:
        mlflow.log_metric("m", value, step=1)
    mlflow.set_tracking_uri(connected.url)
    mlflow.set_experiment(experiment)
    with mlflow.start_run() as ours:
        mlflow.log_metric("m", value, step=1)
    sync()
    ((_, _, expected),) = points(plain, bare.info.run_id, "m")
    ((_, _, found),) = points(plain, ours.info.run_id, "m")
    assert repr(found) == repr(expected)


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: mlflow.log_metric("m", "no number"),
        lambda: mlflow.log_metric("m", None),
        lambda: mlflow.log_metric("m", 1.0, step="one"),
        lambda: mlflow.log_metric("m", 1.0, step=1 << 70),
        lambda: mlflow.log_metric("m", [1]),
        lambda: MlflowClient().get_run("0" * 32),
        lambda: mlflow.start_run(run_id="0" * 32),
        lambda: mlflow.log_artifact("there is no such file"),
    ],
    ids=range(8),
)
def test_a_mistake_is_told_to_who_makes_it(mistake, connected):
    with mlflow.start_run() if mistake.__code__.co_names[:2] != ("mlflow", "start_run") else contextlib.nullcontext():
        with pytest.raises(Exception) as caught:  # noqa: PT011 - MLflow raises what it likes
            mistake()
        assert type(caught.value).__module__.split(".")[0] in ("mlflow", "builtins")
        assert "mlflow_magics" not in str(caught.value)
        if mlflow.active_run():
            mlflow.log_metric("fine", 1.0)
    sync()


# -- reading what was written ---------------------------------------------------------------------------------------


def test_every_reader_sees_what_was_written_a_moment_ago(connected, experiment):
    client = MlflowClient()
    with mlflow.start_run(run_name="mine") as run:
        run_id = run.info.run_id
        for step in range(10):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
            assert [m.step for m in client.get_metric_history(run_id, "loss")][-1] == step
        mlflow.log_param("lr", 1)
        assert mlflow.get_run(run_id).data.params == {"lr": "1"}
        mlflow.set_tag("stage", "dev")
        (found,) = mlflow.search_runs(
            experiment_names=[experiment], filter_string="tags.stage = 'dev'", output_format="list"
        )
        assert found.info.run_id == run_id
        mlflow.log_text("content", "a/b.txt")
        assert [each.path for each in client.list_artifacts(run_id)] == ["a"]
        assert mlflow.artifacts.load_text(f"{run.info.artifact_uri}/a/b.txt") == "content"
        place = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="a/b.txt")
        with open(place) as file:
            assert file.read() == "content"
    assert client.get_run(run_id).info.status == "FINISHED"
    assert mlflow.last_active_run().info.status == "FINISHED"


def test_a_local_id_is_good_for_reading_before_and_after(offline, plain, experiment):
    client = MlflowClient()
    with mlflow.start_run(run_name="outer") as outer, mlflow.start_run(run_name="inner", nested=True) as inner:
        mlflow.log_param("a", 1)
        mlflow.log_text("content", "file.txt")
    assert outer.info.run_id.startswith("offline-")
    assert client.get_run(inner.info.run_id).data.params == {"a": "1"}
    created = sync().created
    assert set(created) == {outer.info.run_id, inner.info.run_id}
    found = client.get_run(inner.info.run_id)
    assert (found.info.run_id, found.data.params, found.info.status) == (
        created[inner.info.run_id],
        {"a": "1"},
        "FINISHED",
    )
    assert found.data.tags["mlflow.parentRunId"] == created[outer.info.run_id]
    assert [each.path for each in client.list_artifacts(inner.info.run_id)] == ["file.txt"]
    assert mlflow.artifacts.load_text(f"runs:/{inner.info.run_id}/file.txt") == "content"
    # Writing by it goes on, too.
    client.log_metric(inner.info.run_id, "late", 1.0)
    client.set_tag(inner.info.run_id, "late", "x")
    sync()
    assert plain.get_run(created[inner.info.run_id]).data.metrics == {"late": 1.0}


# -- who asks -------------------------------------------------------------------------------------------------------


def test_the_store_passes_for_what_it_stands_for(connected):
    front = _get_store()
    assert isinstance(front, RestStore)
    assert type(front) is not RestStore
    assert _get_store() is front
    assert MlflowClient()._tracking_client.store is front


def test_clients_from_before_the_connection_write_through_it_too(
    mlflow_as_found, folder, proxy, experiment, plain, mlflow_server
):
    mlflow.set_tracking_uri(proxy.url)
    before = MlflowClient()
    named = MlflowClient(proxy.url)
    run_id = before.create_run(before.create_experiment(experiment)).info.run_id
    connection.connect(proxy.url, experiment=experiment)
    proxy.refuse()
    before.log_metric(run_id, "a", 1.0)
    named.log_metric(run_id, "b", 2.0)
    proxy.accept()
    sync()
    assert plain.get_run(run_id).data.metrics == {"a": 1.0, "b": 2.0}
    connection.disconnect()
    before.log_metric(run_id, "c", 3.0)
    assert plain.get_run(run_id).data.metrics["c"] == 3.0


def test_who_moves_elsewhere_writes_straight_and_comes_back(connected, folder, other):
    with mlflow.start_run() as here:
        mlflow.log_metric("m", 1.0)
    mlflow.set_tracking_uri(f"sqlite:///{other}")
    there = MlflowClient().create_run("0")
    MlflowClient().log_metric(there.info.run_id, "m", 2.0)
    assert MlflowClient().get_run(there.info.run_id).data.metrics == {"m": 2.0}
    mlflow.set_tracking_uri(connected.url)
    assert MlflowClient().get_run(here.info.run_id).data.metrics == {"m": 1.0}
    sync()


def registered():
    return (
        dict(_tracking_store_registry._registry),
        dict(_artifact_repository_registry._registry),
        rest_utils._get_http_response_with_retries,
    )


def test_removing_leaves_everything_as_it_was(mlflow_as_found, folder, proxy, experiment, state):
    before = registered()
    for number in range(3):
        connection.connect(proxy.url, experiment=experiment)
        assert registered() != before
        with mlflow.start_run() as run:
            mlflow.log_metric("m", number)
        held = _get_store()
        connection.disconnect()
        assert registered() == before
        assert store.current() is None
        # Who still holds the store writes straight.
        held.log_metric(run.info.run_id, Metric("late", 1.0, NOW, 0))
        assert held.get_run(run.info.run_id).data.metrics == {"m": number, "late": 1.0}
        mlflow.set_tracking_uri(proxy.url)
        assert type(_get_store()) is RestStore
    assert [path for path in state.rglob("*") if path.is_file()] == []
    assert not [thread for thread in threading.enumerate() if thread.name == "mlflow_magics outbox"]


def test_somebody_elses_builder_above_ours_stays(mlflow_as_found, folder, proxy, experiment):
    connection.connect(proxy.url, experiment=experiment)
    ours = _tracking_store_registry._registry["http"]
    calls = []

    def theirs(store_uri, artifact_uri=None, **rest):
        calls.append(store_uri)
        return ours(store_uri, artifact_uri, **rest)

    before = dict(_tracking_store_registry._registry)
    _tracking_store_registry.register("http", theirs)
    try:
        connection.disconnect()
        assert _tracking_store_registry._registry["http"] is theirs
        mlflow.set_tracking_uri(proxy.url)
        assert type(_get_store()) is RestStore
        assert calls == [proxy.url]
    finally:
        before["http"] = ours.__wrapped__
        _tracking_store_registry._registry.clear()
        _tracking_store_registry._registry.update(before)
        _tracking_store_registry._get_store_with_resolved_uri.cache_clear()


# -- threads and processes ------------------------------------------------------------------------------------------


def test_twenty_threads_log_into_one_run(connected, plain):
    client = MlflowClient()
    run_id = client.create_run("0").info.run_id

    def log(number):
        for step in range(100):
            client.log_metric(run_id, "shared", step, step=100 * number + step)
            client.log_metric(run_id, f"own {number}", step, step=step)
        client.log_param(run_id, f"p{number}", number)
        client.set_tag(run_id, f"t{number}", number)

    threads = [threading.Thread(target=log, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sync()
    assert sorted(step for step, _, _ in points(plain, run_id, "shared")) == list(range(2000))
    assert all([p[0] for p in points(plain, run_id, f"own {n}")] == list(range(100)) for n in range(20))
    found = plain.get_run(run_id).data
    assert len(found.params) == 20
    assert len([tag for tag in found.tags if tag.startswith("t")]) == 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_writes_straight(connected, plain):
    with mlflow.start_run() as run:
        run_id = run.info.run_id
        mlflow.log_metric("mine", 1.0)
        pid = os.fork()
        if not pid:
            with contextlib.suppress(BaseException):
                MlflowClient().log_metric(run_id, "child", 2.0)
                MlflowClient().log_param(run_id, "child", "x")
                MlflowClient().set_tag(run_id, "child", "x")
                assert MlflowClient().get_run(run_id).data.metrics["child"] == 2.0
                os._exit(0)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        found = plain.get_run(run_id).data
        assert found.metrics["child"] == 2.0
        assert (found.params["child"], found.tags["child"]) == ("x", "x")
        mlflow.log_metric("mine", 3.0, step=1)
    sync()
    assert len(points(plain, run_id, "mine")) == 2


def test_a_child_process_writes_straight_into_the_run(connected, plain):
    with mlflow.start_run() as run:
        code = f"import mlflow; mlflow.MlflowClient().log_metric({run.info.run_id!r}, 'child', 2.0)"
        subprocess.run([sys.executable, "-c", code], check=True)
    assert plain.get_run(run.info.run_id).data.metrics == {"child": 2.0}


# -- experiments without a server -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["outage", "offline"])
def test_experiments_can_be_set_and_made_without_a_server(mode, mlflow_as_found, folder, proxy, experiment, plain):
    connection.connect(proxy.url, experiment=experiment, offline=mode == "offline")
    known = plain.create_experiment(f"{experiment} known")
    if mode == "outage":
        proxy.refuse()
    begun = time.monotonic()
    runs = {}
    for name in (f"{experiment} known", f"{experiment} new", f"{experiment} known"):
        mlflow.set_experiment(name)
        with mlflow.start_run() as run:
            mlflow.log_metric("m", 1.0)
        runs.setdefault(name, []).append(run.info.run_id)
    made = mlflow.create_experiment(f"{experiment} made")
    with mlflow.start_run(experiment_id=made) as run:
        pass
    runs[f"{experiment} made"] = [run.info.run_id]
    assert MlflowClient().get_experiment(made).name == f"{experiment} made"
    assert time.monotonic() - begun < 4.0
    proxy.accept()
    created = sync().created
    for name, ids in runs.items():
        there = plain.get_experiment_by_name(name).experiment_id
        assert {plain.get_run(created[each]).info.experiment_id for each in ids} == {there}
    assert plain.get_experiment_by_name(f"{experiment} known").experiment_id == known


def test_a_silent_server_costs_a_cell_one_wait(connected, experiment):
    known = mlflow.set_experiment(experiment)
    connected.add(Fault("silent"))
    begun = time.monotonic()
    for _ in range(5):
        mlflow.set_experiment(experiment)
        MlflowClient().get_experiment(known.experiment_id)
        time.sleep(0.4)  # the sender looks around meanwhile, and finds nothing to send
    with mlflow.start_run():
        mlflow.log_metric("m", 1.0)
        mlflow.log_text("x", "x.txt")
    assert time.monotonic() - begun < 2.0 + 3.5


def test_what_the_server_refuses_is_an_error_at_once(connected, experiment):
    with pytest.raises(MlflowException):
        mlflow.create_experiment(experiment)
    with pytest.raises(MlflowException):
        MlflowClient().create_run("123456789")
    assert store.current().sender.state == "sending"


def test_without_a_server_from_the_start_what_is_read_fails_at_once(mlflow_as_found, folder):
    connection.connect(f"http://127.0.0.1:{refused_port()}", experiment="x", offline=True)
    begun = time.monotonic()
    with pytest.raises(MlflowException):
        MlflowClient().get_run("0" * 32)
    with contextlib.suppress(MlflowException):
        mlflow.search_experiments()
    assert time.monotonic() - begun < 20
