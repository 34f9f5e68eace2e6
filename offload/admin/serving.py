"""Serves the application: on a member's admin address, or to one person on this machine."""

from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path
from typing import Final

from aiohttp import web

# Also the limit for a request's headers: who sends none keeps no connection.
KEEP_ALIVE_SECONDS: Final = 30.0
SHUTDOWN_SECONDS: Final = 10.0
_LINGER_SECONDS: Final = 2.0
_BACKLOG: Final = 128


class DirectoryOpen(Exception):
    """The directory of a socket is open to others; the text names the remedy."""


class Serving:
    """An application that is being served."""

    def __init__(self, runner: web.AppRunner, path: Path | None = None) -> None:
        self._runner, self._path = runner, path

    @property
    def addresses(self) -> list[tuple[str, int] | str]:
        """Where it listens: (host, port) or the path of a socket."""
        return self._runner.addresses

    async def close(self) -> None:
        """Take no more requests, let those that there are end, and release the address."""
        await self._runner.cleanup()
        if self._path is not None:
            self._path.unlink(missing_ok=True)


async def serve(
    app: web.Application, where: socket.socket | tuple[str, int], context: ssl.SSLContext
) -> Serving:
    """Serve over TLS on (host, port) or on a socket that is bound already.

    Raises OSError if the address cannot be bound.
    """
    runner = await _runner(app)
    try:
        site: web.BaseSite
        if isinstance(where, socket.socket):
            site = web.SockSite(runner, where, ssl_context=context, backlog=_BACKLOG)
        else:
            site = web.TCPSite(runner, *where, ssl_context=context, backlog=_BACKLOG)
        await site.start()
    except BaseException:
        await runner.cleanup()
        raise
    return Serving(runner)


async def serve_locally(app: web.Application, path: Path) -> Serving:
    """Serve on a Unix socket in a directory that nobody else can enter (mode 0700).

    For an application with a `LocalAuthenticator`. Raises DirectoryOpen, OSError.
    """
    _make_private(path.parent)
    runner = await _runner(app)
    try:
        await web.UnixSite(runner, str(path)).start()
        os.chmod(path, 0o600)
    except BaseException:
        await runner.cleanup()
        raise
    return Serving(runner, path)


def _make_private(directory: Path) -> None:
    directory.mkdir(mode=0o700, exist_ok=True)
    status = directory.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise DirectoryOpen(
            f"{directory} is open to others: make it yours alone, as with `chmod 700`"
        )


async def _runner(app: web.Application) -> web.AppRunner:
    runner = web.AppRunner(
        app,
        access_log=None,
        keepalive_timeout=KEEP_ALIVE_SECONDS,
        lingering_time=_LINGER_SECONDS,
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    await runner.setup()
    return runner
