"""The models that MLflow 3 keeps beside runs, through the outbox: made here in an outage, and in the store later.

While the store answers, they are written there at once, but for what must wait for its turn: a model's files are on
their way, and it is not ready before they have arrived. Else a model gets a local id, its files are staged, and all of
it is sent in order; whatever names the model meanwhile is given the store's id on the way
(:mod:`..outbox.sending.delivery`).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlflow.utils import validation

from ....vocabulary.records import LOCAL
from ...outbox.disk import addresses
from ...outbox.sending.creating import ORIGIN_TAG

if TYPE_CHECKING:
    from ...outbox.outbox import Outbox


class ModelWrites:
    """What :class:`.outbox_store.OutboxStore` does for logged models. MLflow 2 knows none, and never asks."""

    _wrapped: Any
    _outbox: Outbox
    _ask: Callable[..., Any]

    def create_logged_model(
        self,
        experiment_id: str,
        name: str | None = None,
        source_run_id: str | None = None,
        tags: Any = None,
        params: Any = None,
        model_type: str | None = None,
    ) -> Any:
        """Create a model: in the store if it answers, else here, to be created later."""
        outbox, create = self._outbox, self._wrapped.create_logged_model
        if outbox.foreign:
            return create(experiment_id, name, source_run_id, tags, params, model_type)
        from mlflow.entities import LoggedModelTag

        validation._validate_logged_model_name(name)
        origin, ids, doubtful = uuid.uuid4().hex, outbox.ids, []
        tags, params = [*(tags or ()), LoggedModelTag(ORIGIN_TAG, origin)], list(params or ())
        experiment, run = ids.get(experiment_id, experiment_id), ids.get(source_run_id or "", source_run_id)

        def remote() -> Any:
            doubtful.append(True)  # should the answer be lost, it may be there all the same
            return create(experiment, name, run, tags, params, model_type)

        def local() -> Any:
            return _local_model(LOCAL + origin, experiment_id, name, source_run_id, tags, params, model_type)

        made_here = any(outbox.is_local(each) for each in (experiment_id, source_run_id or ""))
        model = local() if made_here else self._ask(remote, local)
        creation = {
            "name": model.name,
            "run": source_run_id,
            "type": model_type,
            "tags": {tag.key: tag.value for tag in tags},
            "params": {param.key: param.value for param in params},
            "doubtful": bool(doubtful),
        }
        outbox.add_model(model, creation, "" if model.model_id.startswith(LOCAL) else model.model_id)
        outbox.authored.model(source_run_id or "", model.name)
        return model

    def get_logged_model(self, model_id: str, allow_deleted: bool = False) -> Any:
        """Return a model: from the store if it answers, else as it is known here."""
        outbox = self._outbox
        if not outbox.foreign:
            outbox.flush()
        known = outbox.models.get(model_id)
        if known is not None and outbox.is_local(model_id):
            return known
        remote = outbox.ids.get(model_id, model_id)
        options = {"allow_deleted": True} if allow_deleted else {}
        model = self._ask(
            lambda: self._wrapped.get_logged_model(remote, **options),
            (lambda: known) if known is not None else None,
            read=True,
        )
        outbox.models[model_id] = model
        return model

    def finalize_logged_model(self, model_id: str, status: Any) -> Any:
        """Take in a model's state; it is not ready before its files have arrived."""
        known = self._outbox.models.get(model_id)
        if known is None:
            return self._wrapped.finalize_logged_model(model_id, status)
        known.status = status
        done = self._write(
            model_id,
            "model status",
            {"status": str(status)},
            lambda remote: self._wrapped.finalize_logged_model(remote, status),
        )
        return known if done is None else done

    def log_logged_model_params(self, model_id: str, params: Any) -> None:
        """Take in params of a model."""
        data = {param.key: param.value for param in params}
        self._write(
            model_id,
            "model params",
            {"params": data},
            lambda remote: self._wrapped.log_logged_model_params(remote, params),
        )
        self._note(model_id, lambda model: model.params.update(data))

    def set_logged_model_tags(self, model_id: str, tags: Any) -> None:
        """Take in tags of a model."""
        data = {tag.key: tag.value for tag in tags}
        self._write(
            model_id, "model tags", {"tags": data}, lambda remote: self._wrapped.set_logged_model_tags(remote, tags)
        )
        self._note(model_id, lambda model: model.tags.update(data))

    def delete_logged_model_tag(self, model_id: str, key: str) -> None:
        """Take in that a tag of a model goes."""
        self._write(
            model_id, "model untag", {"key": key}, lambda remote: self._wrapped.delete_logged_model_tag(remote, key)
        )
        self._note(model_id, lambda model: model.tags.pop(key, None))

    def _note(self, model_id: str, change: Callable[[Any], Any]) -> None:
        if model_id in self._outbox.models:
            change(self._outbox.models[model_id])

    def _write(self, model_id: str, op: str, data: dict[str, Any], now: Callable[[str], Any]) -> Any:
        """Write at once, unless earlier writes to the model are waiting or the store is; then None is returned."""
        outbox = self._outbox

        def later() -> None:
            outbox.delivery.identities.models.setdefault(model_id, "")  # one of an earlier session: no run of ours
            outbox.write(model_id, op, data)

        if not outbox.foreign and (outbox.is_local(model_id) or outbox.journal.waiting().get(model_id)):
            return later()
        return self._ask(lambda: now(outbox.ids.get(model_id, model_id)), later)


def _local_model(
    model_id: str,
    experiment_id: str,
    name: str | None,
    source_run_id: str | None,
    tags: Any,
    params: Any,
    model_type: str | None,
) -> Any:
    from mlflow.entities import LoggedModel, LoggedModelStatus

    now = int(time.time() * 1000)
    return LoggedModel(
        experiment_id,
        model_id,
        name or f"model-{model_id[-8:]}",
        addresses.uri(model_id),
        now,
        now,
        model_type=model_type,
        source_run_id=source_run_id,
        status=LoggedModelStatus.PENDING,
        tags=tags,
        params=params,
    )
