"""The clerk's process: what the supervisor forks."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from random import Random
from time import monotonic

import uvloop

from offload.catalogue.opening import open_catalogue
from offload.config import Frontend, FrontendCluster
from offload.frontend.directory.board import Board
from offload.frontend.directory.clerk import Clerk
from offload.frontend.directory.file import DirectoryFile
from offload.frontend.directory.picture import Picture
from offload.frontend.directory.trust import read_authority
from offload.observe.flusher import Flusher


def serve(settings: Frontend, cluster: FrontendCluster, board: Board, ready_fd: int) -> int:
    """Follow the catalogue until TERM. One byte is written to `ready_fd` at the beginning."""
    return uvloop.run(_serve(settings, cluster, board, ready_fd))


async def _serve(settings: Frontend, cluster: FrontendCluster, board: Board, ready_fd: int) -> int:
    loop = asyncio.get_running_loop()
    stop = loop.create_future()
    loop.add_signal_handler(signal.SIGTERM, _set, stop)
    clerk = Clerk(
        cluster,
        sorted({label for site in settings.sites for label in site.keys}),
        partial(open_catalogue, cluster.catalogue),
        picture=Picture(read_authority(settings.pool.trust)),
        file=DirectoryFile(cluster.state),
        board=board,
        clock=monotonic,
        random=Random(os.urandom(32)),  # noqa: S311 -- spreads load; no secret comes of it
    )
    flusher = Flusher(loop)
    flusher.start()
    await clerk.start()
    os.write(ready_fd, b"\1")
    failed = loop.create_task(clerk.failed())
    await asyncio.wait((stop, failed), return_when=asyncio.FIRST_COMPLETED)
    if failed.done():
        failed.result()  # a defect: the supervisor starts another clerk
    failed.cancel()
    await clerk.stop()
    flusher.stop()
    return 0


def _set(stop: asyncio.Future[None]) -> None:
    if not stop.done():
        stop.set_result(None)
