"""What people write after %mlflow_connect, and what must not be shown of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_magics.tracking.calls.masking import mask, mask_text
from mlflow_magics.tracking.location.links import experiment_url, run_url
from mlflow_magics.tracking.location.uris import is_file_store, parse
from mlflow_magics.vocabulary.errors import ConnectionFailedError


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def test_a_server_keeps_its_path_and_loses_slash_and_page(home):
    target = parse("  HTTP://Host:5000/mlflow/#/experiments/3 ", home)
    assert (target.uri, target.kind) == ("http://Host:5000/mlflow", "server")
    assert len(target.notes) == 1
    assert parse("https://host/", home).notes == ()


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("local", "nb/mlflow.db"),
        ("sqlite:///mlflow.db", "nb/mlflow.db"),
        ("sqlite:///sub/x.db", "nb/sub/x.db"),
        ("./store", "nb/store/mlflow.db"),
        ("../store", "store/mlflow.db"),
        ("~/store", "home/store/mlflow.db"),
        ("a/b", "nb/a/b/mlflow.db"),
        (".", "nb/mlflow.db"),
        ("existing", "nb/existing/mlflow.db"),
    ],
)
def test_local_stores_start_in_the_notebooks_folder(home, text, path):
    (home / "nb" / "existing").mkdir(parents=True)
    target = parse(text, home / "nb")
    assert target.path == home / path
    assert target.uri == f"sqlite:///{home / path}"
    assert target.artifacts == (home / path).parent / "mlartifacts"
    assert target.where == path


def test_a_store_in_the_home_folder_is_shown_from_there(home, monkeypatch):
    (home / "elsewhere").mkdir()
    monkeypatch.chdir(home / "elsewhere")
    assert parse("~/store", home).where == "~/store/mlflow.db"
    assert parse("~/../beside", home).where == str(home / "beside" / "mlflow.db")


def test_an_absolute_sqlite_uri_keeps_its_query(home):
    target = parse(f"sqlite:///{home}/x.db?timeout=30", home)
    assert target.uri == f"sqlite:///{home}/x.db?timeout=30"
    assert target.path == home / "x.db"


@pytest.mark.parametrize("prefix", ["file://", "file://localhost", "file:"])
def test_a_file_uri_becomes_sqlite_in_that_folder_and_says_so(home, prefix):
    target = parse(f"{prefix}{home}/old%20runs", home)
    assert target.path == home / "old runs" / "mlflow.db"
    assert "SQLite" in target.notes[0]


@pytest.mark.parametrize("uri", ["databricks", "databricks://profile"])
def test_databricks(home, uri):
    assert parse(uri, home).kind == "databricks"


@pytest.mark.parametrize("uri", ["postgresql+psycopg2://u:p@host/db", "mysql://host/db", "mssql+pyodbc://host/db"])
def test_database_servers(home, uri):
    target = parse(uri, home)
    assert (target.uri, target.kind) == (uri, "database")


SCOPE = (
    "subscriptions/01234567-89ab-cdef-0123-456789abcdef/resourceGroups/g"
    "/providers/Microsoft.MachineLearningServices/workspaces/w"
)


@pytest.mark.parametrize(
    "text",
    [
        f"azureml://westeurope.api.azureml.ms/mlflow/v1.0/{SCOPE}",
        f" 'azureml://westeurope.api.azureml.ms/mlflow/v1.0/{SCOPE}'",
        f"https://westeurope.api.azureml.ms/mlflow/v1.0/{SCOPE}",
        f"westeurope.api.azureml.ms/mlflow/v1.0/{SCOPE.replace('resourceGroups', 'resourcegroups')}",
    ],
)
def test_a_workspace_of_azure_ml_however_it_was_copied(home, text):
    target = parse(text, home)
    assert target.kind == "azureml"
    assert target.uri == f"azureml://westeurope.api.azureml.ms/mlflow/v1.0/{SCOPE}"
    assert target.where == "Azure ML workspace w"


@pytest.mark.parametrize("text", [f"/{SCOPE}", f"https://ml.azure.com/?wsid=/{SCOPE}&tid=x"])
def test_a_workspace_whose_host_must_be_asked_for(home, text):
    target = parse(text, home)
    assert (target.kind, target.uri, target.workspace.name) == ("azureml", "", "w")


def test_a_workspaces_address_that_lacks_a_part(home):
    with pytest.raises(ConnectionFailedError, match="the subscription is missing"):
        parse("azureml://westeurope.api.azureml.ms/mlflow", home)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("htpp://localhost:5000", "http://localhost:5000"),
        ("htps://host/x", "https://host/x"),
        ("http:/localhost:5000", "http://localhost:5000"),
        ("https//host", "https://host"),
        ("localhost:5000", "http://localhost:5000"),
        ("10.0.0.7:5000", "http://10.0.0.7:5000"),
        ("localhost", "http://localhost:5000"),
        ("mlflow.example.com", "https://mlflow.example.com"),
        ("mlflow.example.com/team", "https://mlflow.example.com/team"),
        ("sqllite:///x.db", "sqlite:///x.db"),
        ("sqlite://x.db", "sqlite:///x.db"),
        ("sqlite:x.db", "sqlite:///x.db"),
        ("x.db", "sqlite:///x.db"),
        ("databrick", "databricks"),
        ("databricks:profile", "databricks://profile"),
        ("lokal", "local"),
        ("azure", "azureml://… as the workspace's page in the portal shows it, or --config PATH"),
        ("runs", "./runs"),
        ("postgres://host/db", "postgresql://host/db"),
    ],
)
def test_a_typo_is_named(home, typed, meant):
    with pytest.raises(ConnectionFailedError) as caught:
        parse(typed, home)
    assert caught.value.hint == f"did you mean {meant}?"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["http://", "http://host:99999999", "sqlite:///:memory:", "sqlite:///", "foo:bar"])
def test_what_cannot_be_a_store_is_one_line_with_an_example(home, text):
    with pytest.raises(ConnectionFailedError) as caught:
        parse(text, home)
    assert "as " in caught.value.hint


@pytest.mark.parametrize("name", ["what?", "a%20b"])
def test_a_path_that_sqlite_uris_cannot_carry(home, name):
    with pytest.raises(ConnectionFailedError, match="another name"):
        parse(f"./{name}", home)


def test_file_stores_are_recognised_by_their_experiments(tmp_path):
    assert not is_file_store(tmp_path / "missing")
    (tmp_path / "0").mkdir()
    assert not is_file_store(tmp_path)
    (tmp_path / "0" / "meta.yaml").touch()
    assert is_file_store(tmp_path)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://bob:s3cret@host:5000/x", "http://***@host:5000/x"),
        ("https://s3cret@host", "https://***@host"),
        ("postgresql://u:p@s3cret@host/db", "postgresql://***@host/db"),
        ("http://u:s3/cret@host/x", "http://***@host/x"),
        ("postgresql://host/db?user=u&password=s3cret&sslmode=require", None),
        ("https://a.blob.example.com/c?sv=1&sig=s3cret%2B", "https://a.blob.example.com/c?sv=1&sig=***"),
        ("https://host/?access_token=s3cret#x", "https://host/?access_token=***#x"),
        ("mssql+pyodbc:///?odbc_connect=DRIVER%3Ds3cret", "mssql+pyodbc:///?odbc_connect=***"),
        ("http://host:5000/#/experiments/1", "http://host:5000/#/experiments/1"),
        ("https://host:8443/@team/repo", "https://host:8443/@team/repo"),
        ("https://dagshub.example.com/user/repo.mlflow", "https://dagshub.example.com/user/repo.mlflow"),
    ],
)
def test_credentials_are_masked_and_nothing_else(uri, shown):
    assert "s3" not in mask(uri)
    if shown is not None:
        assert mask(uri) == shown


def test_free_text_is_masked(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "correct horse")
    text = mask_text(
        "API request to http://u:s3cret@h/api failed; Authorization: Bearer s3cret.token.x, retry ftp://u:s3@h/ with "
        "'correct horse' and password=s3cret"
    )
    assert "s3" not in text
    assert "horse" not in text
    assert "http://***@h/api failed" in text


class TestLinks:
    def test_a_servers_pages(self):
        assert experiment_url("http://u:p@h:5000/x/?token=1", "7") == "http://h:5000/x/#/experiments/7"
        assert run_url("https://h", "7", "abc") == "https://h/#/experiments/7/runs/abc"

    @pytest.mark.parametrize("uri", ["sqlite:////x/mlflow.db", "postgresql://h/db", "azureml://x", "weird"])
    def test_stores_without_pages(self, uri):
        assert experiment_url(uri, "7") == ""
        assert run_url(uri, "7", "abc") == ""

    def test_databricks_pages_are_on_its_host(self, monkeypatch):
        monkeypatch.setenv("DATABRICKS_HOST", "https://adb-1.example.com/")
        monkeypatch.setenv("DATABRICKS_TOKEN", "not-a-token")
        # MLflow may ask the host for its kind of login; nothing may leave this machine.
        monkeypatch.setenv("MLFLOW_ENABLE_DB_SDK", "false")
        assert run_url("databricks", "7", "abc") == "https://adb-1.example.com/ml/experiments/7/runs/abc"


def test_absolute_paths_do_not_follow_links(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert parse("./link", tmp_path).path == Path(tmp_path / "link" / "mlflow.db")
