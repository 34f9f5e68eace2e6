"""What keeps a link up, over TCP and Unix sockets."""

import asyncio
import time
from pathlib import Path
from random import Random

import pytest
from pool.conftest import StartWorker
from support.pki import PKI, Issued
from support.ports import free_port
from support.scripted_worker import Connection

from offload.config import Address, Identity
from offload.observe import metrics
from offload.pool import connector as connector_module
from offload.pool.connector import Connector
from offload.pool.health import Reason
from offload.pool.meter import PoolMeter
from offload.pool.operation import SigningOperation
from offload.pool.remote import RemoteWorker
from offload.pool.spec import WorkerSpec
from offload.tls.mutual import client_context


class Owner:
    """Knows when the worker changes."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()

    def worker_changed(self) -> None:
        self.changed.set()

    def worker_refused(
        self, worker: RemoteWorker, operation: SigningOperation, code: int, now: float
    ) -> None:
        raise AssertionError

    def worker_lost(
        self, worker: RemoteWorker, operations: list[SigningOperation], reason: str
    ) -> None:
        raise AssertionError

    def worker_ailing(self, worker: RemoteWorker, reason: Reason, now: float) -> None:
        raise AssertionError


class Bench:
    """A connector to an address, with its worker."""

    def __init__(self, address: str, pki: PKI, identity: Issued) -> None:
        loop = asyncio.get_running_loop()
        files = Identity(certificate=identity.certificate_path, key=identity.key_path)
        self.owner = Owner()
        self.worker = RemoteWorker(
            WorkerSpec("alpha", Address.parse(address)),
            self.owner,
            PoolMeter(metrics).of("alpha"),
            loop=loop,
            clock=time.monotonic,
        )
        connector = Connector(
            self.worker,
            Address.parse(address),
            client_context(files, pki.root_path),
            loop=loop,
            clock=time.monotonic,
            random=Random(1),
        )
        self.task = loop.create_task(connector.run())

    async def until_usable(self, usable: bool) -> None:
        async with asyncio.timeout(10):
            while self.worker.usable is not usable:
                self.owner.changed.clear()
                await self.owner.changed.wait()

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.worker.abort()


@pytest.fixture
def complaints(monkeypatch: pytest.MonkeyPatch) -> asyncio.Queue[str]:
    """The reasons of the warnings in the log."""
    reasons: asyncio.Queue[str] = asyncio.Queue()

    class Log:
        def warning(self, event: str, *, worker: str, address: str, reason: str) -> None:
            reasons.put_nowait(reason)

    monkeypatch.setattr(connector_module, "_log", Log())
    return reasons


async def test_connects_again_and_complains_once_for_each_loss(
    start_worker: StartWorker, pki: PKI, frontend_identity: Issued, complaints: asyncio.Queue[str]
) -> None:
    alpha = await start_worker("alpha")
    bench = Bench(f"127.0.0.1:{alpha.port}", pki, frontend_identity)
    for losses in range(1, 4):
        await bench.until_usable(True)
        assert complaints.qsize() == losses - 1
        await alpha.stop()
        await bench.until_usable(False)
        await alpha.start()
    await bench.until_usable(True)
    assert complaints.qsize() == 3
    await bench.stop()


async def test_speaks_over_a_unix_socket(
    start_worker: StartWorker, pki: PKI, frontend_identity: Issued, tmp_path: Path
) -> None:
    alpha = await start_worker("alpha")
    path = tmp_path / "s"
    server = await asyncio.get_running_loop().create_unix_server(
        lambda: Connection(alpha), str(path), ssl=alpha.context
    )
    bench = Bench(f"unix:{path}", pki, frontend_identity)
    await bench.until_usable(True)
    await bench.stop()
    await alpha.until(lambda: not alpha.connections)
    server.close()
    await server.wait_closed()


async def test_a_worker_that_never_answers_the_handshake_is_given_up(
    pki: PKI,
    frontend_identity: Issued,
    complaints: asyncio.Queue[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connector_module, "CONNECT_SECONDS", 0.05)
    port = free_port()
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", port)
    bench = Bench(f"127.0.0.1:{port}", pki, frontend_identity)
    reason = await asyncio.wait_for(complaints.get(), 10)
    assert reason == "no connection within 0.05 s"
    await bench.stop()
    server.close()


async def test_a_refused_connection_is_told(
    pki: PKI, frontend_identity: Issued, complaints: asyncio.Queue[str]
) -> None:
    bench = Bench(f"127.0.0.1:{free_port()}", pki, frontend_identity)
    assert "refused" in await asyncio.wait_for(complaints.get(), 10)
    await bench.stop()


async def test_a_worker_that_turns_it_away_is_complained_of_once(
    start_worker: StartWorker, pki: PKI, frontend_identity: Issued, complaints: asyncio.Queue[str]
) -> None:
    # The handshake is complete for a TLS 1.3 client before the worker has judged it.
    alpha = await start_worker("alpha")
    alpha.silent = True
    bench = Bench(f"127.0.0.1:{alpha.port}", pki, frontend_identity)
    for _ in range(3):
        await alpha.until(lambda: alpha.pings > 0)
        alpha.pings = 0
        alpha.drop()
    await alpha.until(lambda: alpha.pings > 0)
    assert complaints.qsize() == 1
    await bench.stop()
