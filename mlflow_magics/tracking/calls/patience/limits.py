"""Shortens MLflow's own limits for a notebook: by default a dead server blocks a cell for 247 s."""

from __future__ import annotations

from collections.abc import Mapping

LIMITS: Mapping[str, str] = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "4",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    # Each end_run makes one request only to print a URL, credentials and all. MLflow 2.22 does not know the variable.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""What we set in the environment where the user set nothing (seconds, counts, flags; MLflow reads them per call)."""

CONNECT_SECONDS = 2.5
"""How long a server may take to accept the connection."""

ANSWER_SECONDS = 6.0
"""How long it may take to answer the first request; a server that sleeps when idle needs some of it."""

STEP_SECONDS = 10.0
"""How long one step of a check may take."""


def absent(environment: Mapping[str, str | None]) -> dict[str, str]:
    """Pick the limits that the user has not set."""
    return {name: value for name, value in LIMITS.items() if environment.get(name) is None}


def answer_seconds(environment: Mapping[str, str | None]) -> float:
    """Say how long to wait for a server's first answer.

    Parameters
    ----------
    environment : mapping of str to str or None
        The environment as the user left it.

    Returns
    -------
    float
        Seconds: the user's own ``MLFLOW_HTTP_REQUEST_TIMEOUT`` where it is a number, else ours.
    """
    try:
        return float(environment.get("MLFLOW_HTTP_REQUEST_TIMEOUT") or ANSWER_SECONDS)
    except ValueError:
        return ANSWER_SECONDS
