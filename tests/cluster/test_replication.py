"""Keys come to all members, go from all, and survive whatever fails on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.key_cluster import KeyCluster, key_cluster

from offload.keys.state import State


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[KeyCluster]:
    async with key_cluster(tmp_path, 3) as cluster:
        yield cluster


async def test_a_key_made_on_one_is_on_all(cluster: KeyCluster) -> None:
    first, second, third = cluster.members
    made = await second.create("www", sites=("www.example.org",))
    assert made.state == "active"
    assert made.current
    assert len(made.copies) >= made.copies_needed == 2
    ski = bytes.fromhex(made.ski)
    for member in cluster.members:
        await member.until(lambda view: len(view.holdings[ski]) == 3)
        assert member.in_token()["www@1"] == ski
        assert member.view.keys[ski].state is State.ACTIVE
