"""The choice: least expected completion time, never an excluded one, fair among equals."""

from collections import Counter
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload.pool.choice import choose


@dataclass(frozen=True)
class Worker:
    name: str
    outstanding: float
    rate: float
    distance: float = 0.0


def completion_time(worker: Worker, cost: float) -> float:
    return (worker.outstanding + cost) / worker.rate + worker.distance


amounts = st.floats(0, 1e7)
rates = st.floats(1, 1e7)
distances = st.sampled_from([0.0, 0.0, 1e-4, 1e-3, 0.1])
pools = st.lists(st.tuples(amounts, rates, distances), max_size=8).map(
    lambda rows: [Worker(str(number), *row) for number, row in enumerate(rows)]
)
exclusions = st.frozensets(st.integers(0, 8).map(str))
seeds = st.integers(0, 1 << 32)


@given(pools, amounts, exclusions, seeds)
def test_picks_the_least_time_of_those_not_excluded(
    workers: list[Worker], cost: float, excluded: frozenset[str], seed: int
) -> None:
    chosen = choose(workers, cost, excluded, Random(seed))
    allowed = [worker for worker in workers if worker.name not in excluded]
    if not allowed:
        assert chosen is None
        return
    assert chosen in allowed
    assert completion_time(chosen, cost) == min(completion_time(one, cost) for one in allowed)


@given(pools, amounts, seeds)
def test_the_seed_determines_the_choice(workers: list[Worker], cost: float, seed: int) -> None:
    nobody: frozenset[str] = frozenset()
    first = choose(workers, cost, nobody, Random(seed))
    assert choose(workers, cost, nobody, Random(seed)) is first


@pytest.mark.parametrize("count", [2, 3, 5])
def test_equals_are_chosen_equally_often(count: int) -> None:
    workers = [Worker(str(number), 10.0, 100.0) for number in range(count)]
    random = Random(7)
    chosen = Counter(choose(workers, 5.0, (), random) for _ in range(1000 * count))
    assert all(900 < times < 1100 for times in chosen.values())
    assert len(chosen) == count


def test_cost_weighs_against_rate() -> None:
    # Twice the work at three times the rate is done first; an idle slow one is last.
    fast = Worker("fast", 2000.0, 3e6)
    even = Worker("even", 1000.0, 1e6)
    slow = Worker("slow", 0.0, 1e5)
    assert choose([slow, even, fast], 275.0, (), Random(1)) is fast
    assert choose([slow, even, fast], 275.0, {"fast"}, Random(1)) is even


@given(pools, amounts, seeds)
def test_a_further_one_is_asked_only_for_what_it_does_sooner(
    workers: list[Worker], cost: float, seed: int
) -> None:
    chosen = choose(workers, cost, (), Random(seed))
    if chosen is None or not chosen.distance:
        return
    near = [completion_time(worker, cost) for worker in workers if not worker.distance]
    assert all(completion_time(chosen, cost) <= time for time in near)


def test_the_own_zone_comes_first_and_spills_over() -> None:
    # A round trip of 2 ms is worth 2000 µs of work at the near one.
    near, far = Worker("near", 1900.0, 1e6), Worker("far", 0.0, 1e6, 0.002)
    assert choose([far, near], 22.0, (), Random(1)) is near
    busy = Worker("near", 2100.0, 1e6)
    assert choose([far, busy], 22.0, (), Random(1)) is far
    assert choose([far, near], 22.0, {"near"}, Random(1)) is far
