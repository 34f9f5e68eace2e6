"""The TLS context of the links to workers: TLS 1.3, both sides known to the private authority."""

import ssl

from offload.config import Identity
from offload.pool.errors import CredentialsUnusable


def _no_passphrase() -> str:
    """Answers OpenSSL, which would else ask for one at the terminal."""
    return ""


def client_context(identity: Identity, trust: str) -> ssl.SSLContext:
    """A context that shows `identity` and believes certificates that `trust` (a PEM file) signed.

    Raises CredentialsUnusable.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.hostname_checks_common_name = False
    try:
        context.load_verify_locations(cafile=trust)
    except OSError as error:
        raise CredentialsUnusable(
            f"{trust}: not a usable certificate file: {_reason(error)};"
            " name the authority's PEM file in [frontend.pool] trust"
        ) from error
    try:
        context.load_cert_chain(identity.certificate, identity.key, _no_passphrase)
    except OSError as error:
        raise CredentialsUnusable(
            f"{identity.certificate}, {identity.key}: not a usable identity: {_reason(error)};"
            " name a PEM certificate and its unencrypted key in [frontend.pool.identity]"
        ) from error
    return context


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "no PEM content").lower().replace("_", " ")
    return (error.strerror or str(error)).lower()
