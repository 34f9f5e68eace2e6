"""A worker's book-keeping: what is outstanding there, and what its answers teach."""

import asyncio

import pytest
from pool.test_link import Transport

from offload.config.address import Address
from offload.keys.algorithm import Algorithm
from offload.observe import metrics
from offload.pool import health
from offload.pool.health import Phase, Reason
from offload.pool.link import MUTE_TICKS, Link
from offload.pool.meter import PoolMeter
from offload.pool.operation import SigningOperation
from offload.pool.rate import ASSUMED_RATE
from offload.pool.remote import RemoteWorker
from offload.pool.spec import WorkerSpec
from offload.wire.codec import encode
from offload.wire.message import Failure, Message, Pong, Signature


class Owner:
    """Writes down what the worker reports."""

    def __init__(self) -> None:
        self.changes = 0
        self.refused: list[tuple[SigningOperation, int]] = []
        self.lost: list[list[SigningOperation]] = []
        self.ailing: list[Reason] = []

    def worker_changed(self) -> None:
        self.changes += 1

    def worker_refused(
        self, worker: RemoteWorker, operation: SigningOperation, code: int, now: float
    ) -> None:
        self.refused.append((operation, code))

    def worker_lost(
        self, worker: RemoteWorker, operations: list[SigningOperation], reason: str
    ) -> None:
        self.lost.append(operations)

    def worker_ailing(self, worker: RemoteWorker, reason: Reason, now: float) -> None:
        self.ailing.append(reason)
        worker.eject(reason, now)


class Bench:
    """A worker with links whose far ends the test holds, and a clock that it turns."""

    def __init__(self) -> None:
        self.now = 100.0
        self.owner = Owner()
        self.worker = RemoteWorker(
            WorkerSpec("alpha", Address.parse("127.0.0.1:1")),
            self.owner,
            PoolMeter(metrics).of("alpha"),
            loop=asyncio.get_running_loop(),
            clock=lambda: self.now,
        )

    def connect(self) -> Link:
        link = self.worker.new_link()
        link.connection_made(Transport())
        self.receive(link, Pong(0))
        return link

    def receive(self, link: Link, *messages: Message) -> None:
        data = b"".join(encode(message) for message in messages)
        link.data_received(data)

    def send(self, cost: float) -> SigningOperation:
        operation = SigningOperation(
            b"k" * 20, Algorithm.P_256, 0x0403, 0x0304, b"h" * 32, "", b"", lambda _: None
        )
        operation.ask(self.now, self.now + 5)
        operation.cost = cost
        self.worker.send(operation, self.now)
        return operation


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_counts_what_is_outstanding(bench: Bench) -> None:
    link = bench.connect()
    assert bench.worker.usable
    first, second = bench.send(100.0), bench.send(0.1)
    assert (bench.worker.in_flight, bench.worker.outstanding) == (2, 100.1)
    bench.receive(link, Signature(first.id, b"one"))
    assert bench.worker.in_flight == 1
    bench.receive(link, Signature(second.id, b"two"))
    assert (bench.worker.in_flight, bench.worker.outstanding) == (0, 0.0)
    assert first.signature == b"one"
    assert first.worker == "alpha"


async def test_learns_rate_and_latency_from_answers(bench: Bench) -> None:
    link = bench.connect()
    for _ in range(200):
        one = bench.send(100.0)
        bench.now += 0.01
        bench.receive(link, Signature(one.id, b"one"))
        bench.now += 0.05
    # A hundred in ten milliseconds, whatever the pauses between.
    assert bench.worker.rate == pytest.approx(1e4, rel=0.5)
    assert bench.worker.status.latency == pytest.approx(0.01)


async def test_refusals_are_no_work(bench: Bench) -> None:
    link = bench.connect()
    for _ in range(50):
        one = bench.send(100.0)
        bench.now += 0.01
        bench.receive(link, Failure(one.id, 8))
    assert bench.worker.rate < ASSUMED_RATE / 10
    assert len(bench.owner.refused) == 50
    assert bench.owner.refused[0][1] == 8


async def test_a_lost_link_hands_back_its_operations_alone(bench: Bench) -> None:
    one, other = bench.connect(), bench.connect()
    operations = [bench.send(10.0) for _ in range(4)]
    assert len(one.pending) == len(other.pending) == 2
    mine = list(one.pending.values())
    one.connection_lost(None)
    assert bench.owner.lost == [mine]
    assert all(operation.link is None for operation in mine)
    assert (bench.worker.in_flight, bench.worker.outstanding) == (2, 20.0)
    assert bench.worker.status.links == 1
    other.connection_lost(None)
    assert bench.worker.status.links == 0
    assert {id(one) for lost in bench.owner.lost for one in lost} == set(map(id, operations))


async def test_withdrawing_frees_the_worker(bench: Bench) -> None:
    link = bench.connect()
    one = bench.send(10.0)
    bench.worker.withdraw(one, bench.now + 1)
    bench.worker.withdraw(one, bench.now + 1)
    assert bench.worker.in_flight == 0
    bench.receive(link, Signature(one.id, b"late"))
    assert one.signature is None
    assert link.late == 1


