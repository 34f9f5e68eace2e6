"""Accepts connections, or leaves them in the kernel's queue for a while."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import NamedTuple

Factory = Callable[[], asyncio.BaseProtocol]


class Door(NamedTuple):
    """A listening socket, and what makes the protocol of each connection from it."""

    socket: socket.socket
    factory: Factory


class Acceptor:
    """The listening sockets of a process. Paused, it costs nothing, and clients wait in the queue.

    The event loop accepts on duplicates of the sockets: it has no way to stop but to close what it
    listens on, and a queue lives as long as any descriptor of it.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, doors: Sequence[Door], backlog: int
    ) -> None:
        self._loop = loop
        self._doors = list(doors)
        self._backlog = backlog
        self._servers: list[asyncio.Server] = []
        self._accepting = False
        self._changing = asyncio.Lock()

    @property
    def is_paused(self) -> bool:
        """Whether connections wait until `start`."""
        return not self._accepting

    def start(self) -> Coroutine[None, None, None]:
        """Accept, again if it was paused: await the rest. Nothing happens after `close`."""
        self._accepting = True
        return self._start()

    async def _start(self) -> None:
        async with self._changing:
            for door in self._doors[len(self._servers) :]:
                if not self._accepting:
                    return
                server = await self._serve(door)
                self._servers.append(server)
                if self.is_paused:
                    self.pause()

    def pause(self) -> None:
        """Accept no more; those that wait go on to wait."""
        self._accepting = False
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()

    def close(self) -> None:
        """Accept no more, ever."""
        self.pause()
        doors, self._doors = self._doors, []
        for door in doors:
            door.socket.close()

    async def _serve(self, door: Door) -> asyncio.Server:
        unix = door.socket.family == socket.AF_UNIX
        create = self._loop.create_unix_server if unix else self._loop.create_server
        return await create(door.factory, sock=door.socket.dup(), backlog=self._backlog)
