"""Keeps what this kernel knows of the runs it writes to, without asking the store."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from mlflow.entities import Metric, Param, Run, RunData, RunInfo, RunStatus, RunTag
from mlflow.protos import service_pb2


@dataclass
class Account:
    """A run as its writes so far make it.

    Attributes
    ----------
    run_id : str
        As the kernel knows it.
    experiment_id, name, user : str
        As it was opened; empty for a run that somebody else opened.
    started : int
        In milliseconds since 1970; 0 where it is not known.
    artifact_uri : str
        Where its files go.
    status : str
        MLflow's word.
    ended : int or None
        In milliseconds since 1970.
    params, metrics, tags : dict
        What was written from this kernel.
    artifacts : list of str
        Paths of the files that were written from this kernel.
    """

    run_id: str
    experiment_id: str = ""
    name: str = ""
    user: str = ""
    started: int = 0
    artifact_uri: str = ""
    status: str = "RUNNING"
    ended: int | None = None
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    artifacts: list[str] = field(default_factory=list)

    def info(self) -> RunInfo:
        """Return MLflow's own record of it."""
        # By its protocol: the constructor's arguments differ from version to version.
        proto = service_pb2.RunInfo(
            run_id=self.run_id,
            run_uuid=self.run_id,
            run_name=self.name,
            experiment_id=self.experiment_id,
            user_id=self.user,
            status=RunStatus.from_string(self.status),  # type: ignore[arg-type]  # its stubs want an enum
            start_time=self.started,
            lifecycle_stage="active",
            artifact_uri=self.artifact_uri,
        )
        if self.ended is not None:
            proto.end_time = self.ended
        return RunInfo.from_proto(proto)

    def run(self) -> Run:
        """Return it as MLflow would, had the store been asked."""
        now = int(time.time() * 1000)
        return Run(
            self.info(),
            RunData(
                metrics=[Metric(key, value, now, 0) for key, value in self.metrics.items()],
                params=[Param(key, value) for key, value in self.params.items()],
                tags=[RunTag(key, value) for key, value in self.tags.items()],
            ),
        )


def account_of(run: Run) -> Account:
    """Open the account of a run that the store knows; what it holds already is not in it."""
    info = run.info
    return Account(
        info.run_id,
        experiment_id=info.experiment_id,
        name=info.run_name or "",
        user=info.user_id or "",
        started=info.start_time or 0,
        artifact_uri=info.artifact_uri or "",
        status=info.status,
    )


def new_account(
    run_id: str, experiment_id: str, user: str, started: int, tags: Mapping[str, str], name: str, artifact_uri: str
) -> Account:
    """Open the account of a run that the store does not know yet."""
    return Account(
        run_id,
        experiment_id=experiment_id,
        name=name,
        user=user,
        started=started,
        artifact_uri=artifact_uri,
        tags=dict(tags) | {"mlflow.runName": name},
    )
