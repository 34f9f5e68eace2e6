"""What the fake has beyond the contract: failures and time at will."""

import asyncio

import pytest

from offload.catalogue.base import CatalogueUnavailable, Compacted, Put
from offload.catalogue.fake import FakeCatalogue


async def test_it_can_be_down() -> None:
    fake = FakeCatalogue()
    await fake.commit([Put("a", b"")])
    fake.down = True

    for call in (fake.get("a"), fake.list(""), fake.commit([]), fake.lease(1), fake.revoke(1)):
        with pytest.raises(CatalogueUnavailable):
            await call
    fake.down = False
    assert await fake.get("a") is not None


async def test_one_of_two_can_be_down() -> None:
    fake = FakeCatalogue()
    other = fake.another()
    fake.down = True

    revision = await other.commit([Put("a", b"")])
    watch = fake.watch("", revision - 1)
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    assert not waiting.done()
    fake.down = False
    assert (await waiting).revision == revision
    await watch.aclose()


async def test_leases_end_by_its_clock() -> None:
    now = 0.0
    fake = FakeCatalogue(clock=lambda: now)
    lease = await fake.lease(10)
    revision = await fake.commit([Put("a", b"", lease)])
    watch = fake.watch("", revision)
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)

    now = 9.9
    assert await fake.get("a") is not None
    now = 10.0
    fake.tick()
    assert (await waiting).events[0].value is None
    await watch.aclose()


async def test_it_can_forget() -> None:
    fake = FakeCatalogue()
    old = await fake.commit([Put("a", b"1")])
    now = await fake.commit([Put("a", b"2")])
    fake.compact()

    with pytest.raises(Compacted):
        await fake.list("", revision=old)
    with pytest.raises(Compacted):
        await anext(fake.watch("", old))
    assert (await fake.list("", revision=now)).entries
