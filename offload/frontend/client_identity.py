"""Who the client is, told to a backend, or by a proxy, with the PROXY protocol."""

from __future__ import annotations

from typing import Any

from offload.frontend.proxy_protocol import Command, Endpoint, Header, Tls, Transport, encode
from offload.tls.session import Facts


def proxy_header(peer: Any, local: Any, facts: Facts, server_name: str | None) -> bytes:
    """The PROXY protocol version 2 header for a client's connection.

    peer, local: its two addresses, as the socket module has them. Only TCP has any to tell, and
    without them the header says nothing: receivers ignore the rest of such a one.
    """
    if not isinstance(peer, tuple) or not isinstance(local, tuple):
        return encode(Header())
    return encode(
        Header(
            transport=Transport.TCP6 if ":" in peer[0] else Transport.TCP4,
            source=_endpoint(peer),
            destination=_endpoint(local),
            alpn=facts.alpn.encode("ascii"),
            authority=server_name or "",
            tls=Tls(version=facts.version, cipher=facts.cipher),
        )
    )


def told_by(header: Header, peer: Any, local: Any) -> tuple[Any, Any]:
    """The client's address and what it connected to, by a header that a proxy sent.

    The connection's own, `peer` and `local`, where the proxy speaks for itself or does not know;
    empty words for a client that has no IP address.
    """
    source, destination = header.source, header.destination
    if header.command is Command.LOCAL or source is None or destination is None:
        return peer, local
    if header.transport not in (Transport.TCP4, Transport.TCP6):
        return "", ""
    return tuple(source), tuple(destination)


def _endpoint(address: tuple[Any, ...]) -> Endpoint:
    return Endpoint(address[0].partition("%")[0], address[1])
