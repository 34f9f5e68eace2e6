"""Processes that die under load: clients must not notice."""

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from support.chain import Chain, State, until
from support.processes import Spawner
from support.tls_client import SocketClient
from support.website import GREETING

HANDSHAKES = 200
AT_ONCE = 40


@pytest.fixture
def running(make_state: Callable[[], State], spawn: Spawner) -> Chain:
    running = Chain(make_state(), spawn)
    running.until_linked()
    return running


def _visit(running: Chain) -> None:
    with SocketClient(running.port, "localhost", running.state.trust) as client:
        client.handshake()
        assert client.get().endswith(GREETING.encode())


def test_a_worker_killed_with_handshakes_under_way(running: Chain) -> None:
    serving = running.serving_pids("worker-1")
    everything = running.worker_pids("worker-1")
    halfway = threading.Event()
    done: list[int] = []

    def visit(number: int) -> None:
        _visit(running)
        done.append(number)
        if len(done) >= HANDSHAKES // 4:
            halfway.set()

    with ThreadPoolExecutor(AT_ONCE) as clients:
        visits = [clients.submit(visit, number) for number in range(HANDSHAKES)]
        assert halfway.wait(60)
        # Held still first, so that what it was asked for is surely under way when it dies.
        for pid in serving:
            os.kill(pid, signal.SIGSTOP)
        until(lambda: _in_flight(running, "worker-1") > 0, "signatures under way in worker-1")
        for pid in everything:
            os.kill(pid, signal.SIGKILL)
        for each in visits:
            each.result(60)
    assert sorted(done) == list(range(HANDSHAKES))
    running.admin.until_total("offload_pool_links", 0, worker="worker-1")
    running.admin.until_total("offload_handshakes_total", HANDSHAKES, outcome="complete")
    assert running.handshakes() == HANDSHAKES
    # What was under way there was asked of the other: when it was late, or when the link broke.
    asked_again = ("offload_signing_retries_total", "offload_signing_hedges_total")
    assert sum(map(running.admin.total, asked_again)) > 0
    running.until_idle()

    running.workers["worker-1"] = running.start("worker", "worker-1")
    running.until_linked()


def _in_flight(running: Chain, worker: str) -> float:
    return running.admin.total("offload_signing_in_flight", worker=worker)


def test_a_front_end_process_that_dies_is_replaced(running: Chain) -> None:
    with SocketClient(running.port, "localhost") as client:
        client.handshake()
        victim = running.owner(client.port)
        os.kill(victim, signal.SIGKILL)
        with suppress(ConnectionError):
            while client.receive():
                pass
    running.front_end.wait_for_output(f'"pid":{victim}.*"process died"')
    running.admin.until_total("offload_process_restarts_total", 1)
    until(running.admin.agrees, "readiness")
    running.until_linked()
    owners: set[int] = set()
    while len(owners) < 2:
        with SocketClient(running.port, "localhost", running.state.trust) as client:
            client.handshake()
            owners.add(running.owner(client.port))
            assert client.get().endswith(GREETING.encode())
    assert victim not in owners
    running.until_idle()
