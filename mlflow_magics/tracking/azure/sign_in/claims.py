"""Reads what a token says of its owner."""

from __future__ import annotations

import base64
import json
from typing import Any


def claims(token: str) -> dict[str, Any]:
    """Read a token's claims.

    Not verified, and not to be trusted for more than showing a name: whether a token is good is for the service that
    takes it to say, and we have only just been handed it by the one that signs.

    Its claims; empty for what is no JWT.
    """
    try:
        body = token.split(".")[1]
        claims_of_token = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, ValueError):
        return {}
    return claims_of_token if isinstance(claims_of_token, dict) else {}


def user(found: dict[str, Any]) -> str:
    """Tell whose token it is.

    Parameters
    ----------
    found : dict
        The claims.

    Returns
    -------
    str
        The name of a person or an application, else its id; empty where the token does not say.
    """
    names = ("upn", "unique_name", "preferred_username", "app_displayname", "name", "appid", "oid")
    return next((str(found[name]) for name in names if found.get(name)), "")
