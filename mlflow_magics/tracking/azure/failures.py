"""What a failure says that only Azure says: no token, the services' own codes and words."""

from __future__ import annotations

import re

from mlflow.exceptions import MlflowException

from ..failures.kinds import CREDENTIALS, UnavailableError, is_unauthorized, of_status
from ..location.plugs import FailureKind
from .sign_in import signin
from .uploads import is_taken

# By name: most who track know none of Azure's packages.
_NO_TOKEN = frozenset({"ClientAuthenticationError", "CredentialUnavailableError"})
_ANSWER = frozenset({"HttpResponseError"})
_EXPIRED = "sign-in expired: az login, then %mlflow_sync"

_NOT_VALID = re.compile(r"""["']Code["']\s*:\s*["']ValidationError["']""")
_WORDS = re.compile(r"""Response: \{'error': \{.*?'message': (['"])(.+?)\1""")


def failure_kind(error: BaseException) -> FailureKind | None:
    """Judge what Azure ML, a storage account or the plugin raised; None where that is for others to judge."""
    if _without_token(error):
        return "unauthorized"
    if isinstance(error, UnavailableError):
        return None
    if isinstance(error, MlflowException):
        # Azure ML's gateway says so with or without MLflow's own code.
        return "refused" if not is_unauthorized(error) and _NOT_VALID.search(str(error)) else None
    if _is_a(error, _ANSWER):
        status = getattr(error, "status_code", None)
        # A gateway's 404 has no words; those of the services parse: history's error, a storage account's code.
        words = getattr(error, "error", None) or getattr(error, "error_code", None)
        return "unavailable" if status == 404 and not words else of_status(status)
    return "refused" if is_taken(error) else None


def explain(error: BaseException) -> str:
    """Return why nobody is let in, on one line; empty where Azure does not say."""
    if _without_token(error):
        return signin.is_sign_in_failure(error) or _EXPIRED
    words = _WORDS.search(str(error))
    return f"{CREDENTIALS}: {words[2]}" if words else ""


def _without_token(error: BaseException) -> bool:
    """Tell whether Azure gave no token, also where something else was raised because of that."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        # A storage account that forbids raises the same class; nobody's signing in changes that.
        if _is_a(cause, _NO_TOKEN) and getattr(cause, "status_code", None) != 403:
            return True
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return False


def _is_a(error: BaseException, names: frozenset[str]) -> bool:
    return any(kind.__name__ in names for kind in type(error).__mro__)
