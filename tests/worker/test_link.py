"""One link without a network: what it writes, when it reads, how it ends."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from offload.keys.algorithm import Algorithm
from offload.keys.record import KeyRecord
from offload.keys.scheme import SignatureScheme
from offload.wire.codec import Decoder, encode
from offload.wire.error import ErrorCode
from offload.wire.message import Failure, Message, Ping, Pong, Signature, TlsSign
from offload.worker import link as link_module
from offload.worker.grant import Grant
from offload.worker.link import Link
from offload.worker.order import Order, Refusal
from offload.worker.policy import Policy
from offload.worker.use import TLS_1_3

KEY = KeyRecord(b"k" * 20, "key", Algorithm.P_256, b"", datetime.now(UTC))
POLICY = Policy("known", Grant("known", "", ["*"]).uses([KEY]), plain_digests=False)


class Transport(asyncio.Transport):
    """Remembers what was done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.reading = True
        self.ended = ""

    def peer_certificate(self) -> bytes:
        return b"certificate"

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_reading(self) -> bool:
        return self.reading

    def close(self) -> None:
        self.ended = "closed"

    def abort(self) -> None:
        self.ended = "aborted"

    def is_closing(self) -> bool:
        return bool(self.ended)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    @property
    def sent(self) -> list[Message]:
        return Decoder("front-end").feed(b"".join(self.writes))


class Host:
    def __init__(self) -> None:
        self.policy: Policy | None = POLICY
        self.orders: list[int] = []
        self.events: list[str] = []

    def admit(self, link: Link, certificate: bytes) -> Policy | None:
        assert certificate == b"certificate"
        return self.policy

    def order(self, link: Link, orders: list[tuple[int, Order]]) -> None:
        self.orders += [number for number, _ in orders]

    def refused(self, link: Link, refusal: Refusal) -> None:
        self.events.append(refusal.reason)

    def broken(self, link: Link, reason: str) -> None:
        self.events.append(reason)

    def ended(self, link: Link) -> None:
        self.events.append("ended")


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def transport() -> Transport:
    return Transport()


@pytest.fixture
def link(host: Host, transport: Transport) -> Iterator[Link]:
    link = Link(host)
    link.connection_made(transport)
    yield link
    link.connection_lost(None)


def requests(count: int, start: int = 0) -> bytes:
    scheme = SignatureScheme.ECDSA_SECP256R1_SHA256
    return b"".join(
        encode(TlsSign(number, KEY.ski, scheme, TLS_1_3, bytes(32)))
        for number in range(start, start + count)
    )


def answer(link: Link, *numbers: int) -> None:
    for number in numbers:
        link.answer(number, b"signature")
    link.flush()


def test_answers_are_sent_in_one_write(link: Link, host: Host, transport: Transport) -> None:
    link.data_received(requests(3))
    assert host.orders == [0, 1, 2]
    assert transport.writes == []
    answer(link, 2, 0, 1)
    assert len(transport.writes) == 1
    assert transport.sent == [Signature(number, b"signature") for number in (2, 0, 1)]
    assert link.unanswered == 0


def test_refusals_and_pongs_of_one_read_share_a_write(
    link: Link, host: Host, transport: Transport
) -> None:
    bad = encode(TlsSign(1, KEY.ski, 0x0804, TLS_1_3, bytes(32)))
    link.data_received(bad + encode(Ping(2, b"x")))
    assert len(transport.writes) == 1
    assert transport.sent == [Failure(1, ErrorCode.FORMAT), Pong(2, b"x")]
    assert host.events == ["scheme"]


def test_a_stranger_is_not_listened_to(host: Host, transport: Transport) -> None:
    host.policy = None
    link = Link(host)
    link.connection_made(transport)
    assert transport.ended == "aborted"
    link.data_received(requests(1))
    assert host.orders == []
    assert link.frontend == "unknown"


def test_nothing_is_taken_after_a_malformed_frame(
    link: Link, host: Host, transport: Transport
) -> None:
    link.data_received(b"\xff" * 8)
    assert transport.ended == "aborted"
    assert host.events == ["malformed_frame"]
    link.data_received(requests(1))
    assert host.orders == []


def test_reading_stops_while_too_much_is_unanswered(
    link: Link, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "MAX_UNANSWERED", 4)
    monkeypatch.setattr(link_module, "RESUME_AT", 2)
    link.data_received(requests(4))
    assert transport.is_reading()
    link.data_received(requests(1, 4))
    assert not transport.is_reading()
    answer(link, 0, 1)
    assert not transport.is_reading()
    answer(link, 2)
    assert transport.is_reading()


def test_reading_stops_while_the_peer_takes_no_answers(link: Link, transport: Transport) -> None:
    link.pause_writing()
    assert not transport.is_reading()
    link.resume_writing()
    assert transport.is_reading()


def test_a_drain_waits_for_the_answers(link: Link, transport: Transport) -> None:
    link.data_received(requests(2))
    link.drain()
    assert transport.is_reading(), "or the peer's leaving would go unseen"
    answer(link, 0)
    assert not transport.is_closing()
    answer(link, 1)
    assert transport.ended == "closed"
    assert len(transport.sent) == 2


def test_an_idle_link_drains_at_once(link: Link, transport: Transport) -> None:
    link.drain()
    assert transport.ended == "closed"


def test_an_answer_after_the_end_goes_nowhere(link: Link, host: Host, transport: Transport) -> None:
    link.data_received(requests(1))
    link.connection_lost(None)
    answer(link, 0)
    assert transport.writes == []
    assert host.events == ["ended"]
