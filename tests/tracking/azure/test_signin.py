"""Signing in: the real azureml-mlflow and azure-identity in a child process, against loopback."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from .cloud import TENANT, Cloud, jwt

pytest.importorskip("azureml.mlflow")

START = """
import os, sys, time, urllib.request
import mlflow
from mlflow import MlflowClient
from mlflow_magics.vocabulary.errors import ConnectionFailedError
from mlflow_magics.tracking.azure import failures
from mlflow_magics.tracking.azure.address import addresses, arm
from mlflow_magics.tracking.azure.sign_in import injection, signin
home, notes = addresses.parse(os.environ["URI"])
def control(**values):
    query = "&".join(f"{key}={value}" for key, value in values.items())
    urllib.request.urlopen(f"{os.environ['CONTROL']}/control?{query}").read()
def connect(**options):
    signed = signin.sign_in(home, **options)
    injection.place(home, signed.credential)
    mlflow.set_tracking_uri(home.uri)
    return signed
"""


@pytest.fixture
def cloud(tmp_path):
    with Cloud(tmp_path) as cloud:
        yield cloud


def child(cloud, kind, code, tmp_path, seconds=60, **variables):
    # Neither az nor pwsh nor azd of this machine, nobody's home: only Python itself is on the path.
    clean = {"PATH": os.path.dirname(sys.executable), "HOME": str(tmp_path), "PYTHONPATH": os.getcwd()}
    environment = {**clean, **cloud.environment(kind), **variables}
    done = subprocess.run(
        [sys.executable, "-c", START + code],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "get_token" not in done.stderr  # azure-identity's warnings of a failure would stand in the user's cell
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("kind", "user", "how"),
    [("compute_instance", "me@corp.com", "managed identity"), ("service_principal", "app-1", "service principal")],
)
def test_everything_in_the_process_uses_the_credential(cloud, tmp_path, kind, user, how):
    code = """
signed = connect()
print(signed.user, "|", signed.tenant, "|", signed.how)
print(mlflow.get_experiment("0").name)
print(MlflowClient(tracking_uri=home.uri).get_experiment("0").name)
print(MlflowClient().get_registered_model("m").name)
from azureml.mlflow._store.artifact.artifact_repo import AzureMLflowArtifactRepository
repo = AzureMLflowArtifactRepository(home.uri.replace("v1.0", "v2.0") + "/experiments/0/runs/r/artifacts")
repo.artifacts
from azureml.mlflow._internal.utils import get_service_context
print(get_service_context(None).auth is signed.credential)
"""
    lines = child(cloud, kind, code, tmp_path)
    assert lines[0] == f"{user} | {TENANT} | {how}"
    assert lines[1:] == ["Default", "Default", "m", "True"]
    # One token for all of it: the plugin asks before every request.
    assert len(set(cloud.bearers)) == 1
    assert len(cloud.bearers) == 3


def test_a_store_that_was_there_before_gets_it_too_and_gives_it_back(cloud, tmp_path):
    code = """
from azureml.mlflow._internal.service_context_loader import _AzureMLServiceContextLoader as Loader
early = MlflowClient(tracking_uri=home.uri)
context = early._tracking_client.store.service_context
plugins = context.auth
signed = connect()
print(context.auth is signed.credential)
injection.place(home, signed.credential)
injection.take_back(home)
print(context.auth is plugins, len(Loader._tracking_uri_to_service_context))
"""
    assert child(cloud, "compute_instance", code, tmp_path) == ["True", "True 1"]


def test_nobody_fails_within_ten_seconds_with_the_ways_out(cloud, tmp_path):
    code = """
start = time.monotonic()
try:
    signin.sign_in(home, attended=True)
except ConnectionFailedError as error:
    print(time.monotonic() - start)
    print(error)
"""
    lines = child(cloud, "nobody", code, tmp_path)
    assert float(lines[0]) < 10
    for way in ("az login", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET", "--device-code"):
        assert way in lines[1]
    assert len(lines) == 2


def test_members_that_hang_are_cut_off(cloud, tmp_path):
    cloud.identity = "silent"
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    # A script in place of the Azure CLI, which is not installed here.
    slow = bin_folder / "az"
    slow.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    slow.chmod(0o755)
    code = """
