"""What is tracked in a workspace: refusals waited for, limits kept, models, and looking back.

The workspace is :mod:`tests.rig.azure`; what only a real one can show is listed in CONTRIBUTING.md.
"""

from __future__ import annotations

import mlflow
import pytest

from tests.rig.azure.notebook import LOAD
from tests.rig.waiting import eventually

pytest.importorskip("azureml.mlflow")


@pytest.fixture
def notebook(azure_notebook):
    """Start a notebook as somebody who works in the workspace."""
    return azure_notebook


def send_all(instance):
    """Wait until nothing is left to be sent, and ask for it meanwhile."""
    eventually(lambda: "nothing was waiting" in instance.run("%mlflow_sync"), patience=60, pause=0.5)


@pytest.mark.parametrize("status", [403, 429, 503])
def test_a_service_that_refuses_for_a_while(notebook, azure_ml, status):
    instance = notebook("compute_instance")
    instance.run(LOAD, f"%mlflow_connect -e refusing-{status}")
    azure_ml.faults.refuse(status, times=-1, where="/runs/", retry_after=1 if status == 429 else None)
    shown = instance.run("%%mlflow_run\nlr = 0.1\nfor step in range(10):\n    loss = 1 / (step + 1)\n")
    assert "wait, and are sent when the store answers" in shown
    azure_ml.faults.clear()
    send_all(instance)
    (run,) = instance.runs(f"refusing-{status}")
    assert (run.info.status, run.data.params) == ("FINISHED", {"lr": "0.1"})
    assert len(instance.client.get_metric_history(run.info.run_id, "loss")) == 10


def test_a_workspace_that_is_not_there(notebook, azure_ml):
    azure_ml.faults.workspace_missing = True
    assert "knows no such workspace (404)" in notebook("compute_instance").refused(f"{LOAD}\n%mlflow_connect")


def test_more_than_azure_ml_takes(notebook, azure_ml):
    instance = notebook("compute_instance")
    instance.run(LOAD, "%mlflow_connect -e many")
    cell = """%%mlflow_run
import mlflow
mlflow.log_params({f"p{i}": i for i in range(230)})
mlflow.set_tags({f"t{i}": "x" for i in range(60)})
"""
    shown = instance.run(cell)
    assert "params_over_the_limit.json" in shown
    assert "tags_over_the_limit.json" in shown
    (run,) = instance.runs("many")
    assert run.info.status == "FINISHED"
    assert len(run.data.params) == 200
    assert {"params_over_the_limit.json", "tags_over_the_limit.json"} <= set(instance.files(run))
    # Counted before: nothing is sent that Azure ML would refuse.
    assert not any(each.status == 400 for each in azure_ml.requests)


def test_files_that_the_storage_refused_for_a_while_arrive(notebook, azure_ml):
    instance = notebook("compute_instance")
    instance.run(LOAD, "%mlflow_connect -e storage")
    azure_ml.faults.refuse(403, times=2, where="note.txt")
    azure_ml.faults.refuse(403, times=2, where="model/MLmodel")
    cell = """%%mlflow_run --model model
from sklearn.linear_model import LinearRegression
import mlflow, mlflow.sklearn
model = LinearRegression().fit([[0], [1]], [0, 1])
open("note.txt", "w").write("x")
%mlflow_log artifact note.txt
"""
    instance.run(cell)
    send_all(instance)
    (run,) = instance.runs("storage")
    assert {"note.txt", "model/MLmodel", "model/model.pkl"} <= set(instance.files(run))
    assert "note x" in instance.run(f"print('note', mlflow.artifacts.load_text('runs:/{run.info.run_id}/note.txt'))")
    assert "[1.]" in instance.run(f"print(mlflow.sklearn.load_model('runs:/{run.info.run_id}/model').predict([[1]]))")
    assert not any(name.startswith("mlflow_magics.rejected") for name in run.data.tags)


