"""What a node writes: signed, guarded, versioned, and seen by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random
from typing import cast

import pytest
from support.cluster import NOW, found, put, signer, verifier

from offload.audit.sink import FakeAuditSink
from offload.catalogue import paths
from offload.catalogue.base import Conflict, Put, Unchanged
from offload.catalogue.fake import FakeCatalogue
from offload.catalogue.records import HoldingRecord, UserRecord
from offload.cluster.node import Node
from offload.cluster.view import View
from offload.token.base import ReplicatedToken

USER = paths.USERS + "olga"
OLGA = UserRecord(name="olga", role="officer", fingerprint="", public_key="", created=NOW)


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    catalogue = FakeCatalogue()
    await found(catalogue, "a", "b")
    node = Node(
        name="a",
        catalogue=catalogue,
        view=await View.open(catalogue, verifier()),
        signer=signer("a"),
        token=cast(ReplicatedToken, None),
        audit=FakeAuditSink(),
        clock=lambda: NOW,
        random=Random(1),
    )
    yield node
    await node.view.close()
    await node.close()


async def test_versions_grow_and_outlive_a_removal(node: Node) -> None:
    async with asyncio.timeout(10):
        await node.write({USER: OLGA})
        assert node.view.users["olga"].version == 1
        await node.write({USER: OLGA})
        assert node.view.users["olga"].version == 2
        await node.write({USER: None})
        assert node.view.users == {}
        assert node.view.revision_of(USER) > 0
        await node.write({USER: OLGA})
    assert node.view.users["olga"].version == 4


async def test_what_has_no_version_is_removed_for_good(node: Node) -> None:
    path = f"holdings/{'01' * 20}/a"
    async with asyncio.timeout(10):
        await node.write({path: HoldingRecord(member="a", ski="01" * 20, state="held")})
        assert node.view.revision_of(path) > 0
        await node.write({path: None}, also=[Put("tokens/x", b"1")])
    assert node.view.revision_of(path) == 0
    assert await node.catalogue.get("tokens/x") is not None


async def test_a_view_that_is_behind_is_told_so(node: Node) -> None:
    # The view has had no turn of the loop to see this.
    await put(node.catalogue, "b", {USER: OLGA})
    with pytest.raises(Conflict):
        await node.write({USER: OLGA})
    with pytest.raises(Conflict):
        await node.write({"users/pete": OLGA}, checks=[Unchanged("labels/www", 9)])


async def test_calls_what_blocks_in_a_thread(node: Node) -> None:
    assert await node.in_thread(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await node.in_thread(divmod, 7, 0)
