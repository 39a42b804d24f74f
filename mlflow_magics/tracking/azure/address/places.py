"""Says where this process runs: on a compute instance, in a job, or elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Job:
    """A job of Azure ML, seen from inside.

    Attributes
    ----------
    run_id : str
        The job's own run; the service opened it and closes it.
    experiment_id, experiment_name : str
        Its experiment; empty where the service did not say.
    """

    run_id: str
    experiment_id: str = ""
    experiment_name: str = ""


def compute_instance(environ: Mapping[str, str]) -> str | None:
    """Recognise a compute instance.

    One line for the connection: the instance, its workspace and resource group as far as it says them.
    """
    name = environ.get("CI_NAME", "").strip()
    if not name or not (environ.get("MSI_ENDPOINT") or environ.get("CI_WORKSPACE")):
        # CI_NAME alone is set by other systems too.
        return None
    parts = [f"compute instance {name}"]
    if workspace := environ.get("CI_WORKSPACE", "").strip():
        parts.append(f"workspace {workspace}")
    if group := environ.get("CI_RESOURCE_GROUP", "").strip():
        parts.append(f"resource group {group}")
    return ", ".join(parts)


def job(environ: Mapping[str, str]) -> Job | None:
    """Recognise a job, by the variables that the plugin itself takes for one.

    The job; None elsewhere, and where the plugin would not use the job's token.
    """
    if not environ.get("MLFLOW_TRACKING_URI", "").lower().startswith("azureml:"):
        return None
    run_id = environ.get("MLFLOW_RUN_ID", "")
    experiment = environ.get("MLFLOW_EXPERIMENT_ID", ""), environ.get("MLFLOW_EXPERIMENT_NAME", "")
    if not (run_id and environ.get("MLFLOW_TRACKING_TOKEN") and any(experiment)):
        return None
    return Job(run_id, *experiment)