def test_a_storage_that_fails_for_long_holds_up_no_cell(notebook, azure_ml):
    instance = notebook("compute_instance")
    instance.run(LOAD, "%mlflow_connect -e failing")
    azure_ml.faults.refuse(503, times=-1, where="blob.core")
    cell = """%%mlflow_run
open("note.txt", "w").write("x")
%mlflow_log artifact note.txt
"""
    # Azure's own client would try again for a minute, and "being sent" is what a cell's end waits for.
    assert "are sent when the store answers: files (note.txt" in instance.run(cell)
    assert "being sent" not in instance.run(cell)
    azure_ml.faults.clear()
    send_all(instance)
    assert [instance.files(run) for run in instance.runs("failing")] == [["cell.py", "note.txt"]] * 2


def test_a_name_that_the_run_holds_already(notebook):
    instance = notebook("compute_instance")
    instance.run(LOAD, "%mlflow_connect -e names")
    cell = """%%mlflow_run
import mlflow
for text in ("first", "second"):
    mlflow.log_text(text, "notes/epoch_10.txt")
mlflow.log_dict({}, "notes/other.json")
"""
    shown = instance.run(cell)
    assert "the run holds a file of this name already, and its store replaces none" in shown
    assert "it is there as epoch_10_2.txt" in shown
    (run,) = instance.runs("names")
    written = ["cell.py", "notes/epoch_10.txt", "notes/epoch_10_2.txt", "notes/other.json"]
    assert instance.files(run) == written
    uri = f"runs:/{run.info.run_id}/notes/epoch_10"
    assert "second" in instance.run(f"print(mlflow.artifacts.load_text('{uri}_2.txt'))")
    # So do those of a folder.
    again = """%%mlflow_run --run-id {0}
from pathlib import Path
Path("notes").mkdir(exist_ok=True)
for name in ("other.json", "new.txt"):
    Path("notes", name).write_text("x")
mlflow.log_artifacts("notes", "notes")
"""
    shown = instance.run(again.format(run.info.run_id))
    assert "artifact notes/other.json was refused" in shown
    assert {"notes/new.txt", "notes/other_2.json"} <= set(instance.files(run))
    assert "nothing was waiting" in instance.run("%mlflow_sync")


MODELS = """%%mlflow_run by-hand
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
import mlflow
X, y = load_iris(return_X_y=True)
model = LogisticRegression(max_iter=300).fit(X, y)
words = {"name": "named"} if mlflow.__version__.startswith("3.") else {"artifact_path": "named"}
words |= {"registered_model_name": "registered-at-once", "pip_requirements": ["scikit-learn"]}
info = mlflow.sklearn.log_model(model, **words)
loaded = mlflow.sklearn.load_model(info.model_uri)
"""

AFTER = """
client = mlflow.MlflowClient()
run = client.search_runs([client.get_experiment_by_name("models").experiment_id], "tags.mlflow.runName = 'auto'")[0]
version = mlflow.register_model(f"runs:/{run.info.run_id}/model", "registered-later")
print(version.version, version.run_id == run.info.run_id)
for name in ("registered-at-once", "registered-later"):
    print(mlflow.pyfunc.load_model(f"models:/{name}/1").predict(X[:1]))
"""


def test_models_and_autolog(notebook, azure_ml):
    instance = notebook("compute_instance")
    instance.run(LOAD, "%mlflow_connect -e models", MODELS)
    shown = instance.run(
        "%mlflow_autolog sklearn", "%%mlflow_run auto\nmodel = LogisticRegression(max_iter=300).fit(X, y)\n"
    )
    assert "training_accuracy_score" in shown
    instance.run(
        "%mlflow_autolog off",
        "%%mlflow_run asked --model model=forest\nmodel = LogisticRegression(max_iter=99).fit(X, y)\n",
    )
    loaded = instance.run(AFTER)
    assert "1 True" in loaded
    assert loaded.count("[0]") == 2
    by_hand, auto, asked = instance.runs("models")
    assert "named/MLmodel" in instance.files(by_hand)
    assert len(auto.data.metrics) == 7
    assert {"model/MLmodel", "estimator.html", "training_confusion_matrix.png"} <= set(instance.files(auto))
    assert "forest/MLmodel" in instance.files(asked)
    for run in (by_hand, auto, asked):
        assert "mlflow.log-model.history" in run.data.tags
    # One question told that there are no logged models here.
    assert len(azure_ml.matching("/logged-models")) == (1 if mlflow.__version__.startswith("3.") else 0)


