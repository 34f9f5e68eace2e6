"""What TLS negotiates by name: key exchange groups and application protocols."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

# Names as in the IANA "TLS Supported Groups" registry or as NIST writes them; OpenSSL takes both.
GROUPS = {
    "x25519mlkem768": "X25519MLKEM768",
    "secp256r1mlkem768": "SecP256r1MLKEM768",
    "secp384r1mlkem1024": "SecP384r1MLKEM1024",
    "x25519": "X25519",
    "p-256": "P-256",
    "secp256r1": "P-256",
    "prime256v1": "P-256",
    "p-384": "P-384",
    "secp384r1": "P-384",
    "p-521": "P-521",
    "secp521r1": "P-521",
}

# IANA "TLS Application-Layer Protocol Negotiation (ALPN) Protocol IDs", those that run over TCP.
APPLICATION_PROTOCOLS = frozenset({
    "http/0.9", "http/1.0", "http/1.1", "h2", "spdy/1", "spdy/2", "spdy/3", "ftp", "imap",
    "pop3", "managesieve", "coap", "xmpp-client", "xmpp-server", "acme-tls/1", "mqtt", "dot",
    "ntske/1", "sunrpc", "smb", "irc", "nntp", "nnsp", "sip/2", "tds/8.0", "dicom",
    "postgresql", "radius/1.0", "radius/1.1", "stun.turn", "stun.nat-discovery",
})  # fmt: skip


def _group(value: str) -> str:
    if value.lower() not in GROUPS:
        known = ", ".join(dict.fromkeys(GROUPS.values()))
        raise ValueError(f"unknown group {value!r}; choose from {known}")
    return GROUPS[value.lower()]


def _application_protocol(value: str) -> str:
    if value not in APPLICATION_PROTOCOLS:
        raise ValueError(
            f"unknown application protocol {value!r}; choose from the registered ones,"
            " such as 'http/1.1' or 'h2'"
        )
    return value


Group = Annotated[str, AfterValidator(_group)]
ApplicationProtocol = Annotated[str, AfterValidator(_application_protocol)]
