"""TLS of the admin address: 1.3 alone, and a certificate of the cluster's CA if the client has one.

The `ssl` module's, because aiohttp speaks through it; links that carry signatures use `tls.mutual`.
"""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

from aiohttp import web


def server_context(certificate: Path, key: Path, trust: Path) -> ssl.SSLContext:
    """For a member with that certificate (PEM, leaf first) and key; `trust`: the CA's certificate.

    A client may come without a certificate and bring a token, or an invitation. Sessions are not
    resumed: they would outlive a certificate. Raises OSError, ssl.SSLError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(trust)
    context.load_cert_chain(certificate, key)
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    return context


def client_fingerprint(request: web.BaseRequest) -> str | None:
    """SHA-256 of the client's verified certificate (DER) in hexadecimal, if it brought one."""
    transport = request.transport
    connection = None if transport is None else transport.get_extra_info("ssl_object")
    certificate = None if connection is None else connection.getpeercert(binary_form=True)
    return hashlib.sha256(certificate).hexdigest() if certificate else None