start = time.monotonic()
try:
    signin.sign_in(home)
except ConnectionFailedError as error:
    print(time.monotonic() - start)
    print(error)
os._exit(0) if sys.stdout.flush() is None else None
"""
    path = f"{bin_folder}:{os.path.dirname(sys.executable)}:/bin:/usr/bin"
    lines = child(cloud, "compute_instance", code, tmp_path, PATH=path)
    assert float(lines[0]) < 10
    assert "no answer within" in lines[1]


def test_a_wrong_principal_is_not_replaced_by_somebody_else(cloud, tmp_path):
    cloud.principal = "expired"
    code = """
try:
    signin.sign_in(home)
except ConnectionFailedError as error:
    print(error)
"""
    lines = child(cloud, "service_principal", code, tmp_path, MSI_ENDPOINT=f"http://{cloud.plain}/msi")
    assert "service principal: AADSTS700082" in lines[0]
    # Nor is it asked beside one: what hints it are its own variables.
    assert "check AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or unset them" in lines[0]
    assert "az login" not in lines[0]
    assert ("GET", "/msi") not in cloud.seen


def test_the_token_is_renewed_in_mid_run(cloud, tmp_path):
    cloud.lifetime = 4
    code = """
connect()
start = time.monotonic()
while time.monotonic() - start < 7:
    mlflow.get_experiment("0")
    time.sleep(0.1)
print("ok")
"""
    assert child(cloud, "compute_instance", code, tmp_path) == ["ok"]
    renewals = len(set(cloud.bearers))
    assert 2 <= renewals <= 5
    assert len(cloud.bearers) > 20


@pytest.mark.parametrize(("fault", "options"), [("down", "seconds=4"), ("silent", "")])
def test_an_identity_endpoint_that_fails_in_mid_run_is_an_error_and_not_a_hang(cloud, tmp_path, fault, options):
    cloud.lifetime = 3
    code = f"""
connect({options})
mlflow.get_experiment("0")
control(identity="{fault}")
time.sleep(3.1)
start = time.monotonic()
try:
    mlflow.get_experiment("0")
except BaseException as error:
    print(time.monotonic() - start)
    print(failures.sign_in_failure(error))
control(identity="up")
time.sleep(2.1)
print(mlflow.get_experiment("0").name)
sys.stdout.flush()
os._exit(0)
"""
    lines = child(cloud, "compute_instance", code, tmp_path)
    assert float(lines[0]) < 11
    assert "az login, then %mlflow_sync" in lines[1]
    assert lines[2] == "Default"
    assert not any(path.endswith("devicecode") for _, path in cloud.seen)


def test_a_refresh_token_that_expires_in_mid_run_is_told(cloud, tmp_path):
    code = """
control(lifetime=3)
signed = connect(device_code=True, show=lambda line: None)
control(principal="expired")
time.sleep(3.1)
try:
    mlflow.get_experiment("0")
except BaseException as error:
    print(failures.sign_in_failure(error))
print(failures.sign_in_failure(ValueError("x")))
"""
    lines = child(cloud, "device", code, tmp_path)
    assert "expired (AADSTS700082); az login, then %mlflow_sync" in lines[0]
    assert lines[1] == "None"
    assert sum(path.endswith("devicecode") for _, path in cloud.seen) == 1


def test_az_login_helps_in_mid_run_but_not_to_another_tenant(cloud, tmp_path):
    code = """
import json
connect(seconds=4)
control(identity="down")
time.sleep(3.1)
def az(token):  # a script in place of the Azure CLI, which is not installed here
    with open("bin/az", "w") as file:
        answer = json.dumps({"accessToken": token, "expiresOn": "2099-01-01 00:00:00.000000"})
        file.write(f"#!/bin/sh\\necho '{answer}'\\n")
    os.chmod("bin/az", 0o755)
for token in (os.environ["FOREIGN"], os.environ["MINE"]):
    az(token)
    try:
        print(mlflow.get_experiment("0").name)
    except BaseException as error:
        print(failures.sign_in_failure(error))
    time.sleep(2.1)
