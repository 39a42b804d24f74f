"""Azure ML as its users meet it: a real kernel, the real azureml-mlflow client, and a workspace on loopback.

The workspace is :mod:`tests.rig.azure`; what only a real one can show is listed in CONTRIBUTING.md.
"""

from __future__ import annotations

import os
import shutil
import sys
import time

import mlflow
import pytest
from mlflow import MlflowClient

from tests.rig.kernels import KernelProcess

pytest.importorskip("azureml.mlflow")

LOAD = "%load_ext mlflow_magics"


class Notebook:
    """A kernel in the workspace, and a look at what arrived there."""

    def __init__(self, kernel, workspace, server):
        self.kernel = kernel
        self.workspace = workspace
        self.client = MlflowClient(server)

    def run(self, *cells):
        """Run cells, which must work; return what they showed, on one line."""
        shown = []
        for cell in cells:
            reply = self.kernel.run(cell)
            assert reply.status == "ok", reply.printed
            shown.append(reply.printed)
        return " ".join(" ".join(shown).split())

    def refused(self, cell):
        """Run a cell that must end in one line; return it."""
        reply = self.kernel.run(cell)
        assert (reply.status, reply.error) == ("error", "UsageError"), reply
        assert "Traceback" not in reply.printed
        return " ".join(reply.printed.split())

    def runs(self, experiment):
        """The runs of an experiment, oldest first, as the server behind the workspace has them."""
        found = self.client.get_experiment_by_name(experiment)
        return self.client.search_runs([found.experiment_id], order_by=["attributes.start_time ASC"])

    def files(self, run):
        """All files of a run, through the workspace's own history service."""
        return sorted(self.workspace._artifacts._names.get(run.info.run_id, ()))


@pytest.fixture
def notebook(azure_ml, mlflow_server, tmp_path):
    """Start a notebook as somebody who works in the workspace."""
    kernels = []

    def start(kind, *, run_id="", config=False, **more):
        # Nobody's home, and none of this machine's tools: neither a kept sign-in nor az.
        tools = tmp_path / "bin"
        tools.mkdir(exist_ok=True)
        for tool in filter(None, (shutil.which("git"),)):
            (tools / "git").symlink_to(tool) if not (tools / "git").exists() else None
        wanted = {**azure_ml.environment(kind, run_id), "HOME": str(tmp_path)}
        wanted |= {"PATH": f"{os.path.dirname(sys.executable)}:{tools}", **more}
        folder = tmp_path / "notebook"
        if config:
            azure_ml.config_json(folder / ".azureml")
        dropped = [name for name, value in wanted.items() if value is None and name in os.environ]
        assert not dropped, dropped
        kept = {name: value for name, value in wanted.items() if value is not None}
        kernel = KernelProcess(folder, tmp_path / "state", **kept)
        kernels.append(kernel)
        return Notebook(kernel, azure_ml, mlflow_server.url)

    yield start
    for kernel in kernels:
        kernel.__exit__(None, None, None)


def test_a_compute_instance_needs_nothing(notebook, azure_ml):
    instance = notebook("compute_instance")
    cell = """%%mlflow_run instance
lr = 0.1
for step in range(600):
    loss = 1 / (step + 1)
accuracy = sum([0.25, 0.5])
import mlflow
with mlflow.start_run(nested=True, run_name="inner"):
    mlflow.log_metric("inside", 1.0)
open("note.txt", "w").write("x"); open("empty.txt", "w").close()
%mlflow_log artifact note.txt
%mlflow_log artifact empty.txt
"""
    shown = instance.run(LOAD, cell)
    assert "connected" in shown
    assert "on compute instance ci1, workspace workspace, resource group group: nothing to set up" in shown
    assert "https://ml.azure.com/runs/" in shown
    assert "&tid=11111111-2222" in shown
    run, inner = instance.runs("Default")[-2:]
    assert (run.info.run_name, run.info.status) == ("instance", "FINISHED")
    assert run.data.params["lr"] == "0.1"
    assert inner.data.tags["mlflow.parentRunId"] == run.info.run_id
    assert len(instance.client.get_metric_history(run.info.run_id, "loss")) == 600
    assert instance.files(run) == ["cell.py", "empty.txt", "note.txt"]
    # 600 points of one metric are three batches, and there is nothing else to ask Azure ML for each.
    assert len(azure_ml.matching("/runs/log-batch")) <= 7
    assert {each.status for each in azure_ml.requests} <= {200, 201, 206}


