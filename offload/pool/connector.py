"""Keeps one link to a worker up: connects, waits until it is lost, and connects again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Final

from OpenSSL import SSL

from offload.channel.channel import Channel
from offload.config import Address
from offload.observe.log import get_logger
from offload.pool.backoff import Backoff
from offload.pool.link import Link
from offload.pool.remote import RemoteWorker
from offload.tls.mutual import MutualSession

# A worker that takes longer to take a connection is of no use to handshakes.
CONNECT_SECONDS: Final = 5.0
# A link that lived for so long was a good one: its loss is a new event, not one more failure.
STABLE_SECONDS: Final = 5.0
FAREWELL_SECONDS: Final = 1.0

_log = get_logger("pool")


class Connector:
    """One link's place. `run` never ends by itself; cancel it."""

    def __init__(
        self,
        worker: RemoteWorker,
        address: Address,
        context: SSL.Context,
        *,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        random: Random,
    ) -> None:
        self._worker = worker
        self._address = address
        self._context = context
        self._loop = loop
        self._clock = clock
        self._backoff = Backoff(random)
        self._complained = False

    async def run(self) -> None:
        """Keep a link up."""
        while True:
            began = self._clock()
            reason = await self._live()
            if self._clock() - began >= STABLE_SECONDS:
                self._backoff.reset()
            self._complain(reason)
            await asyncio.sleep(self._backoff.next())

    async def _live(self) -> str:
        """Connect, stay until the link is lost, and return why."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                link = await self._connect()
        except TimeoutError:
            return f"no connection within {CONNECT_SECONDS:g} s"
        except Exception as error:
            # Whatever it was: a link that is not tried again would be lost until the restart.
            return str(error).lower() or type(error).__name__
        # Shielded: whoever closes the pool cancels this task and then waits for the link.
        reason = await asyncio.shield(link.closed)
        if link.proven:
            self._complained = False
        return reason

    async def _connect(self) -> Link:
        # The worker is who its certificate says, whatever address it is reached by.
        session = MutualSession(self._context, self._worker.name)
        link = self._worker.new_link()
        channel = Channel(session, link, self._loop)
        address = self._address
        try:
            if address.path is not None:
                await self._loop.create_unix_connection(lambda: channel, str(address.path))
            else:
                await self._loop.create_connection(lambda: channel, address.host, address.port)
            await channel.established
        except BaseException:
            channel.abort()
            raise
        return link

    def _complain(self, reason: str) -> None:
        """Log why there is no link, once until there is one again."""
        if not self._complained:
            self._complained = True
            _log.warning(
                "no link to worker", worker=self._worker.name, address=str(self._address),
                reason=reason,
            )  # fmt: skip
