"""Enters a workspace: looks at the plugin, signs somebody in, finds the host, places the credential."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ...vocabulary.errors import ConnectionFailedError
from ...vocabulary.stores import SignIn
from ..calls.patience import timeouts
from ..calls.patience.limits import answer_seconds
from ..calls.patience.waiting import within
from ..location import process_state
from ..location.plugs import Entered
from ..location.uris import Target
from . import failures, plugin
from .address import addresses, arm, clouds, configs, places, studio
from .sign_in import injection, signin


def enter(
    target: Target,
    environ: Mapping[str, str | None],
    *,
    asking: bool = True,
    waiting: bool = False,
    how: SignIn | None = None,
) -> Entered:
    """Sign in to a workspace, and have the plugin use that sign-in. No run and no experiment is touched.

    Parameters
    ----------
    target : Target
        A workspace.
    environ : mapping of str to str or None
        The environment as the user left it.
    asking : bool, optional
        Whether anybody may be asked now; no for ``--offline``: then who signs in is found out when something is sent.
    waiting : bool, optional
        Whether to go on where nobody is signed in: what is written then waits in the outbox.
    how : SignIn, optional
        How a person may sign in.

    Returns
    -------
    Entered
        To be given to :func:`leave` in the end.

    Raises
    ------
    ConnectionFailedError
        If azureml-mlflow is missing or too old, nobody is signed in, or Azure's resource manager (ARM), asked where
        the host is not known, has no answer; within 10 s each.
    """
    workspace = _workspace(target)
    plugin.check()
    trouble, notes = "", _place_notes()
    if not asking:
        if not workspace.host:
            hint = "paste the workspace's azureml:// URI after %mlflow_connect --offline"
            raise ConnectionFailedError(
                workspace.where, "its tracking host must be asked for, and offline asks nobody", hint
            )
        signed = signin.later(workspace)
    else:
        try:
            signed = _signed_in(workspace, how or SignIn())
        except ConnectionFailedError as error:
            if not (waiting and workspace.host):
                raise
            signed, trouble = signin.later(workspace), f"{error.where}: {error.reason}"
            notes += (f"{error.hint}, then %mlflow_sync",)
    if target.config is not None:
        configs.check_tenant(target.config, signed.tenant)
    if not workspace.host:
        workspace = arm.tracking_uri(workspace, signed.credential)
    variables = clouds.environment(workspace, environ)
    process_state.put(variables)
    if signed.credential is not None:
        injection.place(workspace, signed.credential)
    studio.know_tenant(workspace.uri, signed.tenant)
    in_workspace = replace(target, uri=workspace.uri, workspace=workspace)
    if signed.how and signed.how != "job":
        notes += (f"signed in by {signed.how}",)
    return Entered(in_workspace, signed.user, notes, variables, trouble)


def leave(target: Target) -> None:
    """Take back what :func:`enter` has placed.

    Parameters
    ----------
    target : Target
        As :func:`enter` returned it.
    """
    workspace = _workspace(target)
    if workspace.host:
        injection.take_back(workspace)
        studio.know_tenant(target.uri, "")


def remember() -> Callable[[], None]:
    """Remember who is signed in, and where.

    Returns
    -------
    callable
        Puts it all back, whatever :func:`enter` has placed since.
    """
    sign_ins, tenants = injection.remember(), studio.tenants()

    def put_back() -> None:
        sign_ins()
        studio.forget_tenants()
        for uri, tenant in tenants.items():
            studio.know_tenant(uri, tenant)

    return put_back


def enter_later(uri: str) -> None:
    """Have the plugin sign in by itself when a token is first needed, asking nobody: for what dead kernels left.

    Parameters
    ----------
    uri : str
        A tracking URI.
    """
    try:
        workspace, _ = addresses.parse(uri)
    except ConnectionFailedError:
        return  # not of our connecting, which takes no such address: the plugin itself will say what it thinks
    enter(Target(uri, "azureml", workspace=workspace), dict(os.environ), asking=False)
    # The plugin takes the workspace of an artifact's address from MLflow's global.
    process_state.put({process_state.TRACKING_URI: uri})


def reach(target: Target, environ: Mapping[str, str | None]) -> str:
    """See whether a workspace answers and lets us in, by one request of the plugin's.

    Parameters
    ----------
    target : Target
        Entered.
    environ : mapping of str to str or None
        The environment as the user left it; a request timeout in it is respected.

    Returns
    -------
    str
        Empty: Azure ML does not tell a version.

    Raises
    ------
    ReachError
        If it cannot be used.
    """
    from mlflow.tracking._tracking_service.utils import _get_store

    seconds = answer_seconds(environ)
    try:
        store = _get_store(target.uri)  # here, not in the thread: it imports

        def ask() -> Any:
            with timeouts.one_try(seconds):
                return store.get_experiment_by_name("Default")

        with timeouts.installed():
            within(seconds + signin.SECONDS, ask)
    except Exception as error:  # whatever the plugin, azure or requests raise ends as one error of ours
        raise failures.not_let_in(error, target, _workspace(target)) from error
    return ""


def _workspace(target: Target) -> addresses.Workspace:
    assert isinstance(target.workspace, addresses.Workspace), "only called for Azure ML"
    return target.workspace


def _signed_in(workspace: addresses.Workspace, how: SignIn) -> signin.Signed:
    return signin.sign_in(workspace, device_code=how.show is not None, show=how.show, attended=how.attended)


def _place_notes() -> tuple[str, ...]:
    job = places.job(os.environ)
    if job is not None:
        return (f"in a job: cells log into its run {job.run_id}, which stays open",)
    instance = places.compute_instance(os.environ)
    return (f"on {instance}: nothing to set up",) if instance else ()
