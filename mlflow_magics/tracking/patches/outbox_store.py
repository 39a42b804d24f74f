"""The store that stands before the connected one: writes go to the outbox and return, reads first send what is pending.

So everybody reads what they wrote. What is neither (traces, datasets for evaluation, scorers) passes through.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, cast

from mlflow.entities import Experiment, ExperimentTag, Metric, Param, Run, RunInfo, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from mlflow.store.entities import PagedList
from mlflow.tracking import fluent
from mlflow.utils.async_logging.run_operations import RunOperations

from ...vocabulary.records import LOCAL
from ..calls.patching import StandIn
from ..calls.patience import timeouts
from ..calls.patience.waiting import CutShortError, within
from ..failures.kinds import explain, failure_kind
from ..outbox import mistakes
from ..outbox.disk.accounts import Account
from ..outbox.disk.database import ClosedError
from ..outbox.opening import CREATE_SECONDS
from ..outbox.outbox import Outbox
from ..outbox.sending import replay
from . import children
from .model_records.logged_models import ModelWrites

# Reads, and writes that make no sense before what is pending has arrived.
_AFTER_ALL = frozenset(
    {
        "search_runs",
        "_search_runs",
        "get_metric_history_bulk",
        "get_metric_history_bulk_interval",
        "get_metric_history_bulk_interval_from_steps",
        "delete_run",
        "restore_run",
        "delete_experiment",
        "restore_experiment",
        "delete_logged_model",
        "search_logged_models",
        "link_traces_to_run",
    }
)

_READ_SECONDS = 5.0


class OutboxStore(ModelWrites, StandIn):
    """MLflow's store for everybody, with the outbox before it.

    Parameters
    ----------
    store : mlflow.store.tracking.AbstractStore
        What it stands for.
    outbox : Outbox
        Where writes go.
    """

    def __init__(self, store: Any, outbox: Outbox) -> None:
        super().__init__(store)
        self._outbox = outbox

    def __getattr__(self, name: str) -> Any:
        method = super().__getattr__(name)
        if name not in _AFTER_ALL or self._outbox.foreign:
            return method

        @functools.wraps(method)
        def after_all(*args: Any, **kwargs: Any) -> Any:
            self._expect_file()
            self._outbox.flush(_READ_SECONDS)
            ids = self._outbox.ids
            return method(*(_known(each, ids) for each in args), **{k: _known(v, ids) for k, v in kwargs.items()})

        return after_all

    # -- runs -------------------------------------------------------------------------------------------------

    def create_run(
        self, experiment_id: str, user_id: str, start_time: int, tags: Sequence[RunTag], run_name: str | None
    ) -> Run:
        """Create a run, here if the store does not answer."""
        if self._outbox.foreign:
            run = cast(Run, self._wrapped.create_run(experiment_id, user_id, start_time, tags, run_name))
            children.note_created(run, {tag.key: tag.value for tag in tags})
            return run
        return self._outbox.open_run(experiment_id, user_id, start_time, tags, run_name)

    def update_run_info(
        self, run_id: str, run_status: int | None, end_time: int | None, run_name: str | None
    ) -> RunInfo:
        """Take in a new state, end or name of a run."""
        if self._outbox.foreign:
            return cast(RunInfo, self._wrapped.update_run_info(run_id, run_status, end_time, run_name))
        return self._outbox.update(run_id, run_status, end_time, run_name)

    def get_run(self, run_id: str) -> Run:
        """Return a run: from the store if it knows it, else from what is waiting here."""
        remote, account = self._pending_sent(run_id)
        if account is not None and self._outbox.is_local(run_id):
            return account.run()
        return cast(Run, self._ask(lambda: self._wrapped.get_run(remote), account.run if account else None, read=True))

    def get_metric_history(self, run_id: str, metric_key: str, *args: Any, **kwargs: Any) -> Any:
        """Return the points of a metric: from the store if it answers, else those that are waiting here.

        MLflow asks when it logs a model, which must not fail in an outage.
        """
        remote, account = self._pending_sent(run_id)

        def waiting() -> PagedList[Metric]:
            return PagedList(self._outbox.delivery.waiting_metrics(run_id, metric_key), None)

        if account is not None and self._outbox.is_local(run_id):
            return waiting()
        history = self._wrapped.get_metric_history
        return self._ask(lambda: history(remote, metric_key, *args, **kwargs), waiting if account else None, read=True)

    def _pending_sent(self, run_id: str) -> tuple[str, Account | None]:
        """Send what is pending; return a run's id in the store, and what is known of it if it was opened here."""
        if self._outbox.foreign:
            return run_id, None
        self._outbox.flush(_READ_SECONDS)
        # To go on with a run, MLflow compares its experiment's id with the one that it was told to use.
        chosen = fluent._active_experiment_id
        fluent._active_experiment_id = self._outbox.delivery.identities.renamed.get(chosen or "", chosen)  # type: ignore[assignment]
        account = self._outbox.accounts.get(run_id)
        return self._outbox.ids.get(run_id, run_id), account if account and account.experiment_id else None

    # -- values -----------------------------------------------------------------------------------------------

    def log_metric(self, run_id: str, metric: Metric) -> None:
        """Take in a point."""
        if self._outbox.foreign:
            self._wrapped.log_metric(run_id, metric)
            return
        self._outbox.metric(run_id, metric)

    def log_param(self, run_id: str, param: Param) -> None:
        """Take in a param."""
        self.log_batch(run_id, (), (param,), ())

    def set_tag(self, run_id: str, tag: RunTag) -> None:
        """Take in a tag."""
        if not isinstance(tag.key, (str, type(None))):
            raise mistakes.mistake(f"expected string or bytes-like object, got {type(tag.key).__name__!r}")
        self.log_batch(run_id, (), (), (tag,))

    def delete_tag(self, run_id: str, key: str) -> None:
        """Take in that a tag goes."""
        if self._outbox.foreign:
            self._wrapped.delete_tag(run_id, key)
            return
        mistakes.check_run(run_id)
        mistakes.check_texts(key)
        self._outbox.account(run_id).tags.pop(key, None)
        self._outbox.write(run_id, "untag", {"key": key})

    def log_batch(
        self, run_id: str, metrics: Sequence[Metric], params: Sequence[Param], tags: Sequence[RunTag]
    ) -> None:
        """Take in points, params and tags."""
        if self._outbox.foreign:
            self._wrapped.log_batch(run_id, list(metrics), list(params), list(tags))
            return
        mistakes.check_run(run_id)
        mistakes.check_values(params, tags)
        for metric in metrics:
            self._outbox.metric(run_id, metric)
        try:
            self._outbox.values(run_id, {p.key: str(p.value) for p in params}, {t.key: str(t.value) for t in tags})
        except ClosedError:  # by another thread, since we looked
            self._wrapped.log_batch(run_id, [], list(params), list(tags))

    # What is in the journal needs no second queue, one that forgets.

    def log_batch_async(
        self, run_id: str, metrics: Sequence[Metric], params: Sequence[Param], tags: Sequence[RunTag]
    ) -> RunOperations:
        """As :meth:`log_batch`."""
        self.log_batch(run_id, metrics, params, tags)
        return RunOperations([])

    def log_metric_async(self, run_id: str, metric: Metric) -> RunOperations:
        """As :meth:`log_metric`."""
        return self.log_batch_async(run_id, (metric,), (), ())

    def log_param_async(self, run_id: str, param: Param) -> RunOperations:
        """As :meth:`log_param`."""
        return self.log_batch_async(run_id, (), (param,), ())

    def set_tag_async(self, run_id: str, tag: RunTag) -> RunOperations:
        """As :meth:`set_tag`."""
        return self.log_batch_async(run_id, (), (), (tag,))

    def flush_async_logging(self) -> None:
        """Send what is waiting."""
        self._outbox.flush()

    # -- data and models --------------------------------------------------------------------------------------

    def log_inputs(self, run_id: str, datasets: Any = None, models: Any = None) -> None:
        """Take in what a run was given."""
        if self._outbox.foreign:
            self._wrapped.log_inputs(run_id, **_given(datasets=datasets, models=models))
            return
        data = {"datasets": replay.packed(datasets or ()), "models": [model.model_id for model in models or ()]}
        self._outbox.write(run_id, "inputs", data)

    def log_outputs(self, run_id: str, models: Any) -> None:
        """Take in the models that a run has made (MLflow 3)."""
        if self._outbox.foreign:
            self._wrapped.log_outputs(run_id, models)
            return
        data = {"models": [(model.model_id, model.step) for model in models]}
        self._outbox.write(run_id, "outputs", data)

    def record_logged_model(self, run_id: str, mlflow_model: Any) -> None:
        """Take in a model's record in the run (MLflow 2)."""
        if self._outbox.foreign:
            self._wrapped.record_logged_model(run_id, mlflow_model)
            return
        self._outbox.write(run_id, "model", {"model": mlflow_model.to_dict()})
        self._outbox.authored.model(run_id, mlflow_model.artifact_path)

    # -- experiments ------------------------------------------------------------------------------------------

    def get_experiment_by_name(self, experiment_name: str) -> Experiment | None:
        """Return an experiment: from the store if it answers, else as it is known here."""

        def known() -> Experiment:
            return _experiment(self._outbox.local_experiment(experiment_name), experiment_name)

        experiment = self._ask(lambda: self._wrapped.get_experiment_by_name(experiment_name), known)
        if experiment is not None:
            self._outbox.know_experiment(experiment.experiment_id, experiment_name)
        return experiment  # type: ignore[no-any-return]

    def get_experiment(self, experiment_id: str) -> Experiment:
        """Return an experiment: from the store if it answers, else as it is known here."""
        name = self._outbox.experiment_named(experiment_id)
        remote = self._outbox.ids.get(experiment_id, experiment_id)
        if remote.startswith(LOCAL):
            return _experiment(remote, name)
        experiment = self._ask(
            lambda: self._wrapped.get_experiment(remote), (lambda: _experiment(experiment_id, name)) if name else None
        )
        self._outbox.know_experiment(str(experiment.experiment_id), str(experiment.name))
        return experiment  # type: ignore[no-any-return]

    def create_experiment(self, name: str, artifact_location: str | None = None, tags: Any = None) -> str:
        """Create an experiment: in the store if it answers, else when it does."""
        made = self._ask(
            lambda: self._wrapped.create_experiment(name, artifact_location, tags),
            lambda: self._outbox.local_experiment(name),
        )
        self._outbox.know_experiment(str(made), name)
        return str(made)

    def set_experiment_tag(self, experiment_id: str, tag: ExperimentTag) -> None:
        """Set a tag of an experiment; where the store cannot be reached, MLflow's own error says so."""
        self._wrapped.set_experiment_tag(self._outbox.ids.get(experiment_id, experiment_id), tag)

    def _expect_file(self) -> None:
        """Raise MLflow's own error where the store's file is gone: SQLite would make an empty one to read from."""
        if gone := self._outbox.delivery.requests.file.gone():
            raise MlflowException(gone, error_code=TEMPORARILY_UNAVAILABLE)

    def _ask(self, question: Callable[[], Any], known: Callable[[], Any] | None, *, read: bool = False) -> Any:
        """Ask the store, but no longer than a cell may wait; in an outage answer from what is known.

        What is known is less than the store has: reads ask it with ``--offline`` too, and as soon as all is sent.
        """
        if self._outbox.foreign:
            return question()
        if known is None:
            self._expect_file()
            return question()
        sender = self._outbox.sender
        if sender.state == "sending" or (
            read and (sender.state == "offline" or not self._outbox.telling.waiting().total)
        ):

            def asked() -> Any:
                self._expect_file()
                with timeouts.one_try(CREATE_SECONDS):
                    return question()

            try:
                return within(CREATE_SECONDS, asked)
            except (MlflowException, OSError) as error:  # TimeoutError is an OSError
                if failure_kind(error) == "refused":
                    raise
                if not isinstance(error, CutShortError):
                    sender.unreachable(explain(error))
        return known()


def _known(value: Any, ids: dict[str, str]) -> Any:
    """Put the store's ids in place of local ones."""
    if isinstance(value, str):
        return ids.get(value, value)
    if isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value):
        return type(value)(ids.get(each, each) for each in value)
    return value


def _given(**kwargs: Any) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if value is not None}


def _experiment(experiment_id: str, name: str) -> Experiment:
    return Experiment(experiment_id, name, artifact_location="", lifecycle_stage="active")
