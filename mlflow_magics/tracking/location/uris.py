"""Parses a tracking URI, makes it absolute, and names its typos."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from ...vocabulary.errors import ConnectionFailedError
from ..calls.masking import mask
from .plugs import plugs

SERVERS = ("http", "https")
DATABASES = ("postgresql", "mysql", "mssql")
_KNOWN = (*SERVERS, "sqlite", *DATABASES, "databricks", "file")
# What is typed without an address -> what may have been meant.
_WORDS = {
    "databricks": "databricks",
    "local": "local",
    "localhost": "http://localhost:5000",
}
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.\-]*):")
_HOST_AND_PORT = re.compile(r"^(localhost|[\w\-]+(\.[\w\-]+)*):\d{1,5}(/.*)?$")
_HOST_NAME = re.compile(r"^(localhost|[\w\-]+(\.[\w\-]+)+)(/.*)?$")


class Workspace(Protocol):
    """Where in a hosted service a store is."""

    @property
    def host(self) -> str:
        """Who answers for tracking; empty as long as that is not known."""

    @property
    def where(self) -> str:
        """The workspace for people."""


@dataclass(frozen=True)
class Target:
    """A tracking store that was asked for.

    Attributes
    ----------
    uri : str
        As MLflow takes it: scheme in lower case, paths absolute.
    kind : str
        Who answers: an MLflow ``"server"``, ``"sqlite"`` (a file), a ``"database"`` server, ``"databricks"``, a store
        of the kind of one of our plugs, or, as ``"plugin"``, that of another plugin of MLflow's.
    path : Path or None
        The database file of an SQLite store.
    workspace : Workspace or None
        The workspace of a hosted service. As long as its host is not known, `uri` is empty.
    config : Path or None
        The config.json that names the workspace.
    notes : tuple of str
        One line each for what was read otherwise than written.
    """

    uri: str
    kind: str
    path: Path | None = None
    notes: tuple[str, ...] = ()
    workspace: Workspace | None = None
    config: Path | None = None

    @property
    def where(self) -> str:
        """The target for people: credentials masked, a local store as a short path."""
        if self.workspace is not None:
            return self.workspace.where
        return mask(self.uri) if self.path is None else short_path(self.path)

    @property
    def artifacts(self) -> Path | None:
        """The folder for the artifacts of an SQLite store's experiments: beside its file, not in the cwd."""
        return None if self.path is None else self.path.parent / "mlartifacts"


def parse(text: str, folder: Path, plugins: Iterable[str] = ()) -> Target:
    """Read a tracking URI as a person writes it.

    Parameters
    ----------
    text : str
        A URI, a folder, or the word ``local``.
    folder : Path
        The notebook's folder: relative paths start there, and ``local`` lives there.
    plugins : iterable of str, optional
        Schemes that installed MLflow plugins serve.

    Returns
    -------
    Target
        What to connect to. Nothing is opened or created.

    Raises
    ------
    ConnectionFailedError
        If this is no tracking URI; the message says what was probably meant.
    """
    text = text.strip()
    for plug in plugs():
        if target := plug.read(text):
            return target
    folder = Path(os.path.expanduser(folder)).absolute()
    if text in ("", "local"):
        return sqlite_target(folder / "mlflow.db")
    if text == "databricks" or text.startswith("databricks://"):
        return Target(text, "databricks")
    if _HOST_AND_PORT.match(text):
        raise _unclear(text, f"http://{text}")
    scheme = _SCHEME.match(text)
    if not scheme:
        return _from_path(text, folder)
    name = scheme[1].lower()
    rest = text[scheme.end() :]
    if name in SERVERS:
        return _server(name, rest, text)
    if name == "file":
        return _from_file_uri(rest, folder)
    if name == "sqlite" or name.startswith("sqlite+"):
        return _sqlite(name, rest, text, folder)
    if name.split("+")[0] in DATABASES:
        return _database(name, rest, text)
    if name in set(plugins):
        return Target(text, "plugin")
    raise _unclear(text, _respelled(name, rest))


def sqlite_target(path: Path, query: str = "", notes: tuple[str, ...] = (), scheme: str = "sqlite") -> Target:
    """Make the target for an SQLite file."""
    # SQLAlchemy 2.1 decodes %20 in the path and 2.0 does not; both cut at a question mark. MLflow retries what it
    # then cannot open for 100 seconds.
    if "?" in str(path) or re.search(r"%[0-9A-Fa-f]{2}", str(path)):
        raise ConnectionFailedError(
            short_path(path),
            "an SQLite URI cannot carry a ? or % in a path",
            "choose a folder with another name",
        )
    return Target(f"{scheme}:///{path}{query}", "sqlite", path, notes)


