"""Puts the artifacts of an SQLite store beside its file.

MLflow puts the artifacts of an SQLite store under ``./mlruns`` of wherever the kernel happens to run. Its store
registry, the place that plugins register in, lets us hand each store the folder beside its file instead, for every
experiment made in this kernel, by whomever.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mlflow.tracking._tracking_service.utils import _tracking_store_registry

from ..calls.interrupts import put_back
from ..calls.silence import silence
from . import storefile

_roots: dict[str, str] = {}
_previous: Callable[..., Any] | None = None
_ours: Callable[..., Any] | None = None


def roots() -> dict[str, str]:
    """Tell which stores have their artifacts placed."""
    return dict(_roots)


def place(wanted: Mapping[str, str]) -> None:
    """Place the artifacts of these stores, and of no others.

    Parameters
    ----------
    wanted : mapping of str to str
        Tracking URI to artifact folder; empty takes everything back.
    """
    if dict(wanted) == _roots:
        return
    _roots.clear()
    _roots.update(wanted)
    if wanted:
        _register()
    else:
        _unregister()
    # The registry caches stores, with the artifact folder they were built with.
    _tracking_store_registry._get_store_with_resolved_uri.cache_clear()


def _root_of(store_uri: str) -> str | None:
    # By file: the user's own sqlite:///mlflow.db is the same store as our absolute URI of it.
    return {_file(uri): root for uri, root in _roots.items()}.get(_file(store_uri))


def _file(uri: str) -> str:
    return os.path.abspath(uri.partition(":///")[2].partition("?")[0])


def _register() -> None:
    global _previous, _ours
    if _ours is not None:
        return
    previous = _tracking_store_registry._registry["sqlite"]

    # wraps: MLflow reads the builder's module to tell its own stores from foreign ones.
    @functools.wraps(previous)
    def build(store_uri: str, artifact_uri: str | None = None, **rest: Any) -> Any:
        root = artifact_uri or _root_of(store_uri)
        return storefile.opened(store_uri, lambda uri: previous(store_uri=uri, artifact_uri=root, **rest))

    _previous, _ours = previous, build
    _tracking_store_registry.register("sqlite", build)


def _unregister() -> None:
    global _previous, _ours
    # If somebody has wrapped our builder since, it must stay below theirs; without roots it only passes on.
    if _ours is not None and _tracking_store_registry._registry["sqlite"] is _ours:
        _tracking_store_registry.register("sqlite", _previous)
        _previous = _ours = None


@contextmanager
def without_log_lines() -> Iterator[None]:
    """Keep MLflow's talk about creating its tables out of the cell, and the user's logging as it was.

    Creating a database logs a dozen lines, and MLflow 2.22's migrations even replace the root logger's handlers.
    """
    root = logging.getLogger()
    touched = [root, *(logging.getLogger(name) for name in ("alembic", "sqlalchemy"))]
    before = [(logger, logger.level, list(logger.handlers), logger.propagate) for logger in touched]
    disabled = root.manager.disable

    def back() -> None:
        logging.disable(disabled)
        for logger, level, handlers, propagate in before:
            logger.setLevel(level)
            logger.handlers[:] = handlers
            logger.propagate = propagate

    with put_back(back), silence():
        logging.disable(max(disabled, logging.INFO))
        yield
