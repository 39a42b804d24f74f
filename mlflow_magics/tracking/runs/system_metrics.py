"""Has MLflow sample CPU, memory and GPU into a run."""

from __future__ import annotations

from typing import Any

from mlflow.exceptions import MlflowException

from ...vocabulary.errors import TrackingError
from ..calls.guards import reason


def samples_system_metrics() -> bool:
    """Return whether the user has asked MLflow itself to sample system metrics into every run."""
    from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING

    return bool(MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.get())


def start_system_metrics(run_id: str) -> Any:
    """Start MLflow's sampling of CPU, memory and GPU into a run.

    Parameters
    ----------
    run_id : str
        The run.

    Returns
    -------
    object
        Its ``finish()`` ends the sampling.

    Raises
    ------
    TrackingError
        psutil, which MLflow samples with, is not installed.
    """
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    try:
        monitor = SystemMetricsMonitor(run_id)
    except (ImportError, MlflowException) as error:
        raise TrackingError(f"no system metrics: {reason(error)}; pip install psutil") from error
    monitor.start()
    return monitor
