"""Models on a store that keeps none beside its runs: Azure ML, and an MLflow 2 server under an MLflow 3 client.

There MLflow 3's ``logged-models`` calls are answered with 404, so that ``log_model`` fails and ``autolog`` logs nothing
at all. A store is told from the first such call's answer; from then on its models are what MLflow 2 made of them: files
of the run, under the model's name, recorded in the run's tags. The model's id says where that is, so that it means the
same in every process.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.entities import PagedList
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

from ...calls.patching import StandIn
from ...outbox.disk.addresses import repository_at

# Neither character may stand in a model's name, and a run's id has none of them.
_ID = re.compile(r"^m-(?P<run>[^.]+)\.(?P<name>.+)$")
_MISSING_ROUTE = re.compile(r"error code 404|'detail': 'Not Found'")


class OlderModels(StandIn):
    """A store for everything but logged models, which become files of their run where the store has none.

    Parameters
    ----------
    store : mlflow.store.tracking.AbstractStore
        MLflow's own, or a plugin's.
    tracking_uri : str
        Its URI.
    """

    def __init__(self, store: Any, tracking_uri: str) -> None:
        super().__init__(store)
        self._uri = tracking_uri
        self._missing: bool | None = None
        self._made: set[str] = set()

    def keeps_models(self, experiment_id: str) -> bool:
        """Tell whether the store keeps models beside its runs; asked once."""
        if self._missing is None:
            self.search_logged_models([experiment_id], max_results=1)
        return not self._missing

    # -- logged models ------------------------------------------------------------------------------------------------

    def create_logged_model(
        self,
        experiment_id: str,
        name: str | None = None,
        source_run_id: str | None = None,
        tags: Any = None,
        params: Any = None,
        model_type: str | None = None,
    ) -> Any:
        """Create a model; without a run of its own it gets one, as MLflow 2 did."""

        def older() -> Any:
            run_id, free, number = source_run_id or self._run_for(experiment_id, name), name or "model", 1
            # Two models of a name are two models in MLflow 3; in a run's files the second would meet the first's.
            while f"{run_id}/{free}" in self._made:
                number += 1
                free = f"{name or 'model'}_{number}"
            model = self._model(run_id, free, tags, params, model_type)
            self._made.add(f"{run_id}/{free}")
            return model

        return self._either(
            lambda: self._wrapped.create_logged_model(experiment_id, name, source_run_id, tags, params, model_type),
            older,
        )

    def get_logged_model(self, model_id: str, *args: Any, **kwargs: Any) -> Any:
        """Return a model."""
        match = _ID.match(model_id)
        if match is not None:
            return self._model(match["run"], match["name"])
        return self._wrapped.get_logged_model(model_id, *args, **kwargs)

    def search_logged_models(self, *args: Any, **kwargs: Any) -> Any:
        """Search models; a store without them has none."""
        return self._either(lambda: self._wrapped.search_logged_models(*args, **kwargs), lambda: PagedList([], None))

    def finalize_logged_model(self, model_id: str, status: Any) -> Any:
        """Set a model's state; in the older form it is recorded with its run once its files are there."""
        match = _ID.match(model_id)
        if match is None:
            return self._wrapped.finalize_logged_model(model_id, status)
        model = self._model(match["run"], match["name"])
        if str(status).endswith("READY"):
            self._record(match["run"], match["name"], model.artifact_location)
        self._end_own_run(match["run"])
        return model

    def log_logged_model_params(self, model_id: str, params: Any) -> None:
        """Log params of a model; in the older form they are the run's anyway."""
        if not _ID.match(model_id):
            self._wrapped.log_logged_model_params(model_id, params)

    def set_logged_model_tags(self, model_id: str, tags: Any) -> None:
        """Set tags of a model; in the older form there is no place for them."""
        if not _ID.match(model_id):
            self._wrapped.set_logged_model_tags(model_id, tags)

    def delete_logged_model_tag(self, model_id: str, key: str) -> None:
        """Delete a tag of a model; in the older form there is none."""
        if not _ID.match(model_id):
            self._wrapped.delete_logged_model_tag(model_id, key)

    def log_outputs(self, run_id: str, models: Sequence[Any]) -> None:
        """Link a run to the models it has made; in the older form they are in it."""
        linked = [model for model in models if not _ID.match(model.model_id)]
        if linked:
            self._wrapped.log_outputs(run_id, linked)

    def log_inputs(self, run_id: str, datasets: Any = None, models: Any = None) -> None:
        """Link a run to what it was given; a model in the older form cannot be."""
        linked = [model for model in models or () if not _ID.match(model.model_id)]
        given = {"datasets": datasets, "models": linked or None}
        self._wrapped.log_inputs(run_id, **{key: value for key, value in given.items() if value is not None})

    def log_batch(self, run_id: str, metrics: Sequence[Metric], params: Any, tags: Any) -> None:
        """Log values; a metric of a model in the older form is its run's."""
        self._wrapped.log_batch(run_id, metrics=[_unlinked(each) for each in metrics], params=params, tags=tags)

    # -- the older form -----------------------------------------------------------------------------------------------

    def _either(self, newer: Callable[[], Any], older: Callable[[], Any]) -> Any:
        if not self._missing:
            try:
                answer = newer()
            except MlflowException as error:
                if not _is_missing_route(error):
                    raise
                self._missing = True
            else:
                self._missing = False
                return answer
        return older()

    def _model(
        self, run_id: str, name: str, tags: Any = None, params: Any = None, model_type: str | None = None
    ) -> Any:
        from mlflow.entities import LoggedModel, LoggedModelStatus

        run = self._wrapped.get_run(run_id)
        now = int(time.time() * 1000)
        model = LoggedModel(
            run.info.experiment_id,
            f"m-{run_id}.{name}",
            name,
            f"{run.info.artifact_uri.rstrip('/')}/{name}",
            now,
            now,
            model_type=model_type,
            source_run_id=run_id,
            status=LoggedModelStatus.READY,
            tags=tags or [],
            params=params or [],
        )
        # What the user is handed must mean something to who has no extension, too.
        model._model_uri = f"runs:/{run_id}/{name}"
        return model

    def _run_for(self, experiment_id: str, name: str | None) -> str:
        from mlflow.tracking.context.default_context import DefaultRunContext

        user = DefaultRunContext().tags().get("mlflow.user", "unknown")
        tags = [RunTag(MLFLOW_RUN_NAME, name or "model"), RunTag(_OWN_RUN, "true")]
        run = self._wrapped.create_run(experiment_id, user, int(time.time() * 1000), tags, name or "model")
        return str(run.info.run_id)

    def _end_own_run(self, run_id: str) -> None:
        run = self._wrapped.get_run(run_id)
        if run.data.tags.get(_OWN_RUN) and run.info.status == "RUNNING":
            self._wrapped.update_run_info(run_id, RunStatus.FINISHED, int(time.time() * 1000), None)

    def _record(self, run_id: str, name: str, location: str) -> None:
        """Write the run's ``mlflow.log-model.history``, from which MLflow's pages and Azure ML's know its models."""
        from mlflow.models import Model

        try:
            with tempfile.TemporaryDirectory() as folder:
                file = str(Path(folder, "MLmodel"))
                # Not download_artifacts: it draws a progress bar into whatever cell runs now.
                repository_at(location[: -len(name) - 1], self._uri)._download_file(f"{name}/MLmodel", file)
                model = Model.load(file)
            model.artifact_path, model.run_id = name, run_id
            self._wrapped.record_logged_model(run_id, model)
        except Exception:  # noqa: BLE001, S110
            # Only a hint for pages: the model is in its place and loads. Stores without the call, tags that are too
            # long, and files that cannot be read back yet are no reason to tell the user that anything was lost.
            pass


