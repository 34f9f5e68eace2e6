"""A front-end's `Server` in the test's own loop, with a scripted pool, clients and backends."""

import asyncio
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from random import Random
from time import monotonic
from typing import Any

from OpenSSL import SSL

from offload.config import Address, Backend, Frontend, Identity, Listener, Pool, Site, WorkerAddress
from offload.frontend.connection import ClientConnection
from offload.frontend.listeners import Bound
from offload.frontend.relay import Relay
from offload.frontend.server import Server
from offload.frontend.service import Service
from offload.keys.identifier import subject_key_identifier
from offload.keys.scheme import SignatureScheme
from offload.observe.family import CounterFamily
from offload.pool.fake import FakePool, hold
from offload.pool.operation import SigningOperation
from offload.tls.signature import TLS_1_3
from offload.tls.site import Sites
from support.handshakes import Client
from support.pki import Issued, PrivateKey
from support.signer import PKCS1, PSS, sign

WAIT_SECONDS = 20.0
NOWHERE = Backend.parse("tcp://127.0.0.1:1")
_TLS_1_3_PREFIX = b" " * 64 + b"TLS 1.3, server CertificateVerify\0"
_PADDING = {"pkcs1": PKCS1, "pss": PSS, None: 0}


def settings(issued: Issued, *sites: Mapping[str, Any], **frontend: Any) -> Frontend:
    """A configuration whose sites all have one certificate; the pool's part is never used."""
    unused = issued.certificate_path
    common = {"certificates": (unused,), "backends": (NOWHERE,)}
    pool = Pool(
        identity=Identity(certificate=unused, key=unused),
        trust=unused,
        verify=frontend.pop("verify", "sample"),
        workers=(WorkerAddress(name="worker", address=Address.parse("127.0.0.1:1")),),
    )
    return Frontend(
        listen=frontend.pop("listen", (Listener.parse("127.0.0.1:0"),)),
        pool=pool,
        sites=tuple(Site(**{**common, **each}) for each in sites),
        **frontend,
    )


class LocalSigner:
    """A script for a `FakePool` that signs as an honest worker does."""

    def __init__(self, *keys: PrivateKey) -> None:
        self._keys = {subject_key_identifier(key.public_key()): key for key in keys}

    def __call__(self, operation: SigningOperation) -> bytes:
        return signed(operation, self._keys[operation.ski])


def signed(operation: SigningOperation, key: PrivateKey) -> bytes:
    """The signature that an operation asks for, by any key of the right type."""
    scheme = SignatureScheme(operation.scheme)
    name = scheme.hash_name
    content = operation.payload
    if operation.version == TLS_1_3:
        content = _TLS_1_3_PREFIX + content
    digest = f"SHA2-{name.removeprefix('sha')}" if name else ""
    return sign(key, digest, _PADDING[scheme.padding], content)


