"""A serving process: what it accepts, and how it comes to its end."""

import asyncio
import socket
from pathlib import Path
from random import Random
from typing import Any

import pytest
from frontend.conftest import Start
from OpenSSL import SSL
from support.handshakes import Client
from support.pki import Issued, shared_key
from support.serving import (
    Growth,
    LocalSigner,
    ObservedServer,
    Running,
    Stream,
    TLSClient,
    WebBackend,
    held,
    settings,
)

from offload.config import Limits
from offload.frontend.capacity import RELAY_BYTES
from offload.frontend.listeners import Bound
from offload.frontend.server import Server
from offload.observe import metrics
from offload.pool.fake import FakePool, hold
from offload.pool.operation import State
from offload.tls.site import Sites


def site(web: WebBackend) -> dict[str, Any]:
    return {"default": True, "backends": (web.address,)}


async def exchange(client: TLSClient) -> None:
    await client.send(b"ping")
    assert await client.exactly(4) == b"ping"


async def drain(running: Running, seconds: float) -> None:
    async with asyncio.timeout(20):
        await running.server.drain(seconds)


async def test_accepts_on_every_socket_tcp_and_unix(issued: Issued, tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    pool = FakePool(LocalSigner(shared_key("p-256")), loop=loop)
    frontend = settings(issued, {"default": True})
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(tmp_path / "socket"))
    both = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    server = ObservedServer(frontend, pool)
    await server.start([Bound(each, frontend.listen[0]) for each in (*both, unix)])
    for listener in both:
        client = await TLSClient.connect(Running(server, listener.getsockname()[1]))
        await client.stream.gone()
    stream = Stream(*await asyncio.open_unix_connection(tmp_path / "socket"))
    client = TLSClient(stream, Client())
    await stream.send(client.client.step())
    await client.handshake()
    assert [each.client_address for each in pool.submitted] == [b"\x7f\0\0\1", b"\x7f\0\0\1", b""]
    await stream.gone()
    await server.drain(0.001)
    await server.until_empty()


async def test_connections_are_counted_until_they_are_gone(start: Start, echo: WebBackend) -> None:
    running = await start(site(echo))
    handshakes, relays = (metrics.CONNECTIONS.labels(each) for each in ("handshake", "relay"))
    before = handshakes.value, relays.value
    stream = await Stream.connect(running)
    client = await TLSClient.connect(running)
    await exchange(client)
    await running.server.until(lambda: running.server.connections == 2)
    assert (handshakes.value - before[0], relays.value - before[1]) == (1, 1)
    client.close()
    stream.close()
    await running.server.until_empty()
    assert (handshakes.value, relays.value) == before


async def test_drain_with_nothing_open_is_over_at_once(start: Start, echo: WebBackend) -> None:
    running = await start(site(echo))
    await drain(running, 1000)


async def test_drain_accepts_no_more_and_lets_what_is_open_go_on(
    start: Start, echo: WebBackend
) -> None:
    running = await start(site(echo))
    client = await TLSClient.connect(running)
    await exchange(client)
    draining = asyncio.create_task(drain(running, 1000))
    await asyncio.sleep(0)
    with pytest.raises(OSError):
        await Stream.connect(running)
    await exchange(client)
    assert not draining.done()
    await client.finish()
    assert await client.rest() == b""
    await draining
    assert client.finished


async def test_handshake_under_way_when_draining_begins_is_served(
    start: Start, echo: WebBackend
) -> None:
    running = await start(site(echo))
    client, _ = await held(running)
    draining = asyncio.create_task(drain(running, 1000))
    await asyncio.sleep(0)
    honest = LocalSigner(shared_key("p-256"))
    running.pool.script = honest
    running.pool.release(honest)
    await client.handshake()
    await exchange(client)
    await exchange(client)
    assert not draining.done()
    await client.finish()
    await draining


async def test_deadline_of_a_drain_closes_what_is_left(start: Start, echo: WebBackend) -> None:
    running = await start(site(echo))
    client = await TLSClient.connect(running)
    await exchange(client)
    silent = await Stream.connect(running)
    await running.server.until(lambda: running.server.connections == 2)
    await drain(running, 0.01)
    assert running.server.connections == 0
    assert await client.rest() == b""
    assert client.finished
    assert await silent.rest() == b""
    assert running.server.failures == [("shutdown", None)]
    silent.close()


async def test_close_aborts_signatures_under_way(start: Start, echo: WebBackend) -> None:
    running = await start(site(echo))
    client, operation = await held(running)
    running.server.close()
    assert running.server.connections == 0
    with pytest.raises(SSL.Error, match="alert"):
        await client.handshake()
    assert operation.state is State.CANCELLED
    assert running.server.failures == [("shutdown", "default")]


async def test_service_follows_the_name(start: Start, echo: WebBackend) -> None:
    running = await start(site(echo), {"names": ("other.test",)})
    chosen = running.server.service("other.test")
    assert chosen is not None
    assert chosen.site.name == "other.test"
    default = running.server.service(None)
    assert default is not None
    assert default.site.name == "default"


async def test_tasks_are_held_until_they_are_done(issued: Issued) -> None:
    loop = asyncio.get_running_loop()
    frontend = settings(issued, {"default": True})
    sites = Sites.from_settings(frontend.sites)
    pool = FakePool(hold, loop=loop)
    server = Server(frontend, sites, pool, loop, Random(1))
    done = asyncio.Event()

    async def work() -> None:
        done.set()

    task = server.spawn(work())
    await task
    assert done.is_set()


# as many connections as can be borne


async def test_at_the_cap_clients_wait_until_one_leaves(start: Start, echo: WebBackend) -> None:
    running = await start(site(echo), limits=Limits(connections=2), processes=1)
    pauses = Growth(metrics.ACCEPT_PAUSES)
    first, second = await TLSClient.connect(running), await TLSClient.connect(running)
    third = await TLSClient.begin(running)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(running.server.until(lambda: running.server.connections > 2), 0.05)
    assert pauses.value == 1
    first.close()
    await third.handshake()
    await exchange(third)
    await exchange(second)
    second.close()
    third.close()


async def test_at_the_cap_who_has_been_idle_longest_goes(start: Start, echo: WebBackend) -> None:
    running = await start(site(echo), limits=Limits(connections=3), processes=1)
    evicted = Growth(metrics.CONNECTION_ERRORS, "evicted")
    idle, busy = await TLSClient.connect(running), await TLSClient.connect(running)
    await exchange(idle)
    running.server.skip(6.0)
    await running.server.until(lambda: running.server.now > running.server.relays[0].active + 5)
    await exchange(busy)
    third = await TLSClient.connect(running)
    await exchange(third)
    assert await idle.rest() == b""
    assert idle.finished
    assert evicted.value == 1
    for client in (busy, third):
        await exchange(client)
        client.close()
    idle.close()


async def test_a_memory_budget_bounds_connections_too(start: Start, echo: WebBackend) -> None:
    running = await start(site(echo), limits=Limits(memory=1), processes=1)
    most = (1 << 20) // RELAY_BYTES
    streams = [await Stream.connect(running) for _ in range(most + 5)]
    await running.server.until(lambda: running.server.connections == most)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(
            running.server.until(lambda: running.server.connections > most), 0.05
        )
    for stream in streams[:10]:
        stream.close()
    await running.server.until(lambda: running.server.connections == most - 5)
    for stream in streams:
        stream.close()
