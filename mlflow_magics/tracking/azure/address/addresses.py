"""Reads the address of an Azure ML workspace as people paste it, and writes it as the plugin wants it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

from ....vocabulary.errors import ConnectionFailedError

_PROVIDER = "Microsoft.MachineLearningServices"
_KEYS = {
    "subscriptions": "subscriptions",
    "resourcegroups": "resourceGroups",
    "providers": "providers",
    "workspaces": "workspaces",
}
_GUID = re.compile(r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$")
_NAME = re.compile(r"^[\w\-.()]+$")
_HOST = re.compile(r"^[A-Za-z0-9](?:[A-Za-z0-9.\-]*[A-Za-z0-9])?(?::\d{1,5})?$")
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+]*)(?::/*|//+)")
# "workspace" and "my-workspace" are names that people give.
_PLACEHOLDER = re.compile(
    r"^[<{\[$].*|.*[>}\]]$"
    r"|^your[-_ ]?(aml|azureml)?[-_ ]?(subscription|resource[-_ ]?group|workspace)([-_ ]?(id|name))?$"
    r"|^(subscription|resource_?group|workspace)_(id|name)$|^x{3,}$|^\.+$|^…$",
    re.IGNORECASE,
)
# Byte order marks, soft hyphens and what chats put between words, to break lines there.
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_QUOTES = "'\"`\u201c\u201d\u2018\u2019 "
_PAGES = ("ml.azure.com", "ml.azure.us", "ml.azure.cn", "studio.ml.azure.cn")
# ARM's addresses are those of a workspace's page too: its id in Azure, with a host before it.
_PORTALS = (
    *("portal.azure.com", "portal.azure.us", "portal.azure.cn"),
    *("management.azure.com", "management.usgovcloudapi.net", "management.chinacloudapi.cn"),
)
_EXAMPLE = (
    "copy the MLflow tracking URI from the workspace's page in the portal, "
    f"as azureml://REGION.api.azureml.ms/mlflow/v1.0/subscriptions/…/{_PROVIDER}/workspaces/NAME"
)


@dataclass(frozen=True)
class Workspace:
    """An Azure ML workspace.

    Attributes
    ----------
    subscription : str
        The subscription's GUID.
    resource_group, name : str
        Its resource group, and its own name.
    host : str
        Who answers for tracking, as ``eastus.api.azureml.ms``; empty where only ARM knows it.
    """

    subscription: str
    resource_group: str
    name: str
    host: str = ""

    @property
    def scope(self) -> str:
        """Its id in Azure, with the letters' case that the plugin asks for."""
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}"
            f"/providers/{_PROVIDER}/workspaces/{self.name}"
        )

    @property
    def uri(self) -> str:
        """Its tracking URI; empty as long as the host is not known."""
        return f"azureml://{self.host}/mlflow/v1.0{self.scope}" if self.host else ""

    @property
    def where(self) -> str:
        """The workspace for people."""
        return f"Azure ML workspace {self.name}"


def is_meant(text: str) -> bool:
    """Tell whether a text is meant to say where a workspace is, however it is written.

    Parameters
    ----------
    text : str
        What a person typed.

    Returns
    -------
    bool
        Whether :func:`parse` is to read it, and to explain what is wrong with it.
    """
    bare = text.strip().strip(_QUOTES + "<>").lower()
    host = re.sub(r"^[a-z+]+:/*", "", bare).partition("/")[0].partition("?")[0].partition("#")[0]
    return (
        bare.startswith("azureml:")
        or _PROVIDER.lower() in bare
        or host in (*_PAGES, *_PORTALS)
        or host.endswith((".api.azureml.ms", ".api.ml.azure.cn", ".api.ml.azure.us"))
    )


