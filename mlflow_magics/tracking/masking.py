"""Credentials out of URIs and free text: what is shown, saved in a notebook or raised never holds one."""

from __future__ import annotations

import os
import re

_SECRET_PARAMETER = re.compile(
    r"([?&;]|\b)"
    r"((?:[\w.\-]*(?:passw(?:or)?d|pwd|token|secret|signature|api_?key|account_?key|access_?key|credential)[\w.\-]*"
    r"|sig|odbc_connect)=)"
    r"[^&;\s#'\"<>]+",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"://[^/\s?#'\"<>]*@")
# A password with a raw slash in it is not a legal URI, and people paste it all the same. Digits after the colon
# are a port, so what follows them is a path.
_USERINFO_WITH_SLASH = re.compile(r"://[^/\s:@]+:(?!\d+(?:[/?#\s]|$))[^\s'\"<>]*@")
_AUTHORIZATION = re.compile(r"\b(Bearer|Basic)\s+[\w.+/=~\-]{6,}", re.IGNORECASE)
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
    """Replace the credentials in free text, such as an error message that quotes a URI.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
        The text with ``***`` in the place of each credential, those in MLflow's own variables included.
    """
    text = _USERINFO_WITH_SLASH.sub("://***@", text)
    text = _USERINFO.sub("://***@", text)
    text = _SECRET_PARAMETER.sub(r"\1\2***", text)
    text = _AUTHORIZATION.sub(r"\1 ***", text)
    for name in _SECRET_VARIABLES:
        value = os.environ.get(name, "")
        # A shorter value would black out ordinary words.
        if len(value) >= 4:
            text = text.replace(value, "***")
    return text


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
    line = " ".join(_SQL.sub("", mask_text(text)).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
