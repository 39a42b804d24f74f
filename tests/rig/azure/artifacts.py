"""A run's artifacts: the history service that knows their names, and the blobs that hold them, on disk."""

from __future__ import annotations

import base64
import json
import re
import threading
import uuid
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

from .faults import Faults
from .wire import Answer, Request

ACCOUNT = "account.blob.core.windows.net"
CONTAINER = "azureml"
_RUN = re.compile(r"^/(?:experiments|experimentids)/[^/]+/runs/(?P<run>[^/]+)/artifacts(?P<rest>/.*)?$")


class Artifacts:
    """Names and contents, by run."""

    def __init__(self, folder: Path, faults: Faults) -> None:
        self._folder = folder
        self._faults = faults
        self._names: dict[str, list[str]] = {}
        self._lock = threading.Lock()
        self.host = ""

    def history(self, request: Request, route: str) -> Answer:
        """``/history/v1.0{scope}/experiments/{experiment}/runs/{run}/artifacts…``.

        Seen in azureml-mlflow, ``_restclient/run_artifact/operations/_run_artifacts_operations.py`` and ``models``.
        """
        found = _RUN.match(route)
        if found is None:
            return Answer(404)
        run, rest = found["run"], found["rest"] or ""
        if request.method == "POST" and rest == "/batch/metadata":
            return self._create(request, run)
        if request.method == "GET" and rest == "":
            with self._lock:
                names = list(self._names.get(run, ()))
            return Answer.of({"value": [self._described(run, name) for name in names], "nextLink": None})
        if request.method == "GET" and rest == "/contentinfo":
            path = request.query.get("path", "")
            with self._lock:
                known = path in self._names.get(run, ())
            if not known:
                return Answer.of({"error": {"code": "UserError", "message": "Artifact not found"}}, 404)
            # To read only: Azure/azureml-examples, issue 1123, shows such addresses.
            return Answer.of({**self._described(run, path), "contentUri": self._uri(run, path, "r")})
        return Answer(404)

    def _create(self, request: Request, run: str) -> Answer:
        """Make names; one that is taken is an error of its own (``_client/artifact/run_artifact_client.py``).

        Its words: seen in lightly-ai/lightly-train, issue 256.
        """
        made, errors = {}, {}
        for each in json.loads(request.body)["paths"]:
            path = each["path"]
            with self._lock:
                names = self._names.setdefault(run, [])
                if path in names:
                    message = f"Resource Conflict: ArtifactId ExperimentRun/dcid.{run}/{path} already exists."
                    errors[path] = {"error": {"code": "UserError", "message": message}}
                    continue
                names.append(path)
            made[path] = {**self._described(run, path), "contentUri": self._uri(run, path, "rcw")}
        artifacts = {path: self._described(run, path) for path in made}
        return Answer.of({"artifacts": artifacts, "artifactContentInformation": made, "errors": errors})

    def _described(self, run: str, path: str) -> dict[str, str]:
        return {"origin": "ExperimentRun", "container": f"dcid.{run}", "path": path, "artifactId": path}

    def _uri(self, run: str, path: str, rights: str) -> str:
        # The client downloads nothing from an address that does not look like a storage account's.
        name = quote(f"ExperimentRun/dcid.{run}/{path}")
        return f"https://{self.host}/{ACCOUNT}/{CONTAINER}/{name}?sv=2024&sp={rights}&sig=c2ln"

    # -- blobs -------------------------------------------------------------------------------------------------------

    def blob(self, request: Request) -> Answer:
        """``PUT`` whole or in blocks, ``GET`` and ``HEAD`` with ranges.

        Seen in Microsoft's REST reference ("Put Blob", "Put Block", "Put Block List", "Get Blob") as
        azure-storage-blob calls them.
        """
        needed = "w" if request.method == "PUT" else "r"
        if request.query.get("sig") is None or needed not in request.query.get("sp", ""):
            return Answer(403, headers={"x-ms-error-code": "AuthenticationFailed"})
        name = request.path.removeprefix(f"/{ACCOUNT}/{CONTAINER}/")
        file = self._folder / "blobs" / quote(name, safe="")
        if request.method == "PUT":
            return self._put(request, file)
        if not file.exists():
            return Answer(404, headers={"x-ms-error-code": "BlobNotFound"})
        return self._get(request, file)

    def _put(self, request: Request, file: Path) -> Answer:
        file.parent.mkdir(parents=True, exist_ok=True)
        blocks = file.with_name(file.name + ".blocks")
        part = request.query.get("comp", "")
        if part == "block":
            blocks.mkdir(exist_ok=True)
            (blocks / quote(request.query["blockid"], safe="")).write_bytes(request.body)
            return _stored()
        if request.headers.get("If-None-Match") == "*" and file.exists():
            return Answer(409, headers={"x-ms-error-code": "BlobAlreadyExists"})
        whole = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
        with whole.open("wb") as target:
            if part == "blocklist":
                for each in ElementTree.fromstring(request.body):
                    target.write((blocks / quote(each.text or "", safe="")).read_bytes())
            else:
                target.write(request.body)
        whole.replace(file)
        return _stored()

    def _get(self, request: Request, file: Path) -> Answer:
        size = file.stat().st_size
        common = {"ETag": '"1"', "Last-Modified": formatdate(usegmt=True), "x-ms-blob-type": "BlockBlob"}
        common |= {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        if request.method == "HEAD":
            return Answer(200, headers={**common, "Content-Length": str(size)})
        found = re.match(r"bytes=(\d+)-(\d*)", request.headers.get("x-ms-range") or request.headers.get("Range") or "")
        if found is None:
            return Answer(200, file.read_bytes(), common)
        start, end = int(found[1]), min(int(found[2] or size - 1), size - 1)
        if start >= size:
            return Answer(416, headers={"Content-Range": f"bytes */{size}", "x-ms-error-code": "InvalidRange"})
        with file.open("rb") as source:
            source.seek(start)
            content = source.read(end - start + 1)
        return Answer(206, content, {**common, "Content-Range": f"bytes {start}-{end}/{size}"})


def _stored() -> Answer:
    digest = base64.b64encode(b"0" * 16).decode()
    return Answer(201, headers={"ETag": '"1"', "Last-Modified": formatdate(usegmt=True), "x-ms-request-id": digest})
