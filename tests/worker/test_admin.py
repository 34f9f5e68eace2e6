"""The admin process; see test_main.py for it beside the others."""

import asyncio
import os
import signal
import socket

import aiohttp
from cryptography.hazmat.backends.openssl.backend import backend

from offload.worker.admin import serve_until, stop_at_term
from offload.worker.board import Board, State


async def test_readiness_is_the_boards() -> None:
    board = Board(1)
    stop = asyncio.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    serving = asyncio.ensure_future(serve_until(stop, listener, board))
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        for state, status in (
            (State.DOWN, 503),
            (State.SERVING, 200),
            (State.DRAINING, 503),
        ):
            board.set_state(0, state)
            async with session.get("/readyz") as answer:
                assert answer.status == status
        async with session.get("/metrics") as answer:
            text = await answer.text()
            assert f'offload_build_info{{openssl="{backend.openssl_version_text()}"' in text
    stop.set()
    await serving


async def test_term_stops_it() -> None:
    stop = stop_at_term()
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(stop.wait(), 10)
    asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
