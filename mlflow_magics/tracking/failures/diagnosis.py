"""Says why a server was not reached.

Connecting raises it, and the check shows it as the step at which the way ends.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from ...vocabulary.errors import ConnectionFailedError
from ..calls.masking import mask, one_line
from ..calls.patience.limits import CONNECT_SECONDS
from ..location.uris import Target

_CERTIFICATE_MEND = (
    "point MLFLOW_TRACKING_SERVER_CERT_PATH or REQUESTS_CA_BUNDLE at its certificate authority, "
    "or set MLFLOW_TRACKING_INSECURE_TLS=true to trust it unchecked"
)


class ReachError(ConnectionFailedError):
    """A store that could not be reached, and how far the way led.

    Parameters
    ----------
    step : str
        The step of the check at which it ended: ``"name"``, ``"port"``, ``"TLS"``, ``"authentication"`` or
        ``"version"``.
    where, reason, hint : str
        As in :class:`~mlflow_magics.vocabulary.errors.ConnectionFailedError`.
    """

    def __init__(self, step: str, where: str, reason: str, hint: str = "") -> None:
        self.step = step
        super().__init__(where, reason, hint)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Walk through an error and all that led to it.

    Parameters
    ----------
    error : BaseException
        The error; requests and urllib3 hide the socket's own error in ``args`` and ``reason``.

    Yields
    ------
    BaseException
        Each error once, outermost first.
    """
    queue: list[Any] = [error]
    seen: set[int] = set()
    while queue:
        item = queue.pop(0)
        if not isinstance(item, BaseException) or id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        queue += [item.__cause__, item.__context__, getattr(item, "reason", None), *item.args]


def diagnosis(error: BaseException, target: Target) -> ReachError:
    """Tell why a server was not reached.

    Parameters
    ----------
    error : BaseException
        What requests, or MLflow around it, raised.
    target : Target
        The server.

    Returns
    -------
    ReachError
        To be raised: the step at which the way ended, what was seen, and the hint.
    """
    where, parts = target.where, urlsplit(target.uri)
    chain = list(causes(error))
    names = {type(cause).__name__ for cause in chain}
    text = " ".join(str(cause) for cause in chain)
    host = parts.hostname or ""
    if "ProxyError" in names:
        return ReachError(
            "port", where, f"the proxy failed: {_last(chain)}", "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
        )
    if any(isinstance(cause, socket.gaierror) for cause in chain) or "NameResolutionError" in names:
        return ReachError("name", where, f"no host is called {host!r}", "check the spelling, or the VPN")
    if names & {"SSLError", "SSLCertVerificationError", "SSLEOFError"}:
        return _tls_diagnosis(chain, text, where, target)
    if any(isinstance(cause, ConnectionRefusedError) for cause in chain):
        return ReachError("port", where, "the port refuses: nothing listens there", _start_hint(parts.port, host))
    if names & {"ConnectTimeout", "ConnectTimeoutError"}:
        reason = f"no connection within {CONNECT_SECONDS:g} s"
        return ReachError("port", where, reason, "check host and port, the firewall, or the VPN")
    if names & {"ReadTimeout", "ReadTimeoutError", "TimeoutError"}:
        reason = "it accepts the connection and does not answer"
        return ReachError(
            "version",
            where,
            reason,
            "see whether the server is overloaded, or set MLFLOW_HTTP_REQUEST_TIMEOUT to more seconds",
        )
    if names & {"RemoteDisconnected", "ConnectionResetError", "BadStatusLine", "ProtocolError"}:
        hint = f"did you mean {_with_scheme(target.uri, 'https')}?" if parts.scheme == "http" else "check the port"
        return ReachError("version", where, "it closes the connection without an answer", hint)
    return ReachError("port", where, _last(chain), "check the address")


def _tls_diagnosis(chain: list[BaseException], text: str, where: str, target: Target) -> ReachError:
    if re.search(r"WRONG_VERSION_NUMBER|wrong version number|record layer failure|UNEXPECTED_EOF|EOF occurred", text):
        plain = _with_scheme(target.uri, "http")
        return ReachError("TLS", where, "it does not speak TLS", f"did you mean {plain}?")
    verify = next((cause for cause in chain if isinstance(cause, ssl.SSLCertVerificationError)), None)
    if verify is not None:
        reason = f"its certificate is not trusted: {one_line(verify.verify_message)}"
        return ReachError("TLS", where, reason, _CERTIFICATE_MEND)
    return ReachError("TLS", where, f"TLS failed: {_last(chain)}", _CERTIFICATE_MEND)


def _with_scheme(uri: str, scheme: str) -> str:
    return mask(f"{scheme}://{uri.partition('://')[2]}")


def _start_hint(port: int | None, host: str) -> str:
    if host in ("localhost", "127.0.0.1", "::1"):
        return f"start one with `mlflow server --port {port or 5000}`, or track without a server: %mlflow_connect local"
    return "check the port, and that the server is running"


def _last(chain: list[BaseException]) -> str:
    # The innermost error says what happened; the outer ones repeat it with addresses of Python objects.
    return one_line(str(chain[-1]) or type(chain[-1]).__name__, 160)
