"""Channels over real sockets: between our own sides, and with a peer of another TLS library."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.pki import PKI, Issued

from offload.channel.channel import Channel, ChannelTransport
from offload.config import Identity
from offload.tls.mutual import MutualSession, PeerRejected, client_context, server_context

WAIT = 10.0


class Recorder:
    """A protocol that remembers what it was told."""

    def __init__(self) -> None:
        self.channel: ChannelTransport | None = None
        self.data = b""
        self.made = asyncio.Event()
        self.lost = asyncio.Event()
        self.error: Exception | None = None
        self.paused = asyncio.Event()
        self.resumed = asyncio.Event()
        self.news = asyncio.Condition()

    def connection_made(self, channel: ChannelTransport) -> None:
        self.channel = channel
        self.made.set()

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.made.set()

    async def until(self, size: int) -> bytes:
        async with asyncio.timeout(WAIT):
            while len(self.data) < size:
                self.made.clear()
                await self.made.wait()
        return self.data

    def pause_writing(self) -> None:
        self.paused.set()

    def resume_writing(self) -> None:
        self.resumed.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.error = error
        self.lost.set()


def identity(issued: Issued) -> Identity:
    return Identity(certificate=issued.certificate_path, key=issued.key_path)


class Pair:
    """Both ends of one TCP connection, with a channel at each."""

    def __init__(self, pki: PKI, name: str = "worker-1") -> None:
        loop = asyncio.get_running_loop()
        worker, frontend = pki.identity("worker-1"), pki.identity("frontend-1")
        self.near, self.far = Recorder(), Recorder()
        self.client = Channel(
            MutualSession(client_context(identity(frontend), pki.root_path), name), self.near, loop
        )
        self.server = Channel(
            MutualSession(server_context(identity(worker), pki.root_path), None), self.far, loop
        )


@asynccontextmanager
async def connected(pair: Pair) -> AsyncIterator[Pair]:
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: pair.server, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    try:
        await loop.create_connection(lambda: pair.client, "127.0.0.1", port)
        yield pair
    finally:
        listener.close()
        pair.client.abort()
        pair.server.abort()


async def test_data_goes_both_ways(pki: PKI) -> None:
    async with connected(Pair(pki)) as pair, asyncio.timeout(WAIT):
        await pair.client.established
        await pair.server.established
        message = bytes(range(256)) * 4096
        pair.client.write(message)
        assert await pair.far.until(len(message)) == message
        pair.server.write(b"answer")
        assert await pair.near.until(6) == b"answer"


async def test_close_says_goodbye_after_what_was_written(pki: PKI) -> None:
    async with connected(Pair(pki)) as pair, asyncio.timeout(WAIT):
        await pair.client.established
        pair.client.write(b"last words")
        pair.client.close()
        await pair.far.lost.wait()
        assert pair.far.data == b"last words"
        assert pair.far.error is None
        pair.server.write(b"nobody listens")
        assert pair.server.is_closing()


async def test_a_rejected_peer_is_told_and_nobody_is_connected(pki: PKI) -> None:
    async with connected(Pair(pki, "worker-2")) as pair, asyncio.timeout(WAIT):
        with pytest.raises(PeerRejected, match=r"(?i)hostname mismatch"):
            await pair.client.established
        with pytest.raises(PeerRejected, match="alert"):
            await pair.server.established
        assert pair.near.channel is None
        assert pair.far.channel is None


async def test_a_peer_that_leaves_early_fails_the_handshake(pki: PKI) -> None:
    pair = Pair(pki)
    loop = asyncio.get_running_loop()

    class Leaver(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transport.close()

    listener = await loop.create_server(Leaver, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with asyncio.timeout(WAIT):
        await loop.create_connection(lambda: pair.client, "127.0.0.1", port)
        with pytest.raises(OSError):
            await pair.client.established
    listener.close()


async def test_another_tls_library_is_understood(pki: PKI) -> None:
    pair = Pair(pki)
    frontend = pki.identity("frontend-2")
    context = ssl.create_default_context(cafile=pki.root_path)
    context.load_cert_chain(frontend.certificate_path, frontend.key_path)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: pair.server, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with asyncio.timeout(WAIT):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="worker-1"
        )
        writer.write(b"question")
        assert await pair.far.until(8) == b"question"
        pair.server.write(b"answer")
        assert await reader.readexactly(6) == b"answer"
        pair.server.close()
        assert await reader.read() == b""
    writer.close()
    listener.close()


async def test_back_pressure_reaches_the_protocol(pki: PKI) -> None:
    async with connected(Pair(pki)) as pair, asyncio.timeout(WAIT):
        await pair.client.established
        await pair.server.established
        pair.client.set_write_buffer_limits(high=1 << 16)
        pair.server.pause_reading()
        sent = 0
        while not pair.near.paused.is_set():
            pair.client.write(bytes(1 << 20))
            sent += 1 << 20
            await asyncio.sleep(0)
        pair.server.resume_reading()
        await pair.near.resumed.wait()
        assert len(await pair.far.until(sent)) == sent
