"""Serves the application: on a member's admin address, or to one person on this machine."""

from __future__ import annotations

import asyncio
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
HANDSHAKE_SECONDS: Final = 10.0


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


class _TLSSite(web.BaseSite):
    """As aiohttp's own, but strangers have less time for their handshake."""

    def __init__(
        self, runner: web.AppRunner, bound: socket.socket, context: ssl.SSLContext
    ) -> None:
        super().__init__(runner, ssl_context=context)
        self._bound = bound

    @property
    def name(self) -> str:
        host, port = self._bound.getsockname()[:2]
        return f"https://{host}:{port}"

    async def start(self) -> None:
        await super().start()
        server = self._runner.server
        assert server is not None, "the runner has been set up"
        self._server = await asyncio.get_running_loop().create_server(
            server,
            sock=self._bound,
            ssl=self._ssl_context,
            backlog=_BACKLOG,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=_LINGER_SECONDS,
        )


async def serve(
    app: web.Application, where: socket.socket | tuple[str, int], context: ssl.SSLContext
) -> Serving:
    """Serve over TLS on (host, port) or on a socket that is bound already.

    Raises OSError if the address cannot be bound.
    """
    bound = where if isinstance(where, socket.socket) else _bound(*where)
    runner = await _runner(app)
    try:
        await _TLSSite(runner, bound, context).start()
    except BaseException:
        await runner.cleanup()
        bound.close()
        raise
    return Serving(runner)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


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
