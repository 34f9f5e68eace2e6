"""A serving process of the front-end: accepts, counts, times out and drains connections.

`serve` is what the supervisor forks. Each connection is a `ClientConnection` until its handshake
is done and a `Relay` from then on; the `Server` holds what they share and knows all of them.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from operator import attrgetter
from random import Random
from time import monotonic
from typing import Any

import uvloop

from offload.config import Frontend
from offload.frontend.acceptor import Acceptor, Door
from offload.frontend.backends import Backend
from offload.frontend.capacity import Capacity, bearable
from offload.frontend.connection import ClientConnection
from offload.frontend.directory.board import Board
from offload.frontend.directory.file import DirectoryFile
from offload.frontend.directory.follower import Follower
from offload.frontend.directory.picture import Picture
from offload.frontend.directory.trust import read_authority
from offload.frontend.limits import Limits, Refusal
from offload.frontend.listeners import Bound
from offload.frontend.relay import Relay
from offload.frontend.service import Service, Services, count_failed_handshake
from offload.frontend.stall import Stall
from offload.frontend.timeouts import TimeoutQueue
from offload.observe import metrics
from offload.observe.flusher import Flusher
from offload.observe.log import get_logger
from offload.pool.pool import Pool
from offload.pool.signer import Signer
from offload.tls.site import Site, Sites
from offload.tls.verification import Verification

_TICK = 0.25
"""Seconds between looks at the timeouts; the coarse clock `Server.now` moves by as much."""
_READ_SIZE = 131_072
"""Bytes of one read: the engine takes as much in one call."""
_CONNECT_TIMEOUT = 5.0
_SILENCE = 0.1
"""Seconds without a byte of the client after which its backend is connected anyway."""
_LINGER = 30.0
"""Seconds that a closed connection has to take what was written to it before it is reset. A peer
that never reads would otherwise hold it, and its buffer, for ever.
"""
_FIRST_LINK = 5.0
"""Seconds that a process holds its readiness back for the first link to a worker. Not for ever:
what starts first when a whole machine boots must not be taken for broken.
"""
_EVICTABLE = 5.0
"""Seconds without a byte after which a relay may have to give its place to a new connection."""
_PAUSE_SAID = 60.0
"""Seconds between lines that say so."""
_COLLECT_AFTER = 20_000
"""New container objects after which Python looks for cycles: a connection makes some hundred, and
no cycle, so that its default of 700 would look for nothing at every handshake.
"""
_READY = b"\1"


class Server:
    """What the connections of one process share.

    inbox: what any of them reads into; whoever has read takes it out before another reads.
    clock: monotonic seconds, exact; now: the same, as of the last tick, which costs nothing to
    read.
    """

    def __init__(
        self,
        settings: Frontend,
        sites: Sites,
        pool: Signer,
        loop: asyncio.AbstractEventLoop,
        random: Random,
    ) -> None:
        self.settings = settings
        self.pool = pool
        self.clock = monotonic  # the loop's own time has milliseconds alone
        self.now = monotonic()
        self.log = get_logger("frontend")
        self.inbox = memoryview(bytearray(_READ_SIZE))
        self.verification = Verification(settings.pool.verify, random)
        self._loop = loop
        self._limits = Limits(settings.limits, settings.process_count)
        self._services = Services(sites, random, self._limits)
        self._handshakes: TimeoutQueue[ClientConnection] = TimeoutQueue(settings.handshake_timeout)
        self._relays: TimeoutQueue[Relay] = TimeoutQueue(
            settings.idle_timeout, granularity=1.0, last_active=attrgetter("active")
        )
        self._silent: TimeoutQueue[Relay] = TimeoutQueue(_SILENCE, granularity=_TICK)
        self._connecting: TimeoutQueue[Relay] = TimeoutQueue(_CONNECT_TIMEOUT)
        self._closing: TimeoutQueue[asyncio.Transport] = TimeoutQueue(_LINGER, granularity=1.0)
        self._stalls: TimeoutQueue[Stall] = TimeoutQueue(settings.write_timeout)
        self._stalled: dict[asyncio.Transport, Stall] = {}
        self._capacity = _capacity(settings)
        self._acceptor = Acceptor(loop, (), settings.backlog)
        self._pause_said = -_PAUSE_SAID
        self._tasks: set[asyncio.Task[None]] = set()
        self._drained: asyncio.Future[None] = loop.create_future()
        self._draining = False
        self._accepted = metrics.CONNECTIONS_ACCEPTED.labels()
        self._in_handshake = metrics.CONNECTIONS.labels("handshake")
        self._in_relay = metrics.CONNECTIONS.labels("relay")

    async def start(self, sockets: Sequence[Bound]) -> None:
        """Listen on the sockets, which the supervisor has bound."""
        doors = [
            Door(each.socket, partial(ClientConnection, self, each.settings)) for each in sockets
        ]
        self._acceptor = Acceptor(self._loop, doors, self.settings.backlog)
        await self._acceptor.start()
        self._loop.call_later(_TICK, self._tick)

    async def drain(self, seconds: float | None) -> None:
        """Accept no more, let what is open end by itself for a number of seconds, then close it.

        None is for as long as it takes.
        """
        self._draining = True
        self._acceptor.close()
        self._settle()
        try:
            await asyncio.wait_for(asyncio.shield(self._drained), seconds)
        except TimeoutError:
            self.log.warning("drain deadline passed", connections=self.connections)
        self.close()

    def close(self) -> None:
        """Close every connection now."""
        for connection in self._handshakes.clear():
            self._handshakes.add(connection, self.now)
            connection.shut()
        for relay in self._relays.clear():
            self._relays.add(relay, self.now)
            relay.shut()

    @property
    def connections(self) -> int:
        """How many client connections are open."""
        return len(self._handshakes) + len(self._relays)

    # for the connections

    def set_canaries(self, canaries: Mapping[str, Site]) -> None:
        """Serve these sites to who asks for their secret names."""
        self._services.set_canaries(canaries)

    def service(self, server_name: str | None) -> Service | None:
        return self._services.choose(server_name)

    def opened(self, connection: ClientConnection) -> None:
        self._handshakes.add(connection, self.clock())
        self._accepted.pending += 1
        self._in_handshake.value += 1
        if self._room() <= 0:
            self._make_room()

    def admit(self, connection: ClientConnection) -> Refusal | None:
        """Count a connection in, or say which limit it would break."""
        address = connection.client_ip() if self._limits.by_source else None
        return self._limits.admit(connection.admission, address, self.clock())

    def closed(self, connection: ClientConnection) -> bool:
        """The connection leaves its handshake; False if it had left it before."""
        if connection not in self._handshakes:
            return False
        self._handshakes.discard(connection)
        connection.admission.shaken()
        self._in_handshake.value -= 1
        self._settle()
        return True

    def relaying(self, relay: Relay) -> None:
        self._relays.add(relay, self.now)
        self._in_relay.value += 1

    def silent(self, relay: Relay) -> None:
        """The relay's client has sent nothing yet; the relay is told to connect before long."""
        self._silent.add(relay, self.now)

    def speaks(self, relay: Relay) -> None:
        """The relay connects to its backend now."""
        self._silent.discard(relay)

    def connecting(self, relay: Relay) -> None:
        """The relay waits for a backend; it is told when that takes too long."""
        self._connecting.add(relay, self.now)

    def connected(self, relay: Relay) -> None:
        """The relay waits for no backend any more."""
        self._connecting.discard(relay)

    def ended(self, relay: Relay) -> None:
        self._silent.discard(relay)
        self._connecting.discard(relay)
        self._relays.discard(relay)
        relay.admission.leave()
        self._in_relay.value -= 1
        self._settle()

    def stalls(self, relay: Relay, side: asyncio.Transport) -> None:
        """That side of the relay does not read as fast as the other one writes."""
        stall = self._stalled[side] = Stall(relay, side)
        self._stalls.add(stall, self.now)

    def flows(self, side: asyncio.Transport) -> None:
        """It has caught up, or there is nothing to catch up with any more."""
        stall = self._stalled.pop(side, None)
        if stall is not None:
            self._stalls.discard(stall)

    def close_transport(self, transport: asyncio.Transport) -> None:
        """Close a transport as soon as its peer has taken what was written, or after a while."""
        transport.close()
        if transport.get_write_buffer_size():
            self._closing.add(transport, self.now)

    def gone(self, transport: asyncio.Transport) -> None:
        """The transport is closed, whoever did it."""
        self._closing.discard(transport)
        self._settle()

    def count_failed_handshake(
        self,
        connection: ClientConnection,
        service: Service | None,
        reason: str,
        error: Exception | None,
    ) -> None:
        """Count a handshake that failed, and log it with OpenSSL's reasons."""
        count_failed_handshake(service, reason)
        self.log.info(
            "handshake failed",
            reason=reason,
            detail=str(error) if error else None,
            server_name=connection.server_name,
            client=connection.client_name(),
        )

    def count_refused(self, service: Service | None, refusal: Refusal) -> None:
        """Count a connection that a limit kept out. Under attack there is no line for each."""
        count_failed_handshake(service, "limit")
        metrics.CONNECTIONS_REFUSED.labels(refusal.scope, refusal.limit).inc()
        self.log.debug("connection refused", scope=refusal.scope, limit=refusal.limit)

    def count_error(self, reason: str) -> None:
        """Count a connection that an error ended after its handshake."""
        metrics.CONNECTION_ERRORS.labels(reason).inc()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that is held until it is done."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def connect(self, backend: Backend, protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        """Connect to a backend. Raises OSError."""
        if backend.path is not None:
            await self._loop.create_unix_connection(protocol, backend.path)
        else:
            await self._loop.create_connection(protocol, backend.host, backend.port)

    def _settle(self) -> None:
        busy = self.connections or len(self._closing)
        if self._draining and not busy and not self._drained.done():
            self._drained.set_result(None)
        if self._acceptor.is_paused and not self._draining:
            self._resume()

    def _room(self) -> int:
        unfinished = len(self._handshakes) + len(self._closing)
        return self._capacity.room(unfinished, len(self._relays), len(self._stalled))

    def _make_room(self) -> None:
        """Let go of who has been idle longest; accept no more while nobody has been for long."""
        for _ in range(self._capacity.step):
            relay = self._relays.oldest()
            if relay is None or relay.active + _EVICTABLE > self.now:
                break
            relay.evict()
        if self._room() <= 0 and not self._draining:
            self._pause()

    def _pause(self) -> None:
        if self._acceptor.is_paused:
            return
        self._acceptor.pause()
        metrics.ACCEPT_PAUSES.labels().inc()
        if self.now >= self._pause_said + _PAUSE_SAID:
            self._pause_said = self.now
            self.log.warning("accepting no more until some have left", connections=self.connections)

    def _resume(self, least: int | None = None) -> None:
        """Accept again once a number of connections have left, at the latest at the next tick."""
        if self._room() >= (least or self._capacity.step):
            _ = self.spawn(self._acceptor.start())

    def _tick(self) -> None:
        self.now = now = self.clock()
        for connection in self._handshakes.expire(now):
            self._handshakes.add(connection, now)  # so that its end is counted as any other's
            connection.expire()
        for relay in self._silent.expire(now):
            relay.connect()
        for relay in self._connecting.expire(now):
            relay.connect_expired()
        for relay in self._relays.expire(now):
            relay.expire()
        for transport in self._closing.expire(now):
            transport.abort()
        self._expire_stalls(now)
        if self._acceptor.is_paused and not self._draining:
            self._make_room()
            self._resume(1)
        self._loop.call_later(_TICK, self._tick)

    def _expire_stalls(self, now: float) -> None:
        least = max(1.0, self.settings.minimum_rate * self._stalls.duration)
        for stall in self._stalls.expire(now):
            if stall.moved() < least:
                stall.relay.stalled(stall.side)
            else:
                self._stalls.add(stall, now)


def _capacity(settings: Frontend) -> Capacity:
    """This process's share of what is configured, and no more than its descriptors are for."""
    processes = settings.process_count
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 0 if descriptors == resource.RLIM_INFINITY else bearable(descriptors)
    share = -(-settings.limits.connections // processes)
    connections = min(share, most) if share and most else share or most
    return Capacity(connections, settings.limits.memory * (1 << 20) // processes)


def serve(
    settings: Frontend,
    sites: Sites,
    sockets: list[Bound],
    index: int,
    ready_fd: int,
    board: Board | None = None,
) -> int:
    """Serve until told to end; the life of a forked process. Returns its exit code.

    TERM drains, a second one ends at once. USR2 drains without a deadline, since a newer generation
    serves; TERM sets one then. One byte is written to `ready_fd` when the
    process accepts connections and has a link to a worker, or has waited for one long enough.
    `board` is there in a cluster.
    """
    return uvloop.run(_serve(settings, sites, sockets, index, ready_fd, board))


async def _serve(
    settings: Frontend,
    sites: Sites,
    sockets: list[Bound],
    index: int,
    ready_fd: int,
    board: Board | None,
) -> int:
    loop = asyncio.get_running_loop()
    gc.set_threshold(_COLLECT_AFTER, 20, 100)
    random = Random(os.urandom(32))  # noqa: S311 -- shares load; no secret comes of it
    zone = "" if settings.cluster is None else settings.cluster.zone
    pool = Pool(
        settings.pool, loop=loop, clock=monotonic, random=random, metrics=metrics, zone=zone
    )
    sites.take_over()
    server = Server(settings, sites, pool, loop, random)
    stop = _stopping(loop, server)
    flusher = Flusher(loop)
    flusher.start()
    await pool.start()
    follower = _follower(settings, sites, pool, server, board, index)
    if follower is not None:
        await follower.start()
    await server.start(sockets)
    linked = loop.create_task(pool.wait_available())
    await asyncio.wait((linked, stop), timeout=_FIRST_LINK, return_when=asyncio.FIRST_COMPLETED)
    if not linked.done():
        linked.cancel()
        server.log.warning("no worker is linked yet; new clients cannot be served")
    os.write(ready_fd, _READY)
    seconds = await stop
    if follower is not None:
        await follower.stop()  # what is left needs no more certificates
    await server.drain(seconds)
    await pool.close()
    flusher.stop()
    return 0


def _stopping(loop: asyncio.AbstractEventLoop, server: Server) -> asyncio.Future[float | None]:
    """Done when the process was told to end: with the seconds for its drain, None for no bound."""
    stop: asyncio.Future[float | None] = loop.create_future()
    seconds = server.settings.drain_timeout
    told = 0

    def terminate() -> None:
        nonlocal told
        told += 1
        if told > 1:
            server.close()
        elif stop.done():
            loop.call_later(seconds, server.close)
        else:
            stop.set_result(seconds)

    def retire() -> None:
        if not stop.done():
            stop.set_result(None)

    loop.add_signal_handler(signal.SIGTERM, terminate)
    loop.add_signal_handler(signal.SIGUSR2, retire)
    return stop


def _follower(
    settings: Frontend, sites: Sites, pool: Pool, server: Server, board: Board | None, row: int
) -> Follower | None:
    if settings.cluster is None or board is None:
        return None
    return Follower(
        sites.all,
        pool,
        server.set_canaries,
        picture=Picture(read_authority(settings.pool.trust)),
        file=DirectoryFile(settings.cluster.state),
        board=board,
        row=row,
    )
