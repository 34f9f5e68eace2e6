"""What a backend is told about the client, read back from the header."""

from typing import Any

import pytest

from offload.frontend.client_identity import proxy_header
from offload.frontend.proxy_protocol import Command, Endpoint, Header, Tls, Transport, decode
from offload.tls.session import Facts

FACTS = Facts("TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519", False, "h2")
PEER, LOCAL = ("192.0.2.7", 51234), ("198.51.100.1", 443)


def told(peer: Any, local: Any, facts: Facts = FACTS, name: str | None = "site.test") -> Header:
    data = proxy_header(peer, local, facts, name)
    decoded = decode(data + b"GET /")
    assert decoded is not None
    assert decoded.length == len(data)
    return decoded.header


def test_version_4() -> None:
    header = told(PEER, LOCAL)
    assert header.command is Command.PROXY
    assert header.transport is Transport.TCP4
    assert header.source == Endpoint(*PEER)
    assert header.destination == Endpoint(*LOCAL)


def test_version_6_without_its_scope() -> None:
    header = told(("fe80::1%eth0", 51234, 0, 2), ("2001:db8::1", 443, 0, 0))
    assert header.transport is Transport.TCP6
    assert header.source == Endpoint("fe80::1", 51234)
    assert header.destination == Endpoint("2001:db8::1", 443)


def test_mapped_addresses_of_a_socket_for_both_versions() -> None:
    header = told(("::ffff:192.0.2.7", 51234, 0, 0), ("::ffff:198.51.100.1", 443, 0, 0))
    assert header.transport is Transport.TCP6
    assert header.source == Endpoint("::ffff:c000:207", 51234)


def test_tls_protocol_and_name() -> None:
    header = told(PEER, LOCAL)
    assert header.tls == Tls(version="TLSv1.3", cipher="TLS_AES_128_GCM_SHA256")
    assert (header.alpn, header.authority) == (b"h2", "site.test")


def test_what_the_client_did_not_say_is_left_out() -> None:
    header = told(PEER, LOCAL, FACTS._replace(alpn=""), None)
    assert (header.alpn, header.authority) == (b"", "")


@pytest.mark.parametrize(("peer", "local"), [("", "/run/socket"), (None, None), ("", LOCAL)])
def test_other_sockets_have_no_addresses(peer: Any, local: Any) -> None:
    assert told(peer, local) == Header(command=Command.PROXY, transport=Transport.UNSPEC)
