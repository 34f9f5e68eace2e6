"""What a serving process does as part of a cluster's member, besides signing."""

from __future__ import annotations

import asyncio

from offload.config import WorkerCluster
from offload.worker.counting import Counting
from offload.worker.entitlements import Entitlements
from offload.worker.follower import Follower
from offload.worker.replica import Replica
from offload.worker.server import Server


class Membership:
    """It follows the local copy of the catalogue, and counts signatures, from `start` to `stop`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: WorkerCluster,
        entitlements: Entitlements,
        server: Server,
    ) -> None:
        self._follower = Follower(loop, Replica(settings.replica), entitlements, server)
        self._counting = Counting(server.signatures, settings.usage)

    def start(self) -> None:
        """Begin."""
        self._follower.start()
        self._counting.start()

    async def loaded_or(self, stop: asyncio.Event) -> None:
        """Return once it is known who may use which keys, or `stop` is set."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self._follower.loaded, stop)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def stop(self) -> None:
        """End; the last signatures are counted."""
        self._follower.stop()
        await self._counting.stop()
