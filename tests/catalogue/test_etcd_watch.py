"""A watch on endpoints that end, hang, deny and forget."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import Any

import pytest
from support.scripted_etcd import ScriptedEtcd, breaks, fails, says, scripted_etcd

from offload.catalogue.base import CatalogueDenied, CatalogueError, Compacted, Event
from offload.catalogue.etcd import EtcdCatalogue
from offload.config import EtcdSettings

WATCH, RANGE = "watch", "kv/range"
WELL = says({"header": {"revision": "3"}})
CREATED = {"result": {"header": {"revision": "3"}, "created": True}}


def change(revision: int, value: str = "v") -> dict[str, Any]:
    """A line with one event."""
    key = base64.b64encode(b"/offload/k").decode()
    encoded = base64.b64encode(value.encode()).decode()
    event = {"kv": {"key": key, "value": encoded, "mod_revision": str(revision)}}
    return {"result": {"header": {"revision": str(revision)}, "events": [event]}}


def progress(revision: int) -> dict[str, Any]:
    return {"result": {"header": {"revision": str(revision)}}}


@pytest.fixture
async def etcds() -> AsyncIterator[list[ScriptedEtcd]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(scripted_etcd()) for _ in range(2)]


@pytest.fixture
async def catalogue(etcds: list[ScriptedEtcd]) -> AsyncIterator[EtcdCatalogue]:
    settings = EtcdSettings(kind="etcd", endpoints=tuple(etcd.url for etcd in etcds))
    made = await EtcdCatalogue.open(settings, attempt_seconds=0.3, idle_seconds=0.05)
    yield made
    await made.close()


async def events(catalogue: EtcdCatalogue, count: int) -> list[Event]:
    found: list[Event] = []
    async with asyncio.timeout(10), aclosing(catalogue.watch("", 1)) as batches:
        async for batch in batches:
            found += batch.events
            if len(found) >= count:
                break
    return found


def revisions_asked(etcd: ScriptedEtcd) -> list[int]:
    return [int(body["create_request"]["start_revision"]) for body in etcd.asked_for(WATCH)]


async def test_it_goes_on_elsewhere_where_it_was(
    etcds: list[ScriptedEtcd], catalogue: EtcdCatalogue
) -> None:
    first, second = etcds
    first.script(WATCH, first.stream(CREATED, change(2), change(3), end=True))
    second.script(WATCH, second.stream(CREATED, change(3), change(5)))
    second.script(RANGE, WELL)

    assert [event.revision for event in await events(catalogue, 3)] == [2, 3, 5]
    assert (revisions_asked(first), revisions_asked(second)) == ([2], [4])


async def test_a_silent_endpoint_that_does_not_answer_is_left(
    etcds: list[ScriptedEtcd], catalogue: EtcdCatalogue
) -> None:
    first, second = etcds
    first.script(WATCH, first.stream(CREATED))
    first.script(RANGE, WELL, first.hang)
    second.script(WATCH, second.stream(CREATED, change(4)))

    assert [event.revision for event in await events(catalogue, 1)] == [4]
    assert len(first.asked_for(RANGE)) == 2


@pytest.mark.parametrize("how", ["breaks", "hangs", "no leader", "ended", "unknown"])
async def test_an_endpoint_without_a_watch_is_left(
    etcds: list[ScriptedEtcd], catalogue: EtcdCatalogue, how: str
) -> None:
    first, second = etcds
    reason = {"result": {"header": {}, "canceled": True, "cancel_reason": "overloaded"}}
    no_leader = {"error": {"grpc_code": 14, "message": "etcdserver: no leader"}}
    answers = {
        "breaks": breaks,
        "hangs": first.hang,
        "no leader": first.stream(CREATED, no_leader),
        "ended": first.stream(CREATED, reason),
        "unknown": fails(13, "unexpected", 500),
    }
    first.script(WATCH, answers[how])
    second.script(WATCH, second.stream(CREATED, change(4)))

    assert [event.revision for event in await events(catalogue, 1)] == [4]


async def test_progress_is_remembered(etcds: list[ScriptedEtcd], catalogue: EtcdCatalogue) -> None:
    first, second = etcds
    first.script(WATCH, first.stream(CREATED, progress(40), end=True))
    second.script(WATCH, second.stream(CREATED, change(50)))

    await events(catalogue, 1)
    assert revisions_asked(second) == [41]


async def test_a_stream_that_stays_silent_while_others_write_is_opened_anew(
    etcds: list[ScriptedEtcd], catalogue: EtcdCatalogue
) -> None:
    first, second = etcds
    first.script(WATCH, first.stream(CREATED))
    first.script(RANGE, WELL)
    second.script(WATCH, second.stream(CREATED, change(3)))

    assert [event.revision for event in await events(catalogue, 1)] == [3]
    assert len(first.asked_for(RANGE)) >= 20


async def test_forgotten_history_is_said(
    etcds: list[ScriptedEtcd], catalogue: EtcdCatalogue
) -> None:
    gone = {"result": {"header": {}, "canceled": True, "compact_revision": "9"}}
    etcds[0].script(WATCH, etcds[0].stream(CREATED, gone))
    with pytest.raises(Compacted):
        await events(catalogue, 1)


async def test_a_store_that_went_back_is_said(
    etcds: list[ScriptedEtcd], catalogue: EtcdCatalogue
) -> None:
    etcds[0].script(WATCH, etcds[0].stream(CREATED, progress(40)))
    etcds[0].script(RANGE, WELL)
    with pytest.raises(Compacted, match="restored"):
        await events(catalogue, 1)


async def test_a_denial_is_tried_with_a_new_token_first(
    etcds: list[ScriptedEtcd], catalogue: EtcdCatalogue
) -> None:
    reason = "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
    denial = {"result": {"header": {}, "canceled": True, "cancel_reason": reason}}
    first, second = etcds
    first.script(WATCH, first.stream(denial))
    second.script(WATCH, second.stream(CREATED, change(2)))
    assert await events(catalogue, 1)

    second.script(WATCH, second.stream(denial))
    with pytest.raises(CatalogueDenied, match="grant"):
        await events(catalogue, 1)


async def test_a_refused_watch_is_said(etcds: list[ScriptedEtcd], catalogue: EtcdCatalogue) -> None:
    etcds[0].script(WATCH, fails(3, "key is not provided", 400))
    with pytest.raises(CatalogueError, match="not provided"):
        await events(catalogue, 1)


async def test_it_ends_at_once_when_the_catalogue_is_closed(etcds: list[ScriptedEtcd]) -> None:
    settings = EtcdSettings(kind="etcd", endpoints=(etcds[0].url,))
    catalogue = await EtcdCatalogue.open(settings, idle_seconds=3600)
    etcds[0].script(WATCH, etcds[0].stream(CREATED))
    watching = asyncio.create_task(events(catalogue, 1))
    await etcds[0].streaming.wait()

    await catalogue.close()
    async with asyncio.timeout(5):
        assert await watching == []
