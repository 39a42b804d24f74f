"""A certificate authority of this test's own, and certificates for the loopback's address and Azure's hosts."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


def make(folder: Path, hosts: tuple[str, ...] = ()) -> tuple[Path, ssl.SSLContext]:
    """The authority's file, for ``REQUESTS_CA_BUNDLE``, and what a server on 127.0.0.1 needs.

    trustme gives its authority the key identifiers and usages without which newer versions of OpenSSL refuse it.

    Parameters
    ----------
    folder : Path
        Where the file is written. The authority is new, and nobody but this test's processes trusts it.
    hosts : tuple of str, optional
        Names that the server answers for too.

    Returns
    -------
    Path
        The authority's certificate.
    ssl.SSLContext
        For the server.
    """
    authority = trustme.CA()
    file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", *hosts).configure_cert(context)
    return file, context
