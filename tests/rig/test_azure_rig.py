"""The emulated workspace, tried by the real azureml-mlflow client in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("azureml.mlflow")

START = """
import os, sys, mlflow, tempfile, pathlib, warnings
from mlflow import MlflowClient
warnings.simplefilter("ignore")
mlflow.set_tracking_uri(os.environ["URI"])
client = MlflowClient()
"""


def child(workspace, kind, code, tmp_path, *, seconds=120, fails=False, run_id="", **variables):
    """Run code as somebody who works in the workspace; return what it printed, or what it failed with."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "AZURE"))}
    wanted = {**workspace.environment(kind, run_id), "URI": workspace.tracking_uri, **variables}
    # Nobody's home: neither az nor any cache of tokens.
    kept |= {"HOME": str(tmp_path), "PATH": os.path.dirname(sys.executable)}
    kept |= {name: value for name, value in wanted.items() if value is not None}
    for name in (name for name, value in wanted.items() if value is None):
        kept.pop(name, None)
    kept.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    done = subprocess.run(
        [sys.executable, "-c", START + textwrap.dedent(code)],
        env=kept,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    if fails:
        assert done.returncode != 0, done.stdout
        return done.stderr
    assert done.returncode == 0, done.stderr[-4000:]
    # MLflow prints links at the end of each run.
    return [line for line in done.stdout.splitlines() if not line.startswith(("\U0001f3c3", "\U0001f9ea"))]


EVERYTHING = """
mlflow.set_experiment(os.environ["EXPERIMENT"])
with mlflow.start_run(run_name="outer") as outer:
    mlflow.log_params({"a": 1})
    mlflow.log_metrics({"m": 0.5}, step=3)
    mlflow.set_tag("t", "x")
    with mlflow.start_run(nested=True) as inner:
        mlflow.log_metric("n", 1)
    mlflow.log_text("hello", "folder/note.txt")
    mlflow.log_text("", "empty.txt")
run = client.get_run(outer.info.run_id)
print(run.data.params, run.data.metrics, run.data.tags["t"], run.info.status)
print(client.get_run(inner.info.run_id).data.tags["mlflow.parentRunId"] == outer.info.run_id)
print(run.info.artifact_uri.startswith("azureml://127.0.0.1"))
print(sorted(file.path for file in client.list_artifacts(outer.info.run_id)))
print(repr(mlflow.artifacts.load_text(run.info.artifact_uri + "/folder/note.txt")))
print(repr(pathlib.Path(client.download_artifacts(outer.info.run_id, "empty.txt")).read_text()))
print(len(client.search_runs([run.info.experiment_id], "metrics.m > 0.1")))
"""

SEEN = [
    "{'a': '1'} {'m': 0.5} x FINISHED",
    "True",
    "True",
    "['empty.txt', 'folder']",
    "'hello'",
    "''",
    "1",
]


def test_everything_of_a_run(azure_ml, tmp_path):
    # As a service principal only through the product: the plugin's own credential asks login.microsoftonline.com
    # whether it may trust another authority, which cannot exist here.
    assert child(azure_ml, "compute_instance", EVERYTHING, tmp_path, EXPERIMENT="rig") == SEEN
    assert len(azure_ml.matching("/batch/metadata")) == 2


def test_a_jobs_run(azure_ml, tmp_path):
    made = child(azure_ml, "compute_instance", "print(client.create_run('0').info.run_id)", tmp_path)[0]
    code = """
    mlflow.log_param("in_job", 1)
    mlflow.log_text("x", "x.txt")
    print(mlflow.active_run().info.run_id, client.get_run(mlflow.active_run().info.run_id).data.params)
    """
    assert child(azure_ml, "job", code, tmp_path, run_id=made) == [f"{made} {{'in_job': '1'}}"]


def test_a_jobs_token_is_renewed(azure_ml, tmp_path):
    made = child(azure_ml, "compute_instance", "print(client.create_run('0').info.run_id)", tmp_path)[0]
    azure_ml.faults.lifetime = 60  # the client renews what has less than 95 s left
    child(azure_ml, "job", "mlflow.log_param('a', 1)", tmp_path, run_id=made)
    assert azure_ml.matching("/token")


def test_a_large_file_goes_in_blocks_and_comes_back_in_ranges(azure_ml, tmp_path):
    code = """
    import hashlib
    content = os.urandom(1 << 20) * 70
    pathlib.Path("large.bin").write_bytes(content)
    with mlflow.start_run() as run:
        mlflow.log_artifact("large.bin")
    got = pathlib.Path(client.download_artifacts(run.info.run_id, "large.bin", tempfile.mkdtemp())).read_bytes()
    print(len(got), hashlib.sha256(got).digest() == hashlib.sha256(content).digest())
    """
    assert child(azure_ml, "compute_instance", code, tmp_path) == [f"{70 << 20} True"]
    blobs = azure_ml.matching("large.bin")
    assert sum(each.status == 206 for each in blobs) > 1
    assert sum(each.method == "PUT" for each in blobs) > 2


def test_a_name_is_taken_once(azure_ml, tmp_path):
    code = """
    with mlflow.start_run():
        mlflow.log_text("x", "x.txt")
        mlflow.log_text("y", "x.txt")
    """
    assert "Resource Conflict" in child(azure_ml, "compute_instance", code, tmp_path, fails=True)


def test_a_registered_model_version(azure_ml, tmp_path):
    code = """
    from sklearn.linear_model import LinearRegression
    with mlflow.start_run() as run:
        mlflow.sklearn.save_model(LinearRegression().fit([[0], [1]], [0, 1]), "saved")
        mlflow.log_artifacts("saved", "model")
    name = "rig-" + run.info.run_id[:8]
    client.create_registered_model(name)
    client.create_model_version(name, run.info.artifact_uri + "/model", run.info.run_id)
    print(round(mlflow.pyfunc.load_model(f"models:/{name}/1").predict([[5]])[0], 6))
    """
    assert child(azure_ml, "compute_instance", code, tmp_path) == ["5.0"]


def test_logged_models_are_missing(azure_ml, tmp_path):
    """What MLflow 3 breaks on Azure ML, by itself: this is what the product hints."""
    code = """
    from sklearn.linear_model import LinearRegression
    with mlflow.start_run():
        mlflow.sklearn.log_model(LinearRegression().fit([[0], [1]], [0, 1]), "model")
    """
    import mlflow

    if mlflow.__version__.startswith("3."):
        assert "404" in child(azure_ml, "compute_instance", code, tmp_path, fails=True)
    else:
        assert child(azure_ml, "compute_instance", code, tmp_path) == []


@pytest.mark.parametrize("kind", ["none", "garbage", "expired", "taken back"])
def test_who_has_no_good_token_is_refused(azure_ml, kind):
    import requests

    issued, _ = azure_ml.tokens.issue(lifetime=-1 if kind == "expired" else None)
    token = {"none": None, "garbage": "garbage"}.get(kind, issued)
    if kind == "taken back":
        assert azure_ml.tokens.is_good(issued)
        azure_ml.tokens.revoke()
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    url = azure_ml.tracking_uri.replace("azureml:", "https:").replace("v1.0", "v2.0")
    answer = requests.get(
        f"{url}/api/2.0/mlflow/experiments/get?experiment_id=0", headers=headers, verify=azure_ml.ca_file
    )
    assert answer.status_code == 401


def test_an_expired_token_is_replaced(azure_ml, tmp_path):
    azure_ml.faults.lifetime = 2
    code = """
    import time
    client.get_experiment("0")
    time.sleep(2.5)
    client.get_experiment("0")
    print("renewed")
    """
    # azure-identity keeps a token as long as it says it is good: the second call asks for a new one.
    assert child(azure_ml, "compute_instance", code, tmp_path) == ["renewed"]
    assert azure_ml.tokens.count() > 1


@pytest.mark.parametrize(
    ("code", "field"),
    [
        ("client.log_batch(run, params=[Param(str(i), 'x') for i in range(100)])\n" * 2
         + "client.log_param(run, 'one more', 1)", "Parameters"),
        ("client.log_batch(run, metrics=[Metric('m', 0.0, 0, i) for i in range(251)])", "Metrics"),
        ("client.set_tag(run, 'k' * 101, 'x')", "TagKey"),
        ("client.set_tag(run, 'k', 'x' * 1001)", "TagValue"),
        ("client.log_batch(run, tags=[RunTag(str(i), 'x') for i in range(60)])", "Tags"),
    ],
)  # fmt: skip
def test_limits(azure_ml, tmp_path, code, field):
    start = "from mlflow.entities import Metric, Param, RunTag\nrun = client.create_run('0').info.run_id\n"
    if field == "Parameters":
        code = code.replace("str(i)", "f'a{i}'", 1).replace("str(i)", "f'b{i}'", 1)
    said = child(azure_ml, "compute_instance", start + code, tmp_path, fails=True)
    assert f"FieldName={field}, Limit=" in said
    assert "INVALID_PARAMETER_VALUE" in said


def test_a_throttled_call(azure_ml, tmp_path):
    azure_ml.faults.refuse(429, times=1, where="/experiments/get", retry_after=1)
    said = child(azure_ml, "compute_instance", "client.get_experiment('0')", tmp_path, fails=True)
    assert "429" in said


def test_a_workspace_that_is_not_there(azure_ml, tmp_path):
    azure_ml.faults.workspace_missing = True
    said = child(azure_ml, "compute_instance", "client.get_experiment('0')", tmp_path, fails=True)
    assert "Workspace not found" in said
