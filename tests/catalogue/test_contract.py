"""One suite for all catalogues."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.etcd import EtcdCluster

from offload.catalogue.base import (
    MAX_VALUE,
    MAX_WRITES,
    Batch,
    Catalogue,
    CatalogueUnavailable,
    Conflict,
    Delete,
    Entry,
    Event,
    LeaseExpired,
    Put,
    Unchanged,
    Write,
)
from offload.catalogue.etcd import EtcdCatalogue
from offload.catalogue.fake import FakeCatalogue
from offload.catalogue.sqlite import SqliteCatalogue

_NUMBERS = itertools.count()


class Bench:
    """Catalogues on one store, as two processes have them; `lease` is the shortest there is."""

    def __init__(self, first: Catalogue, second: Catalogue, lease: float) -> None:
        self.first, self.second, self.lease = first, second, lease


@pytest.fixture(
    params=[
        "fake",
        "sqlite",
        pytest.param("one_etcd", marks=pytest.mark.needs("etcd")),
        pytest.param("three_etcds", marks=pytest.mark.needs("etcd")),
    ]
)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    made = await _bench(request)
    yield made
    await made.first.close()
    await made.second.close()


async def _bench(request: pytest.FixtureRequest) -> Bench:
    if request.param == "fake":
        fake = FakeCatalogue()
        return Bench(fake, fake.another(), 0.1)
    if request.param == "sqlite":
        path = request.getfixturevalue("tmp_path") / "catalogue.db"
        return Bench(await SqliteCatalogue.open(path), await SqliteCatalogue.open(path), 0.1)
    cluster: EtcdCluster = request.getfixturevalue(request.param)
    # A prefix for each test, and another endpoint first for each catalogue.
    prefix = f"/offload/test-{next(_NUMBERS)}/"
    settings = [
        cluster.settings(prefix=prefix, endpoints=endpoints)
        for endpoints in (cluster.endpoints, cluster.endpoints[::-1])
    ]
    first, second = [await EtcdCatalogue.open(each) for each in settings]
    return Bench(first, second, 1.0)


async def collect(catalogue: Catalogue, prefix: str, after: int, count: int) -> list[Event]:
    """The first `count` events of a watch."""
    events: list[Event] = []
    watch = catalogue.watch(prefix, after)
    async with asyncio.timeout(10):
        async for batch in watch:
            events += batch.events
            if len(events) >= count:
                break
    await watch.aclose()
    return events


async def test_what_is_put_is_got(bench: Bench) -> None:
    revision = await bench.first.commit([Put("keys/a", b"\x00\xff")])

    assert await bench.first.get("keys/a") == Entry("keys/a", b"\x00\xff", revision)
    assert await bench.second.get("keys/a") == Entry("keys/a", b"\x00\xff", revision)
    assert await bench.first.get("keys/b") is None


async def test_revisions_grow_with_each_commit(bench: Bench) -> None:
    before = (await bench.first.list("")).revision
    first = await bench.first.commit([Put("a", b"1"), Put("b", b"")])
    second = await bench.second.commit([Put("a", b"2")])

    assert 0 < before < first < second
    assert (await bench.first.list("")).entries == (
        Entry("a", b"2", second),
        Entry("b", b"", first),
    )


async def test_a_removal_of_nothing_changes_nothing(bench: Bench) -> None:
    before = await bench.first.commit([Put("a", b"")])

    assert await bench.first.commit([Delete("b")]) == before
    assert await bench.first.commit([], [Unchanged("a", before)]) == before
    assert await bench.first.commit([Delete("a")]) > before
    assert await bench.first.get("a") is None


async def test_a_failed_check_writes_nothing(bench: Bench) -> None:
    first = await bench.first.commit([Put("a", b"1"), Put("b", b"1")])
    second = await bench.second.commit([Put("b", b"2")])

    for check in Unchanged("b", first), Unchanged("a", 0), Unchanged("c", first):
        with pytest.raises(Conflict):
            await bench.first.commit([Put("a", b"x"), Delete("b")], [check])
    listed = await bench.first.list("")
    assert listed.entries == (Entry("a", b"1", first), Entry("b", b"2", second))
    assert listed.revision == second


async def test_checks_that_hold_let_all_writes_through(bench: Bench) -> None:
    first = await bench.first.commit([Put("a", b"1")])
    checks = [Unchanged("a", first), Unchanged("b", 0)]

    second = await bench.second.commit([Delete("a"), Put("b", b"2")], checks)

    assert (await bench.first.list("")).entries == (Entry("b", b"2", second),)
    await bench.first.commit([Put("a", b"3")], [Unchanged("a", 0)])


async def test_of_commits_on_the_same_revision_one_wins(bench: Bench) -> None:
    async def increment(catalogue: Catalogue) -> None:
        while True:
            entry = await catalogue.get("counter")
            value, revision = (int(entry.value), entry.revision) if entry else (0, 0)
            try:
                write = Put("counter", str(value + 1).encode())
                await catalogue.commit([write], [Unchanged("counter", revision)])
            except Conflict:
                continue
            return

    await asyncio.gather(*(increment(one) for one in (bench.first, bench.second) * 8))

    entry = await bench.first.get("counter")
    assert entry is not None
    assert entry.value == b"16"


async def test_lists_are_in_order_and_in_pages(bench: Bench) -> None:
    names = ["k/", "k/a", "k/a/b", "k/b", "k/é", "k/\uffff", "k/\U0001f511", "l/a", "k"]
    await bench.first.commit([Put(name, name.encode()) for name in names])

    expected = sorted(name for name in names if name.startswith("k/"))
    listed = await bench.second.list("k/")
    assert [entry.key for entry in listed.entries] == expected
    assert not listed.more
    page = await bench.first.list("k/", limit=4)
    assert page.more
    rest = await bench.first.list("k/", after=page.entries[-1].key, limit=3)
    assert not rest.more
    assert [entry.key for entry in page.entries + rest.entries] == expected
    assert (await bench.first.list("k/", after="l")).entries == ()
    assert (await bench.first.list("m")).entries == ()


async def test_a_list_as_of_an_earlier_revision(bench: Bench) -> None:
    first = await bench.first.commit([Put("a", b"1"), Put("b", b"1"), Put("c", b"1")])
    await bench.first.commit([Put("a", b"2"), Delete("b"), Put("d", b"2")])
    last = await bench.first.commit([Delete("a"), Put("b", b"3")])

    old = await bench.second.list("", revision=first)
    assert old.revision == first
    assert [(entry.key, entry.value) for entry in old.entries] == [
        ("a", b"1"),
        ("b", b"1"),
        ("c", b"1"),
    ]
    page = await bench.second.list("", revision=first, after="a", limit=1)
    assert [entry.key for entry in page.entries] == ["b"]
    assert page.more
    assert await bench.first.list("", revision=last) == await bench.first.list("")
    with pytest.raises(ValueError, match="yet to come"):
        await bench.first.list("", revision=last + 1)


async def test_what_no_store_would_take_is_refused_by_all(bench: Bench) -> None:
    too_many = [Put(f"k{number}", b"") for number in range(MAX_WRITES + 1)]
    refused: list[list[Write]] = [
        [*too_many],
        [Put("a", bytes(MAX_VALUE + 1))],
        [Put("a", bytes(MAX_VALUE)), Put("b", bytes(MAX_VALUE))],
        [Put("a", b""), Delete("a")],
        [Put("", b"")],
        [Put("a\0b", b"")],
    ]
    for writes in refused:
        with pytest.raises(ValueError):
            await bench.first.commit(writes)
    assert (await bench.first.list("")).entries == ()


async def test_the_largest_commits_are_taken(bench: Bench) -> None:
    await bench.first.commit([Put("large", bytes(MAX_VALUE))])
    many = [Put(f"k{number}", b"v") for number in range(MAX_WRITES)]
    await bench.first.commit(many, [Unchanged(write.key, 0) for write in many])

    assert len((await bench.second.list("")).entries) == MAX_WRITES + 1


async def test_a_watch_sees_what_was_and_what_comes(bench: Bench) -> None:
    start = (await bench.first.list("")).revision
    first = await bench.first.commit([Put("k/a", b"1"), Put("other", b"")])
    watching = asyncio.create_task(collect(bench.second, "k/", start, 4))
    second = await bench.first.commit([Put("k/a", b"2"), Put("k/b", b"2")])
    third = await bench.first.commit([Delete("k/a"), Delete("other")])

    assert await watching == [
        Event("k/a", b"1", first),
        Event("k/a", b"2", second),
        Event("k/b", b"2", second),
        Event("k/a", None, third),
    ]


async def test_a_batch_ends_where_a_commit_ends(bench: Bench) -> None:
    start = (await bench.first.list("")).revision
    revisions = [
        await bench.first.commit([Put(f"{name}{number}", b"") for name in "abc"])
        for number in range(20)
    ]

    seen: list[Batch] = []
    watch = bench.second.watch("", start)
    async with asyncio.timeout(10):
        async for batch in watch:
            seen.append(batch)
            if batch.revision >= revisions[-1]:
                break
    await watch.aclose()
    assert all(batch.events for batch in seen)
    for batch in seen:
        assert batch.events[-1].revision <= batch.revision
    events = [event for batch in seen for event in batch.events]
    assert [event.revision for event in events] == sorted(revisions * 3)


async def test_watches_of_one_catalogue_end_by_themselves(bench: Bench) -> None:
    start = (await bench.first.list("")).revision
    first, second = bench.first.watch("a", start), bench.first.watch("b", start)
    revision = await bench.first.commit([Put("a", b""), Put("b", b"")])

    assert (await anext(first)).events == (Event("a", b"", revision),)
    await first.aclose()
    assert (await anext(second)).events == (Event("b", b"", revision),)
    waiting = asyncio.ensure_future(anext(second))
    later = await bench.second.commit([Put("b", b"2")])
    async with asyncio.timeout(10):
        assert (await waiting).events == (Event("b", b"2", later),)
    await second.aclose()


async def test_watches_end_when_the_catalogue_is_closed(bench: Bench) -> None:
    start = (await bench.first.list("")).revision
    watching = asyncio.create_task(collect(bench.first, "", start, 2))
    await bench.first.commit([Put("a", b"")])
    await bench.first.close()

    assert len(await watching) <= 1
    with pytest.raises(CatalogueUnavailable):
        await bench.first.get("a")
    assert await bench.second.get("a") is not None


async def test_what_is_bound_to_a_lease_goes_with_it(bench: Bench) -> None:
    lease = await bench.first.lease(bench.lease)
    await bench.first.commit([Put("alive/a", b"", lease), Put("alive/b", b"", lease)])
    start = await bench.first.commit([Put("stays", b"")])

    events = await collect(bench.second, "alive/", start, 2)

    assert [(event.key, event.value) for event in events] == [("alive/a", None), ("alive/b", None)]
    assert [entry.key for entry in (await bench.first.list("")).entries] == ["stays"]
    with pytest.raises(LeaseExpired):
        await bench.first.keep_alive(lease)
    with pytest.raises(LeaseExpired):
        await bench.first.commit([Put("alive/a", b"", lease)])
    assert await bench.first.get("alive/a") is None


async def test_a_lease_kept_alive_stays(bench: Bench) -> None:
    lease = await bench.first.lease(60)
    other = await bench.first.lease(60)
    await bench.first.commit([Put("a", b"", lease), Put("b", b"", other)])
    await bench.second.keep_alive(lease)
    await bench.second.revoke(other)

    assert [entry.key for entry in (await bench.first.list("")).entries] == ["a"]
    await bench.first.revoke(other)


async def test_a_later_put_moves_or_ends_the_binding(bench: Bench) -> None:
    lease, other = await bench.first.lease(60), await bench.first.lease(60)
    await bench.first.commit([Put(key, b"", lease) for key in "abc"])
    await bench.first.commit([Put("a", b"2"), Put("b", b"2", other)])
    await bench.first.revoke(lease)

    assert [entry.key for entry in (await bench.first.list("")).entries] == ["a", "b"]
