"""The sample website: one page that tells how it was reached.

It gets plain HTTP behind a PROXY protocol header, in which the front-end says who the client is
and what its handshake agreed on; it asks the front-ends' metrics which worker signed how much.
Run as `python -m offload.cli.demo.website PORT ADMIN_URL...`.
"""

from __future__ import annotations

import asyncio
import html
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import resources
from string import Template
from weakref import WeakKeyDictionary

from aiohttp import web

from offload.cli.demo.exposition import signatures
from offload.frontend.proxy_protocol import Header, ProxyProtocolError, decode

_FRESH = 1.0

Headers = WeakKeyDictionary[asyncio.BaseTransport, Header]


class HeaderReader(asyncio.Protocol):
    """Takes the PROXY header off a connection, then hands it on to the protocol of `following`."""

    def __init__(self, following: Callable[[], asyncio.Protocol], headers: Headers) -> None:
        self._following = following
        self._headers = headers
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._received += data
        try:
            decoded = decode(self._received)
        except ProxyProtocolError:
            self._transport.abort()
            return
        if decoded is None:
            return
        self._headers[self._transport] = decoded.header
        protocol = self._following()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        if rest := self._received[decoded.length :]:
            protocol.data_received(rest)


class Website:
    """Answers every request with the page."""

    def __init__(self, admins: Sequence[str], headers: Headers) -> None:
        self._admins = admins
        self._headers = headers
        self._made: Counter[str] = Counter()
        self._due = 0.0
        page = resources.files("offload.cli.demo").joinpath("page.html")
        self._page = Template(page.read_text(encoding="utf-8"))

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The page, or 404 for what browsers ask for on their own."""
        if request.path != "/":
            return web.Response(status=404, text="not here\n")
        made = await self._signatures()
        header = self._headers.get(request.transport) if request.transport else None
        body = self._page.substitute(facts=_rows(_facts(header)), signatures=_rows(_counts(made)))
        return web.Response(text=body, content_type="text/html")

    async def _signatures(self) -> Counter[str]:
        """Signatures by worker, not asked for at every page: a load test is welcome here."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + _FRESH
            self._made = await asyncio.to_thread(self._ask)
        return self._made

    def _ask(self) -> Counter[str]:
        made: Counter[str] = Counter()
        for admin in self._admins:
            made.update(signatures(admin))
        return made


def _facts(header: Header | None) -> list[tuple[str, str]]:
    facts = []
    if header is not None and header.tls is not None:
        facts += [("Protocol", header.tls.version), ("Cipher", header.tls.cipher)]
    if header is not None and header.authority:
        facts.append(("Server name", header.authority))
    if header is not None and header.source is not None:
        facts.append(("You", f"{header.source.host}, port {header.source.port}"))
    return [(name, value) for name, value in facts if value]


def _counts(made: Counter[str]) -> list[tuple[str, str]]:
    return [(worker, f"{count} signatures") for worker, count in sorted(made.items())]


def _rows(pairs: list[tuple[str, str]]) -> str:
    return "\n".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in pairs
    )


async def serve(port: int, *admins: str) -> None:
    """Serve the page on the loopback address until SIGTERM or SIGINT."""
    headers: Headers = WeakKeyDictionary()
    handlers = web.Server(Website(admins, headers).answer)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    server = await loop.create_server(lambda: HeaderReader(handlers, headers), "127.0.0.1", port)
    async with server:
        await ended.wait()
        await handlers.shutdown()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), *sys.argv[2:]))
