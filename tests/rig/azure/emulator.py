"""The workspace as a whole: its listeners, who is sent where, and the environment of those who work in it."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from ..servers import MlflowServer
from . import arm, certificates, identity
from .artifacts import ACCOUNT, Artifacts
from .faults import Faults
from .tracking import Tracking
from .wire import Answer, Listener, Request, Seen

SUBSCRIPTION = "01234567-89ab-cdef-0123-456789abcdef"
GROUP, WORKSPACE = "group", "workspace"
SCOPE = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}"
    f"/providers/Microsoft.MachineLearningServices/workspaces/{WORKSPACE}"
)
_VARIABLES = (
    *("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET", "MSI_ENDPOINT", "MSI_SECRET", "IDENTITY_ENDPOINT"),
    *("CI_NAME", "CI_WORKSPACE", "CI_RESOURCE_GROUP", "AZUREML_RUN_ID", "ARM_CLOUD_METADATA_URL"),
    *("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"),
    *("MLFLOW_EXPERIMENT_NAME", "HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"),
)


class Emulator:
    """An Azure ML workspace. Use :meth:`start`."""

    def __init__(self, folder: Path, backend: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.faults = Faults()
        self.tokens = identity.Tokens(self.faults)
        self._lock = threading.Lock()
        self._seen: list[Seen] = []
        self.ca_file, context = certificates.make(folder)
        self._artifacts = Artifacts(folder, self.faults)
        self._open = Listener(self._identity)
        self._secure = Listener(self._counted, context)
        self.host = self._artifacts.host = self._secure.address
        self.tracking_uri = f"azureml://{self.host}/mlflow/v1.0{SCOPE}"
        self.arm_url = f"https://{self.host}"
        self._tracking = Tracking(urlsplit(backend).netloc, self.faults, f"azureml://{self.host}/mlflow/v2.0{SCOPE}")

    @classmethod
    @contextlib.contextmanager
    def start(cls, folder: Path, server: str = "") -> Iterator[Emulator]:
        """Start a workspace in a folder, and an MLflow server behind it unless the URL of one is given."""
        with contextlib.ExitStack() as stack:
            url = server or stack.enter_context(MlflowServer(folder / "server")).url
            emulator = cls(folder, url)
            stack.callback(emulator.close)
            yield emulator

    def close(self) -> None:
        """Stop listening."""
        self._open.close()
        self._secure.close()

    @property
    def requests(self) -> list[Seen]:
        """What arrived behind TLS, in order."""
        with self._lock:
            return list(self._seen)

    def matching(self, text: str) -> list[Seen]:
        """Those whose path contains a text."""
        return [each for each in self.requests if text in each.path]

    def forget(self) -> None:
        """Count from here on."""
        with self._lock:
            self._seen.clear()

    def config_json(self, folder: Path) -> Path:
        """Write the config.json that the portal hands out."""
        folder.mkdir(parents=True, exist_ok=True)
        facts = {"subscription_id": SUBSCRIPTION, "resource_group": GROUP, "workspace_name": WORKSPACE}
        path = folder / "config.json"
        path.write_text(json.dumps(facts))
        return path

    def environment(self, kind: str, run_id: str = "", experiment_id: str = "0") -> dict[str, str | None]:
        """The variables of a compute instance, a service principal's laptop, a job, or of nobody; None is "not set".

        The laptop knows the cloud from ``ARM_CLOUD_METADATA_URL``, which is how private clouds are reached.
        """
        common: dict[str, str | None] = dict.fromkeys(_VARIABLES)
        common |= {
            "REQUESTS_CA_BUNDLE": str(self.ca_file),
            "SSL_CERT_FILE": str(self.ca_file),
            "AZUREML_CURRENT_CLOUD": "AzureCloud",
            # Keeps azure-identity's look for a virtual machine's own identity from leaving the machine.
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": f"http://{self._open.address}/nothing",
            "AZURE_AUTHORITY_HOST": f"https://{self.host}",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        cloud = {"ARM_CLOUD_METADATA_URL": f"https://{self.host}/metadata/endpoints?api-version=2019-05-01"}
        kinds: dict[str, dict[str, str | None]] = {
            "compute_instance": {
                "MSI_ENDPOINT": f"http://{self._open.address}/msi/token",
                "MSI_SECRET": identity.MSI_SECRET,
                "MLFLOW_TRACKING_URI": self.tracking_uri,
                "CI_NAME": "ci1",
                "CI_WORKSPACE": WORKSPACE,
                "CI_RESOURCE_GROUP": GROUP,
            },
            "service_principal": {**identity.PRINCIPAL, **cloud},
            "nobody": cloud,
            "job": {},
        }
        if kind == "job":
            token, _ = self.tokens.issue(name="job")
            kinds["job"] = {
                "MLFLOW_TRACKING_URI": self.tracking_uri,
                "MLFLOW_TRACKING_TOKEN": token,
                "MLFLOW_RUN_ID": run_id,
                "AZUREML_RUN_ID": run_id,
                "MLFLOW_EXPERIMENT_ID": experiment_id,
            }
        return {**common, **kinds[kind]}

    # -- who is sent where -------------------------------------------------------------------------------------------

    def _identity(self, request: Request) -> Answer:
        if request.path.startswith("/msi/"):
            return identity.managed_identity(request, self.tokens)
        return Answer(404)

    def _counted(self, request: Request) -> Answer:
        answer = self._answer(request)
        with self._lock:
            self._seen.append(Seen(request.method, request.path, answer.status))
        return answer

    def _answer(self, request: Request) -> Answer:
        found = arm.clouds(request, self.host) or identity.authority(request, self.tokens, self.host)
        if found is not None:
            return found
        if refusal := self.faults.refusal(request.path):
            headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
            return Answer(refusal.status, b"", headers)
        if request.path.startswith(f"/{ACCOUNT}/"):
            return self._artifacts.blob(request)
        if not self.tokens.is_good(request.bearer):
            message = "Bearer token not provided." if not request.bearer else "The token is not valid."
            return Answer.of({"error": {"code": "UserError", "message": message}}, 401)
        if request.path == SCOPE:
            return arm.workspace(self.faults, self.tracking_uri)
        return self._in_workspace(request)

    def _in_workspace(self, request: Request) -> Answer:
        service, found, rest = request.path.partition(SCOPE)
        if not found or self.faults.workspace_missing:
            return Answer.of({"error": {"code": "UserError", "message": "Workspace not found"}}, 404)
        if service in ("/mlflow/v2.0", "/mlflow/v1.0"):
            return self._tracking.answer(request, rest)
        if service == "/history/v1.0" and rest.endswith("/token"):
            return identity.job_token(self.tokens)
        if service == "/history/v1.0":
            return self._artifacts.history(request, rest)
        return Answer(404)
