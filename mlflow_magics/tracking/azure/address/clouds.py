"""Says which of Azure's clouds is meant, and where its services are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ....vocabulary.errors import ConnectionFailedError
from .addresses import Workspace

VARIABLE = "AZUREML_CURRENT_CLOUD"


@dataclass(frozen=True)
class Cloud:
    """One of Azure's clouds.

    Attributes
    ----------
    name : str
        As ``AZUREML_CURRENT_CLOUD`` names it.
    arm : str
        The resource manager's address, without a slash at the end.
    authority : str
        The host that signs people in.
    """

    name: str
    arm: str
    authority: str

    @property
    def scope(self) -> str:
        """What a token for this cloud is asked for; the same that the plugin asks."""
        return f"{self.arm}/.default"


PUBLIC = Cloud("AzureCloud", "https://management.azure.com", "login.microsoftonline.com")
CHINA = Cloud("AzureChinaCloud", "https://management.chinacloudapi.cn", "login.chinacloudapi.cn")
GOVERNMENT = Cloud("AzureUSGovernment", "https://management.usgovcloudapi.net", "login.microsoftonline.us")
KNOWN = {cloud.name: cloud for cloud in (PUBLIC, CHINA, GOVERNMENT)}
_HOSTS = {".azureml.ms": PUBLIC, ".ml.azure.cn": CHINA, ".ml.azure.us": GOVERNMENT}


def of_host(host: str) -> Cloud | None:
    """Tell the cloud by a workspace's host. Return None for a host of no known cloud."""
    name = host.partition(":")[0].lower()
    return next((cloud for suffix, cloud in _HOSTS.items() if name.endswith(suffix)), None)


def current(workspace: Workspace, environ: Mapping[str, str]) -> Cloud:
    """Decide which cloud is meant.

    Parameters
    ----------
    workspace : Workspace
        The workspace; its host decides where the environment says nothing.
    environ : mapping of str to str
        The environment. ``AZUREML_CURRENT_CLOUD`` names the cloud; with ``ARM_CLOUD_METADATA_URL``, or another name
        than the three known ones, the plugin looks the cloud up (30 s at the most).

    Returns
    -------
    Cloud
        The cloud; the public one if nothing speaks against it.

    Raises
    ------
    ConnectionFailedError
        If there is no cloud of that name.
    """
    name = environ.get(VARIABLE, "").strip()
    if not name and "ARM_CLOUD_METADATA_URL" not in environ:
        return of_host(workspace.host) or PUBLIC
    if name in KNOWN and "ARM_CLOUD_METADATA_URL" not in environ:
        return KNOWN[name]
    return _asked(name)


def environment(workspace: Workspace, environ: Mapping[str, str | None]) -> dict[str, str]:
    """Say which variable to place while connected to Azure ML."""
    cloud = of_host(workspace.host)
    if cloud is None or environ.get(VARIABLE) or environ.get("ARM_CLOUD_METADATA_URL") is not None:
        return {}
    return {VARIABLE: cloud.name}


def _asked(name: str) -> Cloud:
    """Have the plugin look a cloud up, so that we and its own requests mean the same one."""
    from azureml.mlflow._common._cloud.cloud import _get_cloud_or_default

    try:
        cloud = _get_cloud_or_default(name or None)
        arm, authority = cloud.endpoints.resource_manager, cloud._get_authority()
    except Exception as error:  # the plugin raises no more special one for a name that it does not know
        raise ConnectionFailedError(
            f"{VARIABLE}={name}", "no such cloud is known", f"use one of {', '.join(KNOWN)}"
        ) from error
    return Cloud(cloud.name, arm.rstrip("/"), authority)
