"""Two copies of an operation, and how many there may be."""

import pytest

from offload.keys.algorithm import Algorithm
from offload.pool import hedge as module
from offload.pool.errors import LinkLost, SigningError
from offload.pool.hedge import Budget, Hedge, Outcome, delay
from offload.pool.operation import SigningOperation, State


class Bench:
    """A hedge whose copies the test answers."""

    def __init__(self) -> None:
        self.done: list[SigningOperation] = []
        self.lost: list[SigningError] = []
        self.outcomes: list[Outcome] = []
        self.operation = SigningOperation(
            b"k" * 20, Algorithm.P_256, 0x0403, 0x0304, b"h" * 32, "a", b"", self.done.append,
            frozenset({"gamma"}), b"r" * 32,
        )  # fmt: skip
        self.operation.ask(1.0, 6.0)
        self.hedge = Hedge(
            self.operation, lambda _, error: self.lost.append(error), self.outcomes.append
        )
        for copy, worker in ((self.hedge.first, "alpha"), (self.hedge.second, "beta")):
            copy.ask(2.0, 7.0)
            copy.worker = worker
            copy.tried |= {worker}


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_copies_ask_for_the_same(bench: Bench) -> None:
    for copy in (bench.hedge.first, bench.hedge.second):
        for name in ("ski", "scheme", "version", "payload", "server_name", "client_random"):
            assert getattr(copy, name) == getattr(bench.operation, name)
        assert copy.exclude == frozenset({"gamma"})
        assert copy.hedge is bench.hedge


@pytest.mark.parametrize(("which", "outcome"), [("first", Outcome.LOST), ("second", Outcome.WON)])
def test_the_first_signature_counts(bench: Bench, which: str, outcome: Outcome) -> None:
    copy: SigningOperation = getattr(bench.hedge, which)
    copy.succeed(b"signature")
    other = bench.hedge.first if copy is bench.hedge.second else bench.hedge.second
    other.succeed(b"too late")
    assert bench.done == [bench.operation]
    assert (bench.operation.signature, bench.operation.worker) == (b"signature", copy.worker)
    assert not bench.operation.pending
    assert bench.outcomes == [outcome]


def test_one_failure_is_not_the_end(bench: Bench) -> None:
    bench.hedge.first.fail(LinkLost("alpha", "broken"))
    assert (bench.done, bench.lost) == ([], [])
    bench.hedge.second.succeed(b"signature")
    assert bench.operation.signature == b"signature"


def test_two_failures_are_told_once_with_who_was_tried(bench: Bench) -> None:
    last = LinkLost("alpha", "broken")
    bench.hedge.second.fail(LinkLost("beta", "broken"))
    bench.hedge.first.fail(last)
    assert bench.lost == [last]
    assert bench.outcomes == [Outcome.FAILED]
    assert bench.operation.tried == {"alpha", "beta", "gamma"}
    assert bench.operation.pending


def test_who_cancelled_hears_nothing(bench: Bench) -> None:
    bench.operation.cancel()
    bench.hedge.second.succeed(b"signature")
    assert bench.operation.state is State.CANCELLED
    assert bench.done == []


def test_an_operation_that_is_over_stays_as_it_ended(bench: Bench) -> None:
    bench.operation.pending = False
    bench.operation.fail(LinkLost("", "deadline"))
    bench.hedge.first.succeed(b"signature")
    assert bench.operation.state is State.FAILED


def test_the_budget_is_a_share_of_what_was_asked_for() -> None:
    budget = Budget(0.05)
    sent = 0
    for submitted in range(10_000):
        if budget.earn(submitted):
            sent += budget.take()
    assert 0.045 * 10_000 < sent <= 0.05 * 10_000 + module.FIRST_TOKENS
    assert not budget.take()


def test_the_budget_does_not_pile_up() -> None:
    budget = Budget(0.05)
    assert budget.earn(10**6)
    assert sum(budget.take() for _ in range(1000)) == module.BURST
    assert not budget.earn(10**6)


def test_no_budget_is_no_hedge() -> None:
    assert not Budget(0.0).earn(10**6)


def test_late_is_measured_but_bounded() -> None:
    assert delay(None, 5.0) == module.FIRST_DELAY
    assert delay(0.0001, 5.0) == module.LEAST_DELAY
    assert delay(0.3, 5.0) == 0.3
    assert delay(4.0, 5.0) == 2.5
