"""The admin process: metrics and health of the front-end, apart from the traffic.

A process of its own, so that it answers while the serving processes are busy, draining or dead.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Sequence

from offload.frontend.directory.board import Board
from offload.frontend.directory.report import unserved
from offload.observe import endpoint


def serve(
    sockets: Sequence[socket.socket],
    accepting: Callable[[], bool],
    ready_fd: int,
    board: Board | None = None,
) -> int:
    """Answer on `sockets` until TERM; /readyz is positive while `accepting()` is true.

    In a cluster, it also names the keys on the `board` that have no certificate. The life of a
    forked process; one byte is written to `ready_fd` when it answers.
    """
    return asyncio.run(_serve(sockets, accepting, ready_fd, board))


async def _serve(
    sockets: Sequence[socket.socket],
    accepting: Callable[[], bool],
    ready_fd: int,
    board: Board | None,
) -> int:
    def notes() -> list[str]:
        labels = [] if board is None else unserved(board)
        return [f"no certificate for key {label}: its sites are not served" for label in labels]

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    runners = [
        await endpoint.serve(endpoint.create_app(accepting, notes=notes), each) for each in sockets
    ]
    os.write(ready_fd, b"\1")
    await stop.wait()
    for runner in runners:
        await runner.cleanup()
    return 0