def short_path(path: Path) -> str:
    """Write a path as a person would.

    Parameters
    ----------
    path : Path
        An absolute path.

    Returns
    -------
    str
        Relative to the working directory, or to the home folder, where it lies inside.
    """
    places = [(Path.cwd(), "")]
    with suppress(RuntimeError):  # a container may run as a user without a home
        places.append((Path.home(), "~/"))
    for base, prefix in places:
        if path.is_relative_to(base):
            return prefix + str(path.relative_to(base))
    return str(path)


def is_file_store(folder: Path) -> bool:
    """Say whether a folder holds runs in MLflow's old file format.

    Return whether an experiment's ``meta.yaml`` lies in it.
    """
    if not folder.is_dir():
        return False
    return any(child.name.isdigit() and (child / "meta.yaml").exists() for child in folder.iterdir())


def _server(scheme: str, rest: str, text: str) -> Target:
    if not rest.startswith("//"):
        raise _unclear(text, f"{scheme}://{rest.lstrip('/')}")
    # What follows a # is a page of MLflow's web interface: people copy the address from the browser.
    address, _, page = rest.partition("#")
    notes = ("took the address up to the #: the rest is a page of MLflow's web interface",) if page else ()
    try:
        parts = urlsplit(f"{scheme}:{address}")
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host:
        raise ConnectionFailedError(mask(text), "no host and port can be read in this", "as http://localhost:5000")
    return Target(f"{scheme}:{address.rstrip('/')}", "server", notes=notes)


def _sqlite(scheme: str, rest: str, text: str, folder: Path) -> Target:
    if not rest.startswith("///"):
        raise _unclear(text, f"sqlite:///{rest.lstrip('/')}")
    name, mark, query = rest[3:].partition("?")
    if name in ("", ":memory:"):
        raise ConnectionFailedError(
            mask(text), "a store in memory is lost with the kernel", "name a file, as sqlite:///mlflow.db"
        )
    # Absolute, so that the user's os.chdir does not move the store.
    return sqlite_target(_absolute(name, folder), mark + query, scheme=scheme)


def _database(scheme: str, rest: str, text: str) -> Target:
    if not rest.startswith("//"):
        raise _unclear(text, f"{scheme}://{rest.lstrip('/')}")
    return Target(f"{scheme}:{rest}", "database")


def _from_file_uri(rest: str, folder: Path) -> Target:
    # file:/x, file:///x, file://localhost/x and file:x are all met.
    path = re.sub(r"^//(localhost)?(?=/)", "", rest)
    target = sqlite_target(_absolute(unquote(path), folder) / "mlflow.db")
    note = f"a file: URI names MLflow's old file store; this tracks to SQLite in that folder instead: {target.where}"
    return Target(target.uri, target.kind, target.path, (note,))


def _from_path(text: str, folder: Path) -> Target:
    path = _absolute(text, folder)
    if path.is_file() or path.suffix in (".db", ".sqlite", ".sqlite3"):
        raise _unclear(text, f"sqlite:///{text}")
    looks_like_path = text.startswith(("/", "./", "../", "~")) or text in (".", "..")
    if looks_like_path or path.is_dir():
        return sqlite_target(path / "mlflow.db")
    words = {**_WORDS, **{plug.kind: plug.example for plug in plugs()}}
    if near := get_close_matches(text, words, n=1, cutoff=0.7):
        raise _unclear(text, words[near[0]])
    if slashes := re.match(r"^(https?)//(.+)$", text):
        raise _unclear(text, f"{slashes[1]}://{slashes[2]}")
    if (_HOST_NAME.match(text) and not path.parent.is_dir()) or ("." in text and "/" not in text):
        raise _unclear(text, f"https://{text}")
    if "/" in text:
        return sqlite_target(path / "mlflow.db")
    raise _unclear(text, f"./{text}")


def _absolute(path: str, folder: Path) -> Path:
    # normpath without resolving links: the user's own name for a place is the one to show and to keep.
    joined = folder / os.path.expanduser(path)  # an unknown ~user stays as it is
    parts: list[str] = []
    for part in joined.parts:
        if part == "..":
            parts = parts[:-1] or parts
        else:
            parts.append(part)
    return Path(*parts)


def _respelled(scheme: str, rest: str) -> str:
    near = get_close_matches(scheme, (*_KNOWN, *(plug.kind for plug in plugs())), n=1, cutoff=0.5)
    if not near:
        return ""
    slashes = "///" if near[0] == "sqlite" else "//"
    if near[0] in ("sqlite", "file"):
        return f"sqlite:{slashes}{rest.removeprefix('///').removeprefix('//')}"
    return f"{near[0]}:{slashes}{rest.lstrip('/')}"


def _unclear(text: str, meant: str) -> ConnectionFailedError:
    hint = f"did you mean {mask(meant)}?" if meant else "as http://localhost:5000, sqlite:///mlflow.db or a folder"
    return ConnectionFailedError(mask(text), "this is not a tracking URI", hint)
