"""Puts an outbox before the connected store, for everybody who asks MLflow for its tracking URI.

MLflow's registry of stores, the place that plugins register in, hands it out: to the magics, autologging, the user's
own ``mlflow.log_metric`` and clients.
"""

from __future__ import annotations

import functools
import threading
from typing import Any

from mlflow.tracking._tracking_service import utils
from mlflow.tracking._tracking_service.utils import _tracking_store_registry as registry
from mlflow.utils.uri import get_uri_scheme

from ...vocabulary.errors import TrackingError
from ..calls import silence
from ..calls.interrupts import put_back
from ..calls.patching import Patches
from ..calls.patience import timeouts
from ..outbox.outbox import Outbox
from . import artifacts, waiting_files
from .model_records import older_models, registering
from .outbox_store import OutboxStore

_asking = threading.local()
_patches = Patches()
_outbox: Outbox | None = None


def plain(tracking_uri: str) -> Any:
    """Open a store as MLflow itself does, without an outbox before it or MLflow's memory of an earlier one."""
    builder = registry.get_store_builder(tracking_uri)
    with put_back(lambda: vars(_asking).clear()):
        _asking.plain = True
        return builder(store_uri=tracking_uri, artifact_uri=None)


def prepare(store: Any, tracking_uri: str, address: str, *, offline: bool = False) -> Outbox:
    """Make an outbox for a store, which nobody is given yet."""
    return Outbox(older_models.over(store, tracking_uri), tracking_uri, address, offline=offline)


def put(outbox: Outbox) -> Outbox | None:
    """Put an outbox before its store, for all who ask MLflow for its tracking URI.

    Parameters
    ----------
    outbox : Outbox
        As :func:`prepare` returned it.

    Returns
    -------
    Outbox or None
        The one that was in its place: to be closed.
    """
    global _outbox
    before = _take_out()
    timeouts.install()
    silence.install()
    front = OutboxStore(outbox.store, outbox)
    tracking_uri, scheme = outbox.tracking_uri, _registered(outbox.tracking_uri)
    previous = registry._registry[scheme]

    # wraps: MLflow reads the builder's module to tell its own stores from foreign ones.
    @functools.wraps(previous)
    def build(store_uri: str, artifact_uri: str | None = None, **rest: Any) -> Any:
        if store_uri == tracking_uri and _outbox is outbox and not getattr(_asking, "plain", False):
            return front
        return previous(store_uri=store_uri, artifact_uri=artifact_uri, **rest)

    _patches.replace(registry._registry, scheme, build)
    _outbox = outbox
    artifacts.install(outbox)
    waiting_files.install(outbox)
    registering.install(outbox)
    _forget_caches()
    return before


def install(tracking_uri: str, address: str, *, offline: bool = False) -> Outbox:
    """Put an outbox before a store, and close the one that is in its place.

    Parameters
    ----------
    tracking_uri, address, offline
        As for :func:`prepare`.

    Returns
    -------
    Outbox
        To be taken out with :func:`remove`.
    """
    remove()
    outbox = prepare(plain(tracking_uri), tracking_uri, address, offline=offline)
    put(outbox)
    return outbox


def remove() -> None:
    """Take the outbox out: what can be sent is sent, what cannot stays for the next kernel. Harmless without one."""
    if _outbox is not None:
        close(_outbox)
        _take_out()


def close(outbox: Outbox) -> None:
    """Send what an outbox has waiting, and close it; a Ctrl-C only cuts the waiting short."""
    try:
        outbox.close()
    except KeyboardInterrupt:
        outbox.close(0.0)


def _take_out() -> Outbox | None:
    """Give everybody MLflow's own store again; return the outbox that was before it, which is not closed."""
    global _outbox
    if _outbox is None:
        return None
    outbox, _outbox = _outbox, None
    registering.remove()
    waiting_files.remove()
    artifacts.remove()
    _patches.put_back()
    _forget_caches()
    silence.remove()
    timeouts.remove()
    return outbox


def current() -> Outbox | None:
    """Return the outbox of the connected store; None without one."""
    return _outbox


def connected() -> Outbox:
    """Return the outbox of the connected store.

    Raises
    ------
    TrackingError
        Not connected.
    """
    if _outbox is None:
        raise TrackingError("not connected; type %mlflow_connect")
    return _outbox


def _registered(tracking_uri: str) -> str:
    return "databricks" if tracking_uri == "databricks" else str(get_uri_scheme(tracking_uri))


def _forget_caches() -> None:
    # MLflow keeps the stores it built, and the repository of each run.
    registry._get_store_with_resolved_uri.cache_clear()
    utils._artifact_repos_cache.clear()
