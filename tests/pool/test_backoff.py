"""Delays double up to a limit, with jitter, and begin again after a success."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from offload.pool.backoff import Backoff


@given(st.integers())
def test_each_delay_lies_in_the_upper_half_of_its_step(seed: int) -> None:
    backoff = Backoff(Random(seed), first=0.1, limit=1.0)
    for step in (0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0):
        assert step / 2 <= backoff.next() <= step


def test_reset_begins_again() -> None:
    backoff = Backoff(Random(1), first=0.1, limit=10.0)
    for _ in range(6):
        backoff.next()
    backoff.reset()
    assert backoff.next() <= 0.1


def test_different_front_ends_wait_differently() -> None:
    delays = {Backoff(Random(seed)).next() for seed in range(20)}
    assert len(delays) == 20
