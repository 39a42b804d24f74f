"""Signs in to Azure without ever hanging a kernel."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ....vocabulary.errors import ConnectionFailedError
from ...calls.masking import one_line
from ..address import clouds, places
from ..address.addresses import Workspace
from . import injection
from .claims import claims, user

if TYPE_CHECKING:
    from .credentials import Credential, Member

SECONDS = 10.0
BROWSER_SECONDS = 120
_WAYS_OUT = (
    "run `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, "
    "or sign in here: %mlflow_connect … --device-code"
)
_PRINCIPALS_WAYS_OUT = (
    "check AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or unset them to sign in as somebody else"
)
PRINCIPAL = "service principal"
_BROWSER, _DEVICE = "browser", "device code"
# The members of azure-identity's default chain that ask nobody, in its order, and what we call them. Left out: the
# broker (a window), the shared cache (of an old Visual Studio), the browser.
_MEMBERS = {
    "EnvironmentCredential": PRINCIPAL,
    "WorkloadIdentityCredential": "workload identity",
    "ManagedIdentityCredential": "managed identity",
    "VisualStudioCodeCredential": "VS Code",
    "AzureCliCredential": "Azure CLI",
    "AzurePowerShellCredential": "Azure PowerShell",
    "AzureDeveloperCliCredential": "Azure Developer CLI",
}


@dataclass(frozen=True)
class Signed:
    """Somebody who is signed in.

    Attributes
    ----------
    credential : Credential or None
        What to give to :func:`.injection.place` and :func:`..address.arm.tracking_uri`; None in a job, whose own token
        the plugin uses.
    user, tenant : str
        As the token says; empty where it does not.
    how : str
        In a few words, as ``"Azure CLI"``; ``"job"`` in a job.
    """

    credential: Credential | None
    user: str
    tenant: str
    how: str


def sign_in(
    workspace: Workspace,
    *,
    device_code: bool = False,
    show: Callable[[str], None] | None = None,
    seconds: float = SECONDS,
    attended: bool = False,
) -> Signed:
    """Sign in to Azure."""
    if _is_job(workspace):
        return _by_job(workspace)
    cloud = clouds.current(workspace, os.environ)
    if device_code:
        return _asked(workspace, _device_member(cloud, show), cloud, seconds)
    _import_all()
    from .credentials import SignInError, ask

    reason = ""
    stages = _stages(_members(cloud))
    for stage, share in zip(stages, _shares(stages, seconds), strict=True):
        try:
            member, token = ask(stage, cloud.scope, share)
        except SignInError as error:
            reason = reason if error.reason == "nobody is signed in" else reason or error.reason
            continue
        return _signed(member, token, cloud, seconds)
    if attended and can_open_browser(os.environ) and not _is_principal(stages):
        return _asked(workspace, _browser_member(cloud), cloud, seconds)
    hint = _PRINCIPALS_WAYS_OUT if _is_principal(stages) else _WAYS_OUT
    raise ConnectionFailedError(workspace.where, f"not signed in to Azure{f' ({reason})' if reason else ''}", hint)


def later(workspace: Workspace) -> Signed:
    """Return somebody who signs in, asking nobody, when a token is first needed: offline, or where it failed just now.

    Without it the plugin would ask its own chain, which ends in a device code and blocks whoever sends.

    Parameters
    ----------
    workspace : Workspace
        What for.

    Returns
    -------
    Signed
        Nobody yet; as :func:`sign_in` in a job.
    """
    if _is_job(workspace):
        return _by_job(workspace)
    cloud = clouds.current(workspace, os.environ)
    _import_all()
    from .credentials import Credential

    return Signed(Credential(None, lambda: _members(cloud), SECONDS), "", "", "")


def can_open_browser(environ: Mapping[str, str]) -> bool:
    """Say whether a browser that opens here would be seen by the user.

    Return whether this is a desktop session: neither CI, nor reached by SSH, nor behind a hub, nor without a display.
    """
    elsewhere = ("CI", "TF_BUILD", "SSH_CONNECTION", "JUPYTERHUB_USER", "CI_NAME", "AZUREML_RUN_ID", "CODESPACES")
    if any(environ.get(name) for name in elsewhere):
        return False
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def _is_job(workspace: Workspace) -> bool:
    return places.job(os.environ) is not None or injection.has_jobs_token(workspace)


def _by_job(workspace: Workspace) -> Signed:
    claimed = claims(os.environ.get("MLFLOW_TRACKING_TOKEN", ""))
    if not isinstance(claimed.get("exp"), (int, float)):
        # The plugin would end in an error of its library for tokens.
        hint = "unset it to sign in as yourself, or start the job anew"
        raise ConnectionFailedError(workspace.where, "MLFLOW_TRACKING_TOKEN is not the token of a job", hint)
    return Signed(None, user(claimed), str(claimed.get("tid", "")), "job")


def _members(cloud: clouds.Cloud) -> list[Member]:
    from azure.identity import DefaultAzureCredential

    from .credentials import Member

    # The chain itself is not used: it has no limit in time, and on some machines ends in a window.
    chain = DefaultAzureCredential(process_timeout=int(SECONDS), **_authority(cloud))
    known = [(type(source).__name__, source) for source in chain.credentials]
    return [Member(_MEMBERS[name], source) for name, source in known if name in _MEMBERS and _is_set_up(name, source)]


def _is_set_up(name: str, source: Any) -> bool:
    # Without its variables it has nobody to ask, and would only say so.
    return name != "EnvironmentCredential" or getattr(source, "_credential", True) is not None


def _stages(members: list[Member]) -> list[list[Member]]:
    """Tell who is asked first: what the environment sets up by name, before every tool is started."""
    principal = [member for member in members if member.how == PRINCIPAL]
    if principal:
        return [principal]  # set on purpose: another identity in its place would be a surprise
    endpoint = os.environ.get("MSI_ENDPOINT") or os.environ.get("IDENTITY_ENDPOINT")
    named = {"workload identity", "managed identity"} if endpoint else {"workload identity"}
    first = [member for member in members if member.how in named]
    rest = [member for member in members if member.how not in named]
    return [stage for stage in (first, rest) if stage]


def _shares(stages: list[list[Member]], seconds: float) -> list[float]:
    # The tools start processes, and take longer than an endpoint nearby. A second is kept for starting up.
    whole = max(seconds - 1, seconds / 2)
    return [whole] if len(stages) == 1 else [whole * 0.4, whole * 0.6]


def _is_principal(stages: list[list[Member]]) -> bool:
    return any(member.how == PRINCIPAL for stage in stages for member in stage)


def _signed(member: Member, token: Any, cloud: clouds.Cloud, seconds: float) -> Signed:
    from .credentials import Credential

    def others() -> list[Member]:
        # Made anew: the old ones keep a refusal for a minute, and a secret that was set right would not be seen.
        alone = member.how == PRINCIPAL
        return [other for other in _members(cloud) if not alone or other.how == PRINCIPAL]

    credential = Credential(member, others, seconds)
    credential.keep(cloud.scope, token)
    claimed = claims(token.token)
    return Signed(credential, user(claimed), str(claimed.get("tid", "")), member.how)


def _asked(workspace: Workspace, member: Member, cloud: clouds.Cloud, seconds: float) -> Signed:
    """Have a person sign in, in this thread: so that Ctrl-C ends it and nothing is left waiting."""
    from azure.core.exceptions import AzureError

    from .credentials import in_chain

    try:
        with in_chain():
            member.source.authenticate(scopes=[cloud.scope])
            token = member.source.get_token(cloud.scope)
    except AzureError as error:
        raise ConnectionFailedError(
            workspace.where, f"the sign-in by {member.how} failed ({one_line(str(error))[:200]})", _WAYS_OUT
        ) from error
    return _signed(member, token, cloud, seconds)


def _device_member(cloud: clouds.Cloud, show: Callable[[str], None] | None) -> Member:
    if show is None:
        raise ValueError("a device code needs a place to be shown")
    _import_all()
    from azure.identity import DeviceCodeCredential

    from .credentials import Member

    def prompt(page: str, code: str, _expires: Any) -> None:
        show(f"to sign in to Azure, open {page} and enter the code {code}")

    source = DeviceCodeCredential(prompt_callback=prompt, **_interactive(cloud))
    return Member(_DEVICE, source)


def _browser_member(cloud: clouds.Cloud) -> Member:
    from azure.identity import InteractiveBrowserCredential

    from .credentials import Member

    return Member(_BROWSER, InteractiveBrowserCredential(timeout=BROWSER_SECONDS, **_interactive(cloud)))


def _interactive(cloud: clouds.Cloud) -> dict[str, Any]:
    options = {**_authority(cloud), "connection_timeout": SECONDS}
    if tenant := os.environ.get("AZURE_TENANT_ID"):
        options["tenant_id"] = tenant
    # A later get_token renews silently or fails; it never asks again.
    return {**options, "disable_automatic_authentication": True}


def _authority(cloud: clouds.Cloud) -> dict[str, Any]:
    chosen = os.environ.get("AZURE_AUTHORITY_HOST")
    if not chosen:
        return {"authority": cloud.authority}
    host = chosen.removeprefix("https://").strip("/")
    # A private cloud's authority is not in Microsoft's list, and may not reach it (azure-identity's own advice).
    return {} if host in {known.authority for known in clouds.KNOWN.values()} else {"disable_instance_discovery": True}


def _import_all() -> None:
    """Import, in the main thread, what azure would import in ours, where it can meet the user's imports half-way."""
    import azure.core.pipeline.transport
    import azure.identity
    import msal
    import requests  # noqa: F401

    _ = azure.core.pipeline.transport.RequestsTransport, azure.identity, msal
