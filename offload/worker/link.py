"""One front-end's connection: frames in, answers out, in step with what the peer can take."""

from typing import Protocol, cast

from offload.channel.channel import ChannelTransport
from offload.observe.log import get_logger
from offload.wire.codec import Decoder, encode
from offload.wire.error import ErrorCode, ProtocolError
from offload.wire.message import Failure, Message, Ping, Pong, Signature
from offload.worker.order import Order, Refusal
from offload.worker.policy import Policy, Request

# Unanswered orders on one link above which no more are read from it, and at which they are again.
MAX_UNANSWERED = 512
RESUME_AT = MAX_UNANSWERED // 2
_WRITE_BUFFER = 256 * 1024

_log = get_logger(__name__)


class Host(Protocol):
    """What a link asks of the server."""

    def admit(self, link: "Link", certificate: bytes) -> Policy | None:
        """What the peer may have signed, None to turn it away."""

    def order(self, link: "Link", orders: list[tuple[int, Order]]) -> None:
        """Have each signed; `answer` gets the outcome with the order's number."""

    def refused(self, link: "Link", refusal: Refusal) -> None:
        """A request was refused."""

    def broken(self, link: "Link", reason: str) -> None:
        """The link is ended for a fault of the peer."""

    def ended(self, link: "Link") -> None:
        """The connection is closed, whyever."""


class Link:
    """See the module. `unanswered` counts the orders that the signer has of this link; `policy` is
    asked about each request, None for a stranger.
    """

    __slots__ = (
        "_choked", "_closing", "_decoder", "_host", "_outgoing", "_paused", "_transport", "policy",
        "unanswered",
    )  # fmt: skip

    def __init__(self, host: Host) -> None:
        self._host = host
        self._decoder = Decoder("worker")
        self._transport: ChannelTransport | None = None
        self.policy: Policy | None = None
        self._outgoing: list[bytes] = []
        self._paused = False
        self._choked = False
        self._closing = False
        self.unanswered = 0

    @property
    def frontend(self) -> str:
        """The front-end's configured name; "unknown" for a stranger."""
        return self.policy.frontend if self.policy is not None else "unknown"

    def connection_made(self, channel: ChannelTransport) -> None:
        self._transport = channel
        self.policy = self._host.admit(self, channel.peer_certificate())
        if self.policy is None:
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=_WRITE_BUFFER)

    def data_received(self, data: bytes) -> None:
        policy = self.policy
        if policy is None or self._closing:
            return
        try:
            messages = self._decoder.feed(data)
        except ProtocolError as error:
            self.dismiss("malformed_frame", str(error))
            return
        self._take(messages, policy)
        if self._outgoing:
            self.flush()
        if self.unanswered > MAX_UNANSWERED:
            self._regulate()

    def _take(self, messages: list[Message], policy: Policy) -> None:
        orders: list[tuple[int, Order]] = []
        for message in messages:
            # The exact type is asked for: this runs for each signature, and isinstance costs more.
            if type(message) is Ping:
                self._outgoing.append(encode(Pong(message.id, message.data)))
                continue
            decision = policy.decide(cast(Request, message))
            if type(decision) is Order:
                orders.append((message.id, decision))
            else:
                self._refuse(message.id, cast(Refusal, decision))
        if orders:
            self.unanswered += len(orders)
            self._host.order(self, orders)

    def _refuse(self, request_id: int, refusal: Refusal) -> None:
        self._outgoing.append(encode(Failure(request_id, refusal.code)))
        self._host.refused(self, refusal)

    def answer(self, request_id: int, outcome: bytes | ErrorCode) -> None:
        """Queue a signature or an error code for the peer; `flush` sends what is queued."""
        self.unanswered -= 1
        if isinstance(outcome, bytes):
            self._outgoing.append(encode(Signature(request_id, outcome)))
        else:
            self._outgoing.append(encode(Failure(request_id, outcome)))

    def flush(self) -> None:
        """Send what is queued in one write."""
        outgoing, transport = self._outgoing, self._transport
        if outgoing and transport is not None:
            transport.write(b"".join(outgoing))
            outgoing.clear()
        if self._paused:
            self._regulate()
        if self._closing:
            self._close_when_done()

    def drain(self) -> None:
        """Take nothing more, answer what was taken, then close."""
        self._closing = True  # what still comes is read, or the peer's leaving would go unseen
        self._close_when_done()

    def abort(self) -> None:
        """Close now, answered or not."""
        if self._transport is not None:
            self._transport.abort()

    def dismiss(self, reason: str, detail: str) -> None:
        """Close now for a fault of the peer, or because it is no longer known."""
        _log.warning("link ended", frontend=self.frontend, reason=reason, detail=detail)
        self._host.broken(self, reason)
        self._closing = True
        self.abort()

    def pause_writing(self) -> None:
        self._choked = True
        self._regulate()

    def resume_writing(self) -> None:
        self._choked = False
        self._regulate()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._outgoing.clear()
        self._host.ended(self)

    def _close_when_done(self) -> None:
        if self.unanswered == 0 and self._transport is not None:
            self._transport.close()

    def _regulate(self) -> None:
        """Read from the peer only while it takes its answers and does not run too far ahead."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        limit = RESUME_AT if self._paused else MAX_UNANSWERED
        pause = self._choked or self.unanswered > limit
        if pause and not self._paused:
            transport.pause_reading()
        elif self._paused and not pause:
            transport.resume_reading()
        self._paused = pause
