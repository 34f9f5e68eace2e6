"""What the tests of the pool share: workers on loopback, pools, and operations to be awaited."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from random import Random

import pytest
import uvloop
from support.pki import PKI, Issued
from support.ports import free_port
from support.scripted_worker import Script, ScriptedWorker, server_context

from offload import config
from offload.keys.algorithm import Algorithm
from offload.observe import metrics
from offload.pool.operation import SigningOperation
from offload.pool.pool import Pool

SKI = b"k" * 20
TICK = 0.05


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the product runs on."""
    return {"uvloop": uvloop.new_event_loop}


class Asked:
    """An operation and its end, which can be awaited."""

    def __init__(self, ski: bytes, exclude: frozenset[str], payload: bytes) -> None:
        self.calls = 0
        self._future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.operation = SigningOperation(
            ski,
            Algorithm.P_256,
            0x0403,
            0x0304,
            payload,
            "a.test",
            b"\x7f\0\0\1",
            self._done,
            exclude,
        )

    def _done(self, operation: SigningOperation) -> None:
        self.calls += 1
        self._future.set_result(None)

    async def signature(self) -> bytes:
        """The signature; raises the operation's error."""
        await asyncio.wait_for(self._future, 10)
        if self.operation.error is not None:
            raise self.operation.error
        assert self.operation.signature is not None
        return self.operation.signature


class ObservedPool(Pool):
    """A pool whose links can be waited for."""

    def worker_changed(self) -> None:
        super().worker_changed()
        self._news().set()

    async def until_links(self, count: int) -> None:
        """Return when so many links are usable."""
        while sum(worker.links for worker in self.workers) != count:
            self._news().clear()
            await asyncio.wait_for(self._news().wait(), 10)

    def _news(self) -> asyncio.Event:
        event: asyncio.Event = self.__dict__.setdefault("_changed", asyncio.Event())
        return event


Ask = Callable[..., Asked]
StartWorker = Callable[..., Awaitable[ScriptedWorker]]
StartPool = Callable[..., Awaitable[ObservedPool]]


@pytest.fixture
def ask() -> Ask:
    """Make an operation, and submit it to the pool if one is given."""

    def make(
        pool: Pool | None = None,
        ski: bytes = SKI,
        exclude: frozenset[str] = frozenset(),
        payload: bytes = b"h" * 32,
    ) -> Asked:
        asked = Asked(ski, exclude, payload)
        if pool is not None:
            pool.submit(asked.operation)
        return asked

    return make


@pytest.fixture(scope="session")
def frontend_identity(pki: PKI) -> Issued:
    return pki.identity("front-end")


@pytest.fixture(scope="session")
def worker_identities(pki: PKI) -> dict[str, Issued]:
    return {name: pki.identity(name) for name in ("alpha", "beta")}


@pytest.fixture
async def start_worker(
    pki: PKI, worker_identities: dict[str, Issued]
) -> AsyncIterator[StartWorker]:
    """Start a scripted worker by name; by default it signs with its name."""
    workers: list[ScriptedWorker] = []

    async def start(name: str, script: Script | None = None, port: int = 0) -> ScriptedWorker:
        context = server_context(worker_identities[name], pki)
        worker = ScriptedWorker(context, port or free_port(), script or (lambda _: name.encode()))
        await worker.start()
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        await worker.stop()


@pytest.fixture
async def start_pool(pki: PKI, frontend_identity: Issued) -> AsyncIterator[StartPool]:
    """Start a pool of workers, given as name=port, and wait until all of them are usable."""
    pools: list[ObservedPool] = []

    async def start(
        deadline: float = 5.0,
        links: int = 1,
        up: int | None = None,
        seed: int = 1,
        outage_grace: float = 0.8,
        **ports: int,
    ) -> ObservedPool:
        settings = config.Pool.model_validate(
            {
                "identity": {
                    "certificate": frontend_identity.certificate_path,
                    "key": frontend_identity.key_path,
                },
                "trust": pki.root_path,
                "deadline": deadline,
                "links": links,
                "outage_grace": outage_grace,
                "workers": [
                    {"name": name, "address": f"127.0.0.1:{port}"} for name, port in ports.items()
                ],
            }
        )
        pool = ObservedPool(
            settings,
            loop=asyncio.get_running_loop(),
            clock=time.monotonic,
            random=Random(seed),
            metrics=metrics,
            tick=TICK,
        )
        pools.append(pool)
        await pool.start()
        await pool.until_links(links * len(ports) if up is None else up)
        return pool

    yield start
    for pool in pools:
        await pool.close()
