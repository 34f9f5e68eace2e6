"""Keys about to be made: what finds a key that was made in a token and never published.

A member writes an intent before it makes a key, and removes it in the commit that publishes the
key. An intent that outlives its maker tells which key of the token nobody can ever have heard of;
that key is erased. Nothing else in a token is ever taken for such a key, least of all what was
there before the intent: after a catalogue was restored, a token may hold the only copy.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from pydantic import ValidationError

from offload.audit.sink import AuditUnavailable
from offload.catalogue import paths
from offload.catalogue.base import CatalogueError
from offload.catalogue.records import Record
from offload.cluster.node import Node
from offload.observe.log import get_logger
from offload.token.base import KeyNotFound, TokenError

_log = get_logger("cluster.intents")

_AGE = timedelta(minutes=5)
_PERIOD = 60.0
_GRAIN = timedelta(seconds=2)  # tokens know the second that a key was made in


class IntentRecord(Record):
    """intents/<member>/<label>@<generation>."""

    member: str
    label: str
    generation: int
    began: datetime


def token_label(label: str, generation: int) -> str:
    """What a key is called in tokens."""
    return f"{label}@{generation}"


class Intents:
    """Those of this member. `run` clears away what was left behind."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._under_way: set[str] = set()

    def path(self, label: str, generation: int) -> str:
        """Where the intent to make that key stands."""
        return f"{paths.INTENTS}{self._node.name}/{token_label(label, generation)}"

    def record(self, label: str, generation: int) -> IntentRecord:
        """What is to stand there."""
        return IntentRecord(
            member=self._node.name, label=label, generation=generation, began=self._node.clock()
        )

    @contextmanager
    def under_way(self, label: str, generation: int) -> Iterator[None]:
        """Whatever stands at its path is ours and lives while this lasts."""
        path = self.path(label, generation)
        self._under_way.add(path)
        try:
            yield
        finally:
            self._under_way.discard(path)

    async def run(self) -> None:
        """Until cancelled; what an earlier process left is cleared away soon after the start."""
        while True:
            with contextlib.suppress(CatalogueError, TokenError, AuditUnavailable):
                await self.clear()
            await asyncio.sleep(_PERIOD)

    async def clear(self) -> None:
        """Erase keys that were made and never published; raises CatalogueError, TokenError."""
        for path, body in self._node.view.raw(f"{paths.INTENTS}{self._node.name}/").items():
            if path in self._under_way:
                continue
            try:
                intent = IntentRecord.model_validate_json(body)
            except ValidationError:
                continue
            if self._node.clock() - intent.began >= _AGE:
                await self._clear(path, intent)

    async def _clear(self, path: str, intent: IntentRecord) -> None:
        label = token_label(intent.label, intent.generation)
        records = await self._node.in_thread(self._node.token.keys)
        for record in records:
            since = record.created + _GRAIN >= intent.began
            if record.label == label and since and await self._unpublished(record.ski):
                await self._node.in_thread(
                    self._node.audit.append,
                    "system",
                    {"act": "key.discard", "target": label, "ski": record.ski.hex()},
                )
                with contextlib.suppress(KeyNotFound):
                    await self._node.in_thread(self._node.token.destroy, record.ski)
                _log.warning("a key that was never published is erased", label=label)
        await self._node.write({path: None})

    async def _unpublished(self, ski: bytes) -> bool:
        path = paths.KEYS + ski.hex()
        if self._node.view.version_of(path):
            # Who runs the store put an old intent back, and took the record away.
            return False
        # Not from the view: it may be behind, and may refuse what is there.
        return await self._node.catalogue.get(path) is None
