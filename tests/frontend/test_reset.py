"""A reset, as the peer sees it."""

import asyncio
import socket

import pytest

from offload.frontend.reset import reset


async def test_the_peer_is_reset_and_a_second_time_is_harmless() -> None:
    ours, theirs = await _pair()
    with theirs:
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
            asyncio.Protocol, ours
        )
        transport.write(b"on its way")
        reset(transport)
        reset(transport)
        loop = asyncio.get_running_loop()
        with pytest.raises(ConnectionResetError):
            while await loop.sock_recv(theirs, 100):
                pass


async def _pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        theirs.setblocking(False)
        ours, _ = listener.accept()
    return ours, theirs
