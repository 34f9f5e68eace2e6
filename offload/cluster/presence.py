"""A member's sign of life: front-ends send their work to who shows it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from offload.catalogue import paths
from offload.catalogue.presence import Presence
from offload.catalogue.records import AliveRecord
from offload.cluster.node import Node


class MemberPresence:
    """Keeps alive/<name>, from `start()` to `withdraw()` or until the member is removed.

    A drain withdraws first: by the time the last signature is made, nobody asks for more.
    """

    def __init__(self, node: Node, lease_seconds: float) -> None:
        self._node = node
        self._since = node.clock()
        self._ready = True
        self._presence = Presence(
            node.catalogue, paths.ALIVE + node.name, self._value, lease_seconds, random=node.random
        )
        self._watching: asyncio.Task[None] | None = None

    @property
    def shown(self) -> bool:
        """Whether the entry stood when it was last looked at."""
        return self._presence.shown

    def start(self) -> None:
        """Show it as soon as the catalogue can be reached."""
        self._presence.start()
        self._watching = asyncio.create_task(self._until_removed(), name="presence until removed")

    def set_ready(self, ready: bool) -> None:
        """Say whether work may be sent here."""
        if ready != self._ready:
            self._ready = ready
            self._presence.update()

    async def withdraw(self) -> None:
        """Remove it; takes a second at most, whether the catalogue answers or not."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
        await self._presence.withdraw()

    async def _until_removed(self) -> None:
        name = self._node.name
        await self._node.view.until(lambda view: name not in view.present)
        await self._presence.withdraw()

    def _value(self) -> bytes:
        return AliveRecord(name=self._node.name, since=self._since, ready=self._ready).body()
