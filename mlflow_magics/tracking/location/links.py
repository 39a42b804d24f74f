"""Links to the pages of experiments and runs."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urlsplit, urlunsplit

from ...vocabulary.records import LOCAL
from .plugs import plug_of


def experiment_url(uri: str, experiment_id: str) -> str:
    """Link to an experiment.

    Parameters
    ----------
    uri : str
        The tracking URI.
    experiment_id : str
        The experiment.

    Returns
    -------
    str
        The page's address, without credentials; empty where the store has no page, or none that is known.
    """
    if experiment_id.startswith(LOCAL):
        return ""
    if plug := plug_of(uri):
        return plug.experiment_url(uri, experiment_id)
    base = _pages(uri)
    return f"{base}/experiments/{experiment_id}" if base else ""


def run_url(uri: str, experiment_id: str, run_id: str) -> str:
    """Link to a run.

    Parameters
    ----------
    uri : str
        The tracking URI.
    experiment_id, run_id : str
        The run and its experiment.

    Returns
    -------
    str
        The page's address, without credentials; empty where the store has no page, or none that is known, and for
        a run that the store does not know yet.
    """
    if run_id.startswith(LOCAL):
        return ""
    if plug := plug_of(uri):
        return plug.run_url(uri, run_id)
    base = experiment_url(uri, experiment_id)
    return f"{base}/runs/{run_id}" if base else ""


def _pages(uri: str) -> str:
    if uri == "databricks" or uri.startswith("databricks://"):
        host = _databricks_host(uri)
        return f"{host}/ml" if host else ""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        return ""
    # Neither user information nor parameters: a link is copied around and lives in the saved notebook.
    address = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, address, parts.path.rstrip("/"), "", "")) + "/#"


@lru_cache(maxsize=16)
def _databricks_host(uri: str) -> str:
    from mlflow.utils.databricks_utils import get_databricks_host_creds

    try:
        host = str(get_databricks_host_creds(uri).host or "")
    except Exception:  # noqa: BLE001 - the SDK raises what it likes, and a link is no reason to fail a cell
        return ""
    return host.rstrip("/")
