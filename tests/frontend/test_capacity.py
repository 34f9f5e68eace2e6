"""How many connections can be borne."""

import pytest

from offload.frontend.capacity import HANDSHAKE_BYTES, RELAY_BYTES, Capacity, bearable


@pytest.mark.parametrize(
    ("descriptors", "connections"), [(1_048_576, 524_160), (1024, 384), (64, 24), (1, 1)]
)
def test_two_descriptors_for_each_connection_and_some_for_others(
    descriptors: int, connections: int
) -> None:
    assert bearable(descriptors) == connections


def test_connections_of_both_kinds_take_room() -> None:
    assert Capacity(100, 0).room(30, 60, 50) == 10
    assert Capacity(100, 0).room(60, 60, 0) == -20
    assert Capacity(0, 0).room(10**6, 10**6, 0) > 10**6


def test_memory_is_taken_by_stalled_relays_above_all() -> None:
    capacity = Capacity(1000, 100 * HANDSHAKE_BYTES)
    assert capacity.room(0, 0, 0) == 100 * HANDSHAKE_BYTES // RELAY_BYTES
    assert capacity.room(50, 20, 0) == 30
    assert capacity.room(0, 20, 10) < 0


def test_steps_are_small_where_little_is_borne() -> None:
    assert [Capacity(each, 0).step for each in (1, 64, 640, 10**6)] == [1, 1, 10, 64]
