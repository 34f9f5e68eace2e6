"""The balancer on bad days: a worker that stops, one that dies, none that is left."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from OpenSSL import SSL
from support.chain import PROCESSES, Chain, State, until
from support.processes import Spawner
from support.tls_client import SocketClient

WORKERS = ("worker-1", "worker-2", "worker-3")
CLIENTS = 4


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """Three workers of one process each."""
    directory = tmp_path_factory.mktemp("balancer")
    spawner = Spawner(directory)
    try:
        running = Chain(State(directory / "state", WORKERS), spawner)
        running.until_linked()
        yield running
    finally:
        spawner.stop()


def visit(running: Chain, earlier: SocketClient | None = None) -> SocketClient:
    with SocketClient(running.port, "localhost", running.state.trust, earlier=earlier) as client:
        client.handshake()
        client.get()
        return client


class Load:
    """Full handshakes one after the other by some clients at once; none may fail."""

    def __init__(self, running: Chain) -> None:
        self._running = running
        self._over = threading.Event()
        self.seconds: list[float] = []

    def visits(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            visit(self._running)
            self.seconds.append(time.monotonic() - began)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        with ThreadPoolExecutor(CLIENTS) as clients:
            visits = [clients.submit(self.visits) for _ in range(CLIENTS)]
            try:
                until(lambda: len(self.seconds) > 20, "the first handshakes")
                yield
            finally:
                self._over.set()
            for each in visits:
                each.result(60)


def send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


def share(running: Chain, worker: str) -> float:
    return running.admin.total("offload_pool_share", worker=worker)


def links(running: Chain, worker: str) -> float:
    return running.admin.total("offload_pool_links", worker=worker)


def test_a_worker_that_stops_is_left_out_and_comes_back(running: Chain) -> None:
    load = Load(running)
    stopped = running.worker_pids("worker-1")
    with load.under_way():
        send(stopped, signal.SIGSTOP)
        began = time.monotonic()
        try:
            until(lambda: links(running, "worker-1") == 0, "the end of trust in worker-1")
            # The metrics are a second old at most.
            assert time.monotonic() - began < 2 + 1.5
        finally:
            send(stopped, signal.SIGCONT)
        began = time.monotonic()
        until(lambda: share(running, "worker-1") == 1, "the return of worker-1")
        assert time.monotonic() - began < 10 + 1.5
    slow = [seconds for seconds in load.seconds if seconds > 0.5]
    assert len(slow) <= max(2, len(load.seconds) // 50), sorted(slow)


def test_a_worker_that_is_killed_is_not_missed(running: Chain) -> None:
    load = Load(running)
    with load.under_way():
        send(running.worker_pids("worker-2"), signal.SIGKILL)
        until(lambda: links(running, "worker-2") == 0, "the end of worker-2")
        running.workers["worker-2"] = running.start("worker", "worker-2")
        until(lambda: links(running, "worker-2") == PROCESSES, "links to worker-2")


def test_with_every_worker_down_known_clients_are_served_and_new_ones_fail_soon(
    running: Chain,
) -> None:
    known = visit(running)
    for name in WORKERS:
        send(running.worker_pids(name), signal.SIGKILL)
    for name in WORKERS:
        running.admin.until_total("offload_pool_links", 0, worker=name)
    before = running.handshakes(outcome="signing_no_worker")
    took = []
    for _ in range(5):
        began = time.monotonic()
        with pytest.raises(SSL.Error, match="alert"):
            visit(running)
        took.append(time.monotonic() - began)
    assert sorted(took)[2] < 1  # of one the machine may take its time
    assert max(took) < 3
    for _ in range(5):
        assert visit(running, known).resumed
    until(
        lambda: running.handshakes(outcome="signing_no_worker") == before + 5,
        "the count of refusals",
    )
    for name in WORKERS:
        running.workers[name] = running.start("worker", name)
    running.until_linked()
    assert not visit(running).resumed
    running.until_idle()
