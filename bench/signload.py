"""Loads one worker with signing requests over a link of its own and counts what comes back.

    python -m bench.signload --port 4433 --certificate C --key K --trust CA --ski HEX \
        --scheme 0x0403 --in-flight 64 --seconds 5 --pid WORKER
"""

import argparse
import asyncio
import json
import ssl
import struct
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import uvloop

from bench.cpu import cpu_seconds
from offload.config import Identity
from offload.wire.codec import Decoder, encode
from offload.wire.message import Signature, TlsSign

TLS_1_3 = 0x0304
_WARM_UP_SECONDS = 0.3


class _Load(asyncio.Protocol):
    """Keeps `in_flight` requests under way; an answer is followed by the next request at once."""

    def __init__(self, frame: bytes, in_flight: int) -> None:
        # Only the id differs between requests: building each would measure the client.
        self._head, self._tail = frame[:4], frame[8:]
        self._in_flight = in_flight
        self._decoder = Decoder("front-end")
        self._next = 0
        self.signatures = 0
        self.failures = 0
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask(self._in_flight)

    def data_received(self, data: bytes) -> None:
        answers = self._decoder.feed(data)
        good = sum(type(answer) is Signature for answer in answers)
        self.signatures += good
        self.failures += len(answers) - good
        self._ask(len(answers))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(exc)

    def _ask(self, count: int) -> None:
        first, self._next = self._next, self._next + count
        pack, head, tail = struct.Struct(">I").pack, self._head, self._tail
        frames = [head + pack(number) + tail for number in range(first, first + count)]
        self._transport.write(b"".join(frames))


def run(
    host: str,
    port: int,
    identity: Identity,
    trust: Path,
    ski: bytes,
    scheme: int,
    in_flight: int,
    seconds: float,
    pids: Sequence[int] = (),
) -> dict[str, Any]:
    """Load the worker at `host`:`port` for `seconds` with TLS 1.3 requests for the key `ski`.

    The result has signatures, failures, seconds, rate (signatures per second) and, if `pids` name
    the worker's processes, cpu_us, their processor time per signature in microseconds.
    Raises OSError, and ConnectionError if the worker ends the link.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.load_cert_chain(identity.certificate, identity.key)
    context.load_verify_locations(trust)
    frame = encode(TlsSign(0, ski, scheme, TLS_1_3, bytes(range(32)), "", b""))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(host, port, context, frame, in_flight, seconds, pids))


async def _run(
    host: str,
    port: int,
    context: ssl.SSLContext,
    frame: bytes,
    in_flight: int,
    seconds: float,
    pids: Sequence[int],
) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    transport, load = await loop.create_connection(
        lambda: _Load(frame, in_flight), host, port, ssl=context, server_hostname=""
    )
    await _pass(load, _WARM_UP_SECONDS)
    load.signatures = load.failures = 0
    cpu, began = cpu_seconds(pids), perf_counter()
    await _pass(load, seconds)
    took, used = perf_counter() - began, cpu_seconds(pids) - cpu
    signatures = load.signatures
    transport.abort()
    result: dict[str, Any] = {
        "signatures": signatures,
        "failures": load.failures,
        "seconds": took,
        "rate": signatures / took,
    }
    if pids and signatures:
        result["cpu_us"] = used / signatures * 1e6
    return result


async def _pass(load: _Load, seconds: float) -> None:
    done, _ = await asyncio.wait([load.lost], timeout=seconds)
    if done:
        raise ConnectionError(f"the worker ended the link: {load.lost.result()}")


def main() -> None:
    """The command line; prints the result as JSON."""
    parser = argparse.ArgumentParser(description="load one worker with signing requests")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--trust", type=Path, required=True)
    parser.add_argument("--ski", type=bytes.fromhex, required=True)
    parser.add_argument("--scheme", type=lambda text: int(text, 0), required=True)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--pid", type=int, action="append", default=[])
    options = parser.parse_args()
    result = run(
        options.host,
        options.port,
        Identity(certificate=options.certificate, key=options.key),
        options.trust,
        options.ski,
        options.scheme,
        options.in_flight,
        options.seconds,
        options.pid,
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
