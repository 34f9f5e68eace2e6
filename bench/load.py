"""What drives a subject from the load core, and counts what it completed."""

import os
import re
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.cpu import pinned
from bench.lab import LOAD_CORE
from bench.process import environment, find

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


class Handshakes:
    """Handshakes that processes of `openssl s_time` complete, each one after the other."""

    def __init__(self, port: int, processes: int) -> None:
        self._output = b""
        self._pipe, write = os.pipe()
        os.set_blocking(self._pipe, False)
        # Without an authority to load, which would take longest; the signature is checked anyway.
        command = ["openssl", "s_time", "-connect", f"127.0.0.1:{port}", "-new", "-tls1_3"]
        command += ["-time", "600", "-no-CAfile", "-no-CApath", "-no-CAstore"]
        self._processes = [_start(command, write) for _ in range(processes)]
        os.close(write)

    def count(self) -> int:
        """How many are complete; raises LoadFailed if one was no full one, or a client ended."""
        with suppress(BlockingIOError):
            while data := os.read(self._pipe, 65536):
                self._output += data
        full, other = completed_handshakes(self._output)
        if other:
            raise LoadFailed(f"{other} of {full + other} handshakes were resumed or not TLS 1.3")
        if any(process.poll() is not None for process in self._processes):
            raise LoadFailed(f"a client ended after {full} handshakes of all clients")
        return full

    def close(self) -> None:
        """End the clients."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
        os.close(self._pipe)


def completed_handshakes(output: bytes) -> tuple[int, int]:
    """Full handshakes of TLS 1.1 or later in what several s_time printed, and all others.

    It prints a character for each as it completes: `*`, or `r` for a resumed one, and so on.
    """
    marks = re.sub(rb"Collecting [^\n]*\n", b"", output)
    full = marks.count(b"*")
    return full, len(marks) - full


@contextmanager
def handshakes(port: int, *, processes: int) -> Iterator[Handshakes]:
    """Have so many clients shake hands and close for as long as the body runs."""
    running = Handshakes(port, processes)
    try:
        yield running
    finally:
        running.close()


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


def _start(command: Sequence[str], output: int = subprocess.PIPE) -> subprocess.Popen[str]:
    with pinned(LOAD_CORE):
        return subprocess.Popen(
            [find(command[0]), *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL,
            env=environment(),
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
