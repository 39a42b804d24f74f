"""The few services of Azure that signing in needs, on loopback: no tracking behind them.

The emulator of ``tests/rig/azure`` has the whole; this stands in for its identity and ARM rooms where only they matter.
Shapes: the identity endpoint as azure-identity's ``azure_ml.py`` asks it; the authority's end points as MSAL asks them
(OpenID discovery, token, device code); ARM as Microsoft's REST reference has it ("Machine Learning - Workspaces -
Get"), ``experiments/get`` as MLflow's.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import trustme

GUID = "01234567-89ab-cdef-0123-456789abcdef"
TENANT = "11111111-2222-3333-4444-555555555555"
SCOPE = f"/subscriptions/{GUID}/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
SILENT = 60


def encoded(content):
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def jwt(**claims):
    return f"{encoded({'alg': 'none'})}.{encoded(claims)}.c2ln"


class Cloud:
    """Two listeners: the identity endpoint in the clear, and everything else behind TLS."""

    def __init__(self, folder: Path) -> None:
        self.lifetime = 3600
        self.identity = "up"  # "down": 500; "silent": no answer
        self.principal = "good"  # "expired"
        self.arm_status, self.arm_code = 200, ""
        self.pending = 2
        self.seen: list[tuple[str, str]] = []
        self.bearers: list[str] = []
        self._valid: dict[str, float] = {}
        authority = trustme.CA()
        self.ca_file = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        self._servers = []
        for secure in (False, True):
            server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"cloud": self}))
            server.daemon_threads = True
            if secure:
                server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
            thread.start()
            self._servers.append((server, thread))
        self.plain = f"127.0.0.1:{self._servers[0][0].server_port}"
        self.host = f"127.0.0.1:{self._servers[1][0].server_port}"
        self.uri = f"azureml://{self.host}/mlflow/v1.0{SCOPE}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server, thread in self._servers:
            server.shutdown()
            server.server_close()
            thread.join(5)

    def environment(self, kind):
        common = {
            "REQUESTS_CA_BUNDLE": str(self.ca_file),
            "AZUREML_CURRENT_CLOUD": "AzureCloud",
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://127.0.0.1:9",
            "AZURE_AUTHORITY_HOST": f"https://{self.host}",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
            "CONTROL": f"http://{self.plain}",
            "URI": self.uri,
        }
        principal = {"AZURE_CLIENT_ID": "app-1", "AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_SECRET": "not-a-secret"}
        kinds = {
            "compute_instance": {"MSI_ENDPOINT": f"http://{self.plain}/msi", "MSI_SECRET": "s"},
            "service_principal": principal,
            "device": {"AZURE_TENANT_ID": TENANT},
            "nobody": {},
        }
        return {**common, **kinds[kind]}

    def token(self, **claims):
        expires = time.time() + self.lifetime
        token = jwt(tid=TENANT, exp=int(expires), nonce=len(self._valid), **claims)
        self._valid[token] = expires
        return token

    def is_good(self, header):
        bearer = (header or "").removeprefix("Bearer ")
        self.bearers.append(bearer)
        return self._valid.get(bearer, 0) > time.time()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cloud: Cloud

    def log_message(self, *_):
        pass

    def do_GET(self):
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.cloud.seen.append(("GET", parts.path))
        if parts.path == "/control":
            for name, value in query.items():
                setattr(self.cloud, name, type(getattr(self.cloud, name))(value))
            return self.answer(200, {})
        if parts.path == "/msi":
            return self.identity()
        if parts.path.endswith("/openid-configuration"):
            base = f"https://{self.cloud.host}/{TENANT}"
            return self.answer(
                200,
                {
                    "issuer": f"{base}/v2.0",
                    "token_endpoint": f"{base}/oauth2/v2.0/token",
                    "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                    "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
                },
            )
        if not self.cloud.is_good(self.headers.get("Authorization")):
            return self.answer(401, {"error": {"code": "InvalidAuthenticationToken", "message": "bad token"}})
        if parts.path == SCOPE:
            if self.cloud.arm_status == SILENT:
                time.sleep(3)
            if self.cloud.arm_status != 200:
                return self.answer(self.cloud.arm_status, {"error": {"code": self.cloud.arm_code, "message": "no"}})
            return self.answer(200, {"location": "here", "properties": {"mlFlowTrackingUri": self.cloud.uri}})
        if parts.path.endswith("/mlflow/experiments/get"):
            return self.answer(200, {"experiment": {"experiment_id": "0", "name": "Default"}})
        if parts.path.endswith("/registered-models/get"):
            return self.answer(200, {"registered_model": {"name": "m"}})
        return self.answer(404, None)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        form = {key: values[0] for key, values in parse_qs(body).items()}
        self.cloud.seen.append(("POST", urlsplit(self.path).path))
        if self.path.endswith("/devicecode"):
            return self.answer(
                200,
                {
                    "device_code": "dc",
                    "user_code": "ABCD-1234",
                    "verification_uri": "https://microsoft.com/devicelogin",
                    "expires_in": 900,
                    "interval": 1,
                    "message": "…",
                },
            )
        if self.path.endswith("/token"):
            return self.oauth(form)
        return self.answer(404, None)

    def identity(self):
        if self.cloud.identity == "silent":
            time.sleep(20)
        if self.cloud.identity != "up" or self.headers.get("secret") != "s":
            return self.answer(500, {"error": "down"})
        token = self.cloud.token(upn="me@corp.com")
        expires = str(int(time.time() + self.cloud.lifetime))
        return self.answer(200, {"access_token": token, "expires_on": expires, "resource": "r", "token_type": "Bearer"})

    def oauth(self, form):
        if self.cloud.principal == "expired":
            text = "AADSTS700082: The refresh token has expired due to inactivity."
            return self.answer(400, {"error": "invalid_grant", "error_description": text})
        if "device_code" in form.get("grant_type", "") and self.cloud.pending > 0:
            self.cloud.pending -= 1
            return self.answer(400, {"error": "authorization_pending", "error_description": "AADSTS70016: pending"})
        person = form.get("grant_type") != "client_credentials"
        claims = {"preferred_username": "me@corp.com"} if person else {"appid": "app-1"}
        answer = {
            "token_type": "Bearer",
            "expires_in": self.cloud.lifetime,
            "access_token": self.cloud.token(**claims),
        }
        if person:
            now = int(time.time())
            answer |= {
                "scope": form.get("scope", ""),
                "refresh_token": "rt",
                "client_info": encoded({"uid": "u", "utid": TENANT}),
                "id_token": jwt(
                    aud=form["client_id"],
                    iss=f"https://{self.cloud.host}/{TENANT}/v2.0",
                    iat=now,
                    exp=now + 3600,
                    tid=TENANT,
                    oid="u",
                    sub="s",
                    preferred_username="me@corp.com",
                ),
            }
        return self.answer(200, answer)

    def answer(self, status, content):
        body = b"" if content is None else json.dumps(content).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            pass  # the client has given up
