"""Models in an outage: a real server behind a proxy that refuses, then answers again."""

from __future__ import annotations

import uuid
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sklearn.linear_model import LogisticRegression

from mlflow_magics.tracking.connecting import connection, recovery
from mlflow_magics.tracking.models import models
from mlflow_magics.tracking.outbox.disk import addresses
from mlflow_magics.tracking.patches import store
from tests.rig.faulty import Fault, FaultyProxy
from tests.rig.waiting import eventually

X = np.arange(20.0).reshape(10, 2)
Y = np.array([0] * 5 + [1] * 5)
MODEL = LogisticRegression().fit(X, Y)

MLFLOW_3 = hasattr(MlflowClient, "create_logged_model")
three = pytest.mark.skipif(not MLFLOW_3, reason="MLflow 2 keeps models among the files of their run")


@pytest.fixture
def proxy(mlflow_server):
    with FaultyProxy(mlflow_server.url) as proxy:
        yield proxy


@pytest.fixture
def connected(proxy, folder, mlflow_as_found):
    """The proxy, connected to, with an experiment of the test's own."""
    connection.connect(proxy.url, experiment=f"models-{uuid.uuid4().hex[:8]}")
    return proxy


@pytest.fixture
def offline(proxy, folder, mlflow_as_found):
    connection.connect(proxy.url, experiment=f"models-{uuid.uuid4().hex[:8]}", offline=True)
    return proxy


def log(name="forest", **options):
    words = {"name" if MLFLOW_3 else "artifact_path": name, "pip_requirements": ["scikit-learn"]}
    if MLFLOW_3:
        words["serialization_format"] = "cloudpickle"
    return mlflow.sklearn.log_model(MODEL, **(words | options))


def sync():
    """Send all; a try that was under way when the server came back may still fail."""
    tried = []
    eventually(
        lambda: tried.append(store.current().syncing.sync(lambda sent, left: None)) or not tried[-1].waiting.total
    )
    return tried[-1]


def plain_status(model_id):
    """A model's state in MLflow's own store, without us between."""
    return str(store.current().store.get_logged_model(model_id).status)


def remote_id(local):
    return store.current().ids.get(local, local)


def predicts(uri):
    return bool((mlflow.sklearn.load_model(uri).predict(X) == MODEL.predict(X)).all())


def description(model_id):
    """The file that describes a model, as the store has it."""
    folder = mlflow.artifacts.download_artifacts(f"models:/{model_id}")
    return Path(folder, "MLmodel").read_text()


def all_models():
    experiment = mlflow.get_experiment(mlflow.tracking.fluent._get_experiment_id())
    return list(MlflowClient().search_logged_models([experiment.experiment_id]))


# -- a model in an outage -----------------------------------------------------------------------------------------


def how_it_stands(run_id, info):
    """What a run and its model hold once all is sent."""
    run = MlflowClient().get_run(run_id)
    assert predicts(info.model_uri)
    assert predicts(f"runs:/{run_id}/forest")
    return run


@pytest.mark.parametrize("when", ["before the run", "in the run"])
def test_a_model_waits_and_arrives(connected, when):
    if when == "before the run":
        connected.refuse()
    with mlflow.start_run(run_name="outage") as run:
        mlflow.log_metric("accuracy", 0.5)
        mlflow.log_param("depth", 3)
        connected.refuse()
        info = log()
        mlflow.log_metric("late", 1.0)
    assert store.current().telling.waiting().total > 0
    connected.accept()
    assert sync().waiting.total == 0
    run_id = remote_id(run.info.run_id)
    found = how_it_stands(run.info.run_id, info)
    assert found.info.run_id == run_id
    assert found.info.status == "FINISHED"
    assert found.data.metrics == {"accuracy": 0.5, "late": 1.0}
    assert "mlflow_magics.rejected" not in found.data.tags
    assert predicts(f"runs:/{run_id}/forest")


