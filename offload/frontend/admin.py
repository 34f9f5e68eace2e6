"""The admin process: metrics and health of the front-end, apart from the traffic.

A process of its own, so that it answers while the serving processes are busy, draining or dead.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Sequence

from offload.observe import endpoint


def serve(sockets: Sequence[socket.socket], accepting: Callable[[], bool], ready_fd: int) -> int:
    """Answer on `sockets` until TERM; /readyz is positive while `accepting()` is true.

    The life of a forked process; one byte is written to `ready_fd` when it answers.
    """
    return asyncio.run(_serve(sockets, accepting, ready_fd))


async def _serve(
    sockets: Sequence[socket.socket], accepting: Callable[[], bool], ready_fd: int
) -> int:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    runners = [await endpoint.serve(endpoint.create_app(accepting), each) for each in sockets]
    os.write(ready_fd, b"\1")
    await stop.wait()
    for runner in runners:
        await runner.cleanup()
    return 0
