"""A client connection from its first byte to the end of its TLS handshake.

`ClientConnection` reads the ClientHello, picks the site, drives the TLS session and takes each
signature request to the pool and its answer back. Once the handshake is done a `Relay` takes over
the transport.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from socket import AF_INET, AF_INET6, inet_pton
from typing import TYPE_CHECKING, Any, cast

from offload.frontend.client_identity import told_by
from offload.frontend.limits import Admission, Refusal
from offload.frontend.proxy_protocol import ProxyProtocolError, decode
from offload.frontend.relay import Relay
from offload.frontend.reset import reset
from offload.pool.errors import NoCapacity, NoWorkerAvailable
from offload.pool.operation import SigningOperation
from offload.tls.client_hello import (
    ClientHello,
    ClientHelloReader,
    MalformedClientHello,
    NotTLS,
    read_client_hello,
)
from offload.tls.session import Session, State, TLSError
from offload.tls.signature import TLS_1_3

if TYPE_CHECKING:
    from offload.config import Listener
    from offload.frontend.server import Server
    from offload.frontend.service import Service

_PLAIN_HTTP = (
    b"GET ",
    b"HEAD",
    b"POST",
    b"PUT ",
    b"DELE",
    b"OPTI",
    b"PATC",
    b"CONN",
    b"TRAC",
    b"PRI ",
)
_PLAIN_HTTP_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 55\r\n"
    b"Connection: close\r\n\r\nThis port speaks HTTPS: write https:// in the address.\n"
)
# unrecognized_name, fatal, in a plaintext record (RFC 8446, 6; RFC 6066, 3)
_UNRECOGNIZED_NAME = b"\x15\x03\x03\x00\x02\x02\x70"
# No worker could be asked at all: of such handshakes there are many at once.
_OVERLOAD = (NoCapacity, NoWorkerAvailable)


class ClientConnection(asyncio.BufferedProtocol):
    """The handshake's stage of one client connection.

    Ends in exactly one of: a relay, or `_fail`. `_operation` is the signature under way, if any;
    it is cancelled, and the session aborted, whenever the connection goes first. `_signer` is the
    worker that signed.
    """

    __slots__ = (
        "_header",
        "_hello",
        "_listener",
        "_local",
        "_operation",
        "_peer",
        "_random",
        "_server",
        "_service",
        "_session",
        "_signer",
        "_started",
        "_transport",
        "admission",
        "server_name",
    )

    def __init__(self, server: Server, listener: Listener) -> None:
        self._server = server
        self._listener = listener
        self._header: bytearray | None = None  # as much as has come, while one is awaited
        self._peer: Any = None
        self._local: Any = None
        self._hello: ClientHelloReader | None = None
        self._session: Session | None = None
        self._service: Service | None = None
        self._operation: SigningOperation | None = None
        self._transport: asyncio.Transport
        self._started = 0.0
        self._random = b""
        self._signer = ""
        self.admission = Admission()
        self.server_name: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own, no subclass of it
        self._peer = transport.get_extra_info("peername")
        self._server.opened(self)
        if self._listener.proxy_protocol and self._listener.is_proxy(self.client_ip()):
            self._header = bytearray()
        else:
            self._admit()

    def _admit(self) -> None:
        refusal = self._server.admit(self)
        if refusal is not None:
            self._refuse(refusal)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._server.inbox

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._server.inbox[:nbytes])
        session = self._session
        if self._header is not None:
            self._read_header(self._header, data)
        elif session is None:
            self._read_hello(data)
        else:
            self._go_on(session.handshake, data)

    def eof_received(self) -> bool:
        self._fail("client_closed", None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("client_closed", None)

    def expire(self) -> None:
        """The handshake has taken too long."""
        self._fail("handshake_timeout", None)

    def shut(self) -> None:
        """The server's time to drain is over."""
        self._fail("shutdown", None)

    def _read_header(self, header: bytearray, data: bytes) -> None:
        """Take the client's addresses from the proxy that is in front of us."""
        header += data
        try:
            decoded = decode(bytes(header))
        except ProxyProtocolError as error:
            self._fail("proxy_header", None, error)
            return
        if decoded is None:
            return
        self._header = None
        self._peer, self._local = told_by(decoded.header, self._peer, self.local())
        self._admit()
        rest = bytes(header[decoded.length :])
        if rest and not self._transport.is_closing():
            self._read_hello(rest)

    def _read_hello(self, data: bytes) -> None:
        reader = self._hello
        try:
            hello = read_client_hello(data) if reader is None else reader.feed(data)
        except NotTLS:
            self._fail("not_tls", _PLAIN_HTTP_ANSWER if data.startswith(_PLAIN_HTTP) else None)
            return
        except MalformedClientHello:
            self._fail("malformed_client_hello", None)
            return
        if hello is None:
            if reader is None:
                self._hello = reader = ClientHelloReader()
                reader.feed(data)
            return
        if reader is not None:
            data, self._hello = bytes(reader.data), None
        self._start(hello, data)

    def _start(self, hello: ClientHello, data: bytes) -> None:
        """Begin the handshake with the site that the client asks for, if it may come in there."""
        self._started = self._server.clock()
        self.server_name, self._random = hello.server_name, hello.random
        service = self._server.service(hello.server_name)
        if service is None:
            self._fail("unknown_server_name", _UNRECOGNIZED_NAME)
            return
        self._service = service
        if service.account is not None:
            refusal = self.admission.enter(service.account, self._started)
            if refusal is not None:
                self._refuse(refusal)
                return
        if not service.site.keys:  # the cluster has no certificate for it yet
            self._fail("no_certificate", _UNRECOGNIZED_NAME)
            return
        self._session = session = Session(service.site)
        self._go_on(session.handshake, data)

    def _go_on(self, step: Callable[[bytes], None], data: bytes) -> None:
        """Let the session take a step, send what it made, and see where it stands."""
        session = self._session
        assert session is not None
        try:
            step(data)
        except TLSError as error:
            if self._signer and error.is_decrypt_error:
                self._server.verification.doubt(self._signer)
            self._fail("tls_error", session.output, error)
            return
        if session.output:
            self._transport.write(session.output)
            session.output = b""
        if session.state is State.OPEN:
            self._complete()
        elif session.state is State.SIGNING and self._operation is None:
            self._ask()

    def _ask(self) -> None:
        """Submit the signature that the session waits for to the pool."""
        session, service = self._session, self._service
        assert session is not None
        assert service is not None
        assert session.request is not None
        request = session.request
        self._submit(
            SigningOperation(
                request.key.ski,
                request.key.algorithm,
                request.scheme,
                request.version,
                request.payload,
                service.site.stated_name(self.server_name),
                self._client_address(),
                self._answered,
                client_random=self._random if request.version == TLS_1_3 else b"",
            )
        )

    def _submit(self, operation: SigningOperation) -> None:
        self._operation = operation
        self._server.pool.submit(operation)

    def _answered(self, operation: SigningOperation) -> None:
        self._operation = None
        session, server, worker = self._session, self._server, operation.worker
        assert session is not None
        assert session.request is not None
        signature = operation.signature
        if signature is None:
            outcome = "failed" if operation.error is None else operation.error.outcome
            self._fail(f"signing_{outcome}", None, operation.error)
            return
        request = session.request
        if server.verification.is_due(worker, request.key.algorithm) and not request.is_answered_by(
            signature
        ):
            server.verification.distrust(worker)
            server.pool.report_bad_signature(operation)
            self._submit(operation.elsewhere(self._answered))
            return
        self._signer = worker
        self._go_on(session.resume, signature)

    def _complete(self) -> None:
        session, service, server = self._session, self._service, self._server
        assert session is not None
        assert service is not None
        facts = session.facts()
        service.count_handshake(facts, server.clock() - self._started)
        self._session = None
        Relay(
            server,
            service,
            self._transport,
            session,
            facts,
            self.server_name,
            self.admission,
            (self._peer, self.local()),
        ).start()
        server.closed(self)  # last: a drain that saw no connection in between would be over

    def _fail(self, reason: str, output: bytes | None, error: Exception | None = None) -> None:
        """End the connection, whatever its state; only the first reason counts."""
        if not self._server.closed(self):
            return
        self.admission.leave()
        operation, self._operation = self._operation, None
        if operation is not None:
            operation.cancel()
        session, self._session = self._session, None
        if session is not None and session.state is State.SIGNING:
            session.abort()
            output = output or session.output
        self._server.count_failed_handshake(self, self._service, reason, error)
        if isinstance(error, _OVERLOAD) and self._server.settings.on_overload == "reset":
            reset(self._transport)
            return
        if output:
            self._transport.write(output)
        self._transport.close()

    def _refuse(self, refusal: Refusal) -> None:
        """Reset the connection: there is no cheaper way to say no, and none that ends sooner."""
        if self._server.closed(self):
            self.admission.leave()
            self._server.count_refused(self._service, refusal)
            reset(self._transport)

    def client_ip(self) -> str | None:
        """The client's IP address; None on a Unix socket."""
        return self._peer[0] if isinstance(self._peer, tuple) else None

    def local(self) -> Any:
        """The address that the client has connected to, as the socket module has it."""
        return self._local or self._transport.get_extra_info("sockname")

    def client_name(self) -> str:
        """The client's address in words."""
        peer = self._peer
        return f"{peer[0]} port {peer[1]}" if isinstance(peer, tuple) else "unix socket"

    def _client_address(self) -> bytes:
        """The client's address, 4 or 16 bytes; empty on a Unix socket."""
        peer = self._peer
        if not isinstance(peer, tuple):
            return b""
        return inet_pton(AF_INET6 if ":" in peer[0] else AF_INET, peer[0].partition("%")[0])
