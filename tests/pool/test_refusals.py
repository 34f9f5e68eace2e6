"""What is remembered of refusals, and for how long."""

from offload.pool.refusals import CAPACITY, MEMORY_SECONDS, Refusals

KEY, OTHER = b"a" * 20, b"b" * 20


def test_remembers_that_worker_and_that_key_alone() -> None:
    refusals = Refusals()
    assert not refusals
    refusals.add(KEY, "alpha", 100.0)
    assert refusals
    assert refusals.lacks(KEY, "alpha", 100.0)
    assert not refusals.lacks(OTHER, "alpha", 100.0)
    assert not refusals.lacks(KEY, "beta", 100.0)


def test_forgets_in_time() -> None:
    refusals = Refusals()
    refusals.add(KEY, "alpha", 100.0)
    refusals.add(OTHER, "alpha", 105.0)
    assert not refusals.lacks(KEY, "alpha", 100.0 + MEMORY_SECONDS)
    refusals.expire(100.0 + MEMORY_SECONDS)
    assert refusals.lacks(OTHER, "alpha", 100.0 + MEMORY_SECONDS)
    refusals.expire(105.0 + MEMORY_SECONDS)
    assert not refusals


def test_a_new_refusal_renews_the_memory() -> None:
    refusals = Refusals()
    refusals.add(KEY, "alpha", 100.0)
    refusals.add(OTHER, "alpha", 101.0)
    refusals.add(KEY, "alpha", 109.0)
    refusals.expire(112.0)
    assert refusals.lacks(KEY, "alpha", 112.0)


def test_the_memory_is_bounded() -> None:
    refusals = Refusals()
    for number in range(CAPACITY + 1):
        refusals.add(number.to_bytes(20, "big"), "alpha", 0.0)
    assert not refusals.lacks(bytes(20), "alpha", 1.0)
    assert refusals.lacks((1).to_bytes(20, "big"), "alpha", 1.0)
