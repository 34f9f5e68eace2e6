import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random

from offload.catalogue.base import (
    Batch,
    CatalogueUnavailable,
    Delete,
    Entry,
    LeaseExpired,
    Put,
    Snapshot,
    Unchanged,
    Write,
)
from offload.catalogue.presence import Presence

PATH = "alive/worker-1"


class ScriptedCatalogue:
    """Leases that end when a test says so; `down` makes every call fail."""

    def __init__(self) -> None:
        self.down = False
        self.leases: set[int] = set()
        self.entries: dict[str, tuple[bytes, int]] = {}
        self.calls: list[str] = []
        self._next = 0
        self._turn = asyncio.Condition()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10), self._turn:
            await self._turn.wait_for(condition)

    def expire(self) -> None:
        self.leases.clear()
        self.entries = {path: entry for path, entry in self.entries.items() if not entry[1]}

    @asynccontextmanager
    async def _call(self, name: str) -> AsyncIterator[None]:
        self.calls.append(name)
        try:
            if self.down:
                raise CatalogueUnavailable("no catalogue answers: start it")
            yield
        finally:
            async with self._turn:
                self._turn.notify_all()

    def _require(self, lease: int) -> None:
        if lease not in self.leases:
            raise LeaseExpired("the lease is over")

    async def get(self, key: str) -> Entry | None:
        async with self._call("get"):
            return Entry(key, self.entries[key][0], 1) if key in self.entries else None

    async def list(
        self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0
    ) -> Snapshot:
        raise NotImplementedError

    async def commit(self, writes: Sequence[Write], checks: Sequence[Unchanged] = ()) -> int:
        async with self._call("commit"):
            for write in writes:
                if isinstance(write, Delete):
                    self.entries.pop(write.key)
                    continue
                assert isinstance(write, Put)
                self._require(write.lease)
                self.entries[write.key] = write.value, write.lease
            return 1

    def watch(self, prefix: str, after: int) -> AsyncGenerator[Batch, None]:
        raise NotImplementedError

    async def lease(self, seconds: float) -> int:
        async with self._call("lease"):
            self._next += 1
            self.leases.add(self._next)
            return self._next

    async def keep_alive(self, lease: int) -> None:
        async with self._call("keep_alive"):
            self._require(lease)

    async def revoke(self, lease: int) -> None:
        async with self._call("revoke"):
            self.leases.discard(lease)
            self.entries = {p: entry for p, entry in self.entries.items() if entry[1] != lease}

    async def close(self) -> None:
        """Nothing to release."""


@asynccontextmanager
async def presence(
    catalogue: ScriptedCatalogue, seconds: float = 0.03, value: Callable[[], bytes] = lambda: b"me"
) -> AsyncIterator[Presence]:
    made = Presence(catalogue, PATH, value, seconds, random=Random(1))
    made.start()
    try:
        yield made
    finally:
        await made.withdraw()


async def test_it_stands_while_it_is_kept_and_no_longer() -> None:
    catalogue = ScriptedCatalogue()
    async with presence(catalogue) as kept:
        await catalogue.until(lambda: catalogue.calls.count("keep_alive") >= 3)
        assert catalogue.entries == {PATH: (b"me", 1)}
        assert kept.shown
    assert catalogue.entries == {}
    assert catalogue.leases == set()
    assert not kept.shown


async def test_a_lease_that_is_over_is_replaced() -> None:
    catalogue = ScriptedCatalogue()
    async with presence(catalogue):
        await catalogue.until(lambda: PATH in catalogue.entries)
        catalogue.expire()
        await catalogue.until(lambda: catalogue.entries.get(PATH) == (b"me", 2))


async def test_an_entry_that_is_gone_is_written_again() -> None:
    catalogue = ScriptedCatalogue()
    async with presence(catalogue):
        await catalogue.until(lambda: PATH in catalogue.entries)
        catalogue.entries.clear()
        await catalogue.until(lambda: catalogue.entries.get(PATH) == (b"me", 1))


async def test_an_outage_at_the_start_is_outlived() -> None:
    catalogue = ScriptedCatalogue()
    catalogue.down = True
    async with presence(catalogue) as kept:
        await catalogue.until(lambda: catalogue.calls.count("lease") >= 3)
        assert not kept.shown
        catalogue.down = False
        await catalogue.until(lambda: PATH in catalogue.entries)


async def test_an_outage_longer_than_the_lease_is_outlived() -> None:
    catalogue = ScriptedCatalogue()
    async with presence(catalogue) as kept:
        await catalogue.until(lambda: PATH in catalogue.entries)
        catalogue.down = True
        catalogue.calls.clear()
        await catalogue.until(lambda: catalogue.calls.count("keep_alive") >= 3)
        assert not kept.shown
        catalogue.expire()
        catalogue.down = False
        await catalogue.until(lambda: catalogue.entries.get(PATH) == (b"me", 2))


async def test_a_lease_that_ends_before_it_is_used_is_replaced() -> None:
    catalogue = ScriptedCatalogue()
    catalogue.down = True
    async with presence(catalogue) as kept:
        catalogue.down = False
        await catalogue.until(lambda: "lease" in catalogue.calls)
        catalogue.expire()
        await catalogue.until(lambda: PATH in catalogue.entries)
        kept.update()
        await catalogue.until(lambda: catalogue.calls.count("commit") >= 2)
        assert PATH in catalogue.entries


async def test_a_change_is_written_at_once_under_the_same_lease() -> None:
    catalogue = ScriptedCatalogue()
    value = [b"old"]
    # An hour's lease: nothing but update() wakes it.
    async with presence(catalogue, 3600, lambda: value[0]) as kept:
        await catalogue.until(lambda: PATH in catalogue.entries)
        value[0] = b"new"
        kept.update()
        assert not kept.shown
        await catalogue.until(lambda: catalogue.entries.get(PATH) == (b"new", 1))


async def test_withdrawing_does_not_need_the_catalogue() -> None:
    catalogue = ScriptedCatalogue()
    kept = Presence(catalogue, PATH, lambda: b"me", 3600, random=Random(1))
    kept.start()
    await catalogue.until(lambda: PATH in catalogue.entries)
    catalogue.down = True
    await kept.withdraw()
    assert not kept.shown
    assert catalogue.calls[-1] == "revoke"