async def test_failure_after_failure_is_reported_and_a_success_between_forgives(
    bench: Bench,
) -> None:
    link = bench.connect()
    for code in [8, 8, 8, 8, 0, 8, 8, 8, 8, 2, 8]:
        assert bench.owner.ailing == []
        one = bench.send(10.0)
        bench.receive(link, Failure(one.id, code) if code else Signature(one.id, b"one"))
    assert bench.owner.ailing == [Reason.FAILURES]
    assert bench.worker.status.phase is Phase.EJECTED


async def test_answers_as_fast_as_its_peers_bring_it_back(bench: Bench) -> None:
    link = bench.connect()
    bench.worker.limits = {Algorithm.P_256: 0.01}
    bench.worker.eject(Reason.LATENCY, bench.now)
    bench.now += health.EJECTED_SECONDS
    for seconds in [0.001, 0.02, *[0.001] * health.PROBES]:
        assert not bench.worker.health.step(bench.now)
        if seconds == 0.001:
            bench.now += 2 * health.EJECTED_SECONDS
        one = bench.send(10.0)
        bench.now += seconds
        bench.receive(link, Signature(one.id, b"one"))
    assert bench.worker.health.step(bench.now)
    assert bench.worker.status.phase is Phase.RETURNING


async def test_a_silent_worker_hands_back_its_work_and_returns_when_it_is_heard(
    bench: Bench,
) -> None:
    link = bench.connect()
    one = bench.send(10.0)
    bench.receive(link, Signature(one.id, b"one"))
    two = bench.send(10.0)
    for _ in range(MUTE_TICKS):
        bench.worker.tick(bench.now)
    assert bench.worker.status.links == 0
    assert bench.owner.lost == [[two]]
    assert bench.worker.in_flight == 0
    assert metrics.POOL_SHARE.labels("alpha").value == 0
    bench.receive(link, Signature(two.id, b"late"))
    assert bench.worker.usable
    assert bench.worker.rate == ASSUMED_RATE
    assert bench.worker.status.share == health.LEAST_SHARE


async def test_a_full_buffer_is_no_absence(bench: Bench) -> None:
    link = bench.connect()
    link.pause_writing()
    assert bench.worker.status.links == 0
    link.resume_writing()
    assert bench.worker.status.links == 1
    assert bench.worker.status.share == 1.0


def elsewhere(bench: Bench, zone: str, own: str) -> RemoteWorker:
    return RemoteWorker(
        WorkerSpec("beta", Address.parse("127.0.0.1:2"), zone),
        bench.owner,
        PoolMeter(metrics).of("beta"),
        zone=own,
        loop=asyncio.get_running_loop(),
        clock=lambda: bench.now,
    )


@pytest.mark.parametrize(
    ("zone", "own", "far"),
    [("b", "a", True), ("a", "a", False), ("", "a", False), ("b", "", False)],
)
async def test_the_distance_is_the_round_trip_to_another_zone(
    bench: Bench, zone: str, own: str, far: bool
) -> None:
    worker = elsewhere(bench, zone, own)
    link = worker.new_link()
    link.connection_made(Transport())
    assert worker.distance == 0.0
    bench.now += 0.25
    bench.receive(link, Pong(0))
    assert worker.usable
    assert worker.distance == (0.25 if far else 0.0)
    assert worker.status.zone == zone


async def test_capacity_is_the_rate_that_is_assumed(bench: Bench) -> None:
    spec = WorkerSpec("beta", Address.parse("127.0.0.1:2"), capacity=2.5)
    worker = RemoteWorker(
        spec,
        bench.owner,
        PoolMeter(metrics).of("beta"),
        loop=asyncio.get_running_loop(),
        clock=lambda: bench.now,
    )
    assert worker.rate == 2.5 * ASSUMED_RATE


async def test_who_retires_closes_its_links_when_nothing_is_under_way(bench: Bench) -> None:
    link, transport = bench.worker.new_link(), Transport()
    link.connection_made(transport)
    bench.receive(link, Pong(0))
    operation = bench.send(100.0)
    bench.worker.retire()
    bench.worker.tick(bench.now)
    assert transport.ended == ""
    assert metrics.POOL_LINKS.labels("alpha").value == 0
    bench.receive(link, Signature(operation.id, b"s"))
    assert operation.signature == b"s"
    bench.worker.tick(bench.now)
    assert transport.ended == "close"
    link.connection_lost(None)
    assert bench.worker.gone
    assert metrics.POOL_LINKS.labels("alpha").value == 0


async def test_who_retires_with_nothing_to_do_leaves_at_once_and_is_not_waited_for(
    bench: Bench,
) -> None:
    link = bench.worker.new_link()
    transport = Transport()
    link.connection_made(transport)
    bench.receive(link, Pong(0))
    bench.worker.retire()
    assert transport.ended == "close"
    bench.worker.tick(bench.now)
    assert transport.ended == "abort"
