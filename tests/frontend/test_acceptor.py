"""Accepting, pausing and going on, with clients that wait meanwhile."""

import asyncio
import resource
import socket
from pathlib import Path
from typing import cast

import pytest

from offload.frontend.acceptor import Acceptor, Door


class Greeter(asyncio.Protocol):
    """Says one byte and goes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        made = cast(asyncio.Transport, transport)
        made.write(b"!")
        made.close()


async def greeted(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()
        await writer.wait_closed()


async def cycles() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_client_waits_out_a_pause() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    port = listener.getsockname()[1]
    acceptor = Acceptor(asyncio.get_running_loop(), [Door(listener, Greeter)], 10)
    assert acceptor.is_paused
    await acceptor.start()
    assert await greeted(port) == b"!"
    acceptor.pause()
    await cycles()
    waiting = asyncio.create_task(greeted(port))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), 0.05)
    assert acceptor.is_paused
    await acceptor.start()
    assert await waiting == b"!"
    acceptor.close()
    await cycles()
    with pytest.raises(OSError):
        await greeted(port)
    await acceptor.start()  # of nothing


async def test_a_pause_while_it_starts_is_kept(tmp_path: Path) -> None:
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(tmp_path / "socket"))
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    unix.setblocking(False)
    doors = [Door(unix, Greeter), Door(listener, Greeter)]
    acceptor = Acceptor(asyncio.get_running_loop(), doors, 10)
    starting = asyncio.create_task(acceptor.start())
    await asyncio.sleep(0)
    acceptor.pause()
    await starting
    assert acceptor.is_paused
    await acceptor.start()
    reader, writer = await asyncio.open_unix_connection(tmp_path / "socket")
    assert await reader.read() == b"!"
    writer.close()
    await writer.wait_closed()
    acceptor.close()
    await cycles()


async def test_paused_at_the_descriptor_limit_it_uses_no_processor() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    port = listener.getsockname()[1]
    acceptor = Acceptor(asyncio.get_running_loop(), [Door(listener, Greeter)], 10)
    await acceptor.start()
    acceptor.pause()
    await cycles()
    client = socket.create_connection(("127.0.0.1", port))
    before = resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.sleep(0.3)
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.1
    client.close()
    acceptor.close()
    await cycles()
