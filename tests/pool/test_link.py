"""A link without a network: what it writes, how it matches answers, when it gives up."""

import asyncio
from collections.abc import Callable
from math import inf
from typing import Any

import pytest

from offload.keys.algorithm import Algorithm
from offload.pool.link import MUTE_TICKS, SILENT_TICKS, WRITE_LIMIT, Answers, Link
from offload.pool.operation import SigningOperation
from offload.wire.codec import Decoder, encode
from offload.wire.message import Failure, Message, Ping, Pong, Signature, TlsSign


class Transport(asyncio.Transport):
    """Remembers what is written and whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.ended = ""
        self.limit: int | None = None

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.limit = high

    def abort(self) -> None:
        self.ended = "abort"

    def close(self) -> None:
        self.ended = "close"

    def peer_certificate(self) -> bytes:
        return b""


class Owner:
    """Writes down what the link reports."""

    def __init__(self) -> None:
        self.usable: list[bool] = []
        self.answers: Answers = []
        self.muted: list[list[SigningOperation]] = []
        self.lost: list[tuple[list[SigningOperation], str]] = []

    def link_opened(self, link: Link) -> None:
        pass

    def link_changed(self, link: Link) -> None:
        self.usable.append(link.usable)

    def link_answered(self, answers: Answers, now: float) -> None:
        self.answers += answers

    def link_muted(self, link: Link, operations: list[SigningOperation]) -> None:
        self.muted.append(operations)

    def link_lost(self, link: Link, operations: list[SigningOperation], reason: str) -> None:
        self.lost.append((operations, reason))


class Bench:
    """A connected link with its owner, its transport and the worker's end of the wire."""

    def __init__(self) -> None:
        self.owner = Owner()
        self.transport = Transport()
        self.link = Link(self.owner, asyncio.get_running_loop(), lambda: 7.0)
        self.link.connection_made(self.transport)

    def written(self) -> list[Message]:
        """What was written since the last call."""
        data, self.transport.writes = b"".join(self.transport.writes), []
        return list(Decoder("worker").feed(data))

    def receive(self, *messages: Message) -> None:
        self.receive_bytes(b"".join(encode(message) for message in messages))

    def receive_bytes(self, data: bytes) -> None:
        self.link.data_received(data)

    def become_usable(self) -> None:
        for ping in self.written():
            self.receive(Pong(ping.id))

    def send(self, count: int = 1) -> list[SigningOperation]:
        operations = [operation() for _ in range(count)]
        for one in operations:
            self.link.send(one)
        return operations


def operation() -> SigningOperation:
    return SigningOperation(
        b"k" * 20, Algorithm.P_256, 0x0403, 0x0304, b"h" * 32, "a.test", b"", lambda _: None
    )


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def turn() -> None:
    """Let the event loop run what is due."""
    await asyncio.sleep(0)


async def test_is_usable_once_the_first_ping_is_answered(bench: Bench) -> None:
    (ping,) = bench.written()
    assert isinstance(ping, Ping)
    assert bench.owner.usable == []
    bench.receive(Pong(ping.id))
    assert bench.owner.usable == [True]
    assert bench.link.usable
    assert bench.transport.limit == WRITE_LIMIT


async def test_requests_of_one_turn_leave_in_one_write(bench: Bench) -> None:
    bench.become_usable()
    bench.send(20)
    assert bench.transport.writes == []
    await turn()
    assert len(bench.transport.writes) == 1
    requests = bench.written()
    assert len(requests) == 20
    assert len({request.id for request in requests}) == 20
    bench.send(1)
    await turn()
    assert len(bench.transport.writes) == 1


async def test_a_request_has_what_the_operation_has(bench: Bench) -> None:
    bench.become_usable()
    bench.send()
    await turn()
    (request,) = bench.written()
    assert request == TlsSign(request.id, b"k" * 20, 0x0403, 0x0304, b"h" * 32, "a.test", b"")


async def test_answers_are_matched_by_id_in_any_order(bench: Bench) -> None:
    bench.become_usable()
    first, second, third = bench.send(3)
    bench.receive(Failure(third.id, 2), Signature(first.id, b"one"), Signature(second.id, b"two"))
    assert bench.owner.answers == [
        (third, Failure(third.id, 2)),
        (first, Signature(first.id, b"one")),
        (second, Signature(second.id, b"two")),
    ]
    assert bench.link.pending == {}


async def test_unknown_and_repeated_ids_are_counted_and_ignored(bench: Bench) -> None:
    bench.become_usable()
    first, second = bench.send(2)
    bench.link.withdraw(second)
    answer = Signature(first.id, b"one")
    bench.receive(answer, answer, Signature(second.id, b"late"), Signature(0xFFFF_FFFF, b"?"))
    assert bench.owner.answers == [(first, answer)]
    assert bench.link.late == 3
    assert bench.transport.ended == ""


