"""The pages that links lead to: MLflow's, Databricks' and Azure ML's studio."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlflow_magics.tracking.azure.address import addresses, studio
from mlflow_magics.tracking.location import links

AZURE = (
    "azureml://westeurope.api.azureml.ms/mlflow/v1.0/subscriptions/0b1f6471-1bf0-4dda-aec3-111122223333"
    "/resourceGroups/my(group)/providers/Microsoft.MachineLearningServices/workspaces/work"
)
WSID = "/subscriptions/0b1f6471-1bf0-4dda-aec3-111122223333/resourcegroups/my(group)/workspaces/work"
EXPERIMENT = "ed245e9e-b96e-4e15-89b6-000000000000"


@pytest.fixture(autouse=True)
def _public_cloud(monkeypatch):
    monkeypatch.delenv("AZUREML_CURRENT_CLOUD", raising=False)
    yield
    studio.forget_tenants()


def test_azure_mls_pages_are_the_studios():
    assert links.run_url(AZURE, EXPERIMENT, "brave_apple_1") == f"https://ml.azure.com/runs/brave_apple_1?wsid={WSID}"
    assert links.experiment_url(AZURE, EXPERIMENT) == f"https://ml.azure.com/experiments/id/{EXPERIMENT}?wsid={WSID}"
    # What is shown can be pasted.
    assert addresses.parse(links.run_url(AZURE, EXPERIMENT, "r"))[0] == replace(addresses.parse(AZURE)[0], host="")


def test_the_tenant_is_named_where_it_is_known():
    studio.know_tenant(AZURE, "72f988bf")
    assert links.run_url(AZURE, EXPERIMENT, "r").endswith(f"{WSID}&tid=72f988bf")
    assert links.experiment_url(AZURE, EXPERIMENT).endswith(f"{WSID}&tid=72f988bf")
    assert "tid" not in links.run_url(AZURE.replace("/work", "/other"), EXPERIMENT, "r")
    studio.know_tenant(AZURE, "")
    assert "tid" not in links.run_url(AZURE, EXPERIMENT, "r")
    studio.know_tenant(AZURE, "72f988bf")
    studio.forget_tenants()
    assert "tid" not in links.run_url(AZURE, EXPERIMENT, "r")


@pytest.mark.parametrize(
    ("cloud", "studio"),
    [
        ("AzureCloud", "https://ml.azure.com/"),
        ("AzureUSGovernment", "https://ml.azure.us/"),
        ("AzureChinaCloud", "https://ml.azure.cn/"),
    ],
)
def test_each_cloud_has_its_studio(cloud, studio, monkeypatch):
    monkeypatch.setenv("AZUREML_CURRENT_CLOUD", cloud)
    assert links.run_url(AZURE, EXPERIMENT, "r").startswith(studio)
    assert links.experiment_url(AZURE, EXPERIMENT).startswith(studio)


@pytest.mark.parametrize(
    ("host", "studio"),
    [("usgovvirginia.api.ml.azure.us", "https://ml.azure.us/"), ("chinaeast2.api.ml.azure.cn", "https://ml.azure.cn/")],
)
def test_a_sovereign_clouds_host_tells_its_studio(host, studio):
    uri = AZURE.replace("westeurope.api.azureml.ms", host)
    assert links.run_url(uri, EXPERIMENT, "r").startswith(f"{studio}runs/r?wsid=")


@pytest.mark.parametrize("uri", [AZURE, "http://host:5000"])
def test_what_the_store_does_not_know_yet_has_no_page(uri):
    assert links.run_url(uri, EXPERIMENT, "offline-1") == ""
    assert links.run_url(uri, "offline-2", "offline-1") == ""
    assert links.experiment_url(uri, "offline-2") == ""


def test_other_stores_pages_are_mlflows():
    assert links.run_url("http://me:secret@host:5000/", "7", "r") == "http://host:5000/#/experiments/7/runs/r"
    assert links.experiment_url("https://host/mlflow?x=1", "7") == "https://host/mlflow/#/experiments/7"
    assert links.run_url("sqlite:///mlflow.db", "7", "r") == ""
    assert links.run_url("azureml://host/no/workspace", "7", "r") == ""


def test_ids_cannot_leave_their_place_in_a_link():
    assert links.run_url(AZURE, EXPERIMENT, "a/../b?c&d#e").startswith(
        "https://ml.azure.com/runs/a%2F..%2Fb%3Fc%26d%23e?"
    )
