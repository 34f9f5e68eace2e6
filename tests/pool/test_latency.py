"""Latencies of workers: what is far, what is late."""

from offload.keys.algorithm import Algorithm
from offload.pool.latency import (
    LEAST_SAMPLES,
    MEMORY_SECONDS,
    SAMPLES,
    Latencies,
    is_far,
    limits,
    percentile_95,
)

P, R = Algorithm.P_256, Algorithm.RSA_2048


def taken(latency: float, count: int = LEAST_SAMPLES, now: float = 0.0) -> Latencies:
    latencies = Latencies()
    latencies.add([(P, latency)] * count, now)
    return latencies


def test_few_samples_say_nothing() -> None:
    few = taken(0.5, LEAST_SAMPLES - 1)
    assert few.medians() == {}
    assert percentile_95([few], P) is None
    assert percentile_95([few, taken(0.5, 1)], P) == 0.5
    assert percentile_95([few], R) is None


def test_what_is_old_is_forgotten_and_the_newest_are_kept() -> None:
    latencies = taken(0.5, now=1.0)
    latencies.add([(R, 0.1)] * LEAST_SAMPLES, 1.0 + MEMORY_SECONDS)
    assert latencies.medians() == {P: 0.5, R: 0.1}
    latencies.add([(R, 0.2)] * SAMPLES, 1.1 + MEMORY_SECONDS)
    assert latencies.medians() == {R: 0.2}
    latencies.clear()
    assert latencies.medians() == {}


def test_far_is_compared_with_the_others_by_algorithm() -> None:
    others = limits([{P: 0.001, R: 0.1}, {P: 0.002, R: 0.1}, {P: 0.5}])
    assert not is_far({P: 0.004, R: 0.39}, others)
    assert is_far({P: 0.004, R: 0.41}, others)
    assert is_far({P: 0.009}, others)
    assert not is_far({Algorithm.ED25519: 9.0}, others)
    assert not is_far({P: 9.0}, limits([]))


def test_the_noise_of_a_machine_is_not_far() -> None:
    others = limits([{P: 0.0002}])
    assert not is_far({P: 0.003}, others)
    assert is_far({P: 0.004}, others)


def test_the_percentile_is_over_all_workers() -> None:
    fast, slow = taken(0.001, 60), taken(0.1, 3)
    assert percentile_95([fast, slow], P) == 0.001
    slow.add([(P, 0.1)] * 3, 0.0)
    assert percentile_95([fast, slow], P) == 0.1