@three
def test_a_logged_model_is_whole(connected):
    """Ids, description, outputs, params, metrics and state are the store's own, and nothing local is left in them."""
    connected.refuse()
    with mlflow.start_run() as run:
        mlflow.log_metric("accuracy", 0.5)
        mlflow.log_param("depth", 3)
        info = log(params={"kind": "linear"}, tags={"stage": "dev"})
        mlflow.log_metric("f1", 0.75, model_id=info.model_id, step=2)
        mlflow.set_logged_model_tags(info.model_id, {"reviewed": "no", "gone": "soon"})
        mlflow.delete_logged_model_tag(info.model_id, "gone")
        mlflow.log_model_params({"extra": "1"}, model_id=info.model_id)
    assert info.model_id.startswith("offline-")
    known = mlflow.get_logged_model(info.model_id)
    assert (str(known.status), known.params, known.tags["reviewed"]) == (
        "READY",
        {"kind": "linear", "depth": "3", "extra": "1"},
        "no",
    )
    connected.accept()
    sync()
    (model,) = all_models()
    run_id = remote_id(run.info.run_id)
    assert model.model_id == remote_id(info.model_id) != info.model_id
    assert (str(model.status), model.name, model.source_run_id) == ("READY", "forest", run_id)
    assert model.params == {"kind": "linear", "depth": "3", "extra": "1"}
    assert model.tags["stage"] == "dev"
    assert model.tags["reviewed"] == "no"
    assert "gone" not in model.tags
    assert {(m.key, m.value, m.step) for m in model.metrics} == {("accuracy", 0.5, 0), ("f1", 0.75, 2)}
    stored = MlflowClient().get_run(run_id)
    assert [output.model_id for output in stored.outputs.model_outputs] == [model.model_id]
    text = description(model.model_id)
    assert model.model_id in text
    assert run_id in text
    assert model.artifact_location in text
    assert "offline-" not in text
    assert addresses.SCHEME not in text
    assert predicts(info.model_uri)
    assert predicts(f"models:/{model.model_id}")
    assert mlflow.get_logged_model(info.model_id).model_id == model.model_id
    assert [file.path for file in MlflowClient().list_logged_model_artifacts(info.model_id)].count("MLmodel") == 1


@three
def test_a_model_that_waits_can_be_loaded(offline):
    with mlflow.start_run() as run:
        info = log()
    assert predicts(info.model_uri)
    assert mlflow.pyfunc.load_model(info.model_uri).metadata.run_id == run.info.run_id
    # What was read is a copy: nothing of the reading is sent.
    sync()
    names = {file.path for file in MlflowClient().list_logged_model_artifacts(remote_id(info.model_id))}
    assert "registered_model_meta" not in names
    assert "MLmodel" in names


def test_a_description_names_the_stores_run(offline):
    """MLflow 2 writes the run's id into the model and into a tag of the run."""
    with mlflow.start_run() as run:
        log()
    sync()
    run_id = remote_id(run.info.run_id)
    folder = mlflow.artifacts.download_artifacts(f"runs:/{run_id}/forest")
    text = Path(folder, "MLmodel").read_text()
    assert f"run_id: {run_id}" in text
    assert "offline-" not in text
    assert "offline-" not in MlflowClient().get_run(run_id).data.tags.get("mlflow.log-model.history", "")


def test_the_magics_own_way(offline):
    run = mlflow.start_run()
    mlflow.end_run()
    logged = models.log_model(MODEL, "forest", run_id=run.info.run_id, signature_inputs=X)
    sync()
    assert predicts(logged.uri)


def test_autolog(offline):
    mlflow.sklearn.autolog(silent=True)
    try:
        with mlflow.start_run() as run:
            LogisticRegression().fit(X, Y)
    finally:
        mlflow.sklearn.autolog(disable=True, silent=True)
    assert sync().waiting.total == 0
    found = MlflowClient().get_run(remote_id(run.info.run_id))
    assert "training_score" in found.data.metrics
    assert "mlflow_magics.rejected" not in found.data.tags
    assert predicts(f"runs:/{run.info.run_id}/model")
    if MLFLOW_3:
        (model,) = all_models()
        assert "training_score" in {metric.key for metric in model.metrics}
        assert [given.dataset.name for given in found.inputs.dataset_inputs]


