"""The scripted pool keeps the promises of the real one."""

import asyncio

import pytest
from pool.conftest import Ask

from offload.pool.errors import AlreadyAsked, DeadlineExceeded
from offload.pool.fake import FakePool, hold
from offload.pool.operation import SigningOperation
from offload.pool.signer import Signer


def sign(operation: SigningOperation) -> bytes:
    return b"signed " + operation.payload


async def test_answers_as_scripted_but_not_within_submit(ask: Ask) -> None:
    fake = FakePool(sign, loop=asyncio.get_running_loop())
    signer: Signer = fake
    asked = ask()
    signer.submit(asked.operation)
    assert asked.calls == 0
    assert await asked.signature() == b"signed " + b"h" * 32
    assert asked.operation.worker == "fake"
    assert fake.submitted == [asked.operation]


async def test_fails_as_scripted(ask: Ask) -> None:
    fake = FakePool(lambda _: DeadlineExceeded("late"), loop=asyncio.get_running_loop())
    asked = ask()
    fake.submit(asked.operation)
    with pytest.raises(DeadlineExceeded, match="late"):
        await asked.signature()


async def test_holds_until_released(ask: Ask) -> None:
    fake = FakePool(hold, loop=asyncio.get_running_loop())
    first, second = ask(), ask()
    fake.submit(first.operation)
    fake.submit(second.operation)
    await asyncio.sleep(0)
    assert fake.held == [first.operation, second.operation]
    second.operation.cancel()
    fake.release(sign)
    assert (first.calls, second.calls) == (1, 0)
    assert fake.held == []


async def test_refuses_misuse_and_notes_wrong_signatures(ask: Ask) -> None:
    fake = FakePool(sign, loop=asyncio.get_running_loop(), name="alpha")
    asked = ask()
    fake.submit(asked.operation)
    with pytest.raises(AlreadyAsked):
        fake.submit(asked.operation)
    await asked.signature()
    fake.report_bad_signature(asked.operation)
    assert fake.bad == [asked.operation]
    assert asked.operation.elsewhere(lambda _: None).exclude == {"alpha"}
