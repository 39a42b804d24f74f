"""Explains the failures that only Azure raises: no token, the services' own codes and words."""

from __future__ import annotations

import re
import sys

from mlflow.exceptions import MlflowException

from ..calls.masking import one_line
from ..failures.diagnosis import ReachError, causes, diagnosis
from ..failures.kinds import CREDENTIALS, UnavailableError, is_unauthorized, of_status
from ..location.plugs import FailureKind
from ..location.uris import Target
from .address.addresses import Workspace
from .sign_in.signin import PRINCIPAL
from .uploads import is_taken

# By name: most who track know none of Azure's packages.
_NO_TOKEN = frozenset({"ClientAuthenticationError", "CredentialUnavailableError"})
_ANSWER = frozenset({"HttpResponseError"})
_SIGN_IN = "sign-in expired: az login, then %mlflow_sync"
_EXPIRED = {"AADSTS700082", "AADSTS70043", "AADSTS50173", "AADSTS70008", "AADSTS50078", "AADSTS50079"}

_NOT_VALID = re.compile(r"""["']Code["']\s*:\s*["']ValidationError["']""")
_WORDS = re.compile(r"""Response: \{'error': \{.*?'message': (['"])(.+?)\1""")
_STATUS = re.compile(r"error code (\d{3})")


def failure_kind(error: BaseException) -> FailureKind | None:
    """Judge what Azure ML, a storage account or the plugin raised; None where that is for others to judge."""
    if _is_without_token(error):
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
    if _is_without_token(error):
        return sign_in_failure(error) or _SIGN_IN
    words = _WORDS.search(str(error))
    return f"{CREDENTIALS}: {words[2]}" if words else ""


def sign_in_failure(error: BaseException) -> str | None:
    """Recognise that a request failed because no token could be had.

    Parameters
    ----------
    error : BaseException
        What MLflow, the plugin or azure raised; what led to it is looked at too.

    Returns
    -------
    str or None
        Why and what to do, in one line; None for anything else. Nothing is imported.
    """
    core = sys.modules.get("azure.core.exceptions")
    if core is None:
        return None
    for cause in causes(error):
        if isinstance(cause, core.ClientAuthenticationError):
            ours = sys.modules.get(f"{__package__}.sign_in.credentials")
            if ours is not None and isinstance(cause, ours.SignInError):
                return _expired(cause.reason, cause.how)
            # A storage account that refuses raises the same class, but with its response.
            if cause.response is None or "AADSTS" in str(cause):
                return _expired(str(cause), "")
    return None


def not_let_in(error: Exception, target: Target, workspace: Workspace) -> ReachError:
    """Tell why a workspace could not be used when it was asked for the first time."""
    where = target.where
    if line := sign_in_failure(error):
        reason, _, hint = line.partition("; ")
        return ReachError("authentication", where, reason, hint)
    found = _STATUS.search(str(error))
    status = getattr(error, "http_status", None) or (int(found[1]) if found else 0)
    if status == 401:
        return ReachError("authentication", where, "it refuses this sign-in (401)", "sign in to its tenant: az login")
    if status == 403:
        hint = "ask its owner for the role AzureML Data Scientist"
        return ReachError("authentication", where, "whoever is signed in may not use it (403)", hint)
    if status == 404:
        return ReachError(
            "version", where, f"{workspace.host} knows no such workspace (404)", f"check {workspace.scope}"
        )
    if status >= 500 or status == 429:
        return ReachError("version", where, f"it answers {status}", "try again later")
    if any(isinstance(cause, (OSError, TimeoutError)) for cause in causes(error)):
        return diagnosis(error, target)
    return ReachError("version", where, one_line(str(error)), "see it step by step with --check")


def _expired(text: str, how: str) -> str:
    line = one_line(text)
    found = re.search(r"AADSTS\d+", line)  # whole: one code is the beginning of another
    code = found[0] if found and found[0] in _EXPIRED else ""
    reason = f"the sign-in to Azure has expired ({code})" if code else f"no token from Azure ({line[:200]})"
    if how == PRINCIPAL:
        return f"{reason}; check AZURE_CLIENT_SECRET, then %mlflow_sync"
    return f"{reason}; az login, then %mlflow_sync"


def _is_without_token(error: BaseException) -> bool:
    """Tell whether Azure gave no token, also where something else was raised because of that."""
    # A storage account that forbids raises the same class; nobody's signing in changes that.
    return any(_is_a(cause, _NO_TOKEN) and getattr(cause, "status_code", None) != 403 for cause in causes(error))


def _is_a(error: BaseException, names: frozenset[str]) -> bool:
    return any(kind.__name__ in names for kind in type(error).__mro__)
