"""An entry that stands in the catalogue for as long as somebody keeps it there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from random import Random

from offload.catalogue.base import Catalogue, CatalogueError, LeaseExpired, Put
from offload.observe.log import get_logger

_GIVE_UP = 1.0
"""Seconds that a withdrawal may take; after that the lease ends by itself."""


class Presence:
    """Keeps the entry at `path`, bound to a lease, from `start()` to `withdraw()`.

    The lease is renewed at a third of its time. Where it is over, or the entry is gone (a
    catalogue that was restored), both are made anew; while the catalogue is out of reach, that is
    tried ever again. Belongs to the running loop.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        path: str,
        value: Callable[[], bytes],
        seconds: float,
        *,
        random: Random,
    ) -> None:
        """`value` gives what to write, `seconds` the lease's time; `random` spreads renewals."""
        self._catalogue, self._path, self._value = catalogue, path, value
        self._seconds, self._random = seconds, random
        self._log = get_logger("presence").bind(path=path)
        self._lease = 0
        self._stale = True
        self._shown = False
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def shown(self) -> bool:
        """Whether the entry stood, as it should be, when it was last looked at."""
        return self._shown and not self._stale

    def start(self) -> None:
        """Show the entry as soon as the catalogue can be reached, and keep it."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._keep())

    def update(self) -> None:
        """Write the value again: it has changed."""
        self._stale = True
        self._changed.set()

    async def withdraw(self) -> None:
        """Remove the entry and wait until it is gone, a second at most; never raises."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        lease, self._lease, self._shown = self._lease, 0, False
        if lease:
            # Out of reach or not: the lease is not renewed any more, and ends.
            with suppress(CatalogueError, TimeoutError):
                async with asyncio.timeout(_GIVE_UP):
                    await self._catalogue.revoke(lease)

    async def _keep(self) -> None:
        while True:
            self._changed.clear()
            try:
                await self._renew()
            except CatalogueError as error:
                self._failed(error)
                pause = self._seconds / 10 * self._random.uniform(0.5, 1.0)
            else:
                self._succeeded()
                pause = self._seconds / 3 * self._random.uniform(0.8, 1.0)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._changed.wait()

    async def _renew(self) -> None:
        if self._lease and await self._kept():
            return
        if not self._lease:
            self._lease = await self._catalogue.lease(self._seconds)
        self._stale = False
        try:
            await self._catalogue.commit([Put(self._path, self._value(), self._lease)])
        except BaseException:
            self._stale = True
            raise

    async def _kept(self) -> bool:
        """Whether lease and entry stand, as they should be; no lease is left where it is over."""
        try:
            await self._catalogue.keep_alive(self._lease)
        except LeaseExpired:
            self._lease = 0
            return False
        return not self._stale and await self._catalogue.get(self._path) is not None

    def _failed(self, error: CatalogueError) -> None:
        if isinstance(error, LeaseExpired):
            self._lease = 0
        if self._shown:
            self._log.warning("presence not renewed", reason=str(error))
        self._shown = False

    def _succeeded(self) -> None:
        if not self._shown:
            self._log.info("present")
        self._shown = True