@pytest.mark.skipif(mlflow.__version__.startswith("2."), reason="MLflow 2 has no models beside a run's files")
def test_two_models_of_a_name_in_a_run(notebook):
    instance = notebook("compute_instance")
    cell = """%%mlflow_run folds -e folds
import mlflow.sklearn
from sklearn.dummy import DummyRegressor
uris = []
for fold in range(2):
    fitted = DummyRegressor(strategy="constant", constant=fold).fit([[0]], [0])
    uris.append(mlflow.sklearn.log_model(fitted, name="fold", pip_requirements=["scikit-learn"]).model_uri)
"""
    assert "refused" not in instance.run(LOAD, cell)
    (run,) = instance.runs("folds")
    assert {"fold/MLmodel", "fold_2/MLmodel"} <= set(instance.files(run))
    shown = instance.run("print('folds', [float(mlflow.sklearn.load_model(uri).predict([[0]])[0]) for uri in uris])")
    assert "folds [0.0, 1.0]" in shown


def test_looking_back(notebook):
    instance = notebook("compute_instance")
    fit = """%%mlflow_run fit{0} --metrics score --model model --data X
from sklearn.linear_model import LinearRegression
X = [[0], [1]]
model = LinearRegression().fit(X, [0, {0}])
score = float({0})
"""
    instance.run(LOAD, "%mlflow_connect -e back", fit.format(1), fit.format(2))
    assert "highest first run when took score id fit2" in instance.run("%mlflow_runs --sort score")
    assert "fit1 → fit2" in instance.run("%mlflow_diff fit1 fit2")
    assert "-score" not in instance.run("best = %mlflow_best score")
    assert "model = model model of run fit2 (sklearn)" in instance.run("%mlflow_load $best")
    assert instance.run("print(model.predict([[3]])[0].round())") == "6.0"
    assert "ready to run" in instance.run("%mlflow_restore fit1")
    assert "https://ml.azure.com/experiments/id/" in instance.run("%mlflow_ui")


@pytest.mark.skipif(mlflow.__version__.startswith("2."), reason="MLflow 2 creates the version without a look")
def test_registering_what_is_not_there_leaves_nothing(notebook):
    instance = notebook("compute_instance")
    instance.run(LOAD, "%%mlflow_run nothing\nlr = 1\n")
    run = instance.runs("Default")[-1].info.run_id
    reply = instance.kernel.run(f"import mlflow\nmlflow.register_model('runs:/{run}/model', 'never-made')")
    assert reply.error == "MlflowException"
    assert [model.name for model in instance.client.search_registered_models("name = 'never-made'")] == []


def test_a_model_in_an_outage_arrives_later(notebook, azure_ml):
    instance = notebook("compute_instance")
    instance.run(LOAD, "%mlflow_connect --offline -e later")
    fit = """%%mlflow_run offline --model model
from sklearn.linear_model import LinearRegression
model = LinearRegression().fit([[0], [1]], [0, 1])
"""
    instance.run(fit)
    assert not azure_ml.requests
    instance.run("%mlflow_sync")
    (run,) = instance.runs("later")
    assert run.info.status == "FINISHED"
    assert "model/MLmodel" in instance.files(run)


def test_what_a_dead_kernel_left_is_sent_by_the_next(notebook, azure_ml):
    instance = notebook("compute_instance")
    instance.run(LOAD, "%mlflow_connect -e dead")
    azure_ml.faults.refuse(503, times=-1)
    instance.run("%%mlflow_run left\nlr = 0.1\n")
    instance.kernel.kill()
    azure_ml.faults.clear()
    instance.kernel.restart()
    instance.run(LOAD, "%mlflow_connect -e dead")
    eventually(
        lambda: [run.info.status != "RUNNING" for run in instance.runs("dead")] == [True], patience=60, pause=0.5
    )
    (found,) = instance.runs("dead")
    assert found.data.params == {"lr": "0.1"}


def test_step_by_step(notebook, azure_ml):
    instance = notebook("compute_instance")
    shown = instance.run(LOAD, "%mlflow_connect --check -e checked")
    assert "nothing failed" in shown
    azure_ml.faults.workspace_missing = True
    lost = instance.run("%mlflow_connect --check -e checked")
    assert "knows no such workspace" in lost
    assert "not reached" in lost
