"""The process behind the worker's admin address: metrics and health of all serving processes."""

import asyncio
import platform
import signal
import socket

import uvloop
from cryptography.hazmat.backends.openssl.backend import backend

from offload.observe import endpoint, metrics
from offload.version import __version__
from offload.worker.board import Board


def serve(listener: socket.socket, board: Board) -> None:
    """Serve the admin endpoint on a listening socket until TERM."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(listener, board))


async def _serve(listener: socket.socket, board: Board) -> None:
    await serve_until(stop_at_term(), listener, board)


def stop_at_term() -> asyncio.Event:
    """An event that TERM sets."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    return stop


async def serve_until(stop: asyncio.Event, listener: socket.socket, board: Board) -> None:
    """Serve on the running loop until `stop` is set."""
    openssl = backend.openssl_version_text()
    metrics.BUILD_INFO.labels(__version__, openssl, platform.python_version()).set(1)
    runner = await endpoint.serve(endpoint.create_app(board.ready), listener)
    await stop.wait()
    await runner.cleanup()
