"""Mutual TLS 1.3 as the worker speaks it."""

import ssl
from pathlib import Path

from offload.config import Identity


class IdentityError(Exception):
    """The worker's certificate, key or trusted CA cannot be used; the text has the remedy."""


def server_context(identity: Identity, trust: Path) -> ssl.SSLContext:
    """A context that takes only peers with a certificate of `trust`; raises IdentityError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    # A resumed session would outlive a grant that was withdrawn; links are long-lived anyway.
    context.num_tickets = 0
    try:
        context.load_cert_chain(identity.certificate, identity.key, password=_no_password)
    except (OSError, ValueError) as error:
        raise IdentityError(
            f"cannot use {identity.certificate} with {identity.key}: {error}: "
            "check that both are PEM, not encrypted and belong together"
        ) from error
    try:
        context.load_verify_locations(cafile=trust)
    except OSError as error:
        raise IdentityError(f"cannot use {trust}: {error}: name the CA's PEM file") from error
    return context


def _no_password() -> str:
    # Without this the library would ask for one on the terminal.
    raise ValueError("the key is encrypted")
