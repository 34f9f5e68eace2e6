"""A catalogue in memory, with the whole contract of the real ones, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

from offload.catalogue.base import (
    Batch,
    CatalogueUnavailable,
    Compacted,
    Conflict,
    Delete,
    Entry,
    Event,
    LeaseExpired,
    Put,
    Snapshot,
    Unchanged,
    Write,
)
from offload.catalogue.rules import check_commit, check_key


@dataclass
class _Lease:
    seconds: float
    expires: float


@dataclass
class _Store:
    """What all catalogues on it share; `history` is whole, `floor` is what is told of it."""

    clock: Callable[[], float]
    entries: dict[str, Put] = field(default_factory=dict)
    revisions: dict[str, int] = field(default_factory=dict)
    history: list[Event] = field(default_factory=list)
    leases: dict[int, _Lease] = field(default_factory=dict)
    revision: int = 1
    floor: int = 0
    leases_given: int = 0
    watches: set[asyncio.Event] = field(default_factory=set)

    def apply(self, writes: Sequence[Write]) -> int:
        events = [write for write in writes if isinstance(write, Put) or write.key in self.entries]
        if events:
            self.revision += 1
        for write in events:
            self._apply(write)
        self.wake()
        return self.revision

    def _apply(self, write: Write) -> None:
        if isinstance(write, Put):
            self.entries[write.key] = write
            self.revisions[write.key] = self.revision
            self.history.append(Event(write.key, write.value, self.revision))
        else:
            del self.entries[write.key], self.revisions[write.key]
            self.history.append(Event(write.key, None, self.revision))

    def end_leases(self, ended: Callable[[int, _Lease], bool]) -> None:
        over = {number for number, lease in self.leases.items() if ended(number, lease)}
        if over:
            for number in over:
                del self.leases[number]
            bound = sorted(key for key, put in self.entries.items() if put.lease in over)
            self.apply([Delete(key) for key in bound])

    def expire(self) -> None:
        now = self.clock()
        self.end_leases(lambda _, lease: lease.expires <= now)

    def next_expiry(self) -> float | None:
        """Seconds from now, None without a lease."""
        if not self.leases:
            return None
        return max(0.0, min(lease.expires for lease in self.leases.values()) - self.clock())

    def at(self, revision: int) -> list[Entry]:
        entries: dict[str, Entry] = {}
        for event in self.history:
            if event.revision > revision:
                break
            if event.value is None:
                entries.pop(event.key, None)
            else:
                entries[event.key] = Entry(event.key, event.value, event.revision)
        return [entries[key] for key in sorted(entries)]

    def wake(self) -> None:
        for watch in self.watches:
            watch.set()


class FakeCatalogue:
    """Keeps everything in memory. `clock` is that of leases, in seconds.

    After the clock has jumped, `tick()` lets watches notice; every method notices by itself.
    `another()` is the catalogue as a second process sees it.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, store: _Store | None = None
    ) -> None:
        self._store = store or _Store(clock)
        self._down = self._closed = False

    @property
    def down(self) -> bool:
        """True: every method raises CatalogueUnavailable, and watches see nothing for a while."""
        return self._down

    @down.setter
    def down(self, value: bool) -> None:
        self._down = value
        self._store.wake()

    def another(self) -> FakeCatalogue:
        """A catalogue on the same store, which can be down by itself."""
        return FakeCatalogue(store=self._store)

    def tick(self) -> None:
        """Look at the clock: what is bound to leases that are over goes."""
        self._store.expire()

    def compact(self) -> None:
        """Forget all history, as a store does with time."""
        self._store.floor = self._store.revision

    async def get(self, key: str) -> Entry | None:
        self._ready()
        check_key(key)
        put = self._store.entries.get(key)
        return put and Entry(key, put.value, self._store.revisions[key])

    async def list(
        self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0
    ) -> Snapshot:
        self._ready()
        if revision > self._store.revision:
            raise ValueError(f"revision {revision} is yet to come")
        if revision and revision < self._store.floor:
            raise _compacted(revision)
        revision = revision or self._store.revision
        found = tuple(
            entry
            for entry in self._store.at(revision)
            if entry.key.startswith(prefix) and entry.key > after
        )
        cut = limit if limit else len(found)
        return Snapshot(found[:cut], revision, len(found) > cut)

    async def commit(self, writes: Sequence[Write], checks: Sequence[Unchanged] = ()) -> int:
        self._ready()
        check_commit(writes, checks)
        for check in checks:
            if self._store.revisions.get(check.key, 0) != check.revision:
                raise Conflict(f"{check.key} has changed: read it again")
        for write in writes:
            if isinstance(write, Put) and write.lease and write.lease not in self._store.leases:
                raise _over(write.lease)
        return self._store.apply(writes)

    async def watch(self, prefix: str, after: int) -> AsyncGenerator[Batch, None]:
        changed = asyncio.Event()
        self._store.watches.add(changed)
        try:
            while not self._closed:
                changed.clear()
                if not self._down:
                    events, after = self._changes(prefix, after)
                    if events:
                        yield Batch(events, after)
                        continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._store.next_expiry()):
                        await changed.wait()
        finally:
            self._store.watches.discard(changed)

    def _changes(self, prefix: str, after: int) -> tuple[tuple[Event, ...], int]:
        self._store.expire()
        if after < self._store.floor:
            raise _compacted(after)
        events = tuple(
            event
            for event in self._store.history
            if event.revision > after and event.key.startswith(prefix)
        )
        return events, max(after, self._store.revision)

    async def lease(self, seconds: float) -> int:
        self._ready()
        self._store.leases_given += 1
        number = self._store.leases_given
        self._store.leases[number] = _Lease(seconds, self._store.clock() + seconds)
        self._store.wake()
        return number

    async def keep_alive(self, lease: int) -> None:
        self._ready()
        found = self._store.leases.get(lease)
        if found is None:
            raise _over(lease)
        found.expires = self._store.clock() + found.seconds

    async def revoke(self, lease: int) -> None:
        self._ready()
        self._store.end_leases(lambda number, _: number == lease)

    async def close(self) -> None:
        self._closed = True
        self._store.wake()

    def _ready(self) -> None:
        if self._closed:
            raise CatalogueUnavailable("the catalogue is closed")
        if self._down:
            raise CatalogueUnavailable("the catalogue is down: try again later")
        self._store.expire()


def _compacted(revision: int) -> Compacted:
    return Compacted(f"the history since revision {revision} is gone: list anew")


def _over(lease: int) -> LeaseExpired:
    return LeaseExpired(f"lease {lease} is over: take a new one")
