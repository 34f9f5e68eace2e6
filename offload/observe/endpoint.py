"""The admin endpoint: /metrics, /healthz and /readyz over plain HTTP on a private address.

It has no authentication; bind it to a loopback address or a Unix socket.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

from aiohttp import web

from offload.observe import exposition, metrics

_SHUTDOWN_SECONDS = 1.0


class Address(Protocol):
    """Where to listen: a host and port, or the path of a Unix socket."""

    @property
    def host(self) -> str | None: ...
    @property
    def port(self) -> int | None: ...
    @property
    def path(self) -> Path | str | None: ...


def create_app(
    ready: Callable[[], bool],
    healthy: Callable[[], bool] = lambda: True,
    notes: Callable[[], Sequence[str]] = tuple,
) -> web.Application:
    """Build the application.

    `healthy` tells whether the process works at all: when false, restart it. `ready` tells
    whether new clients should be sent here: it turns false first when draining. `notes` are lines
    that readiness is told with, whichever it is.
    """
    app = web.Application()
    app.router.add_get("/metrics", _metrics)
    app.router.add_get("/healthz", _check(healthy, "unhealthy"))
    app.router.add_get("/readyz", _check(lambda: healthy() and ready(), "not ready", notes))
    return app


async def serve(app: web.Application, where: Address | socket.socket) -> web.AppRunner:
    """Serve `app` on an address, or on a socket that is bound already, until `cleanup()`.

    A Unix socket is readable by its owner and group only; a stale one in its place is replaced.
    Raises OSError if the address cannot be bound.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await _site(runner, where).start()
    except OSError:
        await runner.cleanup()
        raise
    if not isinstance(where, socket.socket) and where.path is not None:
        os.chmod(where.path, 0o660)
    return runner


def _site(runner: web.AppRunner, where: Address | socket.socket) -> web.BaseSite:
    if isinstance(where, socket.socket):
        return web.SockSite(runner, where)
    if where.path is not None:
        return web.UnixSite(runner, str(where.path))
    return web.TCPSite(runner, where.host, where.port)


async def _metrics(_request: web.Request) -> web.Response:
    metrics.flush()
    body = await asyncio.to_thread(exposition.render)
    return web.Response(body=body, headers={"Content-Type": exposition.CONTENT_TYPE})


def _check(
    check: Callable[[], bool], failure: str, notes: Callable[[], Sequence[str]] = tuple
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_request: web.Request) -> web.Response:
        agreed = check()
        lines = ["ok" if agreed else failure, *notes()]
        return web.Response(status=200 if agreed else 503, text="\n".join(lines) + "\n")

    return handle
