"""A worker that does as it is told: a mutual TLS peer that speaks the wire protocol."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

from offload.wire.codec import Decoder, encode
from offload.wire.error import ErrorCode
from offload.wire.message import Failure, Ping, Pong, Signature, TlsSign
from support.pki import PKI, Issued

# The signature, a refusal, or None for no answer.
Script = Callable[[TlsSign], bytes | ErrorCode | None]


def server_context(identity: Issued, pki: PKI) -> ssl.SSLContext:
    """What a worker listens with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(pki.root_path)
    context.load_cert_chain(identity.certificate_path, identity.key_path)
    return context


class ScriptedWorker:
    """Listens on 127.0.0.1:`port` while started; every request goes to `script`.

    With `silent`, it answers nothing at all, pings included.
    """

    def __init__(self, context: ssl.SSLContext, port: int, script: Script) -> None:
        self.port = port
        self.script = script
        self.silent = False
        self.requests: list[TlsSign] = []
        self.pings = 0
        self.connections: list[Connection] = []
        self.context = context
        self._server: asyncio.Server | None = None
        self._news = asyncio.Event()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self), "127.0.0.1", self.port, ssl=self.context
        )

    async def stop(self) -> None:
        """Listen no more and drop all connections."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.drop()
        await self.until(lambda: not self.connections)

    def drop(self) -> None:
        """Break all connections."""
        for connection in self.connections:
            connection.transport.abort()

    def answer(self, request: TlsSign, answer: bytes | ErrorCode) -> None:
        """Answer a request that was left unanswered, on every link."""
        for connection in self.connections:
            connection.answer(request, answer)

    def pause(self) -> None:
        """Read nothing until `resume`."""
        for connection in self.connections:
            connection.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        for connection in self.connections:
            connection.transport.resume_reading()

    def write(self, data: bytes) -> None:
        """Send raw bytes to every front-end."""
        for connection in self.connections:
            connection.transport.write(data)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when `condition` holds; it is looked at whenever something happens here."""
        while not condition():
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), 10)

    def heard(self) -> None:
        """Something has happened."""
        self._news.set()


class Connection(asyncio.Protocol):
    """One front-end's link."""

    transport: asyncio.Transport

    def __init__(self, worker: ScriptedWorker) -> None:
        self._worker = worker
        self._decoder = Decoder("worker")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._worker.connections.append(self)
        self._worker.heard()

    def connection_lost(self, exc: Exception | None) -> None:
        self._worker.connections.remove(self)
        self._worker.heard()

    def data_received(self, data: bytes) -> None:
        for message in self._decoder.feed(data):
            if isinstance(message, Ping):
                self._worker.pings += 1
                if not self._worker.silent:
                    self.transport.write(encode(Pong(message.id, message.data)))
            elif isinstance(message, TlsSign):
                self._worker.requests.append(message)
                if not self._worker.silent:
                    self.answer(message, self._worker.script(message))
        self._worker.heard()

    def answer(self, request: TlsSign, answer: bytes | ErrorCode | None) -> None:
        if isinstance(answer, ErrorCode):
            self.transport.write(encode(Failure(request.id, answer)))
        elif answer is not None:
            self.transport.write(encode(Signature(request.id, answer)))
