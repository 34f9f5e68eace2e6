import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
import uvloop

from bench import delay


class Clock:
    """The two methods of an event loop that a delay line uses, with time moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Any]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, due: float, callback: Any) -> None:
        self.timers.append((due, callback))

    def advance(self, to: float) -> None:
        while self.timers and min(self.timers)[0] <= to:
            timer = min(self.timers, key=lambda timer: timer[0])
            self.timers.remove(timer)
            self.now = timer[0]
            timer[1]()
        self.now = to


class Out:
    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.ended = False

    def is_closing(self) -> bool:
        return False

    def can_write_eof(self) -> bool:
        return True

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def write_eof(self) -> None:
        self.ended = True


def line(*delays: float) -> tuple[delay.DelayLine, Clock, Out]:
    clock, out = Clock(), Out()
    made = delay.DelayLine(
        cast(asyncio.AbstractEventLoop, clock), cast(asyncio.Transport, out), iter(delays).__next__
    )
    return made, clock, out


def test_each_chunk_waits_its_own_delay_and_order_is_kept() -> None:
    made, clock, out = line(0.1, 0.1, 0.1, 0.1)
    made.put(b"a")
    clock.advance(0.05)
    made.put(b"b")
    made.put(b"c")
    made.put(b"")
    assert len(clock.timers) == 1
    clock.advance(0.09)
    assert out.written == []
    clock.advance(0.11)
    assert out.written == [b"a"]
    clock.advance(0.16)
    assert out.written == [b"a", b"bc"]
    assert out.ended


def test_no_delay_waits_for_the_next_turn_of_the_loop_alone() -> None:
    made, clock, out = line(0)
    made.put(b"a")
    assert len(clock.timers) == 1
    clock.advance(clock.now)
    assert out.written == [b"a"]


def test_a_shorter_delay_never_overtakes() -> None:
    made, clock, out = line(0.1, 0, 0.02, 0)
    made.put(b"a")
    made.put(b"b")
    clock.advance(0.05)
    made.put(b"c")
    assert out.written == []
    clock.advance(0.1)
    assert out.written == [b"abc"]
    made.put(b"d")
    clock.advance(0.1)
    assert out.written == [b"abc", b"d"]


LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("seconds", [0, 0.01])
def test_the_relay_carries_both_ways_and_passes_the_end_on(
    loop: Callable[[], asyncio.AbstractEventLoop], seconds: float
) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(carry(seconds))


async def carry(seconds: float) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    relay = await delay.serve(
        ("127.0.0.1", 0), server.sockets[0].getsockname()[:2], lambda: seconds
    )
    reader, writer = await asyncio.open_connection(*relay.sockets[0].getsockname()[:2])
    sent = b"".join(number.to_bytes(4, "big") for number in range(20_000))
    writer.write(sent)
    writer.write_eof()
    assert await reader.read() == sent
    writer.close()
    await writer.wait_closed()
    relay.close()
    server.close()


async def test_a_server_that_is_not_there_ends_the_connection() -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    gone = server.sockets[0].getsockname()[:2]
    server.close()
    await server.wait_closed()
    relay = await delay.serve(("127.0.0.1", 0), gone, lambda: 0.01)
    reader, writer = await asyncio.open_connection(*relay.sockets[0].getsockname()[:2])
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    relay.close()
