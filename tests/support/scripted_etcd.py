"""An endpoint of etcd that answers what a test says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ScriptedEtcd:
    """Gives the answers of a path in turn, the last one for ever; notes what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, dict[str, Any], str | None]] = []
        self.streaming = asyncio.Event()
        self._answers: dict[str, list[Answer]] = {}
        self._closing = asyncio.Event()

    def script(self, path: str, *answers: Answer) -> None:
        """What the path answers."""
        self._answers[path] = list(answers)

    def asked_for(self, path: str) -> list[dict[str, Any]]:
        """The bodies of all requests to the path."""
        return [body for asked, body, _ in self.asked if asked == path]

    def stream(self, *messages: Mapping[str, Any], end: bool = False) -> Answer:
        """Lines, then silence, or the end of the connection."""

        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            for message in messages:
                await response.write(orjson.dumps(message) + b"\n")
            self.streaming.set()
            if not end:
                await self._closing.wait()
            return response

        return answer

    async def hang(self, _request: web.Request) -> web.StreamResponse:
        """No answer at all."""
        await self._closing.wait()
        return web.Response()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix("/v3/")
        self.asked.append(
            (path, orjson.loads(await request.read()), request.headers.get("Authorization"))
        )
        answers = self._answers[path]
        return await (answers.pop(0) if len(answers) > 1 else answers[0])(request)

    async def serve(self, runner: web.AppRunner) -> None:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    def end(self) -> None:
        """Let everything that hangs go."""
        self._closing.set()

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_post("/v3/{path:.*}", self._handle)
        return application


def says(message: Mapping[str, Any], status: int = 200) -> Answer:
    """A JSON answer."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(
            body=orjson.dumps(message), status=status, content_type="application/json"
        )

    return answer


def fails(code: int, text: str, status: int = 503) -> Answer:
    """An error of etcd."""
    return says({"error": f"etcdserver: {text}", "code": code}, status)


async def breaks(request: web.Request) -> web.StreamResponse:
    """The connection ends without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@asynccontextmanager
async def scripted_etcd() -> AsyncIterator[ScriptedEtcd]:
    """One endpoint on a free port."""
    etcd = ScriptedEtcd()
    runner = web.AppRunner(etcd.application(), shutdown_timeout=1)
    await etcd.serve(runner)
    try:
        yield etcd
    finally:
        etcd.end()
        await runner.cleanup()
