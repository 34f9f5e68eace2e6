import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.members import Members, members_in

from offload.catalogue import paths
from offload.cluster.node import Node
from offload.cluster.presence import MemberPresence

# An hour: nothing happens by the passing of time.
LEASE = 3600.0


@pytest.fixture
async def members(tmp_path: Path) -> AsyncIterator[Members]:
    async with members_in(tmp_path) as made:
        await made.found()
        yield made


@pytest.fixture
def founder(members: Members) -> Node:
    return members.nodes["worker-1"]


@pytest.fixture
async def presence(founder: Node) -> AsyncIterator[MemberPresence]:
    made = MemberPresence(founder, LEASE)
    yield made
    await made.withdraw()


async def test_others_see_who_is_alive_and_ready(
    members: Members, founder: Node, presence: MemberPresence
) -> None:
    other = await members.join("worker-2")
    presence.start()
    async with asyncio.timeout(10):
        await other.view.until(lambda view: "worker-1" in view.alive)
        assert other.view.alive["worker-1"].ready
        presence.set_ready(False)
        await other.view.until(lambda view: not view.alive["worker-1"].ready)
        await presence.withdraw()
        await other.view.until(lambda view: "worker-1" not in view.alive)


async def test_who_is_removed_shows_itself_no_longer(
    members: Members, founder: Node, presence: MemberPresence
) -> None:
    other = await members.join("worker-2")
    await founder.view.until(lambda view: "worker-2" in view.present)
    presence.start()
    async with asyncio.timeout(10):
        await other.view.until(lambda view: "worker-1" in view.alive)
        removed = other.view.members["worker-1"].model_copy(update={"state": "removed"})
        await other.write({paths.MEMBERS + "worker-1": removed})
        await other.view.until(lambda view: "worker-1" not in view.alive)
