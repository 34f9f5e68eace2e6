"""Deadlines for a huge number of connections with few distinct timeouts.

A process holds one `TimeoutQueue` per kind of timeout (handshake, idle, ...) and one timer for
all of them: at each tick of the timer it calls `expire(now)` on every queue. Adding, refreshing
and discarding cost a few dictionary operations, whatever the number of connections, because a
deadline is only kept as precisely as the queue's granularity: a connection is reported between
0 and one granularity after its deadline, never before it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class TimeoutQueue(Generic[T]):
    """Objects that expire `duration` seconds after they were added or were last active.

    `last_active`, where given, makes refreshing free: the owner of an object stores the time of
    its last activity on the object itself, and the queue asks for it only when the object is due
    to expire, and keeps an object that has been active since. `operator.attrgetter` will do.

    Objects need nothing but a hash and an identity. Times are monotonic seconds.
    """

    __slots__ = ("_bucket_of", "_buckets", "_last_active", "_swept", "duration", "granularity")

    def __init__(
        self,
        duration: float,
        *,
        granularity: float = 0.25,
        last_active: Callable[[T], float] | None = None,
    ) -> None:
        if duration <= 0 or granularity <= 0:
            raise ValueError("a timeout and its granularity must be greater than 0 seconds")
        self.duration = duration
        self.granularity = granularity
        self._last_active = last_active
        # Dictionaries serve as sets that keep their order, so that expiry is first in, first out.
        self._buckets: dict[int, dict[T, None]] = {}
        self._bucket_of: dict[T, dict[T, None]] = {}
        self._swept: int | None = None

    def __len__(self) -> int:
        return len(self._bucket_of)

    def __contains__(self, obj: T) -> bool:
        return obj in self._bucket_of

    def add(self, obj: T, now: float) -> None:
        """Let `obj` expire at `now + duration`; an object already queued starts afresh."""
        tick = int((now + self.duration) // self.granularity) + 1
        # A time older than the last sweep must not land in a bucket that nothing will visit.
        if self._swept is not None and tick <= self._swept:
            tick = self._swept + 1
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = {}
        old = self._bucket_of.get(obj)
        if old is bucket:
            return
        if old is not None:
            del old[obj]
        bucket[obj] = None
        self._bucket_of[obj] = bucket

    def discard(self, obj: T) -> None:
        """Forget `obj`, if it is queued."""
        bucket = self._bucket_of.pop(obj, None)
        if bucket is not None:
            del bucket[obj]

    def expire(self, now: float) -> list[T]:
        """Remove and return the objects whose time is over, those due first standing first."""
        expired: list[T] = []
        for tick in self._due(int(now // self.granularity)):
            bucket = self._buckets.pop(tick)
            for obj in bucket:
                del self._bucket_of[obj]
                if self._last_active is None:
                    expired.append(obj)
                    continue
                active = self._last_active(obj)
                if active + self.duration > now:
                    self.add(obj, active)
                else:
                    expired.append(obj)
        return expired

    def oldest(self) -> T | None:
        """The object that is due first, which stays queued; None while the queue is empty.

        Looks again at those that were active since they were queued, each once for a granularity.
        """
        while ticks := [tick for tick, bucket in self._buckets.items() if bucket]:
            bucket = self._buckets[min(ticks)]
            first = next(iter(bucket))
            if self._last_active is not None:
                self.add(first, self._last_active(first))
            if self._bucket_of[first] is bucket:
                return first
        return None

    def clear(self) -> list[T]:
        """Remove and return every object, for a shutdown that ends all of them."""
        objects = list(self._bucket_of)
        self._bucket_of.clear()
        self._buckets.clear()
        return objects

    def next_expiry(self) -> float | None:
        """When `expire` is next worth calling; None while the queue is empty.

        Costs one comparison for each granularity step within the duration, at most.
        """
        ticks = [tick for tick, bucket in self._buckets.items() if bucket]
        return min(ticks) * self.granularity if ticks else None

    def _due(self, last: int) -> list[int]:
        """The buckets up to and with tick `last`, in the order of time."""
        if self._swept is not None and last <= self._swept:
            return []
        due = sorted(tick for tick in self._buckets if tick <= last)
        self._swept = last
        return due