class ObservedServer(Server):
    """A server whose events can be waited for, and whose clock can be put forward.

    `gate`, while it is cleared, keeps connections to backends from being begun.
    """

    def __init__(self, frontend: Frontend, pool: FakePool) -> None:
        self._skipped = 0.0
        self._news = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        loop = asyncio.get_running_loop()
        super().__init__(frontend, Sites.from_settings(frontend.sites), pool, loop, Random(1))
        self.fake = pool
        self.clock = lambda: monotonic() + self._skipped
        self.chosen: set[Service] = set()
        self.relays: list[Relay] = []
        self.failures: list[tuple[str, str | None]] = []
        self.errors: list[str] = []

    def skip(self, seconds: float) -> None:
        """Let the time be later; what is due happens at the next tick."""
        self._skipped += seconds

    async def until(self, reached: Callable[[], object]) -> None:
        """Return when the condition holds."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not reached():
                self._news.clear()
                await self._news.wait()

    async def until_empty(self) -> None:
        """Return when no connection is open."""
        await self.until(lambda: self.connections == 0)

    async def until_stalled(self, count: int) -> None:
        """Return when so many sides do not read."""
        await self.until(lambda: len(self._stalled) == count)

    async def until_ticked(self) -> None:
        """Return when the server has looked at the time."""
        now = self.clock()
        await self.until(lambda: self.now >= now)

    def stalls(self, relay: Relay, side: asyncio.Transport) -> None:
        super().stalls(relay, side)
        self.tell()

    def _tick(self) -> None:
        super()._tick()
        self.tell()

    def tell(self) -> None:
        """Something has happened that somebody may wait for."""
        self._news.set()

    def backend_connections(self) -> int:
        """How many connections to backends are counted as open."""
        return sum(backend.connections for service in self.chosen for backend in service.backends)

    def service(self, server_name: str | None) -> Service | None:
        service = super().service(server_name)
        if service is not None:
            self.chosen.add(service)
        return service

    def opened(self, connection: ClientConnection) -> None:
        super().opened(connection)
        self.tell()

    def closed(self, connection: ClientConnection) -> bool:
        left = super().closed(connection)
        self.tell()
        return left

    def relaying(self, relay: Relay) -> None:
        super().relaying(relay)
        self.relays.append(relay)
        self.tell()

    def ended(self, relay: Relay) -> None:
        super().ended(relay)
        self.tell()

    def count_failed_handshake(
        self,
        connection: ClientConnection,
        service: Service | None,
        reason: str,
        error: Exception | None,
    ) -> None:
        super().count_failed_handshake(connection, service, reason, error)
        self.failures.append((reason, service.site.name if service else None))
        self.tell()

    def count_error(self, reason: str) -> None:
        super().count_error(reason)
        self.errors.append(reason)
        self.tell()

    async def connect(self, backend: Any, protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        await self.gate.wait()
        await super().connect(backend, protocol)


class WebBackend:
    """A backend that hands each connection to the test, or echoes."""

    def __init__(self, *, echo: bool = False, receive_buffer: int | None = None) -> None:
        self._echo = echo
        self._receive_buffer = receive_buffer
        self._accepted: asyncio.Queue[Stream] = asyncio.Queue()
        self._server: asyncio.Server
        self._streams: list[Stream] = []
        self.connections = 0

    async def start(self) -> "WebBackend":
        """Listen on a free port of the loopback address."""
        listener = socket.socket()
        if self._receive_buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        listener.bind(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self._server = await asyncio.start_server(self._accept, sock=listener, limit=65536)
        return self

    @property
    def address(self) -> Backend:
        """As the configuration writes it."""
        return Backend.parse(f"tcp://127.0.0.1:{self.port}")

    async def accept(self) -> "Stream":
        """The next connection."""
        async with asyncio.timeout(WAIT_SECONDS):
            return await self._accepted.get()

    async def stop(self) -> None:
        """Reset all connections and refuse new ones."""
        self._server.close()
        for stream in self._streams:
            await stream.gone()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        stream = Stream(reader, writer)
        self._streams.append(stream)
        if not self._echo:
            self._accepted.put_nowait(stream)
            return
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.close()
        except ConnectionError:
            return


class Stream:
    """One TCP connection; every wait is bounded."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, server: "Running", receive_buffer: int | None = None) -> "Stream":
        """Connect to a server's first TCP listener."""
        raw = socket.socket()
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", server.port))
        except OSError:
            raw.close()
            raise
        made = cls(*await asyncio.open_connection(sock=raw, limit=65536))
        server.streams.append(made)
        return made

    async def send(self, data: bytes) -> None:
        """Send, and wait until the peer takes nearly all of it."""
        async with asyncio.timeout(WAIT_SECONDS):
            self.writer.write(data)
            await self.writer.drain()

    async def receive(self) -> bytes:
        """What is there; b"" at the end."""
        async with asyncio.timeout(WAIT_SECONDS):
            return await self._reader.read(65536)

    async def exactly(self, length: int) -> bytes:
        """So many bytes."""
        async with asyncio.timeout(WAIT_SECONDS):
            return await self._reader.readexactly(length)

    async def rest(self) -> bytes:
        """All until the end."""
        async with asyncio.timeout(WAIT_SECONDS):
            return await self._reader.read()

    def finish(self) -> None:
        """Say that nothing more is sent; go on receiving."""
        self.writer.write_eof()

    def close(self) -> None:
        """Close both ways."""
        self.writer.close()

    def abort(self) -> None:
        """Reset the connection."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Drop the connection, and wait until nothing of it is left."""
        self.writer.transport.abort()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


