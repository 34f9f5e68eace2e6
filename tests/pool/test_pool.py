"""The pool against scripted workers over real TLS on loopback."""

import asyncio
import time
from collections import Counter
from typing import Any

import pytest
from pool.conftest import SKI, Ask, Asked, ObservedPool, StartPool, StartWorker
from support.pki import PKI, Issued
from support.ports import free_port
from support.scripted_worker import Script, ScriptedWorker, server_context

from offload.config.address import Address
from offload.observe import metrics
from offload.pool import health as health_module
from offload.pool import link as link_module
from offload.pool import pool as pool_module
from offload.pool.errors import (
    AlreadyAsked,
    DeadlineExceeded,
    LinkLost,
    NoCapacity,
    NoWorkerAvailable,
    PoolClosed,
    Refused,
)
from offload.pool.health import FAILURES, Phase
from offload.pool.hedge import FIRST_TOKENS
from offload.pool.operation import SigningOperation, State
from offload.pool.spec import WorkerSpec
from offload.wire.error import ErrorCode
from offload.wire.message import TlsSign

BOTH = {b"alpha", b"beta"}


def refusing(code: ErrorCode) -> Script:
    return lambda _: code


def nothing(_: TlsSign) -> None:
    """A script that leaves every request unanswered."""


class Breaking:
    """A script that breaks the link at each request."""

    worker: ScriptedWorker

    def __call__(self, _: TlsSign) -> None:
        self.worker.drop()


async def test_a_worker_signs(start_worker: StartWorker, start_pool: StartPool, ask: Ask) -> None:
    alpha = await start_worker("alpha")
    pool = await start_pool(alpha=alpha.port)
    asked = ask(pool)
    assert asked.calls == 0
    assert await asked.signature() == b"alpha"
    assert asked.operation.worker == "alpha"
    (request,) = alpha.requests
    expected = TlsSign(request.id, SKI, 0x0403, 0x0304, b"h" * 32, "a.test", b"\x7f\0\0\1")
    assert request == expected
    (status,) = pool.workers
    assert (status.links, status.in_flight, status.outstanding) == (1, 0, 0.0)
    assert status.latency > 0


