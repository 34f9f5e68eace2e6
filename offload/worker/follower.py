"""Has a server of a cluster's member follow the local copy of the catalogue."""

from __future__ import annotations

import asyncio
from time import perf_counter

from offload.worker.entitlements import Entitlements
from offload.worker.replica import Replica
from offload.worker.server import Server

INTERVAL = 0.02
"""Seconds between looks at the copy, hence what a suspension takes to be known here at most."""
_REST = 4
"""Times as long as the token was asked for its keys it is not asked again: thousands of keys that
come one after the other are not listed after each.
"""


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
        self._not_before = 0.0

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
        # Not after changes alone: an HSM lists its keys aside, and the list may be a moment old.
        if self._entitlements.lacking and perf_counter() >= self._not_before:
            self._reload()
        if self._replica.loaded:
            self.loaded.set()

    def _reload(self) -> None:
        began = perf_counter()
        self._server.reload()
        ended = perf_counter()
        self._not_before = ended + _REST * (ended - began)