async def test_ids_wrap_around_and_skip_those_in_use(bench: Bench) -> None:
    bench.become_usable()
    (long,) = bench.send()
    bench.link._next_id = 0xFFFF_FFFF
    taken = [one.id for one in bench.send(long.id + 2)]
    assert taken[0] == 0xFFFF_FFFF
    assert long.id not in taken
    assert max(taken) <= 0xFFFF_FFFF
    assert len(set(taken)) == len(taken)


@pytest.mark.parametrize("data", [b"\x02\x00\x00\x04\0\0\0\0\0\0\0\0", b"HTTP/1.1 400 Bad\r\n\r\n"])
async def test_a_malformed_frame_ends_the_link(bench: Bench, data: bytes) -> None:
    bench.become_usable()
    operations = bench.send(2)
    bench.receive_bytes(data)
    assert bench.transport.ended == "abort"
    assert not bench.link.usable
    bench.link.connection_lost(None)
    ((lost, reason),) = bench.owner.lost
    assert lost == operations
    assert reason.startswith("malformed frame")
    assert await bench.link.closed == reason


async def test_a_frame_in_pieces_is_put_together(bench: Bench) -> None:
    bench.become_usable()
    (one,) = bench.send()
    frame = encode(Signature(one.id, b"signature"))
    for index in range(len(frame)):
        assert bench.owner.answers == []
        bench.receive_bytes(frame[index : index + 1])
    assert bench.owner.answers == [(one, Signature(one.id, b"signature"))]


async def test_a_full_write_buffer_makes_it_unusable_until_there_is_room(bench: Bench) -> None:
    bench.become_usable()
    bench.link.pause_writing()
    assert not bench.link.usable
    bench.link.resume_writing()
    assert bench.owner.usable == [True, False, True]


async def test_room_in_the_buffer_does_not_make_an_unproved_link_usable(bench: Bench) -> None:
    bench.link.pause_writing()
    bench.link.resume_writing()
    assert not bench.link.usable


async def test_silence_is_met_with_one_ping_and_then_the_end(bench: Bench) -> None:
    bench.become_usable()
    bench.link.tick()
    assert [type(message) for message in bench.written()] == [Ping]
    for _ in range(SILENT_TICKS - 2):
        bench.link.tick()
    assert bench.transport.writes == []
    assert bench.transport.ended == ""
    bench.link.tick()
    assert bench.transport.ended == "abort"
    bench.link.connection_lost(None)
    assert bench.owner.lost == [([], "the worker has fallen silent")]


async def test_who_falls_silent_is_not_asked_until_he_speaks_again(bench: Bench) -> None:
    bench.become_usable()
    operations = bench.send(2)
    for _ in range(MUTE_TICKS):
        assert bench.owner.usable == [True]
        bench.link.tick()
    assert bench.owner.usable == [True, False]
    assert bench.owner.muted == [operations]
    assert all(one.link is None for one in operations)
    bench.link.pause_writing()
    bench.link.resume_writing()
    assert bench.owner.usable == [True, False]
    bench.receive(Signature(operations[0].id, b"late"))
    assert bench.link.late == 1
    assert bench.owner.usable == [True, False, True]
    assert bench.transport.ended == ""


async def test_any_answer_is_a_sign_of_life(bench: Bench) -> None:
    bench.become_usable()
    for _ in range(3 * SILENT_TICKS):
        (one,) = bench.send()
        bench.link.tick()
        bench.receive(Signature(one.id, b"one"))
    assert bench.transport.ended == ""


@pytest.mark.parametrize(
    ("end", "how", "reason"),
    [
        (lambda link: link.close(), "close", "closed by this side"),
        (lambda link: link.abort("enough"), "abort", "enough"),
        (lambda link: None, "", "closed by the worker"),
    ],
)
async def test_the_end_tells_its_reason(
    bench: Bench, end: Callable[[Link], None], how: str, reason: str
) -> None:
    bench.become_usable()
    end(bench.link)
    assert bench.transport.ended == how
    bench.link.connection_lost(None)
    assert bench.owner.lost == [([], reason)]
    assert bench.owner.usable == [True, False]


async def test_a_write_that_was_due_when_the_link_broke_is_dropped(bench: Bench) -> None:
    bench.become_usable()
    bench.send()
    bench.link.connection_lost(OSError("Connection reset by peer"))
    await turn()
    assert bench.transport.writes == []
    assert bench.owner.lost[0][1] == "connection reset by peer"


async def test_the_round_trip_is_the_least_of_the_last_ones() -> None:
    now = 7.0
    link = Link(Owner(), asyncio.get_running_loop(), lambda: now)
    transport = Transport()
    assert link.round_trip == inf
    link.connection_made(transport)
    for seconds in (0.5, 0.25, *[0.75] * 8):
        (ping,) = Decoder("worker").feed(b"".join(transport.writes))
        transport.writes.clear()
        now += seconds
        link.data_received(encode(Pong(ping.id)))
        assert link.round_trip <= seconds
        link.tick()
    assert link.round_trip == 0.75


async def test_an_answer_to_another_ping_is_no_measure(bench: Bench) -> None:
    (ping,) = bench.written()
    bench.receive(Pong(ping.id + 1))
    assert bench.link.round_trip == inf
    assert bench.link.usable
