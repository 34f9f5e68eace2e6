"""The plaintext between client and backend: every byte, both ends, and no more than is held."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from hashlib import sha256
from random import Random
from typing import Any

import pytest
from frontend.conftest import Start
from OpenSSL import SSL
from support.ports import free_port
from support.serving import Growth, Running, Stream, TLSClient, WebBackend

from offload.config import Backend
from offload.frontend.proxy_protocol import Endpoint, Tls, Transport, decode
from offload.frontend.relay import Relay
from offload.observe import metrics

MESSAGE = Random(5).randbytes(5 << 20)
SMALL = 262_144
VERSIONS = [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION]


def site(*backends: Backend, **settings: Any) -> dict[str, Any]:
    return {"names": ("site.test",), "backends": backends, **settings}


@pytest.fixture
async def narrow() -> AsyncIterator[WebBackend]:
    """A backend whose system holds little for it."""
    backend = await WebBackend(receive_buffer=SMALL).start()
    yield backend
    await backend.stop()


async def connected(running: Running, web: WebBackend, **options: Any) -> tuple[TLSClient, Stream]:
    """A client, and what the backend has of it, with one byte gone each way."""
    client = await TLSClient.connect(running, **options)
    await client.send(b"?")
    stream = await web.accept()
    assert await stream.exactly(1) == b"?"
    await stream.send(b"!")
    assert await client.exactly(1) == b"!"
    return client, stream


def called(monkeypatch: pytest.MonkeyPatch, name: str) -> asyncio.Event:
    """An event that is set when a relay's method is called."""
    event, method = asyncio.Event(), getattr(Relay, name)

    def observed(self: Relay) -> None:
        event.set()
        method(self)

    monkeypatch.setattr(Relay, name, observed)
    return event


async def time_is_up(running: Running) -> None:
    """Let the write timeout pass until it has ended the connection."""
    while running.server.connections:
        running.server.skip(21.0)
        await running.server.until_ticked()


async def happens(event: asyncio.Event) -> None:
    async with asyncio.timeout(20):
        await event.wait()


async def time_passes(running: Running) -> None:
    """Long enough for a reader that nothing holds back to have read a lot."""
    for _ in range(5):
        (await TLSClient.connect(running)).close()


