"""A write that is repeated, because its answer was lost, is not done twice.

The answer is kept in the catalogue, so that any member can repeat it, sealed by the member that
gave it. What is being done, and by a member that died, may be tried again after a while.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from hashlib import sha256
from typing import Final, Literal

from aiohttp import web
from pydantic import Field

from offload.admin.problem import (
    ANSWER_GONE,
    IN_PROGRESS,
    MALFORMED,
    REUSED,
    Problem,
)
from offload.catalogue import paths
from offload.catalogue.base import CatalogueError, Conflict, Delete, Put, Unchanged
from offload.catalogue.envelope import Untrusted
from offload.catalogue.records import Record
from offload.cluster.node import Node
from offload.observe.log import get_logger

HEADER: Final = "Idempotency-Key"
REPEATED: Final = "Idempotency-Replayed"
KEPT: Final = timedelta(hours=24)
# Longer than any act may take: until then somebody may still be doing it.
PENDING: Final = timedelta(minutes=3)
MAX_ANSWER: Final = 128 * 1024

_KEY: Final = re.compile(r"[!-~]{1,255}")
_KEPT_HEADERS: Final = ("Location", "Link")
# Answers that tell of the moment, not of the request.
_PASSING: Final = frozenset((202, 408, 429))

_log = get_logger("admin")


class AnswerRecord(Record):
    """idempotency/<user>/<SHA-256 of the key>. request: its SHA-256; content: base64."""

    request: str
    state: Literal["pending", "done", "not-kept"] = "pending"
    status: int = 0
    content_type: str = ""
    headers: dict[str, str] = Field(default_factory=dict)
    content: str = ""


class Answers:
    """The answers that writes with an Idempotency-Key got."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def once(
        self,
        request: web.Request,
        user: str,
        body: bytes,
        answer: Callable[[], Awaitable[web.Response]],
        *,
        secret: bool,
    ) -> web.Response:
        """The answer: of `answer`, or the one that the same request got before.

        secret: it is not to be kept. Raises Problem, CatalogueError and what `answer` raises.
        """
        if HEADER not in request.headers:
            return await answer()
        path = _path(request, user)
        digest = _digest(request, body)
        held = await self._held(path)
        if held is not None:
            return _repeated(held, digest)
        try:
            revision = await self._put(path, AnswerRecord(request=digest), PENDING, 0)
        except Conflict:
            raise _busy() from None
        try:
            made = await answer()
        except Problem as error:
            made = error.response()
        except BaseException:
            await self._forget(path, revision)
            raise
        await self._end(path, revision, digest, made, secret)
        return made

    async def _held(self, path: str) -> AnswerRecord | None:
        entry = await self._node.catalogue.get(path)
        if entry is None:
            return None
        try:
            return AnswerRecord.model_validate_json(self._node.view.opened(path, entry.value))
        except (Untrusted, ValueError) as error:
            _log.warning("an answer kept for repetition is refused", reason=str(error))
            raise _gone() from None

    async def _end(
        self, path: str, revision: int, digest: str, made: web.Response, secret: bool
    ) -> None:
        if made.status >= 500 or made.status in _PASSING:
            await self._forget(path, revision)
            return
        body = made.body if isinstance(made.body, bytes) else b""
        keep = not (secret and made.status < 300) and len(body) <= MAX_ANSWER
        record = AnswerRecord(request=digest, state="not-kept")
        if keep:
            record = AnswerRecord(
                request=digest,
                state="done",
                status=made.status,
                content_type=made.content_type,
                headers={
                    name: made.headers[name] for name in _KEPT_HEADERS if name in made.headers
                },
                content=base64.b64encode(body).decode(),
            )
        try:
            await self._put(path, record, KEPT, revision)
        except CatalogueError as error:
            # The act is done; only its repetition cannot be recognised after `PENDING`.
            _log.warning("an answer cannot be kept", reason=str(error))

    async def _put(self, path: str, record: AnswerRecord, lasts: timedelta, revision: int) -> int:
        catalogue = self._node.catalogue
        lease = await catalogue.lease(lasts.total_seconds())
        value = self._node.signer.seal(path, record.body())
        return await catalogue.commit([Put(path, value, lease)], [Unchanged(path, revision)])

    async def _forget(self, path: str, revision: int) -> None:
        try:
            await self._node.catalogue.commit([Delete(path)], [Unchanged(path, revision)])
        except CatalogueError as error:
            _log.warning("a request stays marked as being done", reason=str(error))


def _path(request: web.Request, user: str) -> str:
    key = request.headers[HEADER]
    if len(request.headers.getall(HEADER)) > 1 or not _KEY.fullmatch(key):
        raise Problem(MALFORMED, f"{HEADER} is 1 to 255 visible ASCII characters, once")
    return f"{paths.IDEMPOTENCY}{user}/{sha256(key.encode()).hexdigest()}"


def _digest(request: web.Request, body: bytes) -> str:
    parts = (request.method, request.raw_path, request.headers.get("Offload-Approval", ""))
    return sha256("\0".join(parts).encode() + b"\0" + body).hexdigest()


def _repeated(record: AnswerRecord, digest: str) -> web.Response:
    if record.request != digest:
        raise Problem(REUSED, f"this {HEADER} came with another request before")
    if record.state == "pending":
        raise _busy()
    if record.state == "not-kept":
        raise _gone()
    return web.Response(
        status=record.status,
        body=base64.b64decode(record.content),
        content_type=record.content_type,
        headers={**record.headers, REPEATED: "true"},
    )


def _busy() -> Problem:
    return Problem(
        IN_PROGRESS, "it has come before and is not done yet", headers={"Retry-After": "2"}
    )


def _gone() -> Problem:
    return Problem(ANSWER_GONE, "the request was done, and its answer is not kept")
