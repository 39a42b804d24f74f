"""Gives our credential to the plugin, for everything in this process that tracks to a workspace.

The plugin keeps one context a tracking URI and takes the token of every request from it: the tracking store, the model
registry, and the artifacts, ours and the user's own. Its public function for a credential of one's own came with
version 1.58 only (compute instances carry older ones), fills that table under one spelling of the URI, and never
touches stores that exist already. So we fill the table: contexts that are there get their credential exchanged.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ..address.addresses import Workspace

_LOADER = "azureml.mlflow._internal.service_context_loader"

# Tracking URI -> its context, and the credential that the plugin had made for it (None: the context is ours).
_placed: dict[str, tuple[Any, Any]] = {}


def place(workspace: Workspace, credential: Any) -> None:
    """Have the plugin use a credential for a workspace.

    Parameters
    ----------
    workspace : Workspace
        With its host.
    credential : Credential
        Asked before every request; told to forget a token that a request was refused for.
    """
    from ...calls.patience import timeouts

    if credential.forget not in timeouts.on_unauthorized:
        timeouts.on_unauthorized.append(credential.forget)
    from azureml.mlflow._internal.service_context_loader import _AzureMLServiceContextLoader as Loader
    from azureml.mlflow._internal.utils import ServiceContext

    made = ServiceContext(
        subscription_id=workspace.subscription,
        resource_group_name=workspace.resource_group,
        workspace_name=workspace.name,
        auth=credential,
        host_url=f"https://{workspace.host}",
    )
    for uri in _spellings(workspace):
        if Loader.has_service_context(uri):
            context = Loader.get_service_context(uri)
            _placed.setdefault(uri, (context, context._auth))
            context._auth = credential
        else:
            Loader.add_service_context(uri, made)
            _placed[uri] = made, None


def remember() -> Callable[[], None]:
    """Remember whose credentials the plugin uses.

    Returns
    -------
    callable
        Makes it use them again.
    """
    from ...calls.patience import timeouts

    placed, forgetting = dict(_placed), list(timeouts.on_unauthorized)
    loaded = sys.modules.get(_LOADER)
    known = dict(loaded._AzureMLServiceContextLoader._tracking_uri_to_service_context) if loaded is not None else {}
    credentials = [(context, context._auth) for context in known.values()]

    def put_back() -> None:
        timeouts.on_unauthorized[:] = forgetting
        _placed.clear()
        _placed.update(placed)
        for context, credential in credentials:
            context._auth = credential
        if (loader := sys.modules.get(_LOADER)) is not None:
            table = loader._AzureMLServiceContextLoader._tracking_uri_to_service_context
            table.clear()
            table.update(known)

    return put_back


def has_jobs_token(workspace: Workspace) -> bool:
    """Tell whether the plugin tracks to a workspace with the token of the job that this process is.

    Whether: also once ``mlflow.start_run`` has taken ``MLFLOW_RUN_ID``, by which the plugin told, away.
    """
    found = sys.modules.get(_LOADER)
    if found is None or not workspace.host:
        return False
    loader = found._AzureMLServiceContextLoader
    known = [loader.get_service_context(uri) for uri in _spellings(workspace) if loader.has_service_context(uri)]
    return any(type(context._auth).__name__ == "AzureMLTokenAuthentication" for context in known)


def take_back(workspace: Workspace) -> None:
    """Give the plugin its own credentials for a workspace back. Harmless where nothing was placed.

    Stores that were made meanwhile keep ours: a client that the user holds goes on working.
    """
    for uri in _spellings(workspace):
        if uri not in _placed:
            continue
        from azureml.mlflow._internal.service_context_loader import _AzureMLServiceContextLoader as Loader

        from ...calls.patience import timeouts

        context, credential = _placed.pop(uri)
        if (forget := getattr(context._auth, "forget", None)) in timeouts.on_unauthorized:
            timeouts.on_unauthorized.remove(forget)
        if credential is not None:
            context._auth = credential
        elif Loader._tracking_uri_to_service_context.get(uri) is context:
            del Loader._tracking_uri_to_service_context[uri]


def _spellings(workspace: Workspace) -> tuple[str, str]:
    return workspace.uri, workspace.uri.replace("/mlflow/v1.0/", "/mlflow/v2.0/", 1)
