"""One mutual TLS connection between a transport and the protocol that uses it."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol, cast

from offload.tls.mutual import MutualSession, PeerRejected, ProtocolViolation

# A hundred answers. With a buffer of ours the loop makes none of 256 KiB for each read.
READ_SIZE: Final = 1 << 15
# What one call of the engine takes.
_MOST: Final = 1 << 18


class ChannelTransport(Protocol):
    """What a protocol uses of its channel; a test may pass something else."""

    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def is_closing(self) -> bool: ...
    def set_write_buffer_limits(self, high: int) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def peer_certificate(self) -> bytes: ...


class ChannelProtocol(Protocol):
    """What a channel calls: as asyncio.Protocol's, but for the type of the transport."""

    def connection_made(self, channel: ChannelTransport) -> None:
        """The handshake is complete."""

    def data_received(self, data: bytes) -> None:
        """Plaintext has come."""

    def pause_writing(self) -> None:
        """The transport holds more than its high-water mark."""

    def resume_writing(self) -> None:
        """The transport has room again."""

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is over; called only after `connection_made`."""


class Channel(asyncio.BufferedProtocol):
    """See the module. Writes are encrypted at once: the protocol coalesces by itself.

    `established` is done when the handshake is: with PeerRejected or OSError where it failed, and
    then the protocol hears of nothing.
    """

    __slots__ = ("_inbox", "_made", "_protocol", "_reason", "_session", "_transport", "established")

    def __init__(
        self, session: MutualSession, protocol: ChannelProtocol, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._session = session
        self._protocol = protocol
        self._inbox = memoryview(bytearray(READ_SIZE))
        self._transport: asyncio.Transport | None = None
        self.established: asyncio.Future[None] = loop.create_future()
        self.established.add_done_callback(_retrieve)
        self._made = False
        self._reason: Exception | None = None

    # to the protocol: a transport

    def write(self, data: bytes) -> None:
        """Send plaintext; after the connection's end, nothing happens."""
        transport = self._transport
        if transport is None or not self._session.open:
            return
        for start in range(0, len(data), _MOST):
            transport.write(self._session.send(data[start : start + _MOST]))

    def close(self) -> None:
        """Say goodbye and close; what was written still goes out."""
        if self._transport is not None:
            if self._session.open:
                self._session.open = False
                self._transport.write(self._session.shutdown())
            self._transport.close()

    def abort(self) -> None:
        """Close now."""
        self._session.open = False
        if self._transport is not None:
            self._transport.abort()

    def is_closing(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._transport is None or self._transport.is_closing()

    def set_write_buffer_limits(self, high: int) -> None:
        """Bytes held above which the protocol is told to pause."""
        if self._transport is not None:
            self._transport.set_write_buffer_limits(high=high)

    def pause_reading(self) -> None:
        """Take nothing more of the peer for now."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take the peer's bytes again."""
        if self._transport is not None:
            self._transport.resume_reading()

    def peer_certificate(self) -> bytes:
        """The peer's certificate in DER."""
        return self._session.peer_certificate()

    # to the transport: a protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own, no subclass of it
        self._shake(b"")

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._inbox

    def buffer_updated(self, nbytes: int) -> None:
        data = self._inbox[:nbytes]
        if self._made:
            self._receive(data)
        else:
            self._shake(data)

    def eof_received(self) -> bool:
        return False  # which closes

    def pause_writing(self) -> None:
        if self._made:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._made:
            self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._session.open = False
        self._transport = None
        error = self._reason or exc
        if self._made:
            self._protocol.connection_lost(error)
        elif not self.established.done():
            self.established.set_exception(error or ConnectionResetError("the peer left"))

    def _shake(self, data: bytes | memoryview) -> None:
        transport = self._transport
        assert transport is not None
        try:
            output = self._session.handshake(data)
        except PeerRejected as error:
            self._reason = PeerRejected(error.args[0])
            transport.write(error.args[1])
            transport.close()
            return
        if output:
            transport.write(output)
        if self._session.open:
            self._made = True
            if not self.established.done():
                self.established.set_result(None)
            self._protocol.connection_made(self)
            self._receive(b"")  # what came along with the end of the handshake

    def _receive(self, data: bytes | memoryview) -> None:
        transport = self._transport
        if transport is None:
            return
        try:
            plaintext, output = self._session.receive(data)
        except ProtocolViolation as error:
            self._reason = error
            transport.close()
            return
        if output:
            transport.write(output)
        if plaintext:
            self._protocol.data_received(plaintext)
        if not self._session.open:
            transport.close()


def _retrieve(established: asyncio.Future[None]) -> None:
    """Let nobody be told that an exception went unseen: whoever gave up waiting does not care."""
    if not established.cancelled():
        established.exception()