"""
    (tmp_path / "bin").mkdir()
    mine = cloud.token(upn="me@corp.com")
    cloud.lifetime = 3
    path = f"{tmp_path / 'bin'}:{os.path.dirname(sys.executable)}:/bin:/usr/bin"
    foreign = jwt(tid="another", upn="x")
    lines = child(cloud, "compute_instance", code, tmp_path, PATH=path, FOREIGN=foreign, MINE=mine)
    assert "az login, then %mlflow_sync" in lines[0]
    assert lines[1] == "Default"
    assert foreign not in cloud.bearers


def test_a_device_code_is_shown_and_waited_for(cloud, tmp_path):
    code = """
signed = connect(device_code=True, show=print)
print(signed.user, "|", signed.tenant, "|", signed.how)
print(mlflow.get_experiment("0").name)
"""
    lines = child(cloud, "device", code, tmp_path)
    assert lines == [
        "to sign in to Azure, open https://microsoft.com/devicelogin and enter the code ABCD-1234",
        f"me@corp.com | {TENANT} | device code",
        "Default",
    ]
    assert cloud.pending == 0


def test_ctrl_c_ends_the_wait_for_a_device_code(cloud, tmp_path):
    cloud.pending = 10_000
    # Once the code is shown: before that the time goes into imports, on a busy machine for seconds.
    code = """
import os, signal, threading
def show(line):
    global start
    start = time.monotonic()
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    signin.sign_in(home, device_code=True, show=show)
except KeyboardInterrupt:
    print(time.monotonic() - start < 5, [t.name for t in threading.enumerate() if "sign-in" in t.name])
"""
    assert child(cloud, "device", code, tmp_path)[-1] == "True []"


def test_a_job_keeps_the_plugins_own_token(cloud, tmp_path):
    token = cloud.token(appid="job-app")
    job = {
        "MLFLOW_TRACKING_URI": cloud.uri,
        "MLFLOW_TRACKING_TOKEN": token,
        "MLFLOW_RUN_ID": "r",
        "MLFLOW_EXPERIMENT_ID": "0",
    }
    code = """
signed = signin.sign_in(home)
print(signed.credential, signed.user, signed.how)
print(mlflow.get_experiment("0").name)
"""
    assert child(cloud, "nobody", code, tmp_path, **job) == ["None job-app job", "Default"]
    assert cloud.bearers == [token]


class TestArm:
    CODE = """
from dataclasses import replace
signed = signin.sign_in(replace(home, host=""))
start = time.monotonic()
try:
    print(arm.tracking_uri(replace(home, host=""), signed.credential, seconds=SECONDS,
                           resource_manager="https://" + home.host).uri == home.uri)
except ConnectionFailedError as error:
    print(error)
print(time.monotonic() - start)
""".replace("SECONDS", "2")

    def test_the_host_is_looked_up_by_one_request(self, cloud, tmp_path):
        assert child(cloud, "compute_instance", self.CODE, tmp_path)[0] == "True"
        assert sum(path.startswith("/subscriptions") for _, path in cloud.seen) == 1

    @pytest.mark.parametrize(
        ("status", "code", "said"),
        [
            (401, "InvalidAuthenticationTokenTenant", "az login --tenant"),
            (403, "AuthorizationFailed", "AzureML Data Scientist"),
            (404, "ResourceGroupNotFound", "no such resource group"),
            (404, "ResourceNotFound", "no such workspace"),
            (503, "", "ARM answers 503"),
            (60, "", "no answer within 2 s"),
        ],
    )
    def test_refusals_are_explained(self, cloud, tmp_path, status, code, said):
        cloud.arm_status, cloud.arm_code = status, code
        lines = child(cloud, "compute_instance", self.CODE, tmp_path)
        assert said in lines[0]
        assert float(lines[1]) < 5


def test_where_a_browser_would_be_seen():
    from mlflow_magics.tracking.azure.sign_in.signin import can_open_browser

    if sys.platform.startswith("linux"):
        assert can_open_browser({"DISPLAY": ":0"})
        assert not can_open_browser({})
    for name in ("CI", "SSH_CONNECTION", "CI_NAME", "JUPYTERHUB_USER"):
        assert not can_open_browser({"DISPLAY": ":0", name: "x"})
