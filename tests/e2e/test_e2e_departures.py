"""Clients that leave at each stage of a handshake; the front-end goes on as if nothing was."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.chain import Chain
from support.tls_client import SocketClient
from support.website import GREETING

COUNT = 5
WAYS = [(version, reset) for version in ("1.2", "1.3") for reset in (False, True)]
SITE = "rsa-2048.test"


def _connected(client: SocketClient) -> None:
    """Not a byte was sent."""


def _half_hello(client: SocketClient) -> None:
    hello = client.client.step()
    client.socket.sendall(hello[: len(hello) // 2])


def _server_flight(client: SocketClient) -> None:
    client.socket.sendall(client.client.step())
    finished = b""  # which is never sent
    while not finished:
        data = client.receive()
        assert data
        finished = client.client.step(data)


def _finished(client: SocketClient) -> None:
    client.handshake()


def _midway(client: SocketClient) -> None:
    client.handshake()
    client.tls.sendall(b"GET / HTTP/1.1\r\n")
    client.socket.sendall(client.client.output())


STAGES = (_connected, _half_hello, _server_flight, _finished, _midway)
UNFINISHED = 3


@pytest.fixture(scope="module", autouse=True)
def _settled(chain: Chain) -> None:
    chain.settle()


def test_clients_leave_at_every_stage(chain: Chain) -> None:
    with chain.counted(UNFINISHED * len(WAYS) * COUNT, outcome="client_closed"):
        clients = []
        for stage in STAGES:
            for client, reset in _clients(chain):
                stage(client)
                clients.append((client, reset))
        # What is not seen open has not been seen closed.
        chain.admin.until_total("offload_open_connections", len(clients))
        for client, reset in clients:
            _leave(client, reset)
    _assert_healthy(chain)


def test_clients_leave_while_their_signatures_are_made(chain: Chain) -> None:
    clients = _clients(chain)
    with (
        _stalled_workers(chain),
        chain.counted(len(clients), site=SITE, outcome="client_closed"),
    ):
        for client, _ in clients:
            client.socket.sendall(client.client.step())
        chain.admin.until_total("offload_open_connections", len(clients), state="handshake")
        for client, reset in clients:
            _leave(client, reset)
    _assert_healthy(chain)


def _clients(chain: Chain) -> list[tuple[SocketClient, bool]]:
    """Connected ones, and whether they are to leave by a reset."""
    return [
        (SocketClient(chain.port, SITE, version=version), reset)
        for version, reset in WAYS
        for _ in range(COUNT)
    ]


@contextmanager
def _stalled_workers(chain: Chain) -> Iterator[None]:
    """Workers that take requests and answer none inside."""
    serving = [pid for name in chain.workers for pid in chain.serving_pids(name)]
    for pid in serving:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in serving:
            os.kill(pid, signal.SIGCONT)


def _leave(client: SocketClient, reset: bool) -> None:
    if reset:
        client.reset()
    else:
        client.socket.close()


def _assert_healthy(chain: Chain) -> None:
    """Nothing is left of those who went, nobody died of it, and the next client is served."""
    chain.until_idle()
    chain.until_linked()
    assert chain.admin.total("offload_process_restarts_total") == 0
    assert "Traceback" not in chain.front_end.output
    with SocketClient(chain.port, SITE) as client:
        client.handshake()
        assert client.get().endswith(GREETING.encode())
