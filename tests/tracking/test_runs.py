"""Writing to a run, against a real store: batches within MLflow's limits, and no value takes another with it."""

from __future__ import annotations

import shutil

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Param as MlflowParam

from mlflow_magics.tracking.patches import store as outbox
from mlflow_magics.tracking.runs import runs, settling
from mlflow_magics.vocabulary.errors import MlflowMagicsError
from mlflow_magics.vocabulary.records import Metric, Param


@pytest.fixture
def run(folder, _store, monkeypatch):
    shutil.copy(_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    outbox.install(uri, uri)
    yield runs.open_run("0", name="written")
    outbox.remove()
    mlflow.set_tracking_uri(None)


def data(run):
    return MlflowClient().get_run(run.info.run_id).data


def test_many_values_go_in_few_batches(run, monkeypatch):
    sizes = []
    store = outbox.current().store
    plain = store.log_batch

    def counted(run_id, metrics, params, tags):
        sizes.append((len(metrics), len(params), len(tags)))
        plain(run_id, metrics, params, tags)

    monkeypatch.setattr(store, "log_batch", counted)
    params = [Param(f"p{i}", str(i), "") for i in range(250)]
    metrics = [Metric(f"m{i}", float(i), "") for i in range(1500)]
    written = runs.write(run, params, metrics)
    assert (len(written.params), len(written.metrics), written.notes) == (250, 1500, ())
    assert (len(data(run).params), len(data(run).metrics)) == (250, 1500)
    assert all(m + p + t <= 1000 and p <= 100 and t <= 100 for m, p, t in sizes)
    assert len(sizes) <= 5
    sizes.clear()
    settling.settle(run)
    runs.write(run, [Param("one", "1", "")], [Metric("two", 2.0, "")])
    assert data(run).params["one"] == "1"
    assert sizes == [(1, 1, 0)]


def test_a_refused_value_stands_alone(run):
    # Written by another process: this one learns of it from the store's refusal.
    outbox.current().store.log_param(run.info.run_id, MlflowParam("p3", "first"))
    assert runs.write_one(run, params=[Param(f"p{i}", str(i), "") for i in range(8)]) == []
    settled = settling.settle(run)
    (note,) = settled.notes
    assert note.startswith("param p3 was refused")
    assert settled.refused == {"param p3"}
    assert "param p3" in data(run).tags["mlflow_magics.rejected"]
    assert data(run).params == {f"p{i}": "first" if i == 3 else str(i) for i in range(8)}


def test_what_others_logged_stays_and_is_told_apart(run):
    client = MlflowClient()
    client.log_param(run.info.run_id, "same", "1")
    client.log_param(run.info.run_id, "other", "1")
    client.log_param(run.info.run_id, "theirs", "1")
    client.log_metric(run.info.run_id, "score", 0.5)
    client.log_metric(run.info.run_id, "loss", 0.25)
    written = runs.write(
        run,
        [Param("same", "1", ""), Param("other", "2", ""), Param("mine", "3", "")],
        [Metric("score", 0.75, ""), Metric("loss", 0.25, "")],
    )
    assert {p.name: p.value for p in written.params} == {"same": "1", "mine": "3"}
    assert {m.name: m.value for m in written.metrics} == {"loss": 0.25}
    assert dict(written.auto_params) == {"other": "1", "theirs": "1"}
    assert dict(written.auto_metrics) == {"score": 0.5}
    assert "stays '1'" in written.notes[0]
    assert data(run).metrics["score"] == 0.5


def test_a_resumed_run_takes_new_values_of_old_metrics(run):
    runs.write(run, [Param("lr", "1", "")], [Metric("score", 0.5, "")])
    runs.close_run(run, "FINISHED")
    again = runs.resume_run(run.info.run_id)
    assert MlflowClient().get_run(run.info.run_id).info.status == "RUNNING"
    written = runs.write(again, [Param("lr", "1", "")], [Metric("score", 0.75, "")])
    runs.close_run(again, "FAILED")
    assert [m.value for m in written.metrics] == [0.75]
    assert data(run).metrics == {"score": 0.75}
    assert MlflowClient().get_run(run.info.run_id).info.status == "FAILED"


def test_a_run_that_is_not_there(run):
    with pytest.raises(MlflowMagicsError, match="unknown run"):
        runs.resume_run("0" * 32)
    MlflowClient().delete_run(run.info.run_id)
    with pytest.raises(MlflowMagicsError, match="restore_run"):
        runs.resume_run(run.info.run_id)
