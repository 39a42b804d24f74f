"""Masks credentials in URIs and free text: what is shown, saved in a notebook or raised holds none."""

from __future__ import annotations

import os
import re

_SECRET_PARAMETER = re.compile(
    r"(?<![\w.\-])"
    r"((?=([\w.\-]+))\2=)"  # a name, as a whole: its end is not looked for letter by letter
    r"[^&;\s#'\"<>]+",
)
_SECRET_NAME = re.compile(
    r"passw(?:or)?d|passwort|senha|contrase|pwd|pass$|pw$|token|secret|signature|api[_-]?key|account_?key|access_?key"
    r"|credential|^sig$|^odbc_connect$",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"://[^/\s?#'\"<>]{0,2000}@")
# A password with a raw slash in it is not a legal URI, and people paste it all the same. Digits after the colon
# are a port, so what follows them is a path.
_USERINFO_WITH_SLASH = re.compile(r"://[^/\s:@]{1,500}:(?!\d+(?:[/?#\s]|$))[^\s'\"<>]{0,500}@")
_AUTHORIZATION = re.compile(r"\b(Bearer|Basic)\s+[\w.+/=~\-]{6,}", re.IGNORECASE)
_LOOKED = 10_000
"""Characters of a message that are looked at, to make one line of it."""

# SQLAlchemy's errors: what the database said, in between its class, the statement, and where to read more.
_SQL = re.compile(
    r"\((?:sqlite3|[\w.]*psycopg2?|pymysql|MySQLdb|pyodbc)[\w.]*\.\w+\)\s*"
    r"|\s*\[SQL:.*|\s*\(Background on this error at:.*",
    re.DOTALL,
)
_SECRET_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "AZURE_CLIENT_SECRET", "MSI_SECRET")


def mask(uri: str) -> str:
    """Replace the credentials in a URI.

    Parameters
    ----------
    uri : str
        Any URI: ``user:password@``, ``?password=``, token parameters and SAS signatures are found.

    Returns
    -------
    str
        The URI with ``***`` in the place of each credential.
    """
    return mask_text(uri)


def mask_text(text: str) -> str:
    """Replace the credentials in free text, such as an error message that quotes a URI."""
    text = _USERINFO_WITH_SLASH.sub("://***@", text)
    text = _USERINFO.sub("://***@", text)
    text = _SECRET_PARAMETER.sub(_masked, text)
    text = _AUTHORIZATION.sub(r"\1 ***", text)
    for name in _SECRET_VARIABLES:
        value = os.environ.get(name, "")
        # A shorter value would black out ordinary words.
        if len(value) >= 4:
            text = text.replace(value, "***")
    return text


def _masked(match: re.Match[str]) -> str:
    """Mask the value of a parameter whose name says that it is a secret."""
    return f"{match[1]}***" if _SECRET_NAME.search(match[2][-100:]) else match[0]


def one_line(text: str, limit: int = 300) -> str:
    """Make one masked line of an error message.

    Parameters
    ----------
    text : str
        A message, possibly of many lines.
    limit : int, optional
        The most characters to keep.

    Returns
    -------
    str
        Credentials masked, an error of a database without its SQL, white space collapsed, cut with an ellipsis.
    """
    # The rest is not looked at, and is not shown; what was cut through is in the last of it.
    if len(text) > _LOOKED:
        text = mask_text(text[:_LOOKED])[:-1_000]
    line = " ".join(_SQL.sub("", mask_text(text)).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
