"""What a token holds, remembered."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import cast

from support.members import members_in

from offload.cluster.inventory import Inventory
from offload.keys.algorithm import Algorithm
from offload.token.base import ReplicatedToken


async def test_sees_what_came_and_what_went(tmp_path: Path) -> None:
    async with members_in(tmp_path) as members:
        node = await members.found()
        inventory = Inventory(node)
        (authority,) = await inventory.refresh()
        made = node.token.generate("www@1", Algorithm.ED25519)
        assert await inventory.refresh() == {made.ski}
        node.token.destroy(made.ski)
        assert await inventory.refresh() == {made.ski}
        assert inventory.held == {authority}
        assert inventory.cluster_keys == {1}


class Slow:
    """A token that lists its keys and then takes its time."""

    def __init__(self, token: ReplicatedToken) -> None:
        self._token = token
        self.listed, self.go_on = threading.Event(), threading.Event()

    def reload(self) -> bool:
        return False

    def keys(self) -> object:
        found = self._token.keys()
        self.listed.set()
        self.go_on.wait(10)
        return found

    def cluster_keys(self) -> frozenset[int]:
        return frozenset()


async def test_what_changes_meanwhile_is_not_lost(tmp_path: Path) -> None:
    async with members_in(tmp_path) as members:
        node = await members.found()
        inventory = Inventory(node)
        (authority,) = await inventory.refresh()
        slow = Slow(node.token)
        node.token = cast(ReplicatedToken, slow)
        listing = asyncio.create_task(inventory.refresh())
        await asyncio.to_thread(slow.listed.wait, 10)
        inventory.held.add(b"new")
        inventory.held.discard(authority)
        slow.go_on.set()
        await listing
        assert inventory.held == {b"new"}
