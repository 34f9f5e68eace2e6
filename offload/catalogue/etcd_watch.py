"""A watch on etcd that outlives its endpoints."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing, suppress
from typing import Final, TypeVar

from yarl import URL

from offload.catalogue.base import (
    Batch,
    CatalogueDenied,
    CatalogueError,
    CatalogueUnavailable,
    Compacted,
    Event,
)
from offload.catalogue.etcd_answers import Refusal
from offload.catalogue.etcd_client import EtcdClient, Failed, Lines, Message, Refused, error_of

_T = TypeVar("_T")

_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 1.0
_PROBES_TO_REOPEN: Final = 20
"""So many times nothing came although the store's revision had grown: the stream may be dead."""


class EtcdWatch:
    """Streams changes; where a stream fails, opens it anew, after what it has seen, elsewhere.

    A stream that is silent says nothing about its member's health. So after `idle_seconds` of
    silence the same member is asked for a linearizable read, which one that hangs, or has lost the
    others, cannot answer.
    """

    def __init__(
        self,
        client: EtcdClient,
        keys: Message,
        strip: int,
        after: int,
        idle_seconds: float,
    ) -> None:
        """`keys`: 'key' and 'range_end' as etcd takes them; `strip`: bytes to cut off each key."""
        self._client, self._keys, self._strip = client, keys, strip
        self._after, self._idle = after, idle_seconds
        self._closed = False
        self._waiting: asyncio.Timeout | None = None
        self._pause = _PAUSE_SECONDS
        self._failures = self._denials = self._probes = 0

    def close(self) -> None:
        """End it soon, whatever it waits for."""
        self._closed = True
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """As Catalogue.watch."""
        while not self._closed:
            endpoint = self._client.endpoint
            try:
                async with aclosing(self._stream(endpoint)) as batches:
                    async for batch in batches:
                        yield batch
            except Failed:
                self._client.bad(endpoint)
            except CatalogueUnavailable:
                pass
            except Refused as refused:
                raise CatalogueError(f"etcd refuses the watch: {refused}") from refused
            await self._rest()

    async def _stream(self, endpoint: URL) -> AsyncGenerator[Batch, None]:
        request = {"start_revision": str(self._after + 1), "progress_notify": True, **self._keys}
        async with self._client.stream(endpoint, "v3/watch", {"create_request": request}) as lines:
            while True:
                batch = self._taken(endpoint, await self._next(endpoint, lines))
                if batch is not None:
                    yield batch

    async def _next(self, endpoint: URL, lines: Lines) -> Message:
        while True:
            try:
                line = await self._within(self._idle, lines.next())
            except TimeoutError:
                if self._closed:
                    raise Failed("closed", done=False) from None
                await self._probe(endpoint)
            else:
                self._probes = 0
                return line

    async def _within(self, seconds: float, waiting: Awaitable[_T]) -> _T:
        """Raises TimeoutError, at once when this is closed."""
        try:
            async with asyncio.timeout(seconds) as self._waiting:
                return await waiting
        finally:
            self._waiting = None

    async def _probe(self, endpoint: URL) -> None:
        """Raise Failed unless the member is well and the stream may be."""
        question = {**self._keys, "limit": "1", "keys_only": True}
        answer = await self._client.ask(endpoint, "v3/kv/range", question)
        revision = _revision(answer)
        if revision < self._after:
            raise Compacted("etcd was restored from an older state: list anew")
        if revision > self._after:
            self._probes += 1
            if self._probes >= _PROBES_TO_REOPEN:
                self._probes = 0
                raise Failed(f"{endpoint} may have lost the watch", done=False)

    def _taken(self, endpoint: URL, line: Message) -> Batch | None:
        if "result" not in line:
            raise error_of(endpoint, Refusal.of(line, "an error without a text"))
        result = line["result"]
        if result.get("canceled"):
            raise self._cancellation(endpoint, result)
        self._pause, self._failures, self._denials = _PAUSE_SECONDS, 0, 0
        events = tuple(
            event
            for event in map(self._event, result.get("events", ()))
            if event.revision > self._after
        )
        if events:
            self._after = events[-1].revision
            return Batch(events, self._after)
        if not result.get("created"):
            # A progress notification: all up to here has been sent.
            self._after = max(self._after, _revision(result))
        return None

    def _cancellation(self, endpoint: URL, result: Message) -> Exception:
        if int(result.get("compact_revision", 0)):
            return Compacted(f"the history since revision {self._after} is gone: list anew")
        reason = str(result.get("cancel_reason", "without a reason"))
        if "permission denied" not in reason:
            return Failed(f"{endpoint} ended the watch ({reason})", done=False)
        # etcd says the same of a token that it does not know.
        self._denials += 1
        if self._denials > 1:
            return CatalogueDenied("etcd denies the watch: grant the user's role what it needs")
        self._client.renew()
        return Failed(f"{endpoint} denies the watch", done=False)

    def _event(self, event: Message) -> Event:
        entry = event["kv"]
        key = base64.b64decode(entry["key"])[self._strip :].decode()
        removed = event.get("type") == "DELETE"
        value = None if removed else base64.b64decode(entry.get("value", ""))
        return Event(key, value, int(entry["mod_revision"]))

    async def _rest(self) -> None:
        """At once to another endpoint; then ever longer pauses until something comes."""
        self._failures += 1
        if self._failures > 1 and not self._closed:
            with suppress(TimeoutError):
                await self._within(self._pause, asyncio.Event().wait())
            self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)


def _revision(answer: Message) -> int:
    return int(answer["header"].get("revision", 0))