def parse(text: str) -> tuple[Workspace, tuple[str, ...]]:
    """Read a workspace's address as pasted from the portal or the studio.

    Parameters
    ----------
    text : str
        An ``azureml://`` URI, the same with ``https://`` or no scheme, the workspace's id in Azure, or the address of
        one of its pages.

    Returns
    -------
    Workspace
        What was meant. Its host is empty where the text does not name one: then ask :mod:`.arm`.
    tuple of str
        One line for each thing that was read otherwise than written.

    Raises
    ------
    ConnectionFailedError
        If a part is missing or still a placeholder; the message names the part.
    """
    notes: list[str] = []
    address = _cleaned(text, notes)
    scheme = _SCHEME.match(address)
    rest = address[scheme.end() :] if scheme else address
    if rest.lower().lstrip("/").startswith("subscriptions/"):
        return _workspace(_without_query(rest, notes), "", text, notes), tuple(notes)
    host, _, path = rest.partition("/")
    if page := _page(host.lower(), rest):
        notes.append("read the workspace from the address of its page")
        return _workspace(page, "", text, []), tuple(notes)
    _check_scheme(scheme, notes, text)
    path = _without_query("/" + path, notes)
    return _workspace(path, _host(host, text, notes), text, notes), tuple(notes)


def named(subscription: str, resource_group: str, name: str, where: str) -> Workspace:
    """Make a workspace of its three names, checked.

    Parameters
    ----------
    subscription, resource_group, name : str
        As in :class:`Workspace`.
    where : str
        Who named them, for the message.

    Returns
    -------
    Workspace
        Without a host.

    Raises
    ------
    ConnectionFailedError
        If one of them is empty, a placeholder or impossible.
    """
    parts = {"subscriptions": subscription, "resourceGroups": resource_group, "workspaces": name}
    _check_parts(parts, where)
    return Workspace(subscription, resource_group, name)


def _cleaned(text: str, notes: list[str]) -> str:
    seen = _UNSEEN.sub("", text)
    if seen != text:
        notes.append("left out characters that cannot be seen")
    bare = seen.strip()
    stripped = bare.strip(_QUOTES)
    if stripped.startswith("<") and stripped.endswith(">"):
        stripped = stripped[1:-1].strip(_QUOTES)
    if stripped != bare:
        notes.append("left out the quotes or brackets around the address")
    joined = re.sub(r"\s+", "", stripped)
    if joined != stripped:
        notes.append("left out the spaces or line breaks inside the address")
    return joined


def _page(host: str, rest: str) -> str:
    """Return the workspace's id in Azure where the address is that of a page; empty otherwise."""
    if host.partition("?")[0] in _PAGES:
        query = rest.partition("?")[2].partition("#")[0]
        wsid = {key.lower(): values[0] for key, values in parse_qs(query).items()}.get("wsid", "")
        if not wsid:
            raise ConnectionFailedError(
                f"https://{host.partition('?')[0]}", "this page of the studio does not name its workspace", _EXAMPLE
            )
        return wsid if wsid.startswith("/") else "/" + wsid
    if host.partition("#")[0] in _PORTALS:
        start = rest.lower().find("/subscriptions/")
        if start < 0:
            raise ConnectionFailedError(
                "https://" + host.partition("#")[0], "this page of the portal is not that of a workspace", _EXAMPLE
            )
        return unquote(re.split(r"[?#]", rest[start:], maxsplit=1)[0])
    return ""


def _check_scheme(written: re.Match[str] | None, notes: list[str], text: str) -> None:
    if written is None:
        notes.append("put azureml:// in front")
    elif written[1].lower() not in ("azureml", "http", "https"):
        raise ConnectionFailedError(
            _shown(text), f"{written[1]}:// is not the scheme of an Azure ML workspace", _EXAMPLE
        )
    elif written[0] != "azureml://":
        notes.append(f"took azureml:// for {written[0]}")


def _without_query(path: str, notes: list[str]) -> str:
    bare = re.split(r"[?#]", path, maxsplit=1)[0]
    if bare != path:
        # Not shown: older plugins put a token there.
        notes.append("left out what follows the ? or #")
    plain = unquote(bare)
    if plain != bare:
        notes.append("read the %-codes in the address as the characters they stand for")
    return plain