def test_a_python_function(offline):
    class Double(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return [2 * each for each in model_input]

    with mlflow.start_run() as run:
        words = {"name": "double"} if MLFLOW_3 else {"artifact_path": "double"}
        mlflow.pyfunc.log_model(python_model=Double(), pip_requirements=[], **words)
    sync()
    loaded = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/double")
    assert loaded.unwrap_python_model().predict(None, [1, 2]) == [2, 4]


# -- online, and on the edge --------------------------------------------------------------------------------------


@three
def test_online_a_model_is_the_stores_own(connected):
    with mlflow.start_run() as run:
        info = log()
    assert not info.model_id.startswith("offline-")
    assert sync().waiting.total == 0
    (model,) = all_models()
    assert (model.model_id, str(model.status), model.source_run_id) == (info.model_id, "READY", run.info.run_id)
    assert predicts(info.model_uri)


@three
def test_it_is_not_ready_before_its_files(connected):
    with mlflow.start_run() as run, connected.faulty(Fault("answer", "PUT .*mlflow-artifacts", status=503)):
        info = log()
        store.current().flush()
        eventually(lambda: store.current().delivery.files.trouble, "a file that was not taken")
        assert plain_status(info.model_id) == "PENDING"
        assert store.current().telling.waiting().runs[0][0] == run.info.run_name
    sync()
    assert plain_status(info.model_id) == "READY"
    assert predicts(info.model_uri)


@three
def test_a_model_whose_files_are_refused_has_failed(connected):
    with mlflow.start_run() as run, connected.faulty(Fault("answer", "PUT .*mlflow-artifacts", status=413)):
        info = log()
        sync()
    sync()
    assert plain_status(info.model_id) == "FAILED"
    assert "artifact" in MlflowClient().get_run(run.info.run_id).data.tags["mlflow_magics.rejected"]


@three
def test_a_lost_answer_makes_no_second_model(connected):
    """Once to the cell, which goes on with a local id, and once to the replay."""
    with mlflow.start_run():
        connected.add(Fault("cut after", "POST .*logged-models$", times=1))
        info = log()
    assert info.model_id.startswith("offline-")
    sync()
    with mlflow.start_run():
        connected.refuse()
        log("second")
    connected.accept()
    connected.add(Fault("cut after", "POST .*logged-models$", times=1))
    sync()
    sync()
    assert sorted(model.name for model in all_models()) == ["forest", "second"]
    assert {str(model.status) for model in all_models()} == {"READY"}
    assert predicts(info.model_uri)


@three
def test_a_lost_answer_loses_no_params(offline):
    """More params than one request takes: those behind it are sent by the replay."""
    mlflow.initialize_logged_model("wide", params={f"p{i}": str(i) for i in range(250)})
    offline.add(Fault("cut before", "POST .*logged-models/.*/params$", times=1))
    sync()
    sync()
    (model,) = all_models()
    assert model.params == {f"p{i}": str(i) for i in range(250)}


@three
def test_a_model_of_an_earlier_session(connected):
    """It is written to as ever, in an outage too; a mistake is told as MLflow tells it."""
    model = mlflow.initialize_logged_model("old")
    address = mlflow.get_tracking_uri()
    experiment = model.experiment_id
    connection.disconnect()
    connection.connect(address, experiment=MlflowClient(address).get_experiment(experiment).name)
    with pytest.raises(MlflowException, match="Failed to get logged model"):
        mlflow.set_logged_model_tags("m-" + "0" * 32, {"a": "b"})
    assert mlflow.get_logged_model(model.model_id).name == "old"
    connected.refuse()
    mlflow.set_logged_model_tags(model.model_id, {"while": "away"})
    connected.accept()
    assert sync().waiting.total == 0
    assert mlflow.get_logged_model(model.model_id).tags["while"] == "away"


@three
def test_a_mistake_is_told_at_once(offline):
    with mlflow.start_run(), pytest.raises(MlflowException, match="Invalid model name"):
        log("a/b")


@three
def test_no_room_is_said(offline, monkeypatch):
    monkeypatch.setattr("mlflow_magics.tracking.outbox.staging.STRAIGHT_BYTES", 10)
    with mlflow.start_run() as run, pytest.raises(MlflowException, match="no room"):
        log()
    sync()
    (model,) = all_models()
    assert (str(model.status), model.source_run_id) == ("FAILED", remote_id(run.info.run_id))


@three
def test_a_dead_kernels_model_is_sent(offline):
    name = mlflow.get_experiment(mlflow.tracking.fluent._get_experiment_id()).name
    with mlflow.start_run():
        info = log()
        mlflow.log_metric("f1", 0.75, model_id=info.model_id)
    store.remove()
    # As in the next kernel, where nothing but the journal is known.
    (said, *_) = recovery.recover(offline.url, offline.url)
    assert said.startswith("sent")
    (experiment,) = [e for e in MlflowClient().search_experiments() if e.name == name]
    (model,) = MlflowClient().search_logged_models([experiment.experiment_id])
    assert {metric.key for metric in model.metrics} == {"f1"}
    assert str(model.status) == "READY"
    assert predicts(f"models:/{model.model_id}")


def test_removing_takes_back_what_was_registered(connected):
    from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry as registry

    during = dict(registry._registry)
    connection.disconnect()
    after = dict(registry._registry)
    assert addresses.SCHEME in during
    assert addresses.SCHEME not in after
    assert all(after[scheme].__module__.startswith("mlflow.") for scheme in ("runs", "models"))


# -- what else is logged ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["offline", "in the run"])
def test_everything_else_waits_too(connected, start):
    import matplotlib.figure

    if start == "offline":
        connected.refuse()
    with mlflow.start_run(run_name="outer") as run:
        connected.refuse()
        frame = pd.DataFrame({"a": [1, 2]})
        mlflow.log_input(mlflow.data.from_pandas(frame, name="toy"), context="training")
        mlflow.log_image(np.zeros((4, 4, 3), dtype=np.uint8), "image.png")
        mlflow.log_figure(matplotlib.figure.Figure(), "figure.png")
        mlflow.log_dict({"a": 1}, "some/dict.json")
        with mlflow.start_run(run_name="inner", nested=True) as inner:
            mlflow.log_metric("x", 1.0)
    with mlflow.start_run(run_id=run.info.run_id):
        mlflow.log_metric("again", 2.0)
    connected.accept()
    assert sync().waiting.total == 0
    found = MlflowClient().get_run(remote_id(run.info.run_id))
    assert [given.dataset.name for given in found.inputs.dataset_inputs] == ["toy"]
    names = {file.path for file in MlflowClient().list_artifacts(found.info.run_id)}
    assert {"image.png", "figure.png", "some"} <= names
    assert found.data.metrics == {"again": 2.0}
    assert found.info.status == "FINISHED"
    child = MlflowClient().get_run(remote_id(inner.info.run_id))
    assert child.data.tags["mlflow.parentRunId"] == found.info.run_id


def test_a_table_grows_while_it_waits(offline):
    with mlflow.start_run() as run:
        mlflow.log_table({"a": [1]}, "table.json")
        mlflow.log_table({"a": [2]}, "table.json")
    sync()
    with mlflow.start_run(run_id=run.info.run_id):
        assert list(mlflow.load_table("table.json")["a"]) == [1, 2]


def test_a_history_is_read_while_it_waits(offline):
    with mlflow.start_run() as run:
        for step in range(3):
            mlflow.log_metric("loss", step / 2, step=step)
        mlflow.log_metric("other", 1.0)
    history = MlflowClient().get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(0, 0.0), (1, 0.5), (2, 1.0)]
    sync()
    history = MlflowClient().get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(0, 0.0), (1, 0.5), (2, 1.0)]
