"""Azure's resource manager: where a workspace's tracking is, and which clouds there are."""

from __future__ import annotations

from .faults import Faults
from .wire import Answer, Request

_CODES = {403: "AuthorizationFailed", 404: "ResourceNotFound", 401: "InvalidAuthenticationToken"}


def workspace(faults: Faults, tracking_uri: str) -> Answer:
    """``GET {scope}?api-version=2024-10-01``.

    Seen in Microsoft's REST reference, "Machine Learning - Workspaces - Get"; of its properties those that are read.
    """
    if faults.arm != 200:
        return Answer.of(
            {"error": {"code": _CODES.get(faults.arm, "Error"), "message": "refused by the test"}}, faults.arm
        )
    return Answer.of({"location": "loopback", "properties": {"mlFlowTrackingUri": tracking_uri}})


def clouds(request: Request, host: str) -> Answer | None:
    """``GET /metadata/endpoints?api-version=2019-05-01``: the clouds; the public one's name, this address.

    Seen in azureml-mlflow, ``_common/_cloud/cloud.py``, which reads it from ``ARM_CLOUD_METADATA_URL``.
    """
    if request.path != "/metadata/endpoints":
        return None
    here = f"https://{host}"
    found = {
        "name": "AzureCloud",
        "authentication": {"loginEndpoint": here, "audiences": [here]},
        "resourceManager": here,
        "portal": here,
        "suffixes": {"storage": "core.windows.net"},
    }
    return Answer.of([found])