def _host(host: str, text: str, notes: list[str]) -> str:
    bare = host.rpartition("@")[2]
    if bare != host:
        notes.append("left out the name before the @: Azure ML takes no credentials in an address")
    if _PLACEHOLDER.match(bare) or not _HOST.match(bare):
        raise ConnectionFailedError(_shown(text), f"{bare or 'nothing'!r} is no host", _EXAMPLE)
    if ".privatelink." in bare.lower():
        # The certificate names the public form; inside the network, DNS leads it to the private end point.
        bare = re.sub(r"\.privatelink\.", ".", bare, flags=re.IGNORECASE)
        notes.append("left out .privatelink: it is the DNS zone's name, and the certificate is for the name without it")
    if ".workspace." in bare.lower():
        notes.append("a private-link address: it answers inside the workspace's virtual network only")
    return bare.lower()


def _workspace(path: str, host: str, text: str, notes: list[str]) -> Workspace:
    parts = [part for part in path.split("/") if part]
    if any(part.lower() == "registries" for part in parts):
        raise ConnectionFailedError(
            _shown(text), "this is a registry, and runs are tracked in a workspace", "give it as --registry-uri instead"
        )
    if host:
        parts = _without_version(parts, notes)
    found, rest = _read(parts, notes)
    _check_parts(found, _shown(text))
    if "providers" not in found:
        notes.append(f"put /providers/{_PROVIDER} in")
    elif found["providers"].lower() != _PROVIDER.lower():
        raise ConnectionFailedError(
            _shown(text), f"{found['providers']!r} is not Azure ML's provider", f"it is {_PROVIDER}"
        )
    elif found["providers"] != _PROVIDER:
        notes.append(f"wrote {_PROVIDER} for {found['providers']}")
    if rest:
        notes.append(f"left out /{'/'.join(rest)} at the end")
    elif path.endswith("/"):
        notes.append("left out the / at the end")
    return Workspace(found["subscriptions"], found["resourceGroups"], found["workspaces"], host)


def _without_version(parts: list[str], notes: list[str]) -> list[str]:
    if parts[:1] and parts[0].lower() in ("mlflow", "history"):
        version = parts[1] if len(parts) > 1 and re.match(r"^[vV]\d", parts[1]) else ""
        if (parts[0], version) != ("mlflow", "v1.0"):
            notes.append(f"took /mlflow/v1.0 for /{'/'.join(filter(None, (parts[0], version)))}")
        return parts[2 if version else 1 :]
    notes.append("put /mlflow/v1.0 in")
    return parts


def _read(parts: list[str], notes: list[str]) -> tuple[dict[str, str], list[str]]:
    """Read the pairs of key and value up to the workspace; return them and what is left."""
    found: dict[str, str] = {}
    at = 0
    while at < len(parts) and "workspaces" not in found:
        key = _KEYS.get(parts[at].lower())
        if key is None:
            break
        if parts[at] != key:
            notes.append(f"wrote {key} for {parts[at]}")
        value = parts[at + 1] if at + 1 < len(parts) else ""
        if value.lower() in _KEYS:  # the value is missing and its neighbour took its place
            value, at = "", at - 1
        found[key] = value
        at += 2
    return found, parts[at:]


def _check_parts(parts: Mapping[str, str], where: str) -> None:
    words = {"subscriptions": "subscription", "resourceGroups": "resource group", "workspaces": "workspace"}
    for key, word in words.items():
        value = parts.get(key, "")
        if not value:
            raise ConnectionFailedError(where, f"the {word} is missing", _EXAMPLE)
        if key == "subscriptions" and _GUID.match(value):
            continue
        if _PLACEHOLDER.match(value):
            raise ConnectionFailedError(where, f"{value!r} is a placeholder", f"write the {word} in its place")
        if key == "subscriptions":
            raise ConnectionFailedError(
                where, f"the subscription {value!r} is not an id", "it looks like 01234567-89ab-cdef-0123-456789abcdef"
            )
        if not _NAME.match(value):
            raise ConnectionFailedError(where, f"{value!r} cannot be the name of a {word}", _EXAMPLE)


def _shown(text: str) -> str:
    # Neither a user's name nor parameters: both can carry a token.
    bare = re.split(r"[?#]", " ".join(text.split()), maxsplit=1)[0].strip(_QUOTES)
    return re.sub(r"//[^/@]*@", "//", bare)
