"""Asks Azure's resource manager (ARM) once for what config.json does not say: the workspace's tracking host."""

from __future__ import annotations

import os
from typing import Any

from ....vocabulary.errors import ConnectionFailedError
from ...calls.masking import one_line
from ...calls.patience.waiting import within
from ...failures.diagnosis import ReachError
from . import clouds
from .addresses import Workspace, parse

SECONDS = 10.0
_VERSION = "2024-10-01"
_URI_MEND = "or paste the workspace's azureml:// URI after %mlflow_connect, which needs no look-up"
_NOT_FOUND = {
    "SubscriptionNotFound": "there is no such subscription for whoever is signed in",
    "ResourceGroupNotFound": "there is no such resource group in this subscription",
    "ResourceNotFound": "there is no such workspace in this resource group",
}


def tracking_uri(
    workspace: Workspace, credential: Any, *, seconds: float = SECONDS, resource_manager: str = ""
) -> Workspace:
    """Look a workspace's tracking host up, by one request.

    Parameters
    ----------
    workspace : Workspace
        Its three names.
    credential : azure.core.credentials.TokenCredential
        Who asks; see :func:`..sign_in.signin.sign_in`.
    seconds : float, optional
        How long to wait for the answer.
    resource_manager : str, optional
        The address of ARM; that of the current cloud if empty.

    Returns
    -------
    Workspace
        The same, with its host, and its names spelled as Azure spells them.

    Raises
    ------
    ConnectionFailedError
        If ARM cannot be reached, refuses, or does not know the workspace; then within `seconds` and the time that
        the credential takes.
    """
    import requests

    cloud = clouds.current(workspace, os.environ)
    address = f"{(resource_manager or cloud.arm).rstrip('/')}{workspace.scope}?api-version={_VERSION}"
    headers = {"Authorization": f"Bearer {credential.get_token(cloud.scope).token}"}

    def ask() -> requests.Response:
        # Not followed anywhere else: the token is for ARM.
        return requests.get(address, headers=headers, timeout=seconds, allow_redirects=False)

    try:
        response = within(seconds, ask)
    except (TimeoutError, requests.RequestException) as error:
        raise _unreached(workspace, error, seconds) from error
    if response.status_code != 200:
        raise _refused(workspace, response)
    return _answer(workspace, response)


def _answer(workspace: Workspace, response: Any) -> Workspace:
    try:
        return parse(response.json()["properties"]["mlFlowTrackingUri"])[0]
    except (ValueError, KeyError, TypeError, ConnectionFailedError) as error:
        raise ConnectionFailedError(
            workspace.where, "ARM's answer names no MLflow tracking URI", f"look whether it is set up, {_URI_MEND}"
        ) from error


def _refused(workspace: Workspace, response: Any) -> ConnectionFailedError:
    code, message = _error(response)
    status = response.status_code
    if status == 401:
        hint = "az login --tenant with the workspace's tenant" if "Tenant" in code else "sign in again: az login"
        return ReachError("authentication", workspace.where, f"ARM refuses this sign-in ({code or 401})", hint)
    if status == 403:
        return ReachError(
            "authentication",
            workspace.where,
            "whoever is signed in may not read this workspace (403)",
            f"ask its owner for the role AzureML Data Scientist, {_URI_MEND}",
        )
    if status == 404:
        reason = _NOT_FOUND.get(code, "ARM does not know this workspace (404)")
        return ConnectionFailedError(
            workspace.where, reason, f"check {workspace.scope}, or sign in to its tenant: az login --tenant"
        )
    detail = f": {one_line(message)}" if message else ""
    return ConnectionFailedError(workspace.where, f"ARM answers {status}{detail}", f"try again later, {_URI_MEND}")


def _error(response: Any) -> tuple[str, str]:
    try:
        error = response.json()["error"]
        return str(error.get("code", "")), str(error.get("message", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", ""  # a proxy's page


def _unreached(workspace: Workspace, error: Exception, seconds: float) -> ConnectionFailedError:
    import requests

    if isinstance(error, (TimeoutError, requests.Timeout)):
        reason = f"ARM gave no answer within {seconds:g} s"
    elif isinstance(error, requests.exceptions.SSLError):
        reason = "ARM's certificate is not trusted here; point REQUESTS_CA_BUNDLE at its authority"
    elif isinstance(error, requests.exceptions.ProxyError):
        reason = "the proxy on the way to ARM refuses"
    else:
        reason = "ARM cannot be reached from here"
    return ReachError("port", workspace.where, reason, f"check the network, {_URI_MEND}")
