"""Links for people: the page of an experiment or a run."""

from __future__ import annotations

import os
from functools import lru_cache
from urllib.parse import quote, urlsplit, urlunsplit

from ...vocabulary.errors import MlflowMagicsError
from ...vocabulary.records import LOCAL
from ..azure import addresses

_STUDIOS = {"AzureUSGovernment": "https://ml.azure.us", "AzureChinaCloud": "https://ml.azure.cn"}
_STUDIO = "https://ml.azure.com"
_tenants: dict[str, str] = {}


def know_tenant(uri: str, tenant: str) -> None:
    """Remember the tenant that a workspace was signed in to, for its links.

    A link without it works too, for who is signed in to that tenant alone.

    Parameters
    ----------
    uri : str
        The tracking URI.
    tenant : str
        Its id; empty to forget it.
    """
    if tenant:
        _tenants[uri] = tenant
    else:
        _tenants.pop(uri, None)


def tenants() -> dict[str, str]:
    """Return what :func:`know_tenant` was told: tracking URI to tenant."""
    return dict(_tenants)


def forget_tenants() -> None:
    """Forget what :func:`know_tenant` was told."""
    _tenants.clear()


def experiment_url(uri: str, experiment_id: str) -> str:
    """Link to an experiment.

    Parameters
    ----------
    uri : str
        The tracking URI.
    experiment_id : str
        The experiment.

    Returns
    -------
    str
        The page's address, without credentials; empty where the store has no page, or none that is known.
    """
    if experiment_id.startswith(LOCAL):
        return ""
    if studio := _studio(uri, f"experiments/id/{quote(experiment_id, safe='')}"):
        return studio
    base = _pages(uri)
    return f"{base}/experiments/{experiment_id}" if base else ""


def run_url(uri: str, experiment_id: str, run_id: str) -> str:
    """Link to a run.

    Parameters
    ----------
    uri : str
        The tracking URI.
    experiment_id, run_id : str
        The run and its experiment.

    Returns
    -------
    str
        The page's address, without credentials; empty where the store has no page, or none that is known, and for
        a run that the store does not know yet.
    """
    if run_id.startswith(LOCAL):
        return ""
    if studio := _studio(uri, f"runs/{quote(run_id, safe='')}"):
        return studio
    base = experiment_url(uri, experiment_id)
    return f"{base}/runs/{run_id}" if base else ""


def _studio(uri: str, page: str) -> str:
    """Link to a page of Azure ML's studio; empty for other stores, whose own pages are MLflow's."""
    found = _workspace(uri)
    if found is None:
        return ""
    host = found.host.partition(":")[0].lower()
    by_host = next((studio for studio in _STUDIOS.values() if host.endswith(urlsplit(studio).netloc)), _STUDIO)
    studio = _STUDIOS.get(os.environ.get("AZUREML_CURRENT_CLOUD", ""), by_host)
    group, name = quote(found.resource_group, safe="()"), quote(found.name, safe="")
    tenant = f"&tid={quote(_tenants[uri], safe='')}" if uri in _tenants else ""
    return f"{studio}/{page}?wsid=/subscriptions/{found.subscription}/resourcegroups/{group}/workspaces/{name}{tenant}"


@lru_cache(maxsize=16)
def _workspace(uri: str) -> addresses.Workspace | None:
    if not uri.startswith("azureml:"):
        return None
    try:
        return addresses.parse(uri)[0]
    except MlflowMagicsError:
        return None  # an address that is no workspace's has no page


def _pages(uri: str) -> str:
    if uri == "databricks" or uri.startswith("databricks://"):
        host = _databricks_host(uri)
        return f"{host}/ml" if host else ""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        return ""
    # Neither user information nor parameters: a link is copied around and lives in the saved notebook.
    address = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, address, parts.path.rstrip("/"), "", "")) + "/#"


@lru_cache(maxsize=16)
def _databricks_host(uri: str) -> str:
    from mlflow.utils.databricks_utils import get_databricks_host_creds

    try:
        host = str(get_databricks_host_creds(uri).host or "")
    except Exception:  # noqa: BLE001 - the SDK raises what it likes, and a link is no reason to fail a cell
        return ""
    return host.rstrip("/")
