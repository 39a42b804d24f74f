"""Files into a run of Azure ML, so that a write of them may be done twice, as with every other store.

The plugin first has the files' names made, and then writes their contents to where the answer says. The service makes
no name twice; so whatever stops a try between the two, a storage account that refuses for a while, a lost answer, would
make all later tries fail at the names of the first one. Here a try goes on where the one before it stopped.
"""

from __future__ import annotations

import re
from contextlib import suppress
from copy import copy
from types import SimpleNamespace
from typing import Any

_TAKEN = re.compile(r"Resource Conflict: .*already exists")


def is_taken(error: object) -> bool:
    """Tell whether a file was refused because its run holds one of that name.

    Parameters
    ----------
    error : object
        What the plugin raised, or the service's own words.

    Returns
    -------
    bool
        Whether it will be refused however often it is sent.
    """
    return _TAKEN.search(str(error)) is not None


def resumable(repository: Any, begun: dict[str, Any], taken: list[str]) -> Any:
    """Make a repository that goes on with a write that was tried before.

    Parameters
    ----------
    repository : mlflow.store.artifact.artifact_repo.ArtifactRepository
        Any; only the plugin's are changed.
    begun : dict of str to object
        Where the contents of the names that this write has made belong. Kept by the caller, in memory: these are
        addresses with a signature.
    taken : list of str
        Gets the names that the run held before: the service replaces no file, and these are not sent.

    Returns
    -------
    mlflow.store.artifact.artifact_repo.ArtifactRepository
        For this write alone; the one that was given stays as it is.
    """
    client: Any = getattr(repository, "artifacts", None)
    names: Any = getattr(getattr(client, "_client", None), "run_artifacts", None)
    if not hasattr(names, "batch_create_empty_artifacts") or not hasattr(client, "upload_artifact"):
        return repository
    from azure.core.exceptions import ResourceExistsError

    from ..calls.patience import timeouts

    def make(*args: Any, body: Any, **options: Any) -> Any:
        fresh = [each for each in body.paths if each.path not in begun]
        made = SimpleNamespace(errors={}, artifact_content_information={})
        if fresh:
            made = names.batch_create_empty_artifacts(*args, body=type(body)(paths=fresh), **options)
        begun.update(made.artifact_content_information or {})
        failed = {path: each for path, each in (made.errors or {}).items() if not is_taken(each.error.message)}
        taken.extend(path for path in made.errors or {} if path not in failed)
        places = {each.path: begun.get(each.path) for each in body.paths}
        return SimpleNamespace(errors=failed, artifact_content_information=places)

    def upload(local_path: str, remote_path: str, empty_artifact_content_info: Any) -> None:
        if empty_artifact_content_info is None:
            return  # its name was taken
        # A folder's files go out in threads of the plugin's, where nobody has asked for patience yet.
        with timeouts.one_try(), suppress(ResourceExistsError):  # the try before has written it
            client.upload_artifact(local_path, remote_path, empty_artifact_content_info)

    ours, service = copy(repository), copy(client._client)
    ours.artifacts = copy(client)
    ours.artifacts._client, ours.artifacts.upload_artifact = service, upload
    service.run_artifacts = copy(names)
    service.run_artifacts.batch_create_empty_artifacts = make
    return ours