async def hanging() -> tuple[Backend, list[socket.socket]]:
    """A backend whose system answers no connect, because its backlog is full."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    port = listener.getsockname()[1]
    sockets = [listener]
    for _ in range(4):
        waiting = socket.socket()
        waiting.setblocking(False)
        waiting.connect_ex(("127.0.0.1", port))
        sockets.append(waiting)
    return Backend.parse(f"tcp://127.0.0.1:{port}"), sockets


async def time_passes_nearby() -> None:
    """A turn of the loop, with a wait in the system like that of any other."""
    left, right = socket.socketpair()
    with left, right:
        right.setblocking(False)
        left.send(b"x")
        await asyncio.get_running_loop().sock_recv(right, 1)


# bytes


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_byte_goes_both_ways(start: Start, echo: WebBackend, version: int) -> None:
    running = await start(site(echo.address))
    request = Growth(metrics.BYTES, "site.test", "request")
    response = Growth(metrics.BYTES, "site.test", "response")
    client = await TLSClient.connect(running, version=version)
    received, _ = await asyncio.gather(client.exactly(len(MESSAGE)), client.send(MESSAGE))
    assert sha256(received).digest() == sha256(MESSAGE).digest()
    assert request.value == response.value == len(MESSAGE)
    client.close()


async def test_slow_backend_holds_the_client_back(
    start: Start, narrow: WebBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = narrow
    running = await start(site(web.address))
    full = called(monkeypatch, "backend_full")
    client, stream = await connected(running, web)
    taken = Growth(metrics.BYTES, "site.test", "request")
    sending = asyncio.create_task(client.send(MESSAGE * 3))
    await happens(full)
    await time_passes(running)
    assert taken.value < 2 * len(MESSAGE)
    assert not sending.done()
    assert await stream.exactly(3 * len(MESSAGE)) == MESSAGE * 3
    await sending
    assert taken.value == 3 * len(MESSAGE)
    client.close()


async def test_slow_client_holds_the_backend_back(
    start: Start, web: WebBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await start(site(web.address))
    full = called(monkeypatch, "pause_writing")
    client, stream = await connected(running, web, receive_buffer=SMALL)
    taken = Growth(metrics.BYTES, "site.test", "response")
    sending = asyncio.create_task(stream.send(MESSAGE * 3))
    await happens(full)
    await time_passes(running)
    assert taken.value < 2 * len(MESSAGE)
    assert not sending.done()
    assert await client.exactly(3 * len(MESSAGE)) == MESSAGE * 3
    await sending
    client.close()


async def test_little_is_held_while_the_backend_is_being_connected(
    start: Start, web: WebBackend
) -> None:
    running = await start(site(web.address))
    running.server.gate.clear()
    taken = Growth(metrics.BYTES, "site.test", "request")
    client = await TLSClient.connect(running)
    sending = asyncio.create_task(client.send(MESSAGE))
    await time_passes(running)
    assert taken.value < 65_536 + 262_144
    running.server.gate.set()
    stream = await web.accept()
    assert await stream.exactly(len(MESSAGE)) == MESSAGE
    await sending
    client.close()


# ends


@pytest.mark.parametrize("how", ["close_notify", "end of stream", "both"])
@pytest.mark.parametrize("version", VERSIONS)
async def test_client_s_end_is_passed_on_and_the_answer_still_comes(
    start: Start, web: WebBackend, version: int, how: str
) -> None:
    running = await start(site(web.address))
    client, stream = await connected(running, web, version=version)
    await client.send(MESSAGE[:100_000])
    if how != "end of stream":
        await client.finish()
    if how != "close_notify":
        client.stream.finish()
    assert await stream.rest() == MESSAGE[:100_000]
    await stream.send(MESSAGE)
    stream.close()
    assert await client.rest() == MESSAGE
    assert client.finished
    await running.server.until_empty()


async def test_client_s_end_while_the_backend_is_being_connected(
    start: Start, web: WebBackend
) -> None:
    running = await start(site(web.address))
    running.server.gate.clear()
    client = await TLSClient.connect(running)
    await client.send(b"whole request")
    await client.finish()
    client.stream.finish()
    await time_passes(running)
    running.server.gate.set()
    stream = await web.accept()
    assert await stream.rest() == b"whole request"
    await stream.send(b"answer")
    stream.close()
    assert await client.rest() == b"answer"
    await running.server.until_empty()


@pytest.mark.parametrize("version", VERSIONS)
async def test_backend_s_end_is_passed_on_and_the_client_may_go_on(
    start: Start, web: WebBackend, version: int
) -> None:
    running = await start(site(web.address))
    client, stream = await connected(running, web, version=version)
    await stream.send(MESSAGE)
    stream.finish()
    assert await client.rest() == MESSAGE
    assert client.finished
    await client.send(MESSAGE[:100_000])
    await client.finish()
    assert await stream.rest() == MESSAGE[:100_000]
    await running.server.until_empty()


@pytest.mark.parametrize("version", VERSIONS)
async def test_garbage_behind_the_backend_s_end_ends_the_connection(
    start: Start, web: WebBackend, version: int
) -> None:
    running = await start(site(web.address))
    client, stream = await connected(running, web, version=version)
    stream.finish()
    assert await client.rest() == b""
    await client.stream.send(b"\x17\x03\x03\x00\x20" + bytes(32))
    assert await stream.rest() == b""
    await running.server.until_empty()
    assert running.server.errors == ["tls_error"]


async def test_garbage_gets_an_alert(start: Start, web: WebBackend) -> None:
    running = await start(site(web.address))
    grown = Growth(metrics.CONNECTION_ERRORS, "tls_error")
    client, stream = await connected(running, web)
    await client.stream.send(b"\x17\x03\x03\x00\x20" + bytes(32))
    with pytest.raises(SSL.Error, match="alert"):
        await client.rest()
    assert await stream.rest() == b""
    assert grown.value == 1


async def test_backend_that_resets_is_no_clean_end(start: Start, web: WebBackend) -> None:
    running = await start(site(web.address))
    client, stream = await connected(running, web)
    stream.abort()
    assert await client.rest() == b""
    assert not client.finished
    await running.server.until_empty()


async def test_client_that_resets_ends_the_backend_s_connection(
    start: Start, web: WebBackend
) -> None:
    running = await start(site(web.address))
    client, stream = await connected(running, web)
    client.stream.abort()
    assert await stream.rest() == b""
    await running.server.until_empty()


# backends


async def test_backend_that_refuses_is_passed_over(start: Start, echo: WebBackend) -> None:
    refusing = Backend.parse(f"tcp://127.0.0.1:{free_port()}")
    running = await start(site(refusing, echo.address))
    for _ in range(4):
        client = await TLSClient.connect(running)
        await client.send(b"ping")
        assert await client.exactly(4) == b"ping"
        client.close()
    assert echo.connections == 4
    assert running.server.errors == []


async def test_without_a_backend_the_client_is_closed_and_counted(start: Start) -> None:
    backends = [Backend.parse(f"tcp://127.0.0.1:{free_port()}") for _ in range(2)]
    running = await start(site(*backends))
    grown = Growth(metrics.CONNECTION_ERRORS, "no_backend")
    client = await TLSClient.connect(running)
    await client.send(b"request")
    assert await client.rest() == b""
    assert client.finished
    assert grown.value == 1


async def test_backend_that_does_not_answer_is_passed_over(start: Start, web: WebBackend) -> None:
    silent, sockets = await hanging()
    running = await start(site(silent))
    client = await TLSClient.connect(running)
    await client.send(b"request")
    await running.server.until(running.server.backend_connections)
    running.server.skip(5.5)
    assert await client.rest() == b""
    assert running.server.errors == ["no_backend"]
    for each in sockets:
        each.close()


async def test_client_that_leaves_while_the_backend_is_being_connected(
    start: Start, web: WebBackend
) -> None:
    running = await start(site(web.address))
    running.server.gate.clear()
    client = await TLSClient.connect(running)
    await client.send(b"request")
    await running.server.until(running.server.backend_connections)
    client.stream.abort()
    await running.server.until_empty()
    running.server.gate.set()
    await time_passes(running)
    assert web.connections == 0


async def test_backend_on_a_unix_socket(start: Start, tmp_path: Any) -> None:
    path = tmp_path / "backend"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readexactly(4)).upper())
        writer.close()

    backend = await asyncio.start_unix_server(answer, path)
    running = await start(site(Backend.parse(f"unix://{path}")))
    client = await TLSClient.connect(running)
    await client.send(b"ping")
    assert await client.rest() == b"PING"
    backend.close()


async def test_silent_client_gets_a_backend_that_speaks_first(
    start: Start, web: WebBackend
) -> None:
    running = await start(site(web.address))
    client = await TLSClient.connect(running)
    stream = await web.accept()
    await stream.send(b"220 ready\r\n")
    assert await client.exactly(11) == b"220 ready\r\n"
    client.close()


async def test_silent_client_of_an_http_site_keeps_no_backend_busy(
    start: Start, web: WebBackend
) -> None:
    running = await start(site(web.address, alpn=("http/1.1", "h2")))
    client = await TLSClient.connect(running)
    running.server.skip(1.0)
    await time_passes(running)
    assert web.connections == 0
    await client.send(b"request")
    await web.accept()
    client.close()


@pytest.mark.parametrize("how", ["close_notify", "close", "abort"])
async def test_client_that_leaves_without_a_byte_makes_no_connection(
    start: Start, web: WebBackend, how: str
) -> None:
    running = await start(site(web.address))
    client = await TLSClient.begin(running)
    await client.handshake()
    await running.server.until(lambda: running.server.relays)
    if how == "close_notify":
        await client.finish()
        assert await client.rest() == b""
        assert client.finished
    else:
        getattr(client.stream, how)()
    await running.server.until_empty()
    running.server.skip(1.0)
    await time_passes(running)
    assert web.connections == 0
    assert running.server.errors == []


async def test_client_s_byte_makes_one_connection(start: Start, web: WebBackend) -> None:
    running = await start(site(web.address))
    level = metrics.BACKEND_CONNECTIONS.labels("site.test", str(web.address))
    before = level.value
    client, stream = await connected(running, web)
    assert level.value == before + 1
    running.server.skip(1.0)
    other = await TLSClient.connect(running)
    silent = await web.accept()  # the silent one's: a tick has passed
    assert web.connections == 2
    stream.close()
    silent.close()
    client.close()
    other.close()
    await running.server.until_empty()
    assert level.value == before


async def test_backend_is_told_who_the_client_is(start: Start, web: WebBackend) -> None:
    running = await start(site(web.address, proxy_protocol=True, alpn=("h2",)))
    client = await TLSClient.connect(running, alpn=[b"h2"])
    await client.send(b"request")
    await client.finish()
    decoded = decode(await (await web.accept()).rest())
    assert decoded is not None
    header = decoded.header
    assert header.transport is Transport.TCP4
    assert header.source == Endpoint(*client.stream.writer.get_extra_info("sockname"))
    assert header.destination == Endpoint("127.0.0.1", running.port)
    assert (header.alpn, header.authority) == (b"h2", "site.test")
    assert header.tls == Tls(version="TLSv1.3", cipher="TLS_AES_128_GCM_SHA256")
    client.close()


# time


async def test_idle_connection_is_closed_and_counted(start: Start, web: WebBackend) -> None:
    running = await start(site(web.address), idle_timeout=30.0)
    grown = Growth(metrics.CONNECTION_ERRORS, "idle_timeout")
    client, stream = await connected(running, web)
    running.server.skip(32.0)
    assert await client.rest() == b""
    assert client.finished
    assert await stream.rest() == b""
    assert grown.value == 1


async def test_client_that_never_reads_is_reset_in_the_end(
    start: Start, web: WebBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await start(site(web.address))
    full = called(monkeypatch, "pause_writing")
    client, stream = await connected(running, web, receive_buffer=SMALL)
    taken = Growth(metrics.BYTES, "site.test", "response")
    sending = asyncio.create_task(stream.send(MESSAGE * 3))
    await happens(full)
    running.server.close()
    with pytest.raises(ConnectionError):
        await sending
    running.server.skip(32.0)
    ticked = running.server.now + 32.0
    while running.server.now < ticked:
        await time_passes_nearby()
    with pytest.raises((ConnectionError, AssertionError)):
        await client.exactly(int(taken.value))


@pytest.mark.parametrize("side", ["client", "backend"])
async def test_byte_either_way_keeps_a_connection(start: Start, web: WebBackend, side: str) -> None:
    running = await start(site(web.address), idle_timeout=30.0)
    client, stream = await connected(running, web)
    idle, _ = await connected(running, web)
    running.server.skip(20.0)
    ticked = running.server.now + 10
    while running.server.now < ticked:
        await time_passes(running)
    await (client if side == "client" else stream).send(b"x")
    await (stream if side == "client" else client).exactly(1)
    running.server.skip(15.0)
    assert await idle.rest() == b""
    await client.send(b"y")
    assert await stream.exactly(1) == b"y"
    assert running.server.errors == ["idle_timeout"]
    client.close()


@pytest.mark.parametrize("rate", [0, 100])
async def test_client_that_takes_nothing_of_what_waits_is_reset(
    start: Start, web: WebBackend, rate: int
) -> None:
    running = await start(site(web.address), write_timeout=20.0, minimum_rate=rate)
    stalled = Growth(metrics.CONNECTION_ERRORS, "write_timeout")
    client, backend = await connected(running, web, receive_buffer=4096)
    backend.writer.write(bytes(8 << 20))
    await running.server.until_stalled(1)
    await time_is_up(running)
    assert stalled.value == 1
    with pytest.raises(ConnectionResetError):
        await client.rest()
    client.close()


async def test_client_that_reads_slowly_but_enough_is_served(start: Start, web: WebBackend) -> None:
    running = await start(site(web.address), write_timeout=20.0, minimum_rate=1)
    client, backend = await connected(running, web, receive_buffer=4096)
    backend.writer.write(bytes(4 << 20))
    await running.server.until_stalled(1)
    for _ in range(3):
        taken = 0
        while taken < 1 << 19:
            taken += len(await client.receive())
        running.server.skip(21.0)
        await running.server.until_ticked()
    assert running.server.errors == []
    client.close()


async def test_backend_that_takes_nothing_is_reset(start: Start, narrow: WebBackend) -> None:
    running = await start(site(narrow.address), write_timeout=20.0)
    stalled = Growth(metrics.CONNECTION_ERRORS, "write_timeout")
    client, _ = await connected(running, narrow)
    sending = asyncio.create_task(client.send(bytes(16 << 20)))
    await running.server.until_stalled(1)
    await time_is_up(running)
    assert stalled.value == 1
    sending.cancel()
    with suppress(asyncio.CancelledError, ConnectionError):
        await sending
    client.close()
