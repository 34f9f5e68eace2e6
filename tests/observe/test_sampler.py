"""A hot message passes once an interval, with the count of those held back."""

from offload.observe.sampler import Sampler


def test_admits_once_an_interval_and_counts_the_rest() -> None:
    sampler = Sampler(interval=1.0)
    assert sampler.admit("refused", now=10.0) == 0
    assert sampler.admit("refused", now=10.1) is None
    assert sampler.admit("refused", now=10.9) is None
    assert sampler.admit("refused", now=11.0) == 2
    assert sampler.admit("refused", now=12.5) == 0


def test_keys_are_apart() -> None:
    sampler = Sampler()
    assert sampler.admit("a", now=0.0) == 0
    assert sampler.admit("b", now=0.0) == 0


def test_remembers_a_bounded_number_of_keys() -> None:
    sampler = Sampler(interval=100.0, capacity=2)
    for key in ("a", "b", "c"):
        sampler.admit(key, now=0.0)
    assert sampler.admit("a", now=1.0) == 0
    assert sampler.admit("c", now=1.0) is None
