"""Looks at a server quickly, before MLflow's client is used, which retries for minutes.

Everything that can go wrong on the way is told apart here, once: connecting raises it, and the check shows it as
the step at which the way ends.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from ..calls.patience.limits import CONNECT_SECONDS, answer_seconds
from ..calls.patience.waiting import within
from ..failures.diagnosis import ReachError, diagnosis
from ..location.plugs import plug_of
from ..location.uris import Target
from .probe_local import reach_database, reach_file

_VERSION = re.compile(r"^\d+\.\d+[\w.+\-]*$")
_CREDENTIALS_MEND = (
    "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, then connect again"
)
_REFUSALS = {
    401: "the server wants credentials, or refuses these (401)",
    403: "these credentials are not allowed in (403)",
}
_API = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"


def reach(target: Target, environment: Mapping[str, str | None] = os.environ) -> str:
    """See whether the store is there and lets us in.

    The server's MLflow version, or an SQLite file's schema; empty where it does not say.
    """
    if target.kind == "server":
        return _reach_server(target, answer_seconds(environment))
    if target.path is not None:
        return reach_file(target, target.path)
    if target.kind == "database":
        reach_database(target)
    if plug := plug_of(target.kind):
        return plug.reach(target, environment)
    # Databricks and other plugins are reached by their own clients only; the experiment's lookup is the first contact.
    return ""


def _reach_server(target: Target, seconds: float) -> str:
    answer = _get(target, "/version", seconds)
    status, text = answer.status_code, str(answer.text).strip()
    where = target.where
    if refusal := _REFUSALS.get(status):
        raise ReachError("authentication", where, refusal, _CREDENTIALS_MEND)
    if status >= 500:
        reason = f"the server, or a proxy before it, answers {status} {answer.reason or ''}".rstrip()
        raise ReachError("version", where, reason, "look at the server's log, or try again later")
    if status == 200 and _VERSION.match(text):
        return text
    # Some hosted servers offer the API and no /version: one more request tells them from a web site.
    if not _speaks_mlflow(_get(target, _API, seconds)):
        raise ReachError(
            "version",
            where,
            f"something answers there, but it is not an MLflow server (status {status})",
            "check the port and the path; it is the address at which a browser shows MLflow's experiments",
        )
    return ""


def _speaks_mlflow(answer: Any) -> bool:
    try:
        body = answer.json()
    except ValueError:
        return False
    return isinstance(body, dict) and bool({"experiment", "error_code"} & set(body))


def _get(target: Target, path: str, seconds: float) -> Any:
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    def ask() -> Any:
        # MLflow's own function: the credentials, certificates and plugins are those its client will use.
        return http_request(
            get_default_host_creds(target.uri),
            path,
            "GET",
            max_retries=0,
            timeout=(min(CONNECT_SECONDS, seconds), seconds),
            raise_on_status=False,
        )

    try:
        return within(CONNECT_SECONDS + seconds, ask)
    except Exception as error:  # requests, urllib3, ssl, plugins: all end as one error of ours
        raise diagnosis(error, target) from error
