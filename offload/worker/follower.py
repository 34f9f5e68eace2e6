"""Has a server of a cluster's member follow the local copy of the catalogue."""

from __future__ import annotations

import asyncio

from offload.worker.entitlements import Entitlements
from offload.worker.replica import Replica
from offload.worker.server import Server

INTERVAL = 0.02
"""Seconds between looks at the copy, hence what a suspension takes to be known here at most."""


class Follower:
    """Looks from `start` to `stop`; `loaded` is set once there is a whole copy."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        replica: Replica,
        entitlements: Entitlements,
        server: Server,
    ) -> None:
        self._loop, self._replica = loop, replica
        self._entitlements, self._server = entitlements, server
        self.loaded = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look now, and at every interval from now on."""
        self.look()
        self._timer = self._loop.call_later(INTERVAL, self.start)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._replica.close()

    def look(self) -> None:
        """Take in what has changed."""
        changes = self._replica.poll()
        if changes:
            self._entitlements.take(changes)
            self._server.dismiss(self._entitlements.policies)
        # Every time: an HSM lists its keys aside, and what it lists may be a moment old.
        if self._entitlements.lacking:
            self._server.reload()
        if self._replica.loaded:
            self.loaded.set()
