"""Azure ML as its users meet it: where they are, who they are, and that the sign-in ends.

The workspace is :mod:`tests.rig.azure`; what only a real one can show is listed in CONTRIBUTING.md.
"""

from __future__ import annotations

import time

import pytest
from mlflow import MlflowClient

from tests.rig.azure.notebook import LOAD

pytest.importorskip("azureml.mlflow")


@pytest.fixture
def notebook(azure_notebook):
    """Start a notebook as somebody who works in the workspace."""
    return azure_notebook


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
    # MLflow takes MLFLOW_RUN_ID out of the environment; it is the job's token all the same.
    job.run("import mlflow\nmlflow.start_run()\nmlflow.log_param('own', 1)\nmlflow.end_run()")
    assert "connected" in job.run("import os; assert 'MLFLOW_RUN_ID' not in os.environ", "%mlflow_connect -e other")


def test_a_job_whose_token_is_none(notebook):
    job = notebook("job", run_id="r", MLFLOW_TRACKING_TOKEN="garbage")
    assert "MLFLOW_TRACKING_TOKEN is not the token of a job" in job.refused(f"{LOAD}\n%mlflow_connect")
    shown = job.run("%%mlflow_run\nlr = 1\n")
    assert "MLFLOW_TRACKING_TOKEN is not the token of a job" in shown
    assert "garbage" not in shown


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
