"""Acts performed by a member over REST, mutual TLS and HTTP/1.1."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import aiohttp
import typer
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from pydantic import ValidationError

from offload.admin.api import APPROVAL_HEADER
from offload.admin.application import TransportView
from offload.admin.idempotency import HEADER
from offload.cli.client_file import ClientFile
from offload.cli.failure import Complaint, Failure, render
from offload.cli.refusal import answered, is_in_progress
from offload.cli.requests import HttpRequest, request_of
from offload.cli.session import Transport, V
from offload.cluster.acts import Act

# Longer than a member lets an act take.
_TIMEOUT = aiohttp.ClientTimeout(total=150, sock_connect=5)
_PAUSE_SECONDS = 1.0
# Longer than members remember what one that died was doing.
_PATIENCE = 200
_WAITING = Complaint("the connection broke, and the request is still being done: waiting for it")


class _Answer(NamedTuple):
    status: int
    body: bytes


class Remote:
    """Asks the members of a client file, the next one when one is down.

    A write has one Idempotency-Key, whoever is asked: it is done once, though an answer was lost.
    """

    def __init__(self, session: aiohttp.ClientSession, servers: tuple[str, ...]) -> None:
        self._session, self._servers = session, list(servers)
        self._pinned = False

    @classmethod
    @asynccontextmanager
    async def open(cls, file: ClientFile) -> AsyncIterator[Remote]:
        """Closed at the end; raises Failure."""
        connector = aiohttp.TCPConnector(ssl=file.context())
        async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session:
            yield cls(session, file.servers)

    async def perform(self, act: Act, view: type[V], *, approval: str | None = None) -> V:
        """See Session."""
        headers = {HEADER: secrets.token_hex(16)} if act.writes else {}
        if approval is not None:
            headers[APPROVAL_HEADER] = approval
        answer = await self._ask(request_of(act), headers)
        return _read(answer, view)

    async def transport(self) -> Transport:
        """See Session."""
        answer = await self._ask(HttpRequest("GET", "/v1/transport", {}, None), {})
        found = _read(answer, TransportView)
        # What is enclosed to this one no other can open.
        self._pinned = True
        key = load_pem_public_key(found.rsa.encode())
        return Transport(
            found.member, key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        )

    async def _ask(self, request: HttpRequest, headers: dict[str, str]) -> _Answer:
        for attempt in range(_PATIENCE):
            answer = await self._reach(request, headers)
            if answer.status != 409 or not is_in_progress(answer.body):
                return answer
            if not attempt:
                typer.echo(render(_WAITING, "note"), err=True)
            await asyncio.sleep(_PAUSE_SECONDS)
        return answer

    async def _reach(self, request: HttpRequest, headers: dict[str, str]) -> _Answer:
        """Of the first member that answers; it is asked first from then on."""
        reasons = []
        for server in self._servers[:1] if self._pinned else tuple(self._servers):
            try:
                return await self._send(server, request, headers)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                reasons.append(f"{server}: {_reason(error)}")
                if not self._pinned:
                    self._servers.append(self._servers.pop(0))
        raise Failure(
            f"no server answers: {'; '.join(reasons)}",
            "see that a worker runs at an address of the client file",
        )

    async def _send(self, server: str, request: HttpRequest, headers: dict[str, str]) -> _Answer:
        sent = dict(headers)
        data = None
        if request.body is not None:
            data = json.dumps(request.body).encode()
            sent["Content-Type"] = "application/json"
        async with self._session.request(
            request.method,
            server + request.path,
            params=request.query,
            data=data,
            headers=sent,
            allow_redirects=False,
        ) as response:
            return _Answer(response.status, await response.read())


def _read(answer: _Answer, view: type[V]) -> V:
    if answer.status not in (200, 201):
        raise answered(answer.status, answer.body)
    try:
        return view.model_validate_json(answer.body)
    except ValidationError:
        raise Failure(
            "the server's answer cannot be understood", "use the release that the workers run"
        ) from None


def _reason(error: Exception) -> str:
    text = str(getattr(error, "strerror", None) or error) or type(error).__name__
    return " ".join(text.split())
