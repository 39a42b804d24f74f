"""Opens runs: in the store if it answers in time, else here, to be created later."""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping, Sequence
from typing import cast

from mlflow.entities import Run, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

from ...vocabulary.records import LOCAL
from ..calls.patience.timeouts import one_try
from ..calls.patience.waiting import CutShortError, within
from ..failures.kinds import explain, failure_kind
from .disk import addresses
from .disk.accounts import Account, account_of, new_account
from .disk.entries import RunEntry
from .sending.creating import ORIGIN_TAG, Attempt
from .sending.sender import Sender

CREATE_SECONDS = 2.5
"""How long a cell waits for its run to be created, before it goes on with a local id."""


class Opener:
    """Opens the runs of one outbox.

    Parameters
    ----------
    sender : Sender
        The outbox's.
    accounts : dict of str to Account
        By the run's id; gets those of new runs.
    """

    def __init__(self, sender: Sender, accounts: dict[str, Account]) -> None:
        self._sender = sender
        self._delivery = sender.delivery
        self._journal = self._delivery.journal
        self._identities = self._delivery.identities
        self._limits = self._delivery.limits
        self._accounts = accounts
        self._reserved: set[str] = set()

    def open(
        self, experiment_id: str, user: str, started: int, tags: Sequence[RunTag], name: str | None
    ) -> tuple[Run, Mapping[str, str], list[str]]:
        """Open a run. A Ctrl-C only cuts the waiting short: the request is on its way.

        Returns
        -------
        tuple of (mlflow.entities.Run, mapping of str to str, list of str)
            The run, the tags that it could not be created with, and a line for each that was cut.
        """
        origin = uuid.uuid4().hex
        given = {tag.key: tag.value for tag in tags} | {ORIGIN_TAG: origin}
        name = name or given.get(MLFLOW_RUN_NAME) or made_up_name()
        if (parent := given.get(MLFLOW_PARENT_RUN_ID)) is not None:
            given[MLFLOW_PARENT_RUN_ID] = self._identities.local.get(parent, parent)
        cuts: list[str] = []
        given, rest = self._limits.first_tags(self._limits.cut_tags(given, cuts), ORIGIN_TAG)
        experiment = self._identities.renamed.get(experiment_id, experiment_id)
        run_id = LOCAL + origin
        reachable = self._sender.state == "sending" and not self._identities.is_local(
            given.get(MLFLOW_PARENT_RUN_ID, ""), experiment
        )
        if reachable:
            # First: a kernel that is killed between the store's doing and its answer has still left a trace.
            creation = {"name": name, "started": started, "user": user, "tags": given, "asked": True}
            self._journal.add_run(RunEntry(run_id, "", experiment, creation, True, started))
            attempt = Attempt()

            def create() -> Run:
                with attempt:
                    run = self._create(experiment, user, started, given, name)
                    attempt.remote = run.info.run_id
                return run

            try:
                run = within(CREATE_SECONDS, create)
                account = account_of(run)
                account.tags.update(given)
                self._note(account, run.info.run_id, given)
                self._journal.drop_run(run_id)
                return run, rest, cuts
            except Exception as error:
                # Whatever a store raises: only what it will never take is the caller's business.
                if failure_kind(error) == "refused" and not isinstance(error, TimeoutError):
                    self._journal.drop_run(run_id)
                    raise
                if not isinstance(error, CutShortError):
                    self._sender.unreachable(explain(error))
                # It goes on behind our back: the sender waits for what it comes to, and creates no second run.
                self._delivery.creator.attempts[run_id] = attempt
        account = new_account(run_id, experiment_id, user, started, given, name, addresses.uri(run_id))
        self._note(account, "", given, doubtful=reachable)
        self._journal.add(run_id, "create", {})
        return account.run(), rest, cuts

    def reserve(self, experiment_id: str, started: int, tags: Mapping[str, str], name: str) -> str:
        """Write a run down that is not opened yet, and may never be: a killed kernel leaves that much of its cell.

        Parameters
        ----------
        experiment_id, name : str
            As it would be opened; `name` may be empty.
        started : int
            In milliseconds since 1970.
        tags : mapping of str to str
            Its tags.

        Returns
        -------
        str
            An id for the points of its series, until they are moved.
        """
        origin = uuid.uuid4().hex
        creation = {
            "name": name or made_up_name(),
            "started": started,
            "user": "unknown",
            "tags": {**tags, ORIGIN_TAG: origin},
        }
        self._journal.add_run(RunEntry(LOCAL + origin, "", experiment_id, creation, True, started))
        self._reserved.add(LOCAL + origin)
        return LOCAL + origin

    def is_reserved(self, run_id: str) -> bool:
        """Tell whether an id was only reserved."""
        return run_id in self._reserved

    def note_reserved(self, reserved: str, run_id: str) -> None:
        """Write down which run a reserved one has become, should the kernel be killed now."""
        self._journal.set_open(reserved, False)
        if not self._identities.is_local(run_id):
            self._identities.remotes[reserved] = remote = self._identities.local.get(run_id, run_id)
            self._journal.set_remote(reserved, remote)

    def forget_reserved(self, run_id: str) -> None:
        """Forget an id that was only reserved, if it was: what was written for it is another run's."""
        if run_id in self._reserved:
            self._reserved.discard(run_id)
            self._journal.drop_run(run_id)

    def _create(self, experiment: str, user: str, started: int, tags: Mapping[str, str], name: str | None) -> Run:
        self._delivery.requests.expect_file()
        with one_try(CREATE_SECONDS):
            entities = [RunTag(key, value) for key, value in tags.items()]
            return cast(Run, self._delivery.requests.store.create_run(experiment, user, started, entities, name))

    def _note(self, account: Account, remote: str, tags: Mapping[str, str], *, doubtful: bool = False) -> None:
        creation = {
            "name": account.name,
            "started": account.started,
            "user": account.user,
            "tags": dict(tags),
            "doubtful": doubtful,
        }
        entry = RunEntry(account.run_id, remote, account.experiment_id, creation, True, account.started)
        self._journal.add_run(entry)
        self._accounts[account.run_id] = account
        if remote:
            self._identities.remotes[account.run_id] = remote


def made_up_name() -> str:
    """Return a name as MLflow makes them up, without its use of the global generator.

    Under a state that is put back afterwards, that would give all runs of a kernel the same name.
    """
    from mlflow.utils import name_utils

    own = random.Random()
    words = own.choice(name_utils._GENERATOR_PREDICATES), own.choice(name_utils._GENERATOR_NOUNS)
    return "-".join((*map(str.lower, words), str(own.randint(0, 999))))
