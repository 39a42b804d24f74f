"""What a failed write means: try again later, or never."""

from __future__ import annotations

import re
from typing import Literal

from mlflow.exceptions import MlflowException
from requests import HTTPError

from .guards import reason, timed_out

Verdict = Literal["refused", "unauthorized", "unavailable"]

# A proxy whose backend is gone answers 404 too, but not with MLflow's words.
_REFUSALS = frozenset(
    {
        "BAD_REQUEST",
        "INVALID_PARAMETER_VALUE",
        "INVALID_STATE",
        "INVALID_STATE_TRANSITION",
        "RESOURCE_DOES_NOT_EXIST",
        "RESOURCE_ALREADY_EXISTS",
        "RESOURCE_CONFLICT",
        "RESOURCE_LIMIT_EXCEEDED",
        "FEATURE_DISABLED",
        "NOT_IMPLEMENTED",
    }
)
_PASSING = frozenset({"TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"})
_UNAUTHORIZED = frozenset({"PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"})


class UnavailableError(Exception):
    """The store cannot take a write now; the same write may pass later.

    Parameters
    ----------
    why : str
        One line.
    after : float, optional
        How many seconds the store asked to wait.
    timed_out : bool, optional
        Whether it was waited for in vain.
    passing : bool, optional
        Whether the reason says by itself that the write is not to blame: credentials, too many requests, no answer.
    """

    def __init__(self, why: str, after: float | None = None, *, timed_out: bool = False, passing: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.after = after
        self.timed_out = timed_out
        self.passing = passing


def verdict(error: BaseException) -> Verdict:
    """Judge what a store, an artifact repository or a plugin raised.

    Parameters
    ----------
    error : BaseException
        What was raised.

    Returns
    -------
    {"refused", "unauthorized", "unavailable"}
        Never again, once somebody has signed in, or later.
    """
    if isinstance(error, MlflowException):
        if error.error_code in _UNAUTHORIZED:
            return "unauthorized"
        return "refused" if error.error_code in _REFUSALS else "unavailable"
    if isinstance(error, HTTPError) and error.response is not None:
        # Files go through requests themselves, and fail with its errors.
        status = error.response.status_code
        if status in (401, 403):
            return "unauthorized"
        return "refused" if status in (400, 404, 405, 409, 411, 413, 414, 422) else "unavailable"
    # What a library says of its arguments stays true however often it is asked.
    return "refused" if isinstance(error, (TypeError, ValueError, KeyError, AttributeError)) else "unavailable"


def unavailable(error: BaseException, after: float | None) -> UnavailableError:
    """Say that a store cannot take a write now.

    Parameters
    ----------
    error : BaseException
        What it raised.
    after : float or None
        How many seconds it asked to wait.

    Returns
    -------
    UnavailableError
        To be raised.
    """
    waited = timed_out(error)
    code = getattr(error, "error_code", "")
    passing = waited or after is not None or code in _PASSING or verdict(error) == "unauthorized"
    return UnavailableError(explain(error), after, timed_out=waited, passing=passing)


def explain(error: BaseException) -> str:
    """Return why a store does not take writes now, on one line.

    Parameters
    ----------
    error : BaseException
        What was raised.

    Returns
    -------
    str
        Credentials masked.
    """
    if verdict(error) == "unauthorized":
        return f"the store refuses these credentials: {reason(error)}"
    text = str(error)
    for pattern, words in _WORDS:
        if found := pattern.search(text):
            return words.format(*filter(None, found.groups()))
    return reason(error)


# What requests, urllib3 and MLflow wrap into three sentences, in one.
_WORDS = (
    (re.compile(r"Connection refused|actively refused"), "nothing listens there"),
    (re.compile(r"NameResolutionError|getaddrinfo|Name or service not known|resolve"), "its name cannot be resolved"),
    (re.compile(r"tim(?:ed?|e-?) ?out|no end within", re.IGNORECASE), "it does not answer in time"),
    (re.compile(r"(?:error code|too many) (\d{3})|^(\d{3}) (?:Server|Client) Error"), "it answers with an error ({0})"),
    (re.compile(r"Connection aborted|RemoteDisconnected|reset by peer|Broken pipe"), "it cuts the connection"),
)