def test_a_laptop_with_config_json_needs_one_line(notebook, azure_ml):
    laptop = notebook("service_principal", config=True)
    shown = laptop.run(LOAD, "%mlflow_connect -e laptop", "%%mlflow_run\nlr = 0.5\n")
    assert "connected to Azure ML workspace workspace (.azureml/config.json)" in shown
    assert "signed in by service principal" in shown
    (run,) = laptop.runs("laptop")
    assert (run.info.status, run.data.params) == ("FINISHED", {"lr": "0.5"})
    arm = [each for each in azure_ml.requests if each.path.endswith("/workspaces/workspace")]
    assert len(arm) == 1
    left = "import os; print(os.environ.get('MLFLOW_TRACKING_URI'), os.environ['AZUREML_CURRENT_CLOUD'])"
    assert laptop.run("%unload_ext mlflow_magics", left) == "None AzureCloud"


def test_three_names_or_the_portals_address(notebook, azure_ml):
    laptop = notebook("service_principal")
    parts = azure_ml.tracking_uri.split("/")
    names = f"--subscription {parts[6]} --resource-group group --workspace workspace"
    assert "connected to Azure ML workspace workspace" in laptop.run(LOAD, f"%mlflow_connect {names}")
    pasted = azure_ml.tracking_uri.replace("resourceGroups", "resourcegroups")
    shown = laptop.run(f"%mlflow_connect '{pasted}/ '")
    assert "wrote resourceGroups for resourcegroups" in shown
    assert "connected to Azure ML workspace workspace" in shown
    assert "resource-group" in laptop.refused("%mlflow_connect --workspace w --subscription s")
    assert "give one of them" in laptop.refused("%mlflow_connect local --config x")
    assert "there is no such file" in laptop.refused("%mlflow_connect --config nowhere.json")
    assert "the resource group is missing" in laptop.refused(
        f"%mlflow_connect {azure_ml.tracking_uri.replace('resourceGroups/group/', '')}"
    )


def test_in_a_job(notebook, azure_ml, mlflow_server):
    made = MlflowClient(mlflow_server.url).create_run("0", run_name="the job").info.run_id
    job = notebook("job", run_id=made)
    shown = job.run(LOAD, "%%mlflow_run mine\nlr = 0.1\n", "%%mlflow_run\ndepth = 3\n")
    assert f"in a job: cells log into its run {made}, which stays open" in shown
    run = job.client.get_run(made)
    assert (run.info.run_name, run.info.status) == ("the job", "RUNNING")
    assert run.data.params == {"lr": "0.1", "depth": "3"}
    assert len(job.files(run)) == 2


def test_nobody_is_signed_in(notebook, azure_ml):
    lonely = notebook("nobody")
    start = time.monotonic()
    said = lonely.refused(f"{LOAD}\n%mlflow_connect {azure_ml.tracking_uri}")
    assert time.monotonic() - start < 20  # ten, and the imports
    for way in ("az login", "AZURE_CLIENT_SECRET", "--device-code"):
        assert way in said
    # What is logged all the same is kept, and the cell does not fail.
    lonely.run(f"import os; os.environ['MLFLOW_TRACKING_URI'] = '{azure_ml.tracking_uri}'")
    shown = lonely.run("%%mlflow_run alone\nlr = 0.1\n")
    assert "not signed in to Azure" in shown
    assert "wait, and are sent" in shown


