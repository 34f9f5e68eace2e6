"""How much a side has taken."""

import asyncio
import socket
from typing import Any, cast

from offload.frontend.stall import Stall


async def test_moved_is_what_the_peer_took_of_the_kernel_s_buffer_too() -> None:
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    theirs.setblocking(False)
    transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, ours)
    transport.write(bytes(10))
    stall = Stall(cast(Any, None), transport)
    assert stall.moved() == 0
    assert stall.left > 0
    assert len(await loop.sock_recv(theirs, 100)) == 10
    assert stall.moved() > 0
    assert stall.left == 0
    transport.close()
    theirs.close()
    await asyncio.sleep(0)