async def test_many_at_once_are_shared_out(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha, beta = await start_worker("alpha"), await start_worker("beta")
    pool = await start_pool(alpha=alpha.port, beta=beta.port)
    asked = [ask(pool) for _ in range(400)]
    signers = Counter([await one.signature() for one in asked])
    assert signers == {b"alpha": 200, b"beta": 200}
    assert all(one.calls == 1 for one in asked)
    assert all(worker.in_flight == 0 for worker in pool.workers)


async def test_an_operation_is_submitted_once(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    pool = await start_pool(alpha=(await start_worker("alpha")).port)
    asked = ask(pool)
    with pytest.raises(AlreadyAsked):
        pool.submit(asked.operation)
    assert await asked.signature() == b"alpha"


async def test_a_refusal_is_retried_elsewhere_and_remembered(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha = await start_worker("alpha", refusing(ErrorCode.KEY_NOT_FOUND))
    beta = await start_worker("beta")
    pool = await start_pool(alpha=alpha.port, beta=beta.port)
    for _ in range(20):
        asked = ask(pool)
        assert await asked.signature() == b"beta"
        assert asked.operation.worker == "beta"
    assert len(alpha.requests) <= 1
    other = [ask(pool, ski=bytes([number]) * 20) for number in range(20)]
    assert {await one.signature() for one in other} == {b"beta"}
    assert len(alpha.requests) > 1


async def test_a_worker_that_lacked_the_key_is_asked_when_nobody_else_is_left(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha = await start_worker("alpha", refusing(ErrorCode.KEY_NOT_FOUND))
    pool = await start_pool(alpha=alpha.port)
    with pytest.raises(Refused):
        await ask(pool).signature()
    alpha.script = lambda _: b"alpha"
    assert await ask(pool).signature() == b"alpha"


async def test_when_all_refuse_the_last_refusal_is_the_error(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha = await start_worker("alpha", refusing(ErrorCode.INTERNAL))
    beta = await start_worker("beta", refusing(ErrorCode.INTERNAL))
    pool = await start_pool(alpha=alpha.port, beta=beta.port)
    with pytest.raises(Refused, match="internal") as caught:
        await ask(pool).signature()
    assert caught.value.code == ErrorCode.INTERNAL
    assert len(alpha.requests) == len(beta.requests) == 1


async def test_what_every_worker_would_refuse_is_not_retried(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha = await start_worker("alpha", refusing(ErrorCode.FORMAT))
    beta = await start_worker("beta", refusing(ErrorCode.FORMAT))
    pool = await start_pool(alpha=alpha.port, beta=beta.port)
    with pytest.raises(Refused, match="format"):
        await ask(pool).signature()
    assert len(alpha.requests) + len(beta.requests) == 1


async def test_a_broken_link_is_retried_on_the_other_worker(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha, beta = await start_worker("alpha", nothing), await start_worker("beta", nothing)
    pool = await start_pool(alpha=alpha.port, beta=beta.port)
    asked = [ask(pool) for _ in range(10)]
    await alpha.until(lambda: len(alpha.requests) == 5)
    await beta.until(lambda: len(beta.requests) == 5)
    beta.script = lambda _: b"beta"
    alpha.drop()
    await beta.until(lambda: len(beta.requests) == 10)
    signed = [one for one in asked if one.calls or one.operation.attempts == 2]
    assert [await one.signature() for one in signed] == [b"beta"] * 5


async def test_after_a_broken_link_another_worker_comes_before_another_link(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha, beta = await start_worker("alpha", nothing), await start_worker("beta", nothing)
    pool = await start_pool(alpha=alpha.port, beta=beta.port, links=2)
    asked = [ask(pool) for _ in range(40)]
    await alpha.until(lambda: len(alpha.requests) == 20)
    alpha.connections[0].transport.abort()
    await beta.until(lambda: len(beta.requests) == 30)
    assert len(alpha.requests) == 20
    assert sum(one.operation.attempts == 2 for one in asked) == 10


async def test_a_malformed_answer_breaks_that_link_alone(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha = await start_worker("alpha", nothing)
    beta = await start_worker("beta")
    pool = await start_pool(alpha=alpha.port, beta=beta.port)
    asked = [ask(pool) for _ in range(10)]
    await alpha.until(lambda: len(alpha.requests) == 5)
    alpha.write(b"\xff" * 64)
    assert {await one.signature() for one in asked} == {b"beta"}


async def test_a_restarted_worker_is_connected_again(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha = await start_worker("alpha", nothing)
    pool = await start_pool(alpha=alpha.port)
    asked = ask(pool)
    await alpha.until(lambda: len(alpha.requests) == 1)
    await alpha.stop()
    await pool.until_links(0)
    assert not pool.available
    meanwhile = ask(pool)
    alpha.script = lambda _: b"again"
    await alpha.start()
    assert await asked.signature() == b"again"
    assert await meanwhile.signature() == b"again"
    assert asked.operation.attempts == 2


async def test_operations_wait_for_the_first_worker(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    port = free_port()
    pool = await start_pool(alpha=port, up=0)
    asked = [ask(pool) for _ in range(3)]
    unwanted = ask(pool)
    unwanted.operation.cancel()
    alpha = await start_worker("alpha", port=port)
    assert [await one.signature() for one in asked] == [b"alpha"] * 3
    assert len(alpha.requests) == 3
    assert unwanted.calls == 0


async def test_a_request_that_breaks_links_does_not_go_round_for_ever(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    breaking = Breaking()
    alpha = breaking.worker = await start_worker("alpha", breaking)
    pool = await start_pool(alpha=alpha.port)
    with pytest.raises(LinkLost, match="alpha"):
        await ask(pool).signature()
    assert len(alpha.requests) == 3


async def test_too_many_waiting_operations_fail_at_once_but_not_within_submit(
    start_pool: StartPool, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "WAITING_LIMIT", 2)
    pool = await start_pool(alpha=free_port(), up=0, deadline=60.0)
    ask(pool)
    ask(pool)
    third = ask(pool)
    assert third.calls == 0
    with pytest.raises(NoWorkerAvailable, match="too many operations wait"):
        await third.signature()


async def test_the_deadline_ends_what_waits(start_pool: StartPool, ask: Ask) -> None:
    pool = await start_pool(alpha=free_port(), up=0, deadline=0.05)
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"0\.05 s"):
        await ask(pool).signature()
    assert 0.05 <= time.monotonic() - began < 2


async def test_the_deadline_ends_what_is_not_answered_and_a_late_answer_is_ignored(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha = await start_worker("alpha", nothing)
    pool = await start_pool(alpha=alpha.port, deadline=0.1)
    asked = ask(pool)
    with pytest.raises(DeadlineExceeded):
        await asked.signature()
    assert pool.workers[0].in_flight == 0
    alpha.script = lambda _: b"alpha"
    held = alpha.requests[0]
    alpha.answer(held, b"late")
    assert await ask(pool).signature() == b"alpha"
    assert asked.calls == 1
    assert asked.operation.signature is None


async def test_a_cancelled_operation_is_never_heard_of_again(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha = await start_worker("alpha", nothing)
    pool = await start_pool(alpha=alpha.port)
    asked = ask(pool)
    await alpha.until(lambda: len(alpha.requests) == 1)
    asked.operation.cancel()
    asked.operation.cancel()
    alpha.script = lambda _: b"alpha"
    alpha.answer(alpha.requests[0], b"unwanted")
    assert await ask(pool).signature() == b"alpha"
    assert asked.calls == 0
    assert asked.operation.state is State.CANCELLED
    assert pool.workers[0].in_flight == 0


async def test_a_cancelled_operation_is_not_retried(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha = await start_worker("alpha", nothing)
    pool = await start_pool(alpha=alpha.port)
    asked = ask(pool)
    await alpha.until(lambda: len(alpha.requests) == 1)
    asked.operation.cancel()
    alpha.script = lambda _: b"alpha"
    alpha.drop()
    assert await ask(pool).signature() == b"alpha"
    assert len(alpha.requests) == 2


async def test_a_silent_worker_is_found_and_another_asked(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha, beta = await start_worker("alpha"), await start_worker("beta")
    pool = await start_pool(alpha=alpha.port, beta=beta.port, deadline=30.0)
    alpha.silent = True
    asked = [ask(pool) for _ in range(6)]
    assert {await one.signature() for one in asked} == {b"beta"}
    assert alpha.pings > 1


async def test_a_worker_that_does_not_read_gets_no_more_until_it_does(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "WRITE_LIMIT", 1 << 16)
    monkeypatch.setattr(link_module, "SILENT_TICKS", 1000)
    alpha = await start_worker("alpha")
    pool = await start_pool(alpha=alpha.port, deadline=30.0)
    alpha.pause()
    asked: list[Asked] = []
    while pool.available:
        asked += [ask(pool, payload=bytes(3000)) for _ in range(50)]
        await asyncio.sleep(0)
        assert len(asked) < 10_000
    waiting = ask(pool)
    assert waiting.operation.attempts == 0
    alpha.resume()
    assert {await one.signature() for one in [*asked, waiting]} == {b"alpha"}


async def test_close_fails_what_is_outstanding(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha = await start_worker("alpha", nothing)
    pool = await start_pool(alpha=alpha.port)
    asked = [ask(pool) for _ in range(3)]
    await alpha.until(lambda: len(alpha.requests) == 3)
    await pool.close()
    for one in [*asked, ask(pool)]:
        with pytest.raises(PoolClosed):
            await one.signature()
        assert one.calls == 1
    await alpha.until(lambda: not alpha.connections)
    await pool.close()


async def test_close_fails_what_waits(start_pool: StartPool, ask: Ask) -> None:
    pool = await start_pool(alpha=free_port(), up=0)
    asked = ask(pool)
    await pool.close()
    with pytest.raises(PoolClosed):
        await asked.signature()


async def test_excluded_workers_are_not_asked(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha, beta = await start_worker("alpha"), await start_worker("beta")
    pool = await start_pool(alpha=alpha.port, beta=beta.port)
    asked = [ask(pool, exclude=frozenset({"alpha"})) for _ in range(10)]
    assert {await one.signature() for one in asked} == {b"beta"}
    with pytest.raises(NoWorkerAvailable, match="no worker is left"):
        await ask(pool, exclude=frozenset({"alpha", "beta"})).signature()


async def test_a_wrong_signature_is_counted_and_asked_for_elsewhere(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha, beta = await start_worker("alpha"), await start_worker("beta")
    pool = await start_pool(alpha=alpha.port, beta=beta.port)
    asked = ask(pool)
    first = await asked.signature()
    rejected = metrics.SIGNATURES_REJECTED.labels(asked.operation.worker, "p-256")
    before = rejected.pending
    pool.report_bad_signature(asked.operation)
    assert rejected.pending == before + 1
    heard: asyncio.Future[SigningOperation] = asyncio.get_running_loop().create_future()
    pool.submit(asked.operation.elsewhere(heard.set_result))
    assert {first, (await heard).signature} == BOTH


async def test_several_links_share_the_work(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha = await start_worker("alpha")
    pool = await start_pool(alpha=alpha.port, links=3)
    assert len(alpha.connections) == 3
    asked = [ask(pool) for _ in range(30)]
    assert {await one.signature() for one in asked} == {b"alpha"}
    assert sorted(Counter(request.id for request in alpha.requests).values())[-1] == 3


async def test_an_error_in_a_callback_harms_no_other_operation(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    problems: list[object] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: problems.append(context.get("exception"))
    )
    error = RuntimeError("defect")

    def defect(_: SigningOperation) -> None:
        raise error

    pool = await start_pool(alpha=(await start_worker("alpha")).port)
    bad, good = ask(), ask()
    bad.operation._done = defect
    pool.submit(bad.operation)
    pool.submit(good.operation)
    assert await good.signature() == b"alpha"
    assert problems == [error]


async def test_a_callback_may_submit_the_next_operation(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    pool = await start_pool(alpha=(await start_worker("alpha")).port)
    first, second = ask(), ask()
    first.operation._done = lambda _: pool.submit(second.operation)
    pool.submit(first.operation)
    assert await second.signature() == b"alpha"
    assert pool.workers[0].in_flight == 0


@pytest.mark.parametrize("stranger", ["name", "authority", "front-end"])
async def test_strangers_are_not_spoken_to(
    stranger: str,
    pki: PKI,
    worker_identities: dict[str, Issued],
    start_pool: StartPool,
    ask: Ask,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    other = PKI(tmp_path_factory.mktemp("other"), "other root")
    identity = {
        "name": worker_identities["beta"],
        "authority": other.identity("alpha"),
        "front-end": worker_identities["alpha"],
    }[stranger]
    trusted = other if stranger == "front-end" else pki
    worker = ScriptedWorker(server_context(identity, trusted), free_port(), lambda _: b"stranger")
    await worker.start()
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    pool = await start_pool(alpha=worker.port, up=0, deadline=0.3)
    with pytest.raises(DeadlineExceeded):
        await ask(pool).signature()
    assert worker.requests == []
    assert not pool.available
    await worker.stop()


async def test_answers_are_measured(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    pool = await start_pool(alpha=(await start_worker("alpha")).port)
    answered = metrics.SIGNING_OPERATIONS.labels("alpha", "p-256", "ok")
    before = answered.pending
    await ask(pool).signature()
    assert answered.pending == before + 1
    assert metrics.POOL_LINKS.labels("alpha").value == 1


def spec(worker: ScriptedWorker, name: str, **further: Any) -> WorkerSpec:
    return WorkerSpec(name, Address.parse(f"127.0.0.1:{worker.port}"), **further)


async def test_who_appears_is_asked_and_who_vanishes_is_not(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha, beta = await start_worker("alpha"), await start_worker("beta")
    pool = await start_pool(alpha=alpha.port)
    pool.set_workers([spec(alpha, "alpha"), spec(beta, "beta")])
    await pool.until_links(2)
    assert {await one.signature() for one in [ask(pool) for _ in range(40)]} == BOTH
    links = len(alpha.connections)
    pool.set_workers([spec(beta, "beta")])
    assert {await one.signature() for one in [ask(pool) for _ in range(40)]} == {b"beta"}
    await alpha.until(lambda: not alpha.connections)
    assert links == 1
    assert [worker.name for worker in pool.workers] == ["beta"]
    assert metrics.POOL_LINKS.labels("alpha").value == 0


async def test_who_stays_keeps_its_links(start_worker: StartWorker, start_pool: StartPool) -> None:
    alpha, beta = await start_worker("alpha"), await start_worker("beta")
    pool = await start_pool(alpha=alpha.port)
    (connection,) = alpha.connections
    pool.set_workers([spec(beta, "beta"), spec(alpha, "alpha")])
    await pool.until_links(2)
    assert alpha.connections == [connection]


async def test_what_is_under_way_when_a_worker_vanishes_is_answered_by_it(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha, beta = await start_worker("alpha", nothing), await start_worker("beta")
    pool = await start_pool(alpha=alpha.port)
    asked = ask(pool)
    await alpha.until(lambda: len(alpha.requests) == 1)
    pool.set_workers([spec(beta, "beta")])
    await pool.until_links(1)
    assert await ask(pool).signature() == b"beta"
    assert asked.calls == 0
    alpha.answer(alpha.requests[0], b"alpha, at last")
    assert await asked.signature() == b"alpha, at last"
    await alpha.until(lambda: not alpha.connections)


async def test_what_is_under_way_at_a_worker_that_vanishes_and_dies_is_retried(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha, beta = await start_worker("alpha", nothing), await start_worker("beta")
    pool = await start_pool(alpha=alpha.port)
    asked = ask(pool)
    await alpha.until(lambda: len(alpha.requests) == 1)
    pool.set_workers([spec(beta, "beta")])
    alpha.drop()
    assert await asked.signature() == b"beta"


async def test_the_deadline_ends_what_a_vanished_worker_does_not_answer(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha = await start_worker("alpha", nothing)
    pool = await start_pool(alpha=alpha.port, deadline=0.1)
    asked = ask(pool)
    await alpha.until(lambda: len(alpha.requests) == 1)
    pool.set_workers([spec(alpha, "alpha", zone="b")])  # replaced by one of its own name
    with pytest.raises(DeadlineExceeded):
        await asked.signature()
    await pool.until_links(1)
    await alpha.until(lambda: len(alpha.connections) == 1)


async def test_a_changed_address_is_another_worker(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    old, new = await start_worker("alpha", lambda _: b"old"), await start_worker("alpha")
    pool = await start_pool(alpha=old.port)
    pool.set_workers([spec(new, "alpha")])
    await old.until(lambda: not old.connections)
    await pool.until_links(1)
    assert await ask(pool).signature() == b"alpha"
    assert metrics.POOL_LINKS.labels("alpha").value == 1


async def test_without_any_worker_operations_wait_for_the_first(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha = await start_worker("alpha")
    pool = await start_pool(alpha=alpha.port)
    pool.set_workers([])
    assert not pool.available
    asked = ask(pool)
    pool.set_workers([spec(alpha, "alpha")])
    assert await asked.signature() == b"alpha"


async def test_a_pool_that_is_closed_takes_no_more_workers(
    start_worker: StartWorker, start_pool: StartPool
) -> None:
    alpha = await start_worker("alpha")
    pool = await start_pool(alpha=alpha.port)
    await pool.close()
    pool.set_workers([spec(alpha, "alpha"), spec(alpha, "beta")])
    assert len(pool.workers) == 1


async def test_workers_come_and_go_while_operations_do_not_fail(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha, beta = await start_worker("alpha"), await start_worker("beta")
    pool = await start_pool(alpha=alpha.port)
    choices = [[spec(alpha, "alpha")], [spec(beta, "beta")], [spec(beta, "beta", zone="b")]]
    asked = []
    for turn in range(60):
        pool.set_workers(choices[turn % 3])
        asked += [ask(pool) for _ in range(10)]
        await asyncio.sleep(0)
        if turn % 7 == 0:
            assert await asked[-1].signature()
    assert {await one.signature() for one in asked} <= BOTH


def phases(pool: ObservedPool) -> dict[str, Phase]:
    return {worker.name: worker.phase for worker in pool.workers}


async def test_who_fails_time_after_time_is_asked_no_more(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha, beta = await start_worker("alpha"), await start_worker("beta")
    pool = await start_pool(alpha=alpha.port, beta=beta.port)
    alpha.script = refusing(ErrorCode.INTERNAL)
    asked = [ask(pool) for _ in range(4 * FAILURES)]
    assert {await one.signature() for one in asked} == {b"beta"}
    assert phases(pool) == {"alpha": Phase.EJECTED, "beta": Phase.SOUND}
    before = len(alpha.requests)
    asked = [ask(pool) for _ in range(20)]
    assert {await one.signature() for one in asked} == {b"beta"}
    assert len(alpha.requests) == before
    # Rather than nobody: whoever is left is asked, ejected or not.
    with pytest.raises(Refused):
        await ask(pool, exclude=frozenset({"beta"})).signature()


async def test_one_wrong_signature_is_enough_but_the_last_worker_stays(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha, beta = await start_worker("alpha"), await start_worker("beta")
    pool = await start_pool(alpha=alpha.port, beta=beta.port)
    first = ask(pool, exclude=frozenset({"beta"}))
    second = ask(pool, exclude=frozenset({"alpha"}))
    assert {await first.signature(), await second.signature()} == BOTH
    pool.report_bad_signature(first.operation)
    assert phases(pool) == {"alpha": Phase.EJECTED, "beta": Phase.SOUND}
    pool.report_bad_signature(second.operation)
    pool.report_bad_signature(first.operation)
    assert phases(pool) == {"alpha": Phase.EJECTED, "beta": Phase.SOUND}
    assert {await ask(pool).signature() for _ in range(10)} == {b"beta"}


async def test_a_slow_worker_is_ejected_probed_and_let_back(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "EJECTED_SECONDS", 0.1)
    monkeypatch.setattr(health_module, "RAMP_SECONDS", 0.2)
    alpha, beta = await start_worker("alpha"), await start_worker("beta")
    pool = await start_pool(alpha=alpha.port, beta=beta.port)
    loop = asyncio.get_running_loop()

    def late(request: TlsSign) -> None:
        loop.call_later(0.03, alpha.answer, request, b"alpha")

    alpha.script = late
    seen: list[Phase] = []
    async with asyncio.timeout(20):
        while seen[-1:] != [Phase.SOUND] or Phase.RETURNING not in seen:
            others = [frozenset[str](), frozenset({"alpha"})]
            if not seen[1:]:  # it would be asked too seldom by itself
                others += [frozenset({"beta"})]
            await asyncio.gather(*(ask(pool, exclude=each).signature() for each in others))
            phase = phases(pool)["alpha"]
            if seen[-1:] != [phase]:
                seen.append(phase)
            if phase is Phase.EJECTED:
                alpha.script = lambda _: b"alpha"
    assert seen[:4] == [Phase.SOUND, Phase.EJECTED, Phase.RETURNING, Phase.SOUND]


async def test_a_worker_that_comes_back_gets_a_share_that_grows(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha, beta = await start_worker("alpha"), await start_worker("beta")
    pool = await start_pool(alpha=alpha.port, beta=beta.port)
    alpha.drop()
    await pool.until_links(1)
    await pool.until_links(2)
    assert phases(pool) == {"alpha": Phase.RETURNING, "beta": Phase.SOUND}
    signers = Counter([await ask(pool).signature() for _ in range(200)])
    assert signers[b"alpha"] < 50


def hedges(outcome: str) -> float:
    return metrics.SIGNING_HEDGES.labels(outcome).pending


async def test_what_is_late_is_asked_of_another_too(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha, beta = await start_worker("alpha", nothing), await start_worker("beta", nothing)
    pool = await start_pool(alpha=alpha.port, beta=beta.port)
    before = hedges("won")
    one = ask(pool)
    await alpha.until(lambda: bool(alpha.requests or beta.requests))
    slow, fast = (alpha, beta) if alpha.requests else (beta, alpha)
    fast.script = lambda _: b"fast"
    assert await one.signature() == b"fast"
    assert one.operation.worker == ("beta" if fast is beta else "alpha")
    assert hedges("won") == before + 1
    # The other is still at it, and nobody minds its answer.
    assert sum(worker.in_flight for worker in pool.workers) == 1
    slow.answer(slow.requests[0], b"late")
    slow.script = lambda _: b"slow"
    await ask(pool, exclude=frozenset({one.operation.worker})).signature()
    assert sum(worker.in_flight for worker in pool.workers) == 0
    assert one.calls == 1


async def test_both_lost_is_one_more_attempt(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha, beta = await start_worker("alpha", nothing), await start_worker("beta", nothing)
    pool = await start_pool(alpha=alpha.port, beta=beta.port)
    one = ask(pool)
    await alpha.until(lambda: bool(alpha.requests))
    await beta.until(lambda: bool(beta.requests))
    alpha.script = beta.script = lambda _: b"again"
    alpha.drop()
    beta.drop()
    assert await one.signature() == b"again"
    assert one.calls == 1


async def test_the_last_worker_and_an_empty_budget_are_not_hedged(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha, beta = await start_worker("alpha", nothing), await start_worker("beta", nothing)
    pool = await start_pool(alpha=alpha.port, beta=beta.port, deadline=0.6)
    asked = [ask(pool) for _ in range(40)]
    alone = ask(pool, exclude=frozenset({"beta"}))
    for one in [*asked, alone]:
        with pytest.raises(DeadlineExceeded):
            await one.signature()
    requests = len(alpha.requests) + len(beta.requests)
    assert 41 < requests <= 41 + FIRST_TOKENS + 41 * 0.05


class OneAtATime:
    """A script by which a worker takes 10 ms for each request."""

    worker: ScriptedWorker

    def __init__(self) -> None:
        self.free_at = 0.0
        self.timers: list[asyncio.TimerHandle] = []

    def __call__(self, request: TlsSign) -> None:
        loop = asyncio.get_running_loop()
        self.free_at = max(self.free_at, loop.time()) + 0.01
        self.timers.append(loop.call_at(self.free_at, self.worker.answer, request, b"signed"))


async def test_who_would_come_too_late_is_refused_at_once(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    script = OneAtATime()
    alpha = script.worker = await start_worker("alpha", script)
    pool = await start_pool(alpha=alpha.port, deadline=1.0)
    flood = [ask(pool) for _ in range(2000)]
    for one in flood[:40]:
        assert await one.signature() == b"signed"
    late = ask(pool)
    with pytest.raises(NoCapacity, match="add workers"):
        await late.signature()
    assert (late.operation.attempts, late.operation.worker) == (0, "")
    assert flood[-1].operation.pending
    for timer in script.timers:
        timer.cancel()
    for one in flood:
        one.operation.cancel()
    await pool.close()


async def test_while_every_worker_is_down_nobody_waits_for_the_deadline(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha = await start_worker("alpha")
    pool = await start_pool(alpha=alpha.port, deadline=60.0, outage_grace=0.3)
    await alpha.stop()
    await pool.until_links(0)
    began = time.monotonic()
    with pytest.raises(NoWorkerAvailable, match="every worker is down"):
        await ask(pool).signature()
    assert 0.2 <= time.monotonic() - began < 2
    second = ask(pool)
    assert second.calls == 0
    began = time.monotonic()
    with pytest.raises(NoWorkerAvailable, match="every worker is down"):
        await second.signature()
    assert time.monotonic() - began < 0.2
    await alpha.start()
    await pool.until_links(1)
    assert await ask(pool).signature() == b"alpha"


async def test_who_is_left_to_ask_but_down_is_not_waited_for_long(
    start_worker: StartWorker, start_pool: StartPool, ask: Ask
) -> None:
    alpha = await start_worker("alpha", refusing(ErrorCode.KEY_NOT_FOUND))
    pool = await start_pool(
        alpha=alpha.port, beta=free_port(), up=1, deadline=60.0, outage_grace=0.2
    )
    with pytest.raises(Refused):
        await ask(pool).signature()
