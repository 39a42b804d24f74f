"""Says what a failed write means: try again later, or never."""

from __future__ import annotations

import re

from mlflow.exceptions import MlflowException
from requests import HTTPError

from ..calls.guards import reason, timed_out
from ..calls.patience.timeouts import seconds_of
from ..location.plugs import FailureKind, plugs

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
_NEVER = frozenset({400, 404, 405, 409, 411, 413, 414, 422})

CREDENTIALS = "the store refuses these credentials"

# What SQLite says of its whole file, never of one write; MLflow calls some of it a bad request.
_FILE = re.compile(
    r"sqlite3\.\w+\) (?:file is not a database|database disk image is malformed|database or disk is full|disk I/O error"
    r"|unable to open database file|attempt to write a readonly database|database (?:table |schema )?is locked)"
)
_LIMIT = re.compile(r"FieldName=(?P<field>\w+),\s*Limit=(?P<most>\d+)")


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


def failure_kind(error: BaseException) -> FailureKind:
    """Judge what a store, an artifact repository or a plugin raised."""
    for plug in plugs():
        if kind := plug.failure_kind(error):
            return kind
    if isinstance(error, UnavailableError) or _FILE.search(str(error)):
        return "unavailable"
    if isinstance(error, MlflowException):
        if is_unauthorized(error):
            return "unauthorized"
        return "refused" if error.error_code in _REFUSALS else "unavailable"
    if isinstance(error, HTTPError) and error.response is not None:
        # Files go through requests themselves, and fail with its errors.
        return of_status(error.response.status_code)
    # What a library says of its arguments stays true however often it is asked.
    return (
        "refused"
        if isinstance(error, (TypeError, ValueError, LookupError, AttributeError, ArithmeticError))
        else "unavailable"
    )


def limit_of(error: BaseException) -> tuple[str, int] | None:
    """Tell whether a write was refused because a run is full.

    What there is too much of, in Azure ML's words (``"Parameters"``), and how much the run may hold.
    """
    limit = _LIMIT.search(str(error))
    return (limit["field"], int(limit["most"])) if limit is not None else None


def is_unauthorized(error: MlflowException) -> bool:
    """Tell whether a store has answered that these credentials do not do."""
    return error.error_code in _UNAUTHORIZED or getattr(error, "http_status", None) in (401, 403)


def of_status(status: int | None) -> FailureKind:
    """Judge an answer by its status alone."""
    if status in (401, 403):
        return "unauthorized"
    return "refused" if status in _NEVER else "unavailable"


def _asked_to_wait(error: BaseException) -> float | None:
    """Return the seconds that the answer behind an error asks to wait."""
    headers = getattr(getattr(error, "response", None), "headers", None)
    return seconds_of(headers.get("Retry-After")) if headers is not None else None


def unavailable(error: BaseException, after: float | None) -> UnavailableError:
    """Say that a store cannot take a write now."""
    after = after if after is not None else _asked_to_wait(error)
    waited = timed_out(error)
    code = getattr(error, "error_code", "")
    passing = waited or after is not None or code in _PASSING or failure_kind(error) == "unauthorized"
    passing = passing or _FILE.search(str(error)) is not None
    return UnavailableError(explain(error), after, timed_out=waited, passing=passing)


def explain(error: BaseException) -> str:
    """Return why a store does not take writes now, on one line."""
    if failure_kind(error) == "unauthorized":
        words = next(filter(None, (plug.explain(error) for plug in plugs())), "")
        return words or f"{CREDENTIALS}: {reason(error)}"
    text = str(error)
    for pattern, words in _WORDS:
        if found := pattern.search(text):
            return words.format(*filter(None, found.groups()))
    return reason(error)


# What requests, urllib3 and MLflow wrap into three sentences, in one.
_WORDS = (
    (re.compile(r"file is not a database|disk image is malformed"), "its file is no SQLite database any more"),
    (re.compile(r"database or disk is full"), "the disk is full"),
    (re.compile(r"disk I/O error|unable to open database file"), "its file cannot be opened"),
    (re.compile(r"attempt to write a readonly database"), "its file may not be written to"),
    (re.compile(r"database (?:table |schema )?is locked"), "another process holds its file"),
    (re.compile(r"sqlite3\.\w+\) no such table"), "its file has no tables; %mlflow_connect makes them"),
    (re.compile(r"Connection refused|actively refused"), "nothing listens there"),
    (re.compile(r"NameResolutionError|getaddrinfo|Name or service not known|resolve"), "its name cannot be resolved"),
    (re.compile(r"tim(?:ed?|e-?) ?out|no end within", re.IGNORECASE), "it does not answer in time"),
    (re.compile(r"(?:error code|too many) (\d{3})|^(\d{3}) (?:Server|Client) Error"), "it answers with an error ({0})"),
    (re.compile(r"Connection aborted|RemoteDisconnected|reset by peer|Broken pipe"), "it cuts the connection"),
)
