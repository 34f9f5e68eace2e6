"""The signing load against a scripted worker."""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
from collections.abc import Iterator

import pytest
from support.pki import PKI

from bench.signload import run
from offload.config import Identity
from offload.wire.codec import Decoder, encode
from offload.wire.error import ErrorCode
from offload.wire.message import Failure, Signature, TlsSign

SKI = b"k" * 20


class Links:
    """How many links are up, and whether none is."""

    def __init__(self) -> None:
        self._count = 0
        self.none = asyncio.Event()
        self.none.set()

    def add(self, change: int) -> None:
        self._count += change
        if self._count:
            self.none.clear()
        else:
            self.none.set()


class Worker(asyncio.Protocol):
    """Signs every request but each tenth; `links` counts what is connected, across all of them."""

    def __init__(self, links: Links) -> None:
        self._decoder = Decoder("worker")
        self._links = links

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._links.add(1)

    def connection_lost(self, exc: Exception | None) -> None:
        self._links.add(-1)

    def data_received(self, data: bytes) -> None:
        for request in self._decoder.feed(data):
            assert isinstance(request, TlsSign)
            assert (request.ski, request.scheme) == (SKI, 0x0403)
            if request.id % 10:
                self._transport.write(encode(Signature(request.id, b"signature")))
            else:
                self._transport.write(encode(Failure(request.id, ErrorCode.CRYPTO)))


@pytest.fixture
def identity(pki: PKI) -> Identity:
    issued = pki.identity("load")
    return Identity(certificate=issued.certificate_path, key=issued.key_path)


@pytest.fixture
def port(identity: Identity, pki: PKI) -> Iterator[int]:
    """A scripted worker on a loop of its own, as the load brings its own too."""
    loop = asyncio.new_event_loop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(identity.certificate, identity.key)
    context.load_verify_locations(pki.root_path)
    links = Links()
    server = loop.run_until_complete(
        loop.create_server(lambda: Worker(links), "127.0.0.1", 0, ssl=context)
    )
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield server.sockets[0].getsockname()[1]
    loop.call_soon_threadsafe(server.close)
    # A transport whose end nobody awaits would warn when it is collected, in some later test.
    asyncio.run_coroutine_threadsafe(links.none.wait(), loop).result(10)
    # One turn more: the transport itself is closed after its protocol has been told.
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def test_counts_signatures_and_failures(port: int, identity: Identity, pki: PKI) -> None:
    result = run(
        "127.0.0.1", port, identity, pki.root_path, SKI, 0x0403, 8, 0.2, pids=[os.getpid()]
    )
    assert result["signatures"] > 0
    assert result["failures"] == pytest.approx(result["signatures"] / 9, rel=0.5)
    assert result["rate"] == pytest.approx(result["signatures"] / result["seconds"])
    assert result["cpu_us"] > 0
