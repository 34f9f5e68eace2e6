"""Passes the plaintext stream between a client's TLS session and a backend, both ways.

Each direction ends by itself (a half-close is passed on as one), a reader is paused while the other
side cannot take more, and the relay is over when both directions are, or one side is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from offload.frontend.client_identity import proxy_header
from offload.frontend.reset import reset
from offload.tls.session import Facts, Session, TLSError

if TYPE_CHECKING:
    from offload.frontend.backends import Backend
    from offload.frontend.limits import Admission
    from offload.frontend.server import Server
    from offload.frontend.service import Service
    from offload.observe.tally import Tally

Encrypt = Callable[[bytes | memoryview], bytes | bytearray]

_EARLY_LIMIT = 65_536
"""Bytes of plaintext held while the backend is being connected; the client is not read beyond that.
"""
_WRITE_HIGH_WATER = 262_144
"""One read of the event loop is at most this long: less would pause and resume for every read."""


class Relay(asyncio.BufferedProtocol):
    """The client's side: decrypts for the backend.

    `active` is the coarse time of the last byte either way, in the server's monotonic seconds.
    """

    __slots__ = (
        "_backend",
        "_client",
        "_connect",
        "_decrypt",
        "_early",
        "_ended",
        "_ends",
        "_far",
        "_inbox",
        "_received",
        "_sent",
        "_server",
        "_service",
        "_session",
        "_tried",
        "active",
        "admission",
        "facts",
        "server_name",
        "write",
    )

    def __init__(
        self,
        server: Server,
        service: Service,
        client: asyncio.Transport,
        session: Session,
        facts: Facts,
        server_name: str | None,
        admission: Admission,
        ends: tuple[Any, Any],
    ) -> None:
        """`ends` are the addresses of the client and of what it connected to."""
        self._server = server
        self._service = service
        self._client = client
        self._session = session
        self._decrypt = session.stream.receive
        self.write = client.write
        self._inbox = server.inbox
        self._early = b""
        self._far: asyncio.Transport | None = None
        self._backend: Backend | None = None
        self._connect: asyncio.Task[None] | None = None
        self._tried: tuple[Backend, ...] = ()
        self._received = False  # the client has said that it sends no more
        self._sent = False  # so has the backend, and the client was told
        self._ended = False
        self.active = server.now
        self.facts = facts
        self.server_name = server_name
        self.admission = admission
        self._ends = ends

    def start(self) -> None:
        """Take over the client's transport; the backend is connected once it has something to do.

        That is at the client's first byte. A client that stays silent may wait for the server to
        speak first: unless the site is known to be no such, it gets its backend after a moment.
        """
        self._client.set_protocol(self)
        self._client.set_write_buffer_limits(high=_WRITE_HIGH_WATER)
        self._server.relaying(self)
        self._receive(b"")  # what came along with the end of the handshake
        if self._backend is None and not self._ended and not self._service.client_speaks_first:
            self._server.silent(self)

    # the client's transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._inbox

    def buffer_updated(self, nbytes: int) -> None:
        self._receive(self._inbox[:nbytes])

    def _receive(self, data: bytes | memoryview) -> None:
        if self._received:
            return  # after its close_notify a client's bytes mean nothing
        status, plaintext, output = self._decrypt(data)
        if plaintext:
            self.active = self._server.now
            self._service.request_bytes.pending += len(plaintext)
            if self._far is not None:
                self._far.write(plaintext)
            else:
                self._hold(plaintext)
                self.connect()
        if status or output:
            self._take_note(status, output)

    def _take_note(self, status: int, output: bytes) -> None:
        """Of what is no plaintext: alerts, key updates, the client's end."""
        session = self._session
        try:
            session.received(status, output)
        except TLSError:
            self._server.count_error("tls_error")
            if session.output:
                self._client.write(session.output)
            self.end()
            return
        if output:
            self._client.write(output)
        if not session.is_open():
            self._client_finished()

    def eof_received(self) -> bool:
        self._client_finished()
        return not self._ended

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.gone(self._client)
        self.end()

    def pause_writing(self) -> None:
        self._server.stalls(self, self._client)
        if self._far is not None and not self._far.is_closing():
            self._far.pause_reading()

    def resume_writing(self) -> None:
        self._server.flows(self._client)
        if self._far is not None and not self._far.is_closing():
            self._far.resume_reading()

    # the backend's transport, by way of BackendSide

    def connected(self, far: asyncio.Transport) -> None:
        self._server.connected(self)
        self._connect = None
        if self._ended:
            far.close()
            return
        far.set_write_buffer_limits(high=_WRITE_HIGH_WATER)
        self._far = far
        self._service.count_backend(self._backend, 1)
        if self._service.site.settings.proxy_protocol:
            far.write(proxy_header(*self._ends, self.facts, self.server_name))
        early, self._early = self._early, b""
        if early:
            if len(early) > _EARLY_LIMIT:
                self._client.resume_reading()  # first: the backend may be full at once
            far.write(early)
        if self._received:
            far.write_eof()

    def backend_finished(self) -> None:
        """Pass the backend's end of stream on; the client may go on sending."""
        if self._sent or self._ended:
            return
        self._sent = True
        self._client.write(self._session.shutdown())
        if self._received:
            self.end()
        elif self._client.can_write_eof():
            self._client.write_eof()

    def backend_lost(self) -> None:
        """The backend's connection is no more."""
        if self._far is not None:
            self._server.gone(self._far)
        self.end()

    def backend_full(self) -> None:
        """The backend cannot take more now: read no more of the client."""
        if self._far is not None:
            self._server.stalls(self, self._far)
        if not self._received and not self._client.is_closing():
            self._client.pause_reading()

    def backend_writable(self) -> None:
        """The backend takes data again."""
        if self._far is not None:
            self._server.flows(self._far)
        if not self._received and not self._client.is_closing():
            self._client.resume_reading()

    def end(self) -> None:
        """Close both sides; what was written still goes out."""
        if self._ended:
            return
        self._ended = True
        if self._connect is not None:
            self._connect.cancel()
        if self._far is not None:
            self._service.count_backend(self._backend, -1)
            self._server.flows(self._far)
            self._server.close_transport(self._far)
        if self._backend is not None:
            self._service.backends.release(self._backend)
        self._server.flows(self._client)
        self._server.close_transport(self._client)
        self._server.ended(self)

    def expire(self) -> None:
        """Nothing has moved either way for too long."""
        self._server.count_error("idle_timeout")
        self.shut()

    def evict(self) -> None:
        """There is no room for others, and nothing has moved here for longest."""
        self._server.count_error("evicted")
        self.shut()

    def stalled(self, side: asyncio.Transport) -> None:
        """One side has not taken what waits for it for too long."""
        self._server.count_error("write_timeout")
        if side is self._client:
            self.end()
        else:
            self.shut()
        reset(side)

    def shut(self) -> None:
        """Say goodbye to the client and close both sides."""
        if not self._sent and not self._ended:
            self._sent = True
            self._client.write(self._session.shutdown())
        self.end()

    def _client_finished(self) -> None:
        if self._received or self._ended:
            return
        self._received = True
        if self._sent:
            self.end()
        elif self._backend is None:
            self.shut()  # the client has asked nothing of anybody
        elif self._far is not None and self._far.can_write_eof():
            self._far.write_eof()

    def _hold(self, plaintext: bytes) -> None:
        was_full = len(self._early) > _EARLY_LIMIT
        self._early += plaintext
        if len(self._early) > _EARLY_LIMIT and not was_full:
            self._client.pause_reading()

    def connect(self) -> None:
        """Connect to a backend, unless that was begun before."""
        if self._backend is None and not self._ended:
            self._server.speaks(self)
            self._connect_next()

    def _connect_next(self) -> None:
        """Try the next of the site's backends; without one, the client goes."""
        server = self._server
        backend = self._service.backends.choose(server.now, self._tried)
        self._backend = backend
        if backend is None:
            server.count_error("no_backend")
            self.shut()
            return
        server.connecting(self)
        self._connect = server.spawn(self._connect_to(backend))

    def _backend_side(self) -> BackendSide:
        return BackendSide(
            self, self._server, self._service.response_bytes, self._session.stream.send
        )

    async def _connect_to(self, backend: Backend) -> None:
        try:
            await self._server.connect(backend, self._backend_side)
        except OSError as error:
            self._unreachable(backend, str(error))
            return
        self._service.backends.connected(backend)

    def connect_expired(self) -> None:
        """The backend does not answer: try another."""
        backend, task = self._backend, self._connect
        if backend is not None and task is not None:
            task.cancel()
            self._unreachable(backend, "timed out")

    def _unreachable(self, backend: Backend, reason: str) -> None:
        if self._ended:
            return
        server = self._server
        server.log.warning("backend unreachable", backend=backend.name, reason=reason)
        self._service.backends.failed(backend, server.now)
        self._backend = None
        self._tried = (*self._tried, backend)
        self._connect_next()


class BackendSide(asyncio.BufferedProtocol):
    """The backend's side: encrypts for the client."""

    __slots__ = ("_encrypt", "_inbox", "_relay", "_response", "_server", "_write")

    def __init__(self, relay: Relay, server: Server, response: Tally, encrypt: Encrypt) -> None:
        self._relay = relay
        self._server = server
        self._inbox = server.inbox
        self._response = response
        self._encrypt = encrypt
        self._write = relay.write

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._relay.connected(cast(asyncio.Transport, transport))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._inbox

    def buffer_updated(self, nbytes: int) -> None:
        # All in one place and without a call that is not needed: this runs for every response.
        relay = self._relay
        relay.active = self._server.now
        self._response.pending += nbytes
        try:
            self._write(self._encrypt(self._inbox[:nbytes]))
        except ConnectionError:
            relay.end()

    def eof_received(self) -> bool:
        self._relay.backend_finished()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self._relay.backend_finished()
        self._relay.backend_lost()

    def pause_writing(self) -> None:
        self._relay.backend_full()

    def resume_writing(self) -> None:
        self._relay.backend_writable()
