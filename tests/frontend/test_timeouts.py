"""Timeout queues: never early, at most one granularity late, whatever the order of events."""

from __future__ import annotations

from operator import attrgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload.frontend.timeouts import TimeoutQueue


class Peer:
    def __init__(self, active: float) -> None:
        self.active = active


def test_object_expires_once_its_duration_is_over() -> None:
    queue: TimeoutQueue[str] = TimeoutQueue(10.0, granularity=1.0)
    queue.add("a", 100.0)
    assert queue.expire(109.9) == []
    assert queue.expire(111.0) == ["a"]
    assert queue.expire(200.0) == []
    assert len(queue) == 0


def test_objects_expire_in_the_order_of_their_deadlines() -> None:
    queue: TimeoutQueue[str] = TimeoutQueue(10.0, granularity=1.0)
    for name, now in (("a", 0.0), ("b", 0.5), ("c", 3.0), ("d", 7.0)):
        queue.add(name, now)
    assert queue.expire(15.0) == ["a", "b", "c"]
    assert queue.expire(20.0) == ["d"]


def test_adding_again_starts_afresh() -> None:
    queue: TimeoutQueue[str] = TimeoutQueue(10.0, granularity=1.0)
    queue.add("a", 0.0)
    queue.add("a", 5.0)
    assert queue.expire(14.0) == []
    assert queue.expire(16.0) == ["a"]
    assert len(queue) == 0


def test_discarded_object_does_not_expire_and_is_not_kept() -> None:
    queue: TimeoutQueue[str] = TimeoutQueue(10.0)
    queue.add("a", 0.0)
    queue.discard("a")
    queue.discard("a")
    assert "a" not in queue
    assert queue.expire(100.0) == []


def test_activity_is_read_when_due_and_postpones_expiry() -> None:
    queue: TimeoutQueue[Peer] = TimeoutQueue(
        10.0, granularity=1.0, last_active=attrgetter("active")
    )
    busy, idle = Peer(0.0), Peer(0.0)
    queue.add(busy, 0.0)
    queue.add(idle, 0.0)
    busy.active = 8.0
    assert queue.expire(11.0) == [idle]
    assert busy in queue
    assert queue.expire(17.5) == []
    assert queue.expire(19.0) == [busy]


def test_queue_of_the_past_still_expires() -> None:
    queue: TimeoutQueue[str] = TimeoutQueue(1.0, granularity=1.0)
    queue.expire(1000.0)
    queue.add("late", 10.0)
    assert queue.expire(1001.0) == ["late"]


def test_next_expiry_names_the_time_worth_waking_for() -> None:
    queue: TimeoutQueue[str] = TimeoutQueue(10.0, granularity=0.5)
    assert queue.next_expiry() is None
    queue.add("a", 0.0)
    queue.add("b", 5.0)
    wake = queue.next_expiry()
    assert wake is not None
    assert 10.0 <= wake <= 10.5
    assert queue.expire(wake) == ["a"]
    queue.discard("b")
    assert queue.next_expiry() is None


def test_clear_returns_everything() -> None:
    queue: TimeoutQueue[str] = TimeoutQueue(10.0)
    queue.add("a", 0.0)
    queue.add("b", 1.0)
    assert queue.clear() == ["a", "b"]
    assert len(queue) == 0
    assert queue.expire(100.0) == []


@pytest.mark.parametrize(("duration", "granularity"), [(0.0, 1.0), (-1.0, 1.0), (1.0, 0.0)])
def test_durations_must_be_positive(duration: float, granularity: float) -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        TimeoutQueue(duration, granularity=granularity)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "discard", "expire"]), st.integers(0, 5), st.floats(0, 3)
        ),
        max_size=60,
    )
)
def test_never_early_and_at_most_one_granularity_late(events: list[tuple[str, int, float]]) -> None:
    queue: TimeoutQueue[int] = TimeoutQueue(4.0, granularity=0.5)
    deadlines: dict[int, float] = {}
    now = 50.0
    for kind, obj, pause in events:
        now += pause
        if kind == "add":
            queue.add(obj, now)
            deadlines[obj] = now + 4.0
        elif kind == "discard":
            queue.discard(obj)
            deadlines.pop(obj, None)
        else:
            for gone in queue.expire(now):
                assert deadlines.pop(gone) <= now
            assert all(deadline + 0.5 >= now for deadline in deadlines.values())
        assert len(queue) == len(deadlines)


def test_the_oldest_is_who_was_active_first() -> None:
    queue: TimeoutQueue[Peer] = TimeoutQueue(
        10.0, granularity=1.0, last_active=attrgetter("active")
    )
    assert queue.oldest() is None
    peers = [Peer(0.0), Peer(1.0), Peer(2.0)]
    for peer in peers:
        queue.add(peer, peer.active)
    assert queue.oldest() is peers[0]
    peers[0].active = 8.0
    assert queue.oldest() is peers[1]
    assert len(queue) == 3
    queue.discard(peers[1])
    queue.discard(peers[2])
    assert queue.oldest() is peers[0]
    assert queue.expire(17.0) == []
    assert queue.expire(19.0) == [peers[0]]
