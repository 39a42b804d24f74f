"""Takes in files: a copy of each lies beside the journal until it is sent."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .disk import copying, journals
from .disk.accounts import Account
from .disk.journal import Journal
from .numbers.authored import Authored

STRAIGHT_BYTES = 1 << 30
"""Files larger than this are not staged, but go to the store at once."""


class Staging:
    """Takes in the files of one outbox.

    Parameters
    ----------
    journal, authored
        The outbox's.
    models : mapping of str to mlflow.entities.LoggedModel
        Those that are known here, by their ids.
    account : callable
        Returns what is known of a run.
    nudge : callable
        Has the sender send at once.
    """

    def __init__(
        self,
        journal: Journal,
        authored: Authored,
        models: Mapping[str, Any],
        account: Callable[[str], Account],
        nudge: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._authored = authored
        self._models = models
        self._account = account
        self._nudge = nudge

    def stage(self, run_id: str, uri: str, source: Path, path: str | None) -> bool:
        """Take in a file or a folder: a copy, which nobody will change.

        False if it should go to the store at once: too large, or no room for it here.
        """
        room = min(STRAIGHT_BYTES, journals.LIMIT_BYTES - self._journal.held())
        if self._journal.trouble or room <= 0:
            return False
        try:
            staged = self._journal.files.new()
        except OSError:
            return False
        try:
            self._journal.files.hold(staged, copying.copy(source, staged, room))
        except BaseException as error:
            shutil.rmtree(staged, ignore_errors=True)
            if isinstance(error, copying.NoRoomError):
                return False
            raise
        data = {"uri": uri, "path": path, "staged": str(staged), "folder": source.is_dir()}
        self._journal.add(run_id or self._model_at(uri), "artifact", data)
        if run_id and run_id not in self._models:
            self.note_files(run_id, source, path)
        self._nudge()
        return True

    def note_files(self, run_id: str, source: Path, path: str | None) -> None:
        """Remember which files a run got."""
        prefix = f"{path.strip('/')}/" if path else ""
        names = (
            [Path(name).as_posix() for name in sorted(copying.walk(str(source)))] if source.is_dir() else [source.name]
        )
        self._account(run_id).artifacts.extend(prefix + name for name in names)
        for name in names:
            self._authored.file(run_id, prefix + name, source / name if source.is_dir() else source)

    def _model_at(self, uri: str) -> str:
        """Return the model whose files are at an artifact URI; empty where it is nobody's that we know."""
        known = list(self._models.items())
        return next((model_id for model_id, model in known if model.artifact_location == uri), "")
