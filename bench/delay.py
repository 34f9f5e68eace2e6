"""A TCP relay that delays what goes to the server: `python -m bench.delay LISTEN SERVER MS...`.

It stands between a front-end and a worker, so that every signature takes so much longer. Each
chunk sent towards the server is handed on `delay` seconds after it came; answers go back at once,
so a request and its answer take `delay` longer together. Order is kept, bandwidth is not limited,
and a chunk costs one timer at most: thousands of requests can be under way in the delay at once.
SIGUSR1 changes to the next of the delays given, after the last to the first again.
"""

import argparse
import asyncio
import contextlib
import signal
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

import uvloop

Delay = Callable[[], float]


class DelayLine:
    """Chunks on their way to a transport, each due `delay()` seconds after it was put in."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, out: asyncio.Transport, delay: Delay
    ) -> None:
        self._loop = loop
        self._out = out
        self._delay = delay
        self._queue: deque[tuple[float, bytes]] = deque()

    def put(self, data: bytes) -> None:
        """Send data after the delay; an empty chunk ends the stream."""
        # No delay takes the same way, so that the relay itself costs the same with any.
        due = self._loop.time() + self._delay()
        self._queue.append((due, data))
        if len(self._queue) == 1:
            self._loop.call_at(due, self._due)

    def _due(self) -> None:
        now = self._loop.time()
        # One event-loop clock tick of slack: a timer may fire just before its time.
        due: list[bytes] = []
        while self._queue and self._queue[0][0] <= now + 0.001:
            due.append(self._queue.popleft()[1])
        if data := b"".join(due):
            self._deliver(data)
        if due and not due[-1]:
            self._deliver(b"")
        if self._queue:
            self._loop.call_at(self._queue[0][0], self._due)

    def _deliver(self, data: bytes) -> None:
        if self._out.is_closing():
            return
        if data:
            self._out.write(data)
        elif self._out.can_write_eof():
            self._out.write_eof()


class Server(asyncio.Protocol):
    """The connection towards the server; what it says goes back at once."""

    def __init__(self, client: asyncio.Transport) -> None:
        self._client = client

    def data_received(self, data: bytes) -> None:
        if not self._client.is_closing():
            self._client.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.close()


class Client(asyncio.Protocol):
    """An accepted connection: connects to the server and sends it everything late."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, server: tuple[str, int], delay: Delay
    ) -> None:
        self._loop = loop
        self._server = server
        self._delay = delay
        self._line: DelayLine | None = None
        self._early: list[bytes] = []
        self._out: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio's.
        client = cast(asyncio.Transport, transport)
        self._task = self._loop.create_task(self._connect(client))

    async def _connect(self, client: asyncio.Transport) -> None:
        try:
            out, _ = await self._loop.create_connection(lambda: Server(client), *self._server)
        except OSError:
            client.close()
            return
        self._out = out
        self._line = DelayLine(self._loop, out, self._delay)
        for data in self._early:
            self._line.put(data)

    def data_received(self, data: bytes) -> None:
        if self._line is None:
            self._early.append(data)
        else:
            self._line.put(data)

    def eof_received(self) -> bool:
        self.data_received(b"")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self._out is not None:
            self._out.close()
        elif self._task is not None:
            self._task.cancel()


async def serve(listen: tuple[str, int], server: tuple[str, int], delay: Delay) -> asyncio.Server:
    """Start relaying from one address to another; each chunk asks for its delay in seconds."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Client(loop, server, delay), *listen)


async def _run(listen: int, server: int, milliseconds: Sequence[float]) -> None:
    stop, delays = asyncio.Event(), deque(delay / 1e3 for delay in milliseconds)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, delays.rotate, -1)
    relay = await serve(("127.0.0.1", listen), ("127.0.0.1", server), lambda: delays[0])
    await stop.wait()
    relay.close()


def main() -> None:
    """The command line of the module."""
    parser = argparse.ArgumentParser(prog="python -m bench.delay", description=__doc__)
    parser.add_argument("listen", type=int, help="loopback port to listen on")
    parser.add_argument("server", type=int, help="loopback port to relay to")
    parser.add_argument("milliseconds", type=float, nargs="+", help="delays to choose from")
    arguments = parser.parse_args()
    with (
        contextlib.suppress(KeyboardInterrupt),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_run(arguments.listen, arguments.server, arguments.milliseconds))


if __name__ == "__main__":
    main()