_OWN_RUN = "mlflow_magics.run_of_a_model"


def over(store: Any, tracking_uri: str) -> Any:
    """Put the older form of models before a store that may lack them."""
    local = tracking_uri.startswith(("sqlite", "postgresql", "mysql", "mssql", "file"))
    return store if local or not hasattr(store, "create_logged_model") else OlderModels(store, tracking_uri)


def run_and_name(model_uri: str) -> tuple[str, str] | None:
    """Read where a model in the older form is. Its run and its name; None for every other URI."""
    match = _ID.match(model_uri.removeprefix("models:/")) if model_uri.startswith("models:/m-") else None
    return (match["run"], match["name"]) if match is not None and "/" not in match["name"] else None


def _is_missing_route(error: MlflowException) -> bool:
    """Tell a route that the server does not have from a model or an experiment that it does not know."""
    if error.error_code == "RESOURCE_DOES_NOT_EXIST":
        return False
    return _MISSING_ROUTE.search(str(error)) is not None or getattr(error, "http_status", None) == 404


def _unlinked(metric: Metric) -> Metric:
    model_id = getattr(metric, "model_id", None)
    if not model_id or not _ID.match(model_id):
        return metric
    data = {"dataset_name": metric.dataset_name, "dataset_digest": metric.dataset_digest}
    return Metric(metric.key, metric.value, metric.timestamp, metric.step, model_id=None, run_id=metric.run_id, **data)
