"""Who signs in: the identity end point of a compute instance, the authority, and the tokens of jobs."""

from __future__ import annotations

import base64
import itertools
import json
import threading
import time
from typing import Any

from .faults import Faults
from .wire import Answer, Request

TENANT = "11111111-2222-3333-4444-555555555555"
MSI_SECRET = "of-this-test-only"
PRINCIPAL = {"AZURE_CLIENT_ID": "app-1", "AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_SECRET": "of-this-test-only"}
PERSON = "me@example.com"


class Tokens:
    """The tokens that were handed out, and which of them are good."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self._good: dict[str, float] = {}
        self._count = itertools.count()
        self._lock = threading.Lock()

    def issue(self, lifetime: float | None = None, **claims: Any) -> tuple[str, int]:
        """A JWT and the second at which it runs out; unsigned, because only this emulator looks at it."""
        expires = int(time.time() + (self.faults.lifetime if lifetime is None else lifetime))
        facts = {"tid": TENANT, "exp": expires, "iat": int(time.time()), "jti": str(next(self._count)), **claims}
        token = f"{_encoded({'alg': 'none', 'typ': 'JWT'})}.{_encoded(facts)}.c2ln"
        with self._lock:
            self._good[token] = expires
        return token, expires

    def is_good(self, token: str) -> bool:
        """Whether it was handed out here, not taken back, and has not run out."""
        with self._lock:
            return self._good.get(token, 0.0) > time.time()

    def revoke(self) -> None:
        """Take back all that were handed out until now."""
        with self._lock:
            self._good.clear()

    def count(self) -> int:
        """How many are good or were."""
        with self._lock:
            return len(self._good)


def managed_identity(request: Request, tokens: Tokens) -> Answer:
    """``GET /msi/token?api-version=2017-09-01&resource=…`` with the header ``secret``.

    Seen in azure-identity, ``_credentials/azure_ml.py``; ``expires_on`` in seconds, as text.
    """
    faults = tokens.faults
    if faults.identity == "slow":
        time.sleep(20)
    if faults.identity != "up" or request.headers.get("secret") != MSI_SECRET:
        return Answer.of({"error": "down"}, 500)
    token, expires = tokens.issue(upn=PERSON)
    resource = request.query.get("resource", "")
    return Answer.of({"access_token": token, "expires_on": str(expires), "resource": resource, "token_type": "Bearer"})


def authority(request: Request, tokens: Tokens, host: str) -> Answer | None:
    """The authority: OpenID discovery, device codes, and tokens for principals, device codes and refreshes.

    Seen in msal (``authority.py``, ``oauth2cli/oauth2.py``) as azure-identity drives it; the errors in Microsoft's
    "Microsoft Entra authentication and authorization error codes".
    """
    if request.path.endswith("/openid-configuration"):
        base = f"https://{host}/{TENANT}"
        return Answer.of(
            {
                "issuer": f"{base}/v2.0",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
            }
        )
    if not request.path.startswith((f"/{TENANT}/oauth2", "/organizations/oauth2", "/common/oauth2")):
        return None
    if tokens.faults.sign_in == "down":
        return Answer.of({"error": "temporarily_unavailable"}, 503)
    if request.path.endswith("/devicecode"):
        page = "https://microsoft.com/devicelogin"
        code = {"device_code": "dc", "user_code": "ABCD-1234", "verification_uri": page, "expires_in": 900}
        return Answer.of({**code, "interval": 1, "message": f"open {page} and enter ABCD-1234"})
    return _token(request.form, tokens, host)


def _token(form: dict[str, str], tokens: Tokens, host: str) -> Answer:
    faults = tokens.faults
    if faults.sign_in == "expired":
        text = "AADSTS700082: The refresh token has expired due to inactivity."
        return Answer.of({"error": "invalid_grant", "error_description": text}, 400)
    if "device_code" in form.get("grant_type", "") and faults.pending > 0:
        faults.pending -= 1
        return Answer.of({"error": "authorization_pending", "error_description": "AADSTS70016: pending"}, 400)
    if form.get("grant_type") == "client_credentials":
        token, expires = tokens.issue(appid=form.get("client_id", ""))
        return Answer.of({"token_type": "Bearer", "expires_in": expires - int(time.time()), "access_token": token})
    token, expires = tokens.issue(preferred_username=PERSON)
    now = int(time.time())
    claims = {"aud": form["client_id"], "iss": f"https://{host}/{TENANT}/v2.0", "iat": now, "exp": now + 3600}
    claims |= {"tid": TENANT, "oid": "u", "sub": "s", "preferred_username": PERSON}
    return Answer.of(
        {
            "token_type": "Bearer",
            "expires_in": expires - now,
            "access_token": token,
            "scope": form.get("scope", ""),
            "refresh_token": "rt",
            "client_info": _encoded({"uid": "u", "utid": TENANT}),
            "id_token": f"{_encoded({'alg': 'none'})}.{_encoded(claims)}.c2ln",
        }
    )


def job_token(tokens: Tokens) -> Answer:
    """``GET /history/v1.0{scope}/experimentids/{id}/runs/{run}/token``: a job renews its token.

    Seen in azureml-mlflow, ``_restclient/token/operations/_runs_operations.py`` and
    ``_common/_authentication/azureml_token_authentication.py``.
    """
    token, expires = tokens.issue(name="job")
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires))
    return Answer.of({"token": token, "expiryTimeUtc": moment})


def _encoded(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")
