"""The environment variables that make the plugin quick to start and to fail."""

from __future__ import annotations

import os
from collections.abc import Mapping

from . import clouds
from .addresses import Workspace


def environment(workspace: Workspace, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Say which variables to place while connected to Azure ML.

    Parameters
    ----------
    workspace : Workspace
        Where to.
    environ : mapping of str to str, optional
        The environment as the user left it; what is set there stays.

    Returns
    -------
    dict of str to str
        Name to value. ``AZUREML_CURRENT_CLOUD``, or the plugin fetches a list of clouds first (30 s where that is
        blocked); ``MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER``, or a cell sleeps as long as a refusing server says.
    """
    wanted = {"MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false"}
    if "ARM_CLOUD_METADATA_URL" not in environ and (cloud := clouds.of_host(workspace.host)):
        wanted[clouds.VARIABLE] = cloud.name
    return {name: value for name, value in wanted.items() if not environ.get(name)}
