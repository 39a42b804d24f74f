"""Says what a tracking store takes at most, where that is less than MLflow itself allows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from mlflow.utils import validation

from ...vocabulary.errors import MlflowMagicsError
from .plugs import plug_of

_OURS = "mlflow_magics."
_MLFLOWS = "mlflow."


@dataclass(frozen=True)
class StoreLimits:
    """What a store takes at most. None stands for no limit but MLflow's own.

    Attributes
    ----------
    store : str
        What to call the store in a note.
    params_per_run, tags_per_run : int or None
        How many of them one run may hold.
    rows_of_one_metric : int or None
        How many points of one metric a batch may hold.
    tag_key, tag_value : int
        Characters of a tag's name and value.
    experiment_name : int or None
        Characters of an experiment's name.
    """

    store: str = "the store"
    params_per_run: int | None = None
    rows_of_one_metric: int | None = None
    tags_per_run: int | None = None
    tag_key: int = validation.MAX_ENTITY_KEY_LENGTH
    tag_value: int = validation.MAX_TAG_VAL_LENGTH
    experiment_name: int | None = None

    def key(self, name: str) -> str:
        """Return the name under which a tag is kept."""
        if len(name) <= self.tag_key:
            return name
        digits = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
        return f"{name[: self.tag_key - 9]}_{digits}"

    def cut_tags(self, tags: Mapping[str, str], notes: list[str]) -> dict[str, str]:
        """Cut the names and values of tags that are too long."""
        cut = {}
        for name, value in tags.items():
            key = self.key(name)
            if key != name:
                notes.append(f"tag {name[:40]}… is logged as {key!r}: {self.store} takes {self.tag_key} characters")
            if len(value) > self.tag_value:
                notes.append(f"tag {key}: value cut from {len(value)} to {self.tag_value} characters")
                value = value[: self.tag_value - 1] + "…"
            cut[key] = value
        return cut

    def first_tags(self, tags: Mapping[str, str], needed: str) -> tuple[dict[str, str], dict[str, str]]:
        """Choose the tags that a run is created with."""
        if self.tags_per_run is None or len(tags) <= self.tags_per_run:
            return dict(tags), {}

        def rank(name: str) -> int:
            return 0 if name == needed or name.startswith(_MLFLOWS) else 2 if name.startswith(_OURS) else 1

        ranked = sorted(tags, key=rank)
        kept, rest = ranked[: self.tags_per_run], ranked[self.tags_per_run :]
        return {name: tags[name] for name in kept}, {name: tags[name] for name in rest}


_MLFLOW = StoreLimits()


def of(uri: str) -> StoreLimits:
    """Return what a store takes.

    Parameters
    ----------
    uri : str
        Its tracking URI.

    Returns
    -------
    StoreLimits
        MLflow's own limits, where no plug says otherwise.
    """
    plug = plug_of(uri)
    return _MLFLOW if plug is None else plug.limits


def check_experiment(uri: str, name: str) -> None:
    """Refuse the name of an experiment that the store would refuse, before any request."""
    limits = of(uri)
    most = limits.experiment_name
    if most is not None and len(name) > most:
        raise MlflowMagicsError(
            f"the experiment's name has {len(name)} characters, {limits.store} takes {most}: choose a shorter one"
        )
