"""Links to the pages of Azure ML's studio."""

from __future__ import annotations

import os
from functools import lru_cache
from urllib.parse import quote, urlsplit

from ....vocabulary.errors import MlflowMagicsError
from .addresses import Workspace, parse

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
    """Link to an experiment; empty for an address that is no workspace's."""
    return _page(uri, f"experiments/id/{quote(experiment_id, safe='')}")


def run_url(uri: str, run_id: str) -> str:
    """Link to a run; empty for an address that is no workspace's."""
    return _page(uri, f"runs/{quote(run_id, safe='')}")


def _page(uri: str, page: str) -> str:
    workspace = _workspace(uri)
    if workspace is None:
        return ""
    host = workspace.host.partition(":")[0].lower()
    by_host = next((studio for studio in _STUDIOS.values() if host.endswith(urlsplit(studio).netloc)), _STUDIO)
    studio = _STUDIOS.get(os.environ.get("AZUREML_CURRENT_CLOUD", ""), by_host)
    group, name = quote(workspace.resource_group, safe="()"), quote(workspace.name, safe="")
    wsid = f"/subscriptions/{workspace.subscription}/resourcegroups/{group}/workspaces/{name}"
    tenant = f"&tid={quote(_tenants[uri], safe='')}" if uri in _tenants else ""
    return f"{studio}/{page}?wsid={wsid}{tenant}"


@lru_cache(maxsize=16)
def _workspace(uri: str) -> Workspace | None:
    try:
        return parse(uri)[0]
    except MlflowMagicsError:
        return None
