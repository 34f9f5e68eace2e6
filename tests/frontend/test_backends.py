"""Least-connections choice and the passive marking of backends that fail."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from offload.config import Backend as Configured
from offload.frontend.backends import Backend, Backends


def backends(count: int, seed: int = 1) -> Backends:
    destinations = [Configured.parse(f"tcp://10.0.0.{n}:80") for n in range(1, count + 1)]
    return Backends(destinations, Random(seed), avoidance=5.0)


def chosen(pool: Backends, now: float = 0.0, exclude: tuple[Backend, ...] = ()) -> Backend:
    backend = pool.choose(now, exclude)
    assert backend is not None
    return backend


def test_destination_is_carried_over() -> None:
    tcp, unix = Backends(
        [Configured.parse("tcp://[::1]:8080"), Configured.parse("unix:///run/app.sock")], Random(1)
    )
    assert (tcp.host, tcp.port, tcp.path, tcp.name) == ("::1", 8080, None, "tcp://[::1]:8080")
    assert (unix.path, unix.name) == ("/run/app.sock", "unix:///run/app.sock")


def test_connections_spread_evenly() -> None:
    pool = backends(4)
    assert Counter(chosen(pool).name for _ in range(40)).most_common()[-1][1] == 10
    assert [backend.connections for backend in pool] == [10, 10, 10, 10]


def test_backend_with_fewest_connections_is_chosen() -> None:
    pool = backends(3)
    taken = [chosen(pool) for _ in range(9)]
    pool.release(taken[4])
    assert chosen(pool) is taken[4]


def test_ties_are_broken_by_the_injected_randomness() -> None:
    assert [chosen(backends(5, seed=7)).name] * 3 == [
        chosen(backends(5, seed=7)).name for _ in range(3)
    ]
    assert len({chosen(backends(5, seed=seed)).name for seed in range(40)}) == 5


def test_failed_backend_is_tried_last_for_a_while() -> None:
    pool = backends(2)
    bad = chosen(pool)
    pool.failed(bad, 100.0)
    good = [chosen(pool, 104.9) for _ in range(5)]
    assert bad not in good
    assert bad.connections == 0
    assert chosen(pool, 105.0) is bad


def test_connect_failure_leads_to_every_other_backend_once() -> None:
    pool = backends(3)
    tried: list[Backend] = []
    while (backend := pool.choose(0.0, tried)) is not None:
        pool.failed(backend, 0.0)
        tried.append(backend)
    assert set(tried) == set(pool)
    assert len(tried) == 3


def test_when_all_have_failed_the_one_that_failed_first_is_tried() -> None:
    pool = backends(3)
    first, second, third = (chosen(pool) for _ in range(3))
    for now, backend in ((1.0, second), (2.0, third), (3.0, first)):
        pool.failed(backend, now)
    assert chosen(pool, 3.5) is second


def test_success_ends_the_avoidance() -> None:
    pool = backends(2)
    one, other = chosen(pool), chosen(pool)
    pool.failed(one, 10.0)
    pool.failed(other, 10.0)
    retried = chosen(pool, 11.0)
    pool.connected(retried)
    assert chosen(pool, 11.0) is retried


def test_release_without_a_connection_is_a_mistake_of_the_caller() -> None:
    pool = backends(1)
    backend = chosen(pool)
    pool.release(backend)
    with pytest.raises(ValueError, match="no connection to release"):
        pool.release(backend)
