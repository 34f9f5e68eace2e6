"""The signer: orders in turns on the loop, or in threads that wait, each answered once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from offload.keys.algorithm import Algorithm
from offload.keys.record import KeyRecord
from offload.keys.scheme import SignatureScheme
from offload.token.base import SchemeNotAllowed
from offload.token.fake import FakeToken
from offload.wire.error import ErrorCode
from offload.worker.order import Order
from offload.worker.signer import TURN_SECONDS, Answer, Signer

QUICK = KeyRecord(b"q" * 20, "quick", Algorithm.P_256, b"", datetime.now(UTC))
COSTLY = KeyRecord(b"c" * 20, "costly", Algorithm.RSA_2048, b"", datetime.now(UTC))


def order(key: KeyRecord, content: bytes = b"content", *, prehashed: bool = False) -> Order:
    return Order(key.ski, key.algorithm, min(key.algorithm.schemes), content, prehashed)


class Bench:
    """A signer with a fake token; `batches` are the answers as they were handed back."""

    def __init__(self, threads: int) -> None:
        self.token = FakeToken([QUICK, COSTLY], in_process=[Algorithm.P_256])
        self.batches: list[list[Answer[int]]] = []
        self._more = asyncio.Event()
        loop = asyncio.get_running_loop()
        self.now = 0.0
        self.signer: Signer[int] = Signer(
            self.token, loop, self._answered, threads=threads, clock=self._clock
        )

    def _clock(self) -> float:
        """A third of a turn goes by whenever somebody looks."""
        self.now += TURN_SECONDS / 3
        return self.now

    def _answered(self, answers: list[Answer[int]]) -> None:
        self.batches.append(answers)
        self._more.set()

    async def outcomes(self, count: int) -> dict[int, bytes | ErrorCode]:
        async with asyncio.timeout(10):
            while sum(map(len, self.batches)) < count:
                self._more.clear()
                await self._more.wait()
        answers = [answer for batch in self.batches for answer in batch]
        found = {ticket: outcome for ticket, _, outcome in answers}
        assert len(found) == len(answers), "an order was answered twice"
        return found


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench(threads=2)
    yield bench
    bench.token.release()
    bench.signer.close()


async def test_orders_signed_in_process_share_the_loop(bench: Bench) -> None:
    count = 10
    bench.signer.submit([(number, order(QUICK)) for number in range(count)])
    assert bench.token.calls == [], "signed before the links were looked at"
    assert await bench.outcomes(count) == dict.fromkeys(range(count), b"signed:content")
    assert [len(batch) for batch in bench.batches] == [3, 3, 3, 1]


async def test_costly_orders_leave_the_loop_free(bench: Bench) -> None:
    bench.token.hold()
    bench.signer.submit([(number, order(COSTLY)) for number in range(5)])
    await asyncio.to_thread(bench.token.asked.wait, 10)
    bench.token.release()
    assert await bench.outcomes(5) == dict.fromkeys(range(5), b"signed:content")


async def test_answers_that_come_together_wake_the_loop_once(bench: Bench) -> None:
    bench.signer.submit([(number, order(COSTLY)) for number in range(200)])
    # The loop is held until the threads are done with all of them.
    while len(bench.token.calls) < 200:
        bench.token.asked.wait(0.001)
    await bench.outcomes(200)
    assert len(bench.batches) <= 4


async def test_answers_never_stay_behind(bench: Bench) -> None:
    for number in range(300):
        bench.signer.submit([(number, order(COSTLY))])
        if number % 3 == 0:
            await asyncio.sleep(0)
    assert len(await bench.outcomes(300)) == 300


@pytest.mark.parametrize("key", [QUICK, COSTLY], ids=["on-the-loop", "in-a-thread"])
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SchemeNotAllowed("not with this key"), ErrorCode.CRYPTO),
        (MemoryError(), ErrorCode.INTERNAL),
    ],
)
async def test_a_failure_is_an_answer_and_the_next_order_is_signed(
    bench: Bench, key: KeyRecord, error: Exception, code: ErrorCode
) -> None:
    bench.token.fail_with(error)
    bench.signer.submit([(number, order(key)) for number in range(4)])
    assert await bench.outcomes(4) == dict.fromkeys(range(4), code)
    bench.token.fail_with(None)
    bench.signer.submit([(9, order(key))])
    assert (await bench.outcomes(5))[9] == b"signed:content"


async def test_a_key_removed_meanwhile_is_not_found(bench: Bench) -> None:
    bench.token.close()
    bench.signer.submit([(1, order(COSTLY))])
    assert await bench.outcomes(1) == {1: ErrorCode.KEY_NOT_FOUND}


async def test_digests_are_signed_as_digests(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def sign_digest(ski: bytes, scheme: SignatureScheme, digest: bytes) -> bytes:
        return b"digest:" + digest

    monkeypatch.setattr(bench.token, "sign_digest", sign_digest)
    bench.signer.submit([(1, order(COSTLY, b"abc", prehashed=True))])
    assert await bench.outcomes(1) == {1: b"digest:abc"}


async def test_a_closed_signer_still_signs_what_it_has(bench: Bench) -> None:
    bench.token.hold()
    bench.signer.submit([(number, order(COSTLY)) for number in range(3)])
    bench.signer.close()
    bench.token.release()
    assert len(await bench.outcomes(3)) == 3
