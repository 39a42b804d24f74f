"""Finds and reads the config.json that the portal and the studio hand out, and names its faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ....vocabulary.errors import ConnectionFailedError
from ...location.uris import short_path
from .addresses import Workspace, named

KEYS = ("subscription_id", "resource_group", "workspace_name")
# As MLClient.from_config of azure-ai-ml looks: a .azureml of any parent goes before a plain file right here, and it
# climbs five folders. (It reads project.json too, which SDK v1 wrote; we do not.)
_PLACES = (".azureml", "aml_config", "")
_LEVELS = 5
_MEND = "download config.json again from the workspace's page in the portal"


def find(folder: Path) -> Path | None:
    """Look for a workspace's config.json.

    Parameters
    ----------
    folder : Path
        The notebook's folder.

    Returns
    -------
    Path or None
        The first of ``.azureml/``, ``aml_config/`` and no folder at all, each here and up to five folders above,
        whose config.json holds the three keys. Another program's config.json is passed over. Where there is none, the
        first in Azure ML's own folders that means to be one: :func:`read` names its fault.
    """
    start = folder.absolute()
    bases = (start, *start.parents)[: _LEVELS + 1]
    files = [base / place / "config.json" for place in _PLACES for base in bases]
    own = (path for path in files if path.parent.name in _PLACES)
    return next(filter(_is_workspace, files), None) or next(filter(_is_meant, own), None)


def read(path: Path) -> Workspace:
    """Read a workspace's config.json.

    Parameters
    ----------
    path : Path
        The file, or a folder to look in.

    Returns
    -------
    Workspace
        Without a host: the file has none, see :mod:`.arm`.

    Raises
    ------
    ConnectionFailedError
        If there is no such file, or something is wrong in it; the message names the key.
    """
    if path.is_dir():
        inside = find(path) or path / "config.json"
        if not inside.is_file():
            raise ConnectionFailedError(short_path(path), "this folder holds no config.json of a workspace", _MEND)
        path = inside
    where = short_path(path)
    content = _content(path, where)
    missing = [key for key in KEYS if not content.get(key)]
    if missing:
        raise ConnectionFailedError(where, f"{_listed(missing)} missing in it", _MEND)
    wrong = [key for key in KEYS if not isinstance(content[key], str)]
    if wrong:
        raise ConnectionFailedError(where, f"{_listed(wrong)} not written as text", "put quotes around it")
    subscription, group, name = (content[key].strip() for key in KEYS)
    return named(subscription, group, name, where)


def tenant(path: Path) -> str:
    """Tell the tenant that a config.json names, for comparing it with that of the token.

    Its id; empty where it names none.
    """
    content = _content(path, short_path(path))
    tenant = content.get("tenant_id") or content.get("tenant") or ""
    return tenant if isinstance(tenant, str) else ""


def check_tenant(path: Path, signed_in: str) -> None:
    """See whether somebody is signed in to the tenant that a config.json names."""
    wanted = tenant(path)
    # A tenant can be named by a domain too, which no token carries.
    comparable = wanted.count("-") == 4 and bool(signed_in)
    if comparable and wanted.lower() != signed_in.lower():
        raise ConnectionFailedError(
            short_path(path),
            f"it names the tenant {wanted}, and you are signed in to {signed_in}",
            f"az login --tenant {wanted}, or AZURE_TENANT_ID={wanted} for a service principal",
        )


def _content(path: Path, where: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))  # editors on Windows put a mark in front
    except FileNotFoundError as error:
        raise ConnectionFailedError(where, "there is no such file", _MEND) from error
    except OSError as error:
        raise ConnectionFailedError(where, f"it cannot be read ({error.strerror})", _MEND) from error
    except UnicodeDecodeError as error:
        raise ConnectionFailedError(where, "it is not text in UTF-8", _MEND) from error
    except RecursionError as error:
        raise ConnectionFailedError(where, "it is not JSON (nested too deeply)", _MEND) from error
    except ValueError as error:
        line = f" (line {error.lineno}: {error.msg})" if isinstance(error, json.JSONDecodeError) else ""
        raise ConnectionFailedError(where, f"it is not JSON{line}", _MEND) from error
    if not isinstance(content, dict):
        raise ConnectionFailedError(where, "it holds no keys and values", _MEND)
    return content


def _is_workspace(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return False  # not ours to complain of: only looked at in passing
    return isinstance(content, dict) and set(content) >= set(KEYS)


def _is_meant(path: Path) -> bool:
    try:
        content = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return False
    return any(key in content for key in KEYS)


def _listed(keys: list[str]) -> str:
    return f"{' and '.join(keys)} {'is' if len(keys) == 1 else 'are'}"
