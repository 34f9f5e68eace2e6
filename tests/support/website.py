"""A web server for the front-end to pass requests to.

Run as `python -m support.website PORT UNIX_PATH`; it answers on both. GET / greets,
GET /bytes/N sends N bytes of `content`, PUT /digest tells the SHA-256 of what it got,
GET /gated/N sends N bytes of which the second half waits for POST /gate.
"""

import asyncio
import hashlib
import signal
import sys

from aiohttp import web

from support.content import blocks

GREETING = "greetings from the backend\n"


class Website:
    """The handlers, and the gate that they share."""

    def __init__(self) -> None:
        self._gate = asyncio.Event()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/", self.greet)
        app.router.add_get("/bytes/{size}", self.send)
        app.router.add_put("/digest", self.receive)
        app.router.add_get("/gated/{size}", self.hold)
        app.router.add_post("/gate", self.open)
        return app

    async def greet(self, _request: web.Request) -> web.Response:
        return web.Response(text=GREETING)

    async def send(self, request: web.Request) -> web.StreamResponse:
        response = await _begun(request)
        for block in blocks(_size(request)):
            await response.write(block)
        return response

    async def receive(self, request: web.Request) -> web.Response:
        state, size = hashlib.sha256(), 0
        async for data in request.content.iter_any():
            state.update(data)
            size += len(data)
        return web.Response(text=f"{size} {state.hexdigest()}")

    async def hold(self, request: web.Request) -> web.StreamResponse:
        response = await _begun(request)
        sent = 0
        for block in blocks(_size(request)):
            if sent >= _size(request) // 2:
                await self._gate.wait()
            await response.write(block)
            sent += len(block)
        return response

    async def open(self, _request: web.Request) -> web.Response:
        self._gate.set()
        return web.Response()


def _size(request: web.Request) -> int:
    return int(request.match_info["size"])


async def _begun(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_length = _size(request)
    await response.prepare(request)
    return response


async def serve(port: int, path: str) -> None:
    """Serve until TERM."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    runner = web.AppRunner(Website().app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, path).start()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await ended.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
