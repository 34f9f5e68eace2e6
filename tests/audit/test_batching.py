import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from offload.audit.batching import MAX_BATCH, SignatureAudit, signature_fields
from offload.audit.log import AuditLog
from offload.audit.sink import FakeAuditSink

Record = tuple[int, dict[str, Any]]


class Sink(FakeAuditSink):
    """Notes batches; while `gate` is closed, an append waits."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Event()
        self.defect = False

    def append(self, kind: str, *records: Mapping[str, Any]) -> None:
        self.begun.set()
        assert self.gate.wait(20)
        if self.defect:
            raise RuntimeError("a defect")
        super().append(kind, *records)
        self.batches.append(len(records))


class Desk:
    """What a serving process would do with tickets."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.outcomes: dict[int, bool] = {}
        self._news = asyncio.Event()
        self.audit = SignatureAudit(
            sink, asyncio.get_running_loop(), self._settled, waiting=2 * MAX_BATCH
        )

    def submit(self, *tickets: int) -> None:
        self.audit.submit([(ticket, {"number": ticket}) for ticket in tickets])

    def _settled(self, tickets: list[int], recorded: bool) -> None:
        if recorded:
            written = {record["number"] for record in self.sink.records}
            assert written.issuperset(tickets), "released before it was recorded"
        self.outcomes.update(dict.fromkeys(tickets, recorded))
        self._news.set()

    async def settled(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.outcomes) < count:
                self._news.clear()
                await self._news.wait()


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk(Sink())
    yield desk
    desk.sink.gate.set()
    await desk.audit.close()


async def test_all_of_a_turn_are_recorded_together_and_then_released(desk: Desk) -> None:
    desk.submit(1, 2)
    desk.submit(3)
    assert desk.outcomes == {}
    await desk.settled(3)
    assert desk.outcomes == {1: True, 2: True, 3: True}
    assert desk.sink.batches == [3]
    assert [record["kind"] for record in desk.sink.records] == ["signature"] * 3


async def test_what_comes_while_one_batch_is_written_is_the_next(desk: Desk) -> None:
    desk.sink.gate.clear()
    desk.submit(1)
    await asyncio.to_thread(desk.sink.begun.wait, 20)
    for ticket in range(2, 12):
        desk.submit(ticket)
        await asyncio.sleep(0)
    assert desk.outcomes == {}
    desk.sink.gate.set()
    await desk.settled(11)
    assert desk.sink.batches == [1, 10]
    assert list(desk.outcomes) == list(range(1, 12))


async def test_a_batch_is_bounded(desk: Desk) -> None:
    desk.submit(*range(MAX_BATCH + 5))
    await desk.settled(MAX_BATCH + 5)
    assert desk.sink.batches == [MAX_BATCH, 5]


async def test_more_than_may_wait_are_refused(desk: Desk) -> None:
    desk.sink.gate.clear()
    desk.submit(-1)
    await asyncio.to_thread(desk.sink.begun.wait, 20)
    desk.submit(*range(2 * MAX_BATCH + 3))
    await desk.settled(3)
    assert desk.outcomes == dict.fromkeys(range(2 * MAX_BATCH, 2 * MAX_BATCH + 3), False)
    desk.sink.gate.set()
    await desk.settled(2 * MAX_BATCH + 4)
    assert sum(desk.outcomes.values()) == 2 * MAX_BATCH + 1


@pytest.mark.parametrize("trouble", ["broken", "defect"])
async def test_without_a_record_nothing_is_released(desk: Desk, trouble: str) -> None:
    setattr(desk.sink, trouble, True)
    desk.submit(1, 2)
    await desk.settled(2)
    assert desk.outcomes == {1: False, 2: False}
    setattr(desk.sink, trouble, False)
    desk.submit(3)
    await desk.settled(3)
    assert desk.outcomes[3]


async def test_the_end_settles_everything(desk: Desk) -> None:
    desk.sink.gate.clear()
    desk.submit(1)
    await asyncio.to_thread(desk.sink.begun.wait, 20)
    desk.submit(2, 3)
    closing = asyncio.create_task(desk.audit.close())
    await asyncio.sleep(0)
    desk.submit(4)
    desk.sink.gate.set()
    await closing
    await desk.settled(4)
    assert desk.outcomes == {1: True, 2: False, 3: False, 4: False}


async def test_into_a_real_log(log: AuditLog) -> None:
    done: asyncio.Future[tuple[list[str], bool]] = asyncio.get_running_loop().create_future()
    audit: SignatureAudit[str] = SignatureAudit(
        log,
        asyncio.get_running_loop(),
        lambda tickets, recorded: done.set_result((tickets, recorded)),
    )
    audit.submit([("first", {"site": "a"}), ("second", {"site": "b"})])
    async with asyncio.timeout(20):
        assert await done == (["first", "second"], True)
    assert log.head().seq == 3
    await audit.close()


def test_the_fields_leave_out_what_is_not_known() -> None:
    fields = signature_fields(
        site="a.example",
        frontend="edge",
        ski=b"\xab" * 20,
        generation=3,
        scheme="ed25519",
        client_random=b"\x01" * 32,
    )
    assert fields == {
        "site": "a.example",
        "frontend": "edge",
        "ski": "ab" * 20,
        "generation": 3,
        "scheme": "ed25519",
        "client_random": "01" * 32,
    }
    known = signature_fields(
        site="", frontend="", ski=b"", generation=1, scheme="", transcript_hash=b"\x02"
    )
    assert known["transcript_hash"] == "02"
