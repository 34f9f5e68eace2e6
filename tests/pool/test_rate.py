"""The measured rate: work over busy time, unmoved by rest, forgetful in the end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload.pool.rate import ASSUMED_RATE, LEAST_RATE, RateEstimator


def run(estimator: RateEstimator, now: float, rate: float, seconds: float) -> float:
    """Let the worker complete work at `rate` for `seconds`, in steps of a millisecond."""
    for _ in range(round(seconds * 1000)):
        now += 0.001
        estimator.busy(rate * 0.001, now)
    return now


@pytest.mark.parametrize("rate", [5e3, 4e5, 8e6])
def test_converges_to_the_true_rate(rate: float) -> None:
    estimator = RateEstimator(0.0)
    run(estimator, 0.0, rate, 5.0)
    assert estimator.rate == pytest.approx(rate, rel=0.02)


def test_follows_a_worker_that_slows_down() -> None:
    estimator = RateEstimator(0.0)
    now = run(estimator, 0.0, 1e6, 3.0)
    run(estimator, now, 1e5, 4.0)
    assert estimator.rate == pytest.approx(1e5, rel=0.3)


def test_a_rest_does_not_lower_the_rate() -> None:
    rested, steady = RateEstimator(0.0), RateEstimator(0.0)
    now = run(rested, 0.0, 4e5, 2.0)
    for _ in range(10):
        rested.idle(now + 0.5)
        now = run(rested, now + 0.5, 4e5, 0.1)
    run(steady, 0.0, 4e5, 3.0)
    assert rested.rate == pytest.approx(steady.rate, rel=0.1)


def test_a_long_rest_gives_another_chance() -> None:
    estimator = RateEstimator(0.0)
    now = run(estimator, 0.0, 1e3, 2.0)
    assert estimator.rate < 1e5
    estimator.idle(now + 600)
    assert estimator.rate == pytest.approx(ASSUMED_RATE, rel=0.05)


def test_silence_lowers_the_rate() -> None:
    estimator = RateEstimator(0.0)
    now = run(estimator, 0.0, 1e6, 2.0)
    estimator.busy(0.0, now + 3.0)
    assert estimator.rate < 0.1 * ASSUMED_RATE


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1e6), st.floats(0, 1e5)), max_size=50))
def test_the_rate_is_always_a_usable_divisor(steps: list[tuple[bool, float, float]]) -> None:
    estimator = RateEstimator(0.0)
    now = 0.0
    for busy, work, elapsed in steps:
        now += elapsed
        if busy:
            estimator.busy(work, now)
        else:
            estimator.idle(now)
        assert LEAST_RATE <= estimator.rate < 1e12


def test_latency_is_smoothed() -> None:
    estimator = RateEstimator(0.0)
    estimator.answered(0.008)
    assert estimator.latency == 0.008
    estimator.answered(0.016)
    assert estimator.latency == pytest.approx(0.009)


def test_the_capacity_is_the_rate_until_one_is_measured() -> None:
    estimator = RateEstimator(0.0, 4.0)
    assert estimator.rate == 4 * ASSUMED_RATE
    now = run(estimator, 0.0, 5e5, 5.0)
    assert estimator.rate == pytest.approx(5e5, rel=0.02)
    estimator.idle(now + 1e4)
    assert estimator.rate == pytest.approx(4 * ASSUMED_RATE, rel=0.01)