class TLSClient:
    """A real TLS client on a TCP connection; it can half-close, which asyncio's own cannot.

    `finished` tells whether the server has said close_notify.
    """

    def __init__(self, stream: Stream, client: Client) -> None:
        self.stream = stream
        self.client = client
        self.finished = False

    @classmethod
    async def connect(
        cls, server: "Running", receive_buffer: int | None = None, **options: Any
    ) -> "TLSClient":
        """Connect and complete the handshake. Raises SSL.Error, ConnectionError."""
        made = await cls.begin(server, receive_buffer, **options)
        await made.handshake()
        return made

    @classmethod
    async def begin(
        cls, server: "Running", receive_buffer: int | None = None, **options: Any
    ) -> "TLSClient":
        """Connect and send the ClientHello."""
        made = cls(await Stream.connect(server, receive_buffer), Client(**options))
        await made.stream.send(made.client.step())
        return made

    async def handshake(self) -> None:
        """Go on to the end of the handshake."""
        while not self.client.complete:
            data = await self.stream.receive()
            if not data:
                raise ConnectionError("closed during the handshake")
            await self.stream.send(self.client.step(data))

    async def send(self, data: bytes) -> None:
        """Encrypt and send."""
        for offset in range(0, len(data), 65536):
            self.client.tls.sendall(data[offset : offset + 65536])
            await self.stream.send(self.client.output())

    async def receive(self) -> bytes:
        """Some plaintext; b"" at the end, clean or not (see `finished`)."""
        plaintext = b""
        while not plaintext and not self.finished:
            try:
                plaintext = self.client.tls.recv(1 << 20)
            except SSL.WantReadError:
                data = await self.stream.receive()
                if not data:
                    return b""
                self.client.tls.bio_write(data)
            except SSL.ZeroReturnError:
                self.finished = True
        return plaintext

    async def exactly(self, length: int) -> bytes:
        """So many bytes of plaintext."""
        received = bytearray()
        while len(received) < length:
            data = await self.receive()
            assert data, "the end came first"
            received += data
        assert len(received) == length
        return bytes(received)

    async def rest(self) -> bytes:
        """All plaintext until the end."""
        received = bytearray()
        while data := await self.receive():
            received += data
        return bytes(received)

    async def finish(self) -> None:
        """Say close_notify; go on receiving."""
        self.client.tls.shutdown()
        await self.stream.send(self.client.output())

    def close(self) -> None:
        """Close the TCP connection."""
        self.stream.close()


class Running:
    """A server with its pool and where it listens."""

    def __init__(self, server: ObservedServer, port: int) -> None:
        self.server = server
        self.pool = server.fake
        self.port = port
        self.streams: list[Stream] = []

    async def stop(self) -> None:
        """End everything, and see that nothing is left behind."""
        await self.server.drain(0.001)
        await self.server.until_empty()
        for stream in self.streams:
            await stream.gone()
        assert self.server.backend_connections() == 0

    @classmethod
    async def start(cls, frontend: Frontend, pool: FakePool) -> "Running":
        """Serve on a free port of the loopback address."""
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        server = ObservedServer(frontend, pool)
        await server.start([Bound(listener, frontend.listen[0])])
        return cls(server, listener.getsockname()[1])


async def held(running: Running, **options: Any) -> tuple[TLSClient, SigningOperation]:
    """A client whose signature is under way, and the operation."""
    asked = asyncio.Event()

    def script(operation: SigningOperation) -> None:
        hold(operation)
        asked.set()

    running.pool.script = script
    client = await TLSClient.begin(running, **options)
    async with asyncio.timeout(WAIT_SECONDS):
        await asked.wait()
    return client, running.pool.submitted[-1]


class Growth:
    """How much a counter has grown since this was made."""

    def __init__(self, family: CounterFamily, *labels: str) -> None:
        self._child = family.labels(*labels)
        self._before = self._child.pending

    @property
    def value(self) -> float:
        return self._child.pending - self._before
