"""The signing load against a scripted worker."""

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


class Worker(asyncio.Protocol):
    """Signs every request but each tenth."""

    def __init__(self) -> None:
        self._decoder = Decoder("worker")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

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
    server = loop.run_until_complete(loop.create_server(Worker, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield server.sockets[0].getsockname()[1]
    loop.call_soon_threadsafe(server.close)
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
