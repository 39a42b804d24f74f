"""The gateway to tracking and the model registry: a real MLflow server behind Azure ML's manners."""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
from collections import Counter, defaultdict
from typing import Any

from .faults import Faults
from .wire import Answer, Request

# What Azure ML serves of MLflow's REST API; everything else is 404 with an empty body, as people report it of
# ``logged-models`` (Azure/azure-sdk-for-python, issue 44896).
_SERVED = re.compile(
    r"^/api/2\.0/(preview/)?mlflow/(experiments|runs|metrics|artifacts|registered-models|model-versions)(/|$)"
)
_LOGGED_MODELS = re.compile(r"^/api/2\.0/mlflow/logged-models")
_MOST = {"Parameters": 200, "Tags": 50, "Metrics": 250, "TagKey": 100, "TagValue": 1000}


class Tracking:
    """Forwards to a server, keeps Azure ML's limits, and gives runs the artifact addresses of Azure ML."""

    def __init__(self, backend: str, faults: Faults, artifacts: str) -> None:
        self._backend = backend
        self._faults = faults
        self._artifacts = artifacts
        self._held: dict[str, dict[str, set[str]]] = defaultdict(lambda: {"Parameters": set(), "Tags": set()})
        self._lock = threading.Lock()

    def answer(self, request: Request, route: str) -> Answer:
        """``/mlflow/v2.0{scope}/api/2.0/mlflow/…``: seen in azureml-mlflow, ``_store/azureml_reststore.py``."""
        time.sleep(self._faults.latency)
        models = bool(_LOGGED_MODELS.match(route))
        if not (_SERVED.match(route) or (models and not self._faults.logged_models_missing)):
            return Answer(404)
        if route.endswith("/runs/log-batch-async"):
            return self._later(request)
        if route.endswith("/runs/get-run-data-status"):
            return Answer.of({"is_complete": True})
        content = _parsed(request.body)
        if self._faults.limits and (refused := self._over(route, content)):
            return refused
        answer = self._forward(request, route)
        if answer.status == 200:
            if self._faults.limits:
                self._note(route, content, answer)
            answer = self._renamed(answer)
        return answer

    def _later(self, request: Request) -> Answer:
        """``runs/log-batch-async``: seen in azureml-mlflow, ``_store/tracking/store.py`` (params and tags at once).

        Then ``runs/get-run-data-status``: ``_protos/aml_service_pb2.py`` has both answers' fields.
        """
        answer = self._forward(request, "/api/2.0/mlflow/runs/log-batch")
        return Answer.of({"batch_tracking_id": "b"}) if answer.status == 200 else answer

    def _forward(self, request: Request, route: str) -> Answer:
        connection = http.client.HTTPConnection(self._backend, timeout=60)
        query = request.target.partition("?")[2]
        headers = {"Content-Type": request.headers.get("Content-Type") or "application/json"}
        try:
            connection.request(request.method, f"{route}?{query}" if query else route, request.body or None, headers)
            found = connection.getresponse()
            return Answer(found.status, found.read(), {"Content-Type": "application/json"})
        except (OSError, http.client.HTTPException):
            return Answer(502)
        finally:
            connection.close()

    def _renamed(self, answer: Answer) -> Answer:
        """A run's artifacts lie with the history service: seen in azureml-mlflow, ``_internal/utils.py``'s patterns."""
        text = re.sub(
            r'"mlflow-artifacts:/(?:[^"]*/)?(\w+)/(\w+)/artifacts',
            lambda found: f'"{self._artifacts}/experiments/{found[1]}/runs/{found[2]}/artifacts',
            answer.body.decode(),
        )
        return Answer(answer.status, text.encode(), answer.headers)

    # -- limits: https://aka.ms/azure-machine-learning-limits --------------------------------------------------------

    def _over(self, route: str, content: dict[str, Any]) -> Answer | None:
        """The refusal's form and words: seen in Azure/azure-sdk-for-python, issue 35685."""
        run = str(content.get("run_id") or content.get("run_uuid") or "")
        params, tags = _written(route, content)
        with self._lock:
            held = self._held[run] if run else {"Parameters": set(), "Tags": set()}
            sizes = {
                "Parameters": len(held["Parameters"] | params),
                "Tags": len(held["Tags"] | set(tags)),
                "TagKey": max(map(len, tags), default=0),
                "TagValue": max(map(len, tags.values()), default=0),
                "Metrics": max(Counter(each["key"] for each in content.get("metrics", ())).values(), default=0),
            }
        field = next((name for name, most in _MOST.items() if sizes[name] > most), "")
        if not field:
            return None
        facts = f"FieldName={field}, Limit={_MOST[field]}, Size={sizes[field]}"
        text = f"A field of the entity is over the size limit. {facts}."
        error = {"Error": {"Code": "ValidationError", "Message": text}}
        return Answer.of({"error_code": "INVALID_PARAMETER_VALUE", **error}, 400)

    def _note(self, route: str, content: dict[str, Any], answer: Answer) -> None:
        run = str(content.get("run_id") or content.get("run_uuid") or "")
        if route.endswith("/runs/create"):
            run = str(_parsed(answer.body).get("run", {}).get("info", {}).get("run_id", ""))
        params, tags = _written(route, content)
        with self._lock:
            self._held[run]["Parameters"] |= params
            self._held[run]["Tags"] |= set(tags)
            if route.endswith("/runs/delete-tag"):
                self._held[run]["Tags"].discard(str(content.get("key")))


def _written(route: str, content: dict[str, Any]) -> tuple[set[str], dict[str, str]]:
    """The params and tags that a request writes."""
    params = {str(each["key"]) for each in content.get("params", ())} if "/runs/log-batch" in route else set()
    tags = {str(each["key"]): str(each.get("value", "")) for each in content.get("tags", ()) if "/runs/" in route}
    if route.endswith("/runs/log-parameter"):
        params = {str(content["key"])}
    if route.endswith("/runs/set-tag"):
        tags = {str(content["key"]): str(content.get("value", ""))}
    return params, tags


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
