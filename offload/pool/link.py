"""One mutual TLS link to a worker: operations out, answers in, matched by id."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any, Final, Protocol, cast

from offload.channel.channel import ChannelTransport
from offload.pool.operation import SigningOperation
from offload.wire.codec import Decoder, encode
from offload.wire.error import ProtocolError
from offload.wire.message import Failure, Ping, Pong, Signature, TlsSign

Answer = Signature | Failure
Answers = list[tuple[SigningOperation, Answer]]

# Some four thousand requests: more than a worker can answer before their deadline.
WRITE_LIMIT: Final = 1 << 20
# In ticks of silence: after the first a ping. After MUTE_TICKS without any answer others are asked
# what was under way here; after SILENT_TICKS the link is given up.
MUTE_TICKS: Final = 3
SILENT_TICKS: Final = 8
# The least of so many round trips: what the others took more, they waited for the worker.
_ROUND_TRIPS: Final = 8
_ID_MASK: Final = 0xFFFF_FFFF


class LinkOwner(Protocol):
    """Whom a link reports to, in this order: opened, then changed and answered, at last lost."""

    def link_opened(self, link: Link) -> None:
        """The link is connected, but not usable yet."""

    def link_changed(self, link: Link) -> None:
        """`link.usable` has changed."""

    def link_answered(self, answers: Answers, now: float) -> None:
        """The worker has answered these operations, which have left the link."""

    def link_muted(self, link: Link, operations: list[SigningOperation]) -> None:
        """The worker has fallen silent; `operations` were unanswered and have left the link, which
        is usable again when anything comes.
        """

    def link_lost(self, link: Link, operations: list[SigningOperation], reason: str) -> None:
        """The link is closed; `operations` were unanswered and have left it."""


class Link:
    """A link is usable once the worker has answered its first ping, while its buffer has room.

    A TLS 1.3 client ends its handshake before the server has judged its certificate, so only an
    answer shows that the worker will talk with us.
    """

    __slots__ = (
        "_clock",
        "_decoder",
        "_loop",
        "_next_id",
        "_outbox",
        "_owner",
        "_paused",
        "_pinged",
        "_ready",
        "_reason",
        "_round_trips",
        "_silent",
        "_transport",
        "closed",
        "late",
        "pending",
        "usable",
    )

    def __init__(
        self, owner: LinkOwner, loop: asyncio.AbstractEventLoop, clock: Callable[[], float]
    ) -> None:
        self._owner = owner
        self._loop = loop
        self._clock = clock
        self._decoder = Decoder("front-end")
        self._transport: ChannelTransport | None = None
        self._outbox: list[bytes] = []
        self._next_id = 0
        self._silent = 0
        # The ping that waits for its answer, and when it left.
        self._pinged: tuple[int, float] | None = None
        self._round_trips: deque[float] = deque(maxlen=_ROUND_TRIPS)
        self._ready = self._paused = False
        self._reason = ""
        self.usable = False
        self.pending: dict[int, SigningOperation] = {}
        # Answers that nobody waited for any more: their operation's deadline was over.
        self.late = 0
        # Resolves to the reason when the link is lost.
        self.closed: asyncio.Future[str] = loop.create_future()

    @property
    def paused(self) -> bool:
        """Whether it waits until the worker has read what was sent."""
        return self._paused

    @property
    def proven(self) -> bool:
        """Whether the worker has ever answered on it."""
        return self._ready

    @property
    def closing(self) -> bool:
        """Whether it was closed or aborted by this side."""
        return bool(self._reason)

    @property
    def round_trip(self) -> float:
        """Seconds to the worker and back, as measured of late."""
        return min(self._round_trips, default=inf)

    def send(self, operation: SigningOperation) -> None:
        """Send the request; all requests of one turn of the event loop leave in one write."""
        link_id = self._next_id
        if link_id in self.pending:
            link_id = self._free_id()
        self._next_id = (link_id + 1) & _ID_MASK
        frame = encode(
            TlsSign(
                link_id,
                operation.ski,
                operation.scheme,
                operation.version,
                operation.payload,
                operation.server_name,
                operation.client_address,
                operation.client_random,
            )
        )
        operation.id = link_id
        operation.link = self
        self.pending[link_id] = operation
        if not self._outbox:
            self._loop.call_soon(self._flush)
        self._outbox.append(frame)

    def replace(self, operation: SigningOperation, copy: SigningOperation) -> None:
        """Have the answer to `operation` be the answer to `copy`."""
        self.pending[operation.id] = copy
        copy.id, copy.link = operation.id, self
        operation.link = None

    def withdraw(self, operation: SigningOperation) -> None:
        """Wait no longer for the answer to `operation`; it will be ignored."""
        del self.pending[operation.id]
        operation.link = None

    def tick(self) -> None:
        """Called at a steady pace: looks whether the worker is still there.

        Ticks are counted rather than seconds, because after a stall of this process the worker's
        answers wait in the socket, and are read between one tick and the next.
        """
        self._silent += 1
        if self._silent >= SILENT_TICKS:
            self.abort("the worker has fallen silent")
        elif self._silent == MUTE_TICKS:
            self._mute()
        elif self._silent == 1:
            self._ping()

    def abort(self, reason: str) -> None:
        """Close at once; `link_lost` follows."""
        self._reason = self._reason or reason
        self._set_usable(False)
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close with TLS's farewell; `link_lost` follows when the worker has answered it."""
        self._reason = self._reason or "closed by this side"
        self._set_usable(False)
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, channel: ChannelTransport) -> None:
        self._transport = channel
        channel.set_write_buffer_limits(high=WRITE_LIMIT)
        self._owner.link_opened(self)
        self._ping()

    def data_received(self, data: bytes) -> None:
        if self._silent:
            self._heard()
        try:
            messages = self._decoder.feed(data)
        except ProtocolError as error:
            self.abort(f"malformed frame: {error}")
            return
        pending = self.pending
        answers: Answers = []
        for message in messages:
            if message.__class__ is Pong:
                self._ponged(message.id)
                continue
            operation = pending.pop(message.id, None)
            if operation is None:
                self.late += 1
                continue
            operation.link = None
            answers.append((operation, cast(Any, message)))
        if answers:
            self._owner.link_answered(answers, self._clock())

    def pause_writing(self) -> None:
        self._paused = True
        self._set_usable(False)

    def resume_writing(self) -> None:
        self._paused = False
        self._set_usable(self._ready and not self._reason and self._silent < MUTE_TICKS)

    def connection_lost(self, error: Exception | None) -> None:
        self._reason = self._reason or _described(error)
        self._set_usable(False)
        self._transport = None
        self._outbox.clear()
        operations = self._unanswered()
        if not self.closed.done():
            self.closed.set_result(self._reason)
        self._owner.link_lost(self, operations, self._reason)

    def _unanswered(self) -> list[SigningOperation]:
        """Take off the link what is under way on it."""
        operations = list(self.pending.values())
        self.pending.clear()
        for operation in operations:
            operation.link = None
        return operations

    def _mute(self) -> None:
        self._set_usable(False)
        if self.pending:
            self._owner.link_muted(self, self._unanswered())

    def _heard(self) -> None:
        was, self._silent = self._silent, 0
        if was >= MUTE_TICKS:
            self._set_usable(self._ready and not self._paused and not self._reason)

    def _free_id(self) -> int:
        """The next id that no operation under way has."""
        link_id = self._next_id
        while link_id in self.pending:
            link_id = (link_id + 1) & _ID_MASK
        return link_id

    def _flush(self) -> None:
        frames = self._outbox
        if self._transport is not None and frames:
            self._transport.write(b"".join(frames))
        frames.clear()

    def _ping(self) -> None:
        if self._transport is not None:
            link_id = self._free_id()
            self._next_id = (link_id + 1) & _ID_MASK
            self._pinged = link_id, self._clock()
            self._transport.write(encode(Ping(link_id)))

    def _ponged(self, link_id: int) -> None:
        if self._pinged is not None and self._pinged[0] == link_id:
            self._round_trips.append(self._clock() - self._pinged[1])
            self._pinged = None
        if not self._ready:
            self._ready = True
            self._set_usable(not self._paused and not self._reason)

    def _set_usable(self, usable: bool) -> None:
        if self.usable is not usable:
            self.usable = usable
            self._owner.link_changed(self)


def _described(error: Exception | None) -> str:
    if error is None:
        return "closed by the worker"
    return str(error).lower() or type(error).__name__