def test_a_config_json_that_lies_about_costs_no_run(notebook, tmp_path):
    lonely = notebook("nobody", config=True)
    shown = lonely.run(LOAD, "%%mlflow_run local\nlr = 0.1\n")
    assert ".azureml/config.json names Azure ML workspace workspace, but not signed in to Azure" in shown
    client = MlflowClient(f"sqlite:///{tmp_path}/notebook/mlflow.db")
    assert [run.info.status for run in client.search_runs(["0"])] == ["FINISHED"]
    # Who asks for it is told instead.
    assert "az login" in lonely.refused("%mlflow_connect --config .azureml")


def test_a_device_code_is_shown_in_the_cell(notebook, azure_ml):
    person = notebook("nobody")
    shown = person.run(LOAD, f"%mlflow_connect {azure_ml.tracking_uri} --device-code", "%%mlflow_run\nlr = 0.1\n")
    assert "enter the code ABCD-1234" in shown
    assert "as me@example.com" in shown
    assert person.runs("Default")[-1].info.status == "FINISHED"


def test_the_sign_in_ends_and_comes_back_in_mid_run(notebook, azure_ml):
    azure_ml.faults.lifetime = 3
    laptop = notebook("service_principal")
    laptop.run(LOAD, f"%mlflow_connect {azure_ml.tracking_uri} -e expiring")
    # The token is renewed without anybody noticing.
    cell = "%%mlflow_run renewed\nimport mlflow, time\nfor i in range(5):\n    time.sleep(1)\n"
    assert "wait" not in laptop.run(cell + "    mlflow.log_metric('m', i, step=i)\n")
    azure_ml.faults.sign_in = "expired"
    time.sleep(3.5)
    shown = laptop.run("%%mlflow_run kept\nlr = 0.1\nscore = sum([lr, 1])\n")
    assert "finished" in shown
    assert "AADSTS700082" in shown
    assert "AZURE_CLIENT_SECRET, then %mlflow_sync" in shown
    azure_ml.faults.sign_in = "up"
    time.sleep(2.5)  # threads that waited for a refusal share it for 2 s
    assert "sent" in laptop.run("%mlflow_sync")
    renewed, kept = laptop.runs("expiring")
    assert len(laptop.client.get_metric_history(renewed.info.run_id, "m")) == 5
    assert (kept.info.run_name, kept.info.status, kept.data.params["lr"]) == ("kept", "FINISHED", "0.1")


def test_a_token_that_the_service_takes_back_is_replaced(notebook, azure_ml):
    instance = notebook("compute_instance")
    instance.run(LOAD, "%mlflow_connect -e revoked")
    azure_ml.tokens.revoke()
    instance.run("%%mlflow_run\nlr = 0.1\n", "%mlflow_sync")
    (run,) = instance.runs("revoked")
    assert (run.info.status, run.data.params) == ("FINISHED", {"lr": "0.1"})


@pytest.mark.parametrize("status", [403, 429, 503])
def test_a_service_that_refuses_for_a_while(notebook, azure_ml, status):
    instance = notebook("compute_instance")
    instance.run(LOAD, f"%mlflow_connect -e refusing-{status}")
    azure_ml.faults.refuse(status, times=-1, where="/runs/", retry_after=1 if status == 429 else None)
    shown = instance.run("%%mlflow_run\nlr = 0.1\nfor step in range(10):\n    loss = 1 / (step + 1)\n")
    assert "wait, and are sent when the store answers" in shown
    azure_ml.faults.clear()
    deadline = time.monotonic() + 60
    while "nothing was waiting" not in instance.run("%mlflow_sync") and time.monotonic() < deadline:
        time.sleep(0.5)
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
    assert not any(each.status == 400 for each in azure_ml.requests[:-40])


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
    deadline = time.monotonic() + 60
    while not (found := instance.runs("dead")) or found[0].info.status == "RUNNING":
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert found[0].data.params == {"lr": "0.1"}


def test_step_by_step(notebook, azure_ml):
    instance = notebook("compute_instance")
    shown = instance.run(LOAD, "%mlflow_connect --check -e checked")
    assert "nothing failed" in shown
    azure_ml.faults.workspace_missing = True
    lost = instance.run("%mlflow_connect --check -e checked")
    assert "knows no such workspace" in lost
    assert "not reached" in lost
