"""What drives a subject from the load core, and counts what it completed."""

import re
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.cpu import pinned
from bench.lab import LOAD_CORE
from bench.process import find

SPARE_SECONDS = 10.0
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class LoadFailed(Exception):
    """A load did not complete what it should have; the text says what it saw."""


@contextmanager
def requests(port: int, *, connections: int, close: bool) -> Iterator[None]:
    """Have wrk request one URL for as long as the body runs.

    With `close` each request is a connection, and so a handshake, of its own.
    Raises LoadFailed at the end if more than one request in a hundred failed.
    """
    command = ["wrk", "-t1", f"-c{connections}", "-d600s", "--timeout", "10s"]
    command += ["-H", "Connection: close"] if close else []
    wrk = _start([*command, f"https://localhost:{port}/"])
    try:
        yield
        wrk.send_signal(signal.SIGINT)  # upon which wrk reports as at its end
        completed_requests(wrk.communicate(timeout=SPARE_SECONDS)[0])
    finally:
        wrk.kill()
        wrk.wait()


def completed_requests(output: str) -> int:
    """The number of requests in wrk's report; raises LoadFailed if over 1 % failed."""
    total = re.search(r"(\d+) requests in", output)
    errors = re.search(r"Socket errors: .*", output)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    done = int(total[1]) if total else 0
    failed = sum(map(int, re.findall(r"\d+", errors[0]))) if errors else 0
    failed += int(refused[1]) if refused else 0
    if not done or failed * 100 > done:
        raise LoadFailed(f"wrk completed {done} requests and saw {failed} errors")
    return done


def handshakes(port: int, *, seconds: float) -> int:
    """Connect, shake hands and close, one after the other, with s_time; how many times."""
    whole = str(max(1, round(seconds)))
    command = ["openssl", "s_time", "-connect", f"127.0.0.1:{port}", "-new", "-tls1_3", "-time"]
    s_time = _start([*command, whole])
    try:
        output = s_time.communicate(timeout=seconds + SPARE_SECONDS)[0]
    finally:
        s_time.kill()
        s_time.wait()
    counts = re.findall(r"(\d+) connections in", output)
    if not counts or not int(counts[-1]):
        raise LoadFailed(f"s_time completed no handshake: {output[-200:]}")
    return int(counts[-1])


def download(size: int, suite: str, port: int) -> float:
    """Fetch the backend's large file of `size` bytes with curl; gigabytes received.

    `suite` names the only TLS 1.3 cipher suite to offer, empty for the library's choice.
    Raises LoadFailed.
    """
    return _transfer([f"https://localhost:{port}/large"], "%{size_download}", size, suite)


def upload(file: Path, suite: str, port: int) -> float:
    """Send a file with curl; gigabytes sent. As `download` otherwise."""
    arguments = ["-X", "POST", "-H", "Expect:", "-T", str(file), f"https://localhost:{port}/sink"]
    return _transfer(arguments, "%{size_upload}", file.stat().st_size, suite)


def _transfer(arguments: Sequence[str], shown: str, size: int, suite: str) -> float:
    command = ["curl", "-s", "-k", "-o", "/dev/null", "--max-time", "60", "-w", shown]
    command += ["--tls13-ciphers", suite] if suite else []
    curl = _start([*command, *arguments])
    output = curl.communicate(timeout=70)[0]
    if curl.returncode or output != str(size):
        raise LoadFailed(f"curl moved {output or 0} of {size} bytes, exit {curl.returncode}")
    return size / 1e9


def _start(command: Sequence[str]) -> subprocess.Popen[str]:
    with pinned(LOAD_CORE):
        return subprocess.Popen(
            [find(command[0]), *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )


@contextmanager
def idle_connections(
    port: int, count: int, context: ssl.SSLContext
) -> Iterator[list[ssl.SSLSocket]]:
    """Hold this many TLS connections, handshake complete, nothing sent."""
    held: list[ssl.SSLSocket] = []
    try:
        for _ in range(count):
            plain = socket.create_connection(("127.0.0.1", port), SPARE_SECONDS)
            held.append(context.wrap_socket(plain, server_hostname="localhost"))
        yield held
    finally:
        for connection in held:
            connection.close()


def one_request_each(connections: Sequence[ssl.SSLSocket]) -> None:
    """Send a request on every connection and read its response; they stay open."""
    for connection in connections:
        connection.sendall(REQUEST)
        if not connection.recv(4096).startswith(b"HTTP/1.1 200"):
            raise LoadFailed("the answer was not a response of status 200")
