"""Members of etcd killed and hung under a catalogue that is in use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

import pytest
from support.etcd import EtcdCluster

from offload.catalogue.base import (
    CatalogueUnavailable,
    Conflict,
    Event,
    Put,
    Unchanged,
)
from offload.catalogue.etcd import EtcdCatalogue

pytestmark = pytest.mark.needs("etcd")


@pytest.fixture
async def catalogue(three_etcds: EtcdCluster) -> AsyncIterator[EtcdCatalogue]:
    opened = await EtcdCatalogue.open(
        three_etcds.settings(), attempt_seconds=1.5, total_seconds=20.0, idle_seconds=0.5
    )
    yield opened
    await opened.close()


async def add_one(catalogue: EtcdCatalogue, key: str) -> int:
    """Count in the catalogue; what the count is now."""
    while True:
        entry = await catalogue.get(key)
        value, revision = (int(entry.value), entry.revision) if entry else (0, 0)
        try:
            write = Put(key, str(value + 1).encode())
            await catalogue.commit([write], [Unchanged(key, revision)])
        except Conflict:
            continue
        except CatalogueUnavailable:
            # It may have counted or not: the caller of a real act reads, too.
            entry = await catalogue.get(key)
            if entry is not None and int(entry.value) > value:
                return value + 1
            continue
        return value + 1


async def watched(catalogue: EtcdCatalogue, prefix: str, after: int, last: bytes) -> list[Event]:
    """What a watch sees up to the value `last`."""
    events: list[Event] = []
    async with asyncio.timeout(30), aclosing(catalogue.watch(prefix, after)) as batches:
        async for batch in batches:
            events += batch.events
            if batch.events[-1].value == last:
                break
    return events


def endpoints_from(cluster: EtcdCluster, first: int) -> Sequence[str]:
    """All endpoints, that of the member `first` before the others."""
    return cluster.endpoints[first:] + cluster.endpoints[:first]


async def test_nothing_is_lost_or_doubled_when_the_leader_is_killed(
    three_etcds: EtcdCluster, catalogue: EtcdCatalogue
) -> None:
    leader = three_etcds.leader()
    settings = three_etcds.settings(endpoints=endpoints_from(three_etcds, leader))
    at_leader = await EtcdCatalogue.open(settings, idle_seconds=0.5)
    start = (await catalogue.list("counter")).revision
    watching = [
        asyncio.create_task(watched(each, "counter", start, b"60"))
        for each in (catalogue, at_leader)
    ]
    for number in range(1, 61):
        if number == 20:
            three_etcds.kill(leader)
        assert await add_one(at_leader if number % 2 else catalogue, "counter") == number
    three_etcds.restart(leader)

    for events in await asyncio.gather(*watching):
        assert [event.value for event in events] == [str(n).encode() for n in range(1, 61)]
    await at_leader.close()


async def test_a_member_that_hangs_is_left(three_etcds: EtcdCluster) -> None:
    hung = (three_etcds.leader() + 1) % 3
    settings = three_etcds.settings(endpoints=endpoints_from(three_etcds, hung))
    catalogue = await EtcdCatalogue.open(settings, attempt_seconds=1.0, idle_seconds=0.5)
    start = await catalogue.commit([Put("hung", b"0")])
    watching = asyncio.create_task(watched(catalogue, "hung", start, b"2"))
    await catalogue.commit([Put("hung", b"1")])

    three_etcds.suspend(hung)
    try:
        entry = await catalogue.get("hung")
        assert entry is not None
        await catalogue.commit([Put("hung", b"2")], [Unchanged("hung", entry.revision)])
        assert [event.value for event in await watching] == [b"1", b"2"]
    finally:
        three_etcds.resume(hung)
        await catalogue.close()


async def test_without_a_majority_nothing_goes_and_then_all_goes_on(
    three_etcds: EtcdCluster,
) -> None:
    catalogue = await EtcdCatalogue.open(
        three_etcds.settings(), attempt_seconds=0.5, total_seconds=1.0, idle_seconds=0.5
    )
    start = await catalogue.commit([Put("majority", b"0")])
    watching = asyncio.create_task(watched(catalogue, "majority", start, b"1"))
    lost = [0, 1]
    for index in lost:
        three_etcds.kill(index)

    with pytest.raises(CatalogueUnavailable):
        await catalogue.get("majority")
    with pytest.raises(CatalogueUnavailable):
        await catalogue.commit([Put("elsewhere", b"")])

    for index in lost:
        three_etcds.restart_soon(index)
    three_etcds.wait()
    # The restarted members know none of the tokens that they gave out.
    assert await add_one(catalogue, "majority") == 1
    assert [event.value for event in await watching] == [b"1"]
    await catalogue.close()
