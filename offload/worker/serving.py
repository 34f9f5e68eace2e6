"""One serving process: an event loop with a server, fed with connections by the supervisor."""

import array
import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

import uvloop
from OpenSSL import SSL

from offload.audit.log import AuditLog
from offload.config import Worker
from offload.observe.flusher import Flusher
from offload.observe.log import get_logger
from offload.token.base import Token
from offload.worker.board import Board, State
from offload.worker.entitlements import Entitlements
from offload.worker.grant import Grants
from offload.worker.membership import Membership
from offload.worker.recording import Recording
from offload.worker.server import Server

# How often the token is asked for keys added by others: one stat() of its directory.
_RELOAD_SECONDS = 2.0

_log = get_logger(__name__)


def serve(
    settings: Worker,
    token: Token,
    context: SSL.Context,
    intake: socket.socket,
    board: Board,
    row: int,
) -> None:
    """Serve the connections that come through `intake` until TERM, then drain.

    `row` is this process's on the board.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, token, context, intake, board, row))


async def _serve(
    settings: Worker,
    token: Token,
    context: SSL.Context,
    intake: socket.socket,
    board: Board,
    row: int,
) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    rights, recording = _rights(settings)
    server = Server(
        token,
        rights,
        context,
        threads=settings.threads,
        on_links=lambda count: board.set_links(row, count),
        audit=recording,
    )
    loop.add_signal_handler(signal.SIGHUP, server.reload)
    flusher = Flusher(loop)
    flusher.start()
    watch = _Watch(loop, server)
    membership = _membership(loop, settings, rights, server)
    if membership is not None:
        membership.start()
        await membership.loaded_or(stop)
    await _serve_until(stop, server, intake, board, row)
    await _drain(server, settings.drain_timeout)
    watch.stop()
    await server.stop_recording()
    if membership is not None:
        await membership.stop()
    if recording is not None:
        recording.close()
    server.close()
    flusher.stop()


def _rights(settings: Worker) -> tuple[Grants | Entitlements, Recording | None]:
    """Who may have what signed, and where it is recorded."""
    cluster = settings.cluster
    if cluster is None:
        return Grants(settings.frontends, plain_digests=settings.plain_digests), None
    entitlements = Entitlements(plain_digests=settings.plain_digests)

    def log() -> AuditLog:
        name = entitlements.cluster
        return AuditLog(cluster.audit, settings.name, lambda: datetime.now(UTC), cluster=name)

    return entitlements, Recording(log)


def _membership(
    loop: asyncio.AbstractEventLoop,
    settings: Worker,
    rights: Grants | Entitlements,
    server: Server,
) -> Membership | None:
    if settings.cluster is None or isinstance(rights, Grants):
        return None
    return Membership(loop, settings.cluster, rights, server)


async def _serve_until(
    stop: asyncio.Event, server: Server, intake: socket.socket, board: Board, row: int
) -> None:
    if stop.is_set():
        return
    loop = asyncio.get_running_loop()
    loop.add_reader(intake, _take_in, intake, server)
    board.set_state(row, State.SERVING)
    await stop.wait()
    board.set_state(row, State.DRAINING)
    loop.remove_reader(intake)


async def _drain(server: Server, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(server.drain(), seconds)
    if server.links:
        _log.warning("links cut at the end of the drain", links=server.links)


class _Watch:
    """Has the server look for new keys every so often, from now until `stop`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, server: Server) -> None:
        self._loop = loop
        self._server = server
        self._look()

    def _look(self) -> None:
        self._server.reload()
        self._timer = self._loop.call_later(_RELOAD_SECONDS, self._look)

    def stop(self) -> None:
        self._timer.cancel()


def hand_over(intake: socket.socket, connection: socket.socket) -> bool:
    """Give `connection` to the process at the other end; False if it takes none now.

    The caller's own descriptor stays open.
    """
    rights = array.array("i", [connection.fileno()])
    try:
        intake.sendmsg([b"c"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    except OSError:
        return False
    return True


def _take_in(intake: socket.socket, server: Server) -> None:
    for connection in handed_over(intake):
        server.accept(connection)


def handed_over(intake: socket.socket) -> Iterator[socket.socket]:
    """The connections that were handed over and not taken yet."""
    size = array.array("i").itemsize
    while True:
        try:
            _, ancillary, _, _ = intake.recvmsg(
                1, socket.CMSG_SPACE(size), socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
            )
        except BlockingIOError:
            return
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                yield socket.socket(fileno=int(array.array("i", content[:size])[0]))
