"""Limits how long one thread's requests wait, and keeps what a server said of when to come back.

MLflow reads its patience from the environment, for all threads alike. The sender must not retry inside a request (the
replay is its own job, and a create that is sent twice is two runs) and must see the status and ``Retry-After`` of a
refusal, which MLflow's retries swallow. So the one function that all of MLflow's requests pass is replaced while a
session is connected; threads that ask for nothing get what they always got.

MLflow also looks for a Spark session at every request, by an import that fails where there is no Spark. A Ctrl-C that
falls into the user's thread there leaves the import's lock held, and the next thread to look waits for it for ever. A
session cannot be active before Spark was imported, so then nobody looks. The headers that MLflow adds to every
request are found by such imports too: our own threads send those that were found before.

Azure's clients, which azureml-mlflow sends files with and asks for tokens, wait by themselves too: theirs go out once
as well, from the moment that they are loaded.
"""

from __future__ import annotations

import contextlib
import functools
import math
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

from mlflow.exceptions import MlflowException
from mlflow.tracking._model_registry import utils as registry_utils
from mlflow.tracking.request_header import registry as header_registry
from mlflow.utils import databricks_utils, request_utils, rest_utils

from ..interrupts import put_back
from ..patching import Patches

LONGEST_SECONDS = 60.0
"""How long a store's ``Retry-After`` is waited for at the most, whatever it says."""

on_unauthorized: list[Callable[[], None]] = []
"""Called, in the asking thread, after a request was refused for its token: who keeps one must not send it again."""

_local = threading.local()
_patches = Patches()
_LOOK_FOR_SPARK = "_get_active_spark_session"
_AZURES = (
    ("azure.core.pipeline.policies._retry", "RetryPolicyBase"),
    ("azure.storage.blob._shared.policies", "StorageRetryPolicy"),
)


@contextlib.contextmanager
def one_try(seconds: float | None = None) -> Iterator[None]:
    """Let this thread's requests go out once, and wait for each answer no longer than this.

    Parameters
    ----------
    seconds : float, optional
        None leaves MLflow's own limit.
    """
    if _patches:
        _reach_azure()
    before = getattr(_local, "asked", None)
    with put_back(lambda: setattr(_local, "asked", before)):
        _local.asked = (seconds,)
        _local.retry_after = _local.status = None
        try:
            yield
        except MlflowException as error:
            # MLflow forgets it where the answer is JSON of another form than its own, as Azure ML's refusals are.
            error.http_status = _local.status  # type: ignore[attr-defined]
            if _local.status == 401:
                for forget in tuple(on_unauthorized):
                    forget()
            raise


def retry_after() -> float | None:
    """Return the seconds that the last refusal in this thread asked to wait; None if it did not say."""
    retry_after: float | None = getattr(_local, "retry_after", None)
    return retry_after


def seconds_of(header: str | None) -> float | None:
    """Read a ``Retry-After``.

    Seconds, a minute at the most. None for the other form, a date: that is for a clock that may be wrong on either
    side, and our own backoff does better; and for what is no number.
    """
    try:
        seconds = float(header) if header else math.nan
    except ValueError:
        return None
    return None if math.isnan(seconds) else min(max(0.0, seconds), LONGEST_SECONDS)


def install() -> None:
    """Put the functions in place. Installing twice is harmless."""
    if _patches:
        return
    original = cast(Callable[..., Any], request_utils._get_http_response_with_retries)

    def request(method: str, url: str, max_retries: int, *rest: Any, **options: Any) -> Any:
        asked = getattr(_local, "asked", None)
        if asked is None:
            return original(method, url, max_retries, *rest, **options)
        if len(rest) > 3:
            rest = (*rest[:3], False, *rest[4:])
        else:
            options["raise_on_status"] = False
        if asked[0] is not None:
            options["timeout"] = asked[0]
        response = original(method, url, 0, *rest, **options)
        _local.retry_after = seconds_of(response.headers.get("Retry-After"))
        _local.status = response.status_code
        return response

    look = cast(Callable[..., Any], getattr(databricks_utils, _LOOK_FOR_SPARK))

    def look_where_spark_is() -> Any:
        return look() if "pyspark.sql" in sys.modules else None

    resolve = cast(Callable[[], dict[str, Any]], header_registry.resolve_request_headers)
    headers = resolve()

    def resolve_where_users_are() -> dict[str, Any]:
        nonlocal headers
        if getattr(_local, "asked", None) is None:
            headers = resolve()
        return headers

    for owner, name, new in (
        (header_registry, "resolve_request_headers", resolve_where_users_are),
        (rest_utils, "_get_http_response_with_retries", request),
        (databricks_utils, _LOOK_FOR_SPARK, look_where_spark_is),
        (registry_utils, _LOOK_FOR_SPARK, look_where_spark_is),
    ):
        if hasattr(owner, name):
            _patches.replace(owner, name, new)


def _reach_azure() -> None:
    """Replace what decides on the retries of Azure's clients, where those are loaded: nothing is imported for it."""
    for module, name in _AZURES:
        policy = getattr(sys.modules.get(module), name, None)
        original = getattr(policy, "configure_retries", None)
        if policy is None or original is None or _patches.owns(policy):
            continue
        _patches.replace(policy, "configure_retries", _once(original))


def _once(original: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    @functools.wraps(original)
    def configure(policy: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        settings = original(policy, *args, **kwargs)
        if getattr(_local, "asked", None) is not None:
            settings |= {"total": 0, "connect": 0, "read": 0, "status": 0}
        return settings

    return configure


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """Have the functions in place for as long as the block runs, also before anything is connected."""
    before = bool(_patches)
    install()
    try:
        yield
    finally:
        if not before:
            remove()


def remove() -> None:
    """Put MLflow's own functions back."""
    _patches.put_back()
