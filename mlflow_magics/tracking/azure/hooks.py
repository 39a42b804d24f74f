"""The plug of Azure ML: each hook calls the room that does it."""

from __future__ import annotations

from pathlib import Path

from ..location.plugs import StorePlug
from ..location.store_limits import StoreLimits
from ..location.uris import Target, short_path
from . import entering, failures, plugin, uploads
from .address import addresses, clouds, configs, studio


class AzureML:
    """Azure ML; see :class:`~mlflow_magics.tracking.location.plugs.StorePlug`."""

    kind = "azureml"
    example = "azureml://… as the workspace's page in the portal shows it, or --config PATH"
    variables: tuple[str, ...] = (clouds.VARIABLE,)
    limits = StoreLimits("Azure ML", 200, 250, 50, 100, 1000, 256)

    def read(self, text: str) -> Target | None:
        """Read a workspace's address."""
        if not addresses.is_meant(text):
            return None
        workspace, notes = addresses.parse(text)
        return Target(workspace.uri, self.kind, notes=notes, workspace=workspace)

    def read_config(self, path: Path) -> Target:
        """Read a config.json; what is wrong with any other file is said."""
        if path.is_dir():
            path = configs.find(path) or path
        return Target("", self.kind, workspace=configs.read(path), config=path)

    def why_not(self, config: Path) -> str:
        """Say what must be installed to track to the workspace of a config.json."""
        if plugin.is_installed():
            return ""
        return f"{short_path(config)} names a workspace of Azure ML; to track there: {plugin.hint()}"

    find_config = staticmethod(configs.find)
    experiment_url = staticmethod(studio.experiment_url)
    run_url = staticmethod(studio.run_url)
    enter = staticmethod(entering.enter)
    enter_later = staticmethod(entering.enter_later)
    reach = staticmethod(entering.reach)
    leave = staticmethod(entering.leave)
    remember = staticmethod(entering.remember)
    failure_kind = staticmethod(failures.failure_kind)
    explain = staticmethod(failures.explain)
    resumable = staticmethod(uploads.resumable)


PLUG: StorePlug = AzureML()
