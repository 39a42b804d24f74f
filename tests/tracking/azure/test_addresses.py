"""A workspace's address: what people paste is fixed or explained."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_magics.tracking.azure.address.addresses import Workspace, parse
from mlflow_magics.vocabulary.errors import ConnectionFailedError

GUID = "01234567-89ab-cdef-0123-456789abcdef"
HOME = Workspace(GUID, "my-group", "ws1", "eastus.api.azureml.ms")
SCOPE = f"/subscriptions/{GUID}/resourceGroups/my-group/providers/Microsoft.MachineLearningServices/workspaces/ws1"
ASCII = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
names = st.text(ASCII, min_size=1, max_size=12).map(lambda text: f"n{text}9")
workspaces = st.builds(
    Workspace,
    st.uuids().map(str),
    names.map(lambda name: f"{name}-(x)._y"),
    names,
    st.sampled_from(["eastus.api.azureml.ms", "127.0.0.1:4443", "usgovvirginia.api.ml.azure.us"]),
)


def test_the_canonical_uri_is_taken_as_it_is():
    assert HOME.uri == f"azureml://eastus.api.azureml.ms/mlflow/v1.0{SCOPE}"
    assert parse(HOME.uri) == (HOME, ())


@given(workspaces)
def test_what_is_written_is_read_again(workspace):
    assert parse(workspace.uri) == (workspace, ())


@pytest.mark.parametrize(
    ("pasted", "note"),
    [
        (HOME.uri.replace("resourceGroups", "resourcegroups"), "resourceGroups for resourcegroups"),
        (HOME.uri.replace("Microsoft.Machine", "microsoft.machine"), "wrote Microsoft.MachineLearningServices"),
        (f'"{HOME.uri}"', "quotes"),
        (f"`{HOME.uri}`", "quotes"),
        (f"“{HOME.uri}”", "quotes"),
        (f"<{HOME.uri}>", "brackets"),
        (HOME.uri.replace("/providers", "\n  /providers"), "line breaks"),
        (HOME.uri + "/", "left out the / at the end"),
        (HOME.uri + "/api/2.0/mlflow/runs", "left out /api/2.0/mlflow/runs"),
        (HOME.uri + "?auth=secret", "left out what follows the ?"),
        (HOME.uri.replace("azureml://", "https://"), "for https://"),
        (HOME.uri.replace("azureml://", "AzureML://"), "for AzureML://"),
        (HOME.uri.replace("azureml://", "azureml//"), "for azureml//"),
        (HOME.uri.replace("azureml://", "azureml:/"), "for azureml:/"),
        (HOME.uri.replace("azureml://", ""), "put azureml:// in front"),
        (HOME.uri.replace("v1.0", "v2.0"), "for /mlflow/v2.0"),
        (HOME.uri.replace("/mlflow/v1.0", ""), "put /mlflow/v1.0 in"),
        (HOME.uri.replace("/providers/Microsoft.MachineLearningServices", ""), "put /providers/"),
        (HOME.uri.replace("//eastus", "//me:secret@eastus"), "takes no credentials"),
        (HOME.uri.replace("my-group", "my%2Dgroup"), "%-codes"),
        (f"\ufeff{HOME.uri}\u200b", "cannot be seen"),
    ],
)
def test_one_slip_is_fixed_with_one_note(pasted, note):
    workspace, notes = parse(pasted)
    assert workspace == HOME
    assert len(notes) == 1
    assert note in notes[0]
    assert "secret" not in notes[0]


@given(workspaces, st.sets(st.sampled_from(["case", "quotes", "break", "slash", "v2", "https", "api"])))
def test_slips_are_fixed_together_each_with_its_note(workspace, slips):
    text = workspace.uri
    if "case" in slips:
        text = text.replace("subscriptions", "Subscriptions")
    if "v2" in slips:
        text = text.replace("/mlflow/v1.0", "/mlflow/v2.0")
    if "https" in slips:
        text = text.replace("azureml://", "https://")
    if "api" in slips:
        text += "/api/2.0/mlflow"
    elif "slash" in slips:
        text += "/"
    if "break" in slips:
        text = text.replace("/providers", "\r\n/providers")
    if "quotes" in slips:
        text = f" '{text}' "
    found, notes = parse(text)
    assert found == workspace
    assert len(notes) == len(slips - ({"slash"} if "api" in slips else set()))
    assert parse(found.uri) == (workspace, ())


@given(st.text(max_size=80) | st.text(ASCII + "/:<>@?#%.-\n'\"", max_size=80))
def test_anything_is_read_or_explained_on_one_line(text):
    try:
        workspace, notes = parse(text)
    except ConnectionFailedError as error:
        lines = (str(error),)
    else:
        assert workspace.name
        lines = notes
    assert all(len(line.splitlines()) == 1 for line in lines)


@pytest.mark.parametrize(
    ("pasted", "reason"),
    [
        (HOME.uri.rpartition("/workspaces")[0], "the workspace is missing"),
        (HOME.uri.rpartition("ws1")[0], "the workspace is missing"),
        (HOME.uri.replace("/resourceGroups/my-group", ""), "the resource group is missing"),
        (HOME.uri.replace("my-group/", ""), "the resource group is missing"),
        (HOME.uri.replace(GUID, "my company"), "is not an id"),
        (HOME.uri.replace(GUID, "<SUBSCRIPTION_ID>"), "'<SUBSCRIPTION_ID>' is a placeholder"),
        (HOME.uri.replace("ws1", "<WORKSPACE_NAME>"), "'<WORKSPACE_NAME>' is a placeholder"),
        (HOME.uri.replace("my-group", "{resource-group}"), "'{resource-group}' is a placeholder"),
        ("azureml://", "is no host"),
        ("azureml://eastus.api.azureml.ms", "the subscription is missing"),
        ("ftp://eastus.api.azureml.ms/x", "ftp:// is not the scheme"),
        (HOME.uri.replace("Microsoft.MachineLearningServices", "Microsoft.Storage"), "'Microsoft.Storage' is not"),
        (HOME.uri.replace("workspaces", "registries"), "this is a registry"),
        ("https://ml.azure.com/home", "does not name its workspace"),
        ("https://portal.azure.com/#home", "not that of a workspace"),
    ],
)
def test_what_cannot_be_fixed_is_explained(pasted, reason):
    with pytest.raises(ConnectionFailedError) as caught:
        parse(pasted)
    assert reason in caught.value.reason
    assert caught.value.hint


@pytest.mark.parametrize(
    "page",
    [
        f"https://ml.azure.com/runs/abc?wsid=/subscriptions/{GUID}/resourcegroups/my-group/workspaces/ws1&tid=t",
        f"https://ml.azure.com/?tid=t&wsid=%2Fsubscriptions%2F{GUID}%2FresourceGroups%2Fmy-group%2Fproviders%2F"
        "Microsoft.MachineLearningServices%2Fworkspaces%2Fws1",
        f"https://portal.azure.com/#@corp.com/resource{SCOPE}/overview",
        SCOPE,
        SCOPE.removeprefix("/"),
        f"azureml:/{SCOPE}",
        f"azureml://subscriptions/{GUID}/resourcegroups/my-group/workspaces/ws1/datastores/blobs/paths/data",
        f"https://management.azure.com{SCOPE}?api-version=2024-10-01",
    ],
)
def test_a_page_or_an_id_names_the_workspace_without_its_host(page):
    workspace, _ = parse(page)
    assert workspace == Workspace(GUID, "my-group", "ws1", "")
    assert workspace.uri == ""


def test_private_link_is_said_and_its_zone_left_out():
    host = "abc.workspace.eastus.api.azureml.ms"
    workspace, notes = parse(HOME.uri.replace(HOME.host, host))
    assert (workspace.host, len(notes)) == (host, 1)
    assert "virtual network" in notes[0]
    zone = "abc.workspace.eastus.privatelink.api.azureml.ms"
    workspace, notes = parse(HOME.uri.replace(HOME.host, zone))
    assert (workspace.host, len(notes)) == (host, 2)


def test_a_token_in_what_cannot_be_read_is_not_shown():
    with pytest.raises(ConnectionFailedError) as caught:
        parse("azureml://me:hunter2@eastus.api.azureml.ms/mlflow?token=hunter2")
    assert "hunter2" not in str(caught.value)
