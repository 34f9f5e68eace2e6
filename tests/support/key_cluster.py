"""Members that replicate keys to each other, in one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from offload.catalogue import paths
from offload.catalogue.base import Delete, Put
from offload.catalogue.records import AliveRecord
from offload.cluster.actor import Actor
from offload.cluster.acts import Act, CreateKey
from offload.cluster.intents import Intents
from offload.cluster.key_service import KeyService
from offload.cluster.node import Node
from offload.cluster.replication import Replicator
from offload.cluster.view import View
from offload.cluster.views import KeyView
from offload.keys.managed import ManagedKey
from offload.keys.role import Role
from support.cluster import NOW
from support.members import Members

KATE = Actor("kate", Role.KEY_USER)
WAIT = 20.0


async def eventually(condition: Callable[[], bool]) -> None:
    """Return once it is true, of something that tells nobody when it changes."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(WAIT / 1000)
    raise AssertionError("it did not come about")


class KeyMember:
    """A member that runs: its key service and its replicator."""

    def __init__(self, node: Node, seconds: float) -> None:
        self.node, self.view, self.name = node, node.view, node.name
        self.intents = Intents(node)
        self.service = KeyService(node, self.intents, seconds=seconds)
        self.replicator = Replicator(node, intents=self.intents)
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._running = asyncio.create_task(self.replicator.run())

    async def stop(self) -> None:
        """Wherever it is."""
        if self._running is not None:
            running, self._running = self._running, None
            running.cancel()
            await asyncio.wait({running})
            if not running.cancelled():
                running.result()

    async def do(self, act: Act) -> Any:
        return await self.service.handlers[type(act)](KATE, act)

    async def create(self, label: str, **fields: Any) -> KeyView:
        made = await self.do(CreateKey(label=label, **fields))
        assert isinstance(made, KeyView)
        return made

    def key(self, label: str, generation: int = 1) -> ManagedKey:
        ski = self.view.labels[label].generations[generation - 1]
        return self.view.keys[bytes.fromhex(ski)]

    def in_token(self) -> dict[str, bytes]:
        """Labels and SKIs of what its token holds."""
        return {record.label: record.ski for record in self.node.token.keys()}

    async def until(self, predicate: Callable[[View], bool]) -> None:
        async with asyncio.timeout(WAIT):
            await self.view.until(predicate)


class KeyCluster:
    """A cluster of such members; `members[0]` founded it."""

    def __init__(self, members: Members, seconds: float) -> None:
        self.base, self._seconds = members, seconds
        self.catalogue, self.clock = members.catalogue, members.clock
        self.members: list[KeyMember] = []

    async def add(self, *, start: bool = True) -> KeyMember:
        name = f"worker-{len(self.members) + 1}"
        node = await (self.base.join(name) if self.members else self.base.found(name))
        member = KeyMember(node, self._seconds)
        self.members.append(member)
        await self.awake(member.name)
        if start:
            member.start()
            said = f"{paths.CLUSTER_KEY_HOLDERS}1/{name}"
            await member.until(lambda view: view.revision_of(said) > 0)
        return member

    async def awake(self, name: str) -> None:
        """The member keeps its lease."""
        body = AliveRecord(name=name, since=NOW).body()
        await self._all_see(await self.catalogue.commit([Put(paths.ALIVE + name, body)]))

    async def dead(self, name: str) -> None:
        """The member's lease has ended."""
        await self._all_see(await self.catalogue.commit([Delete(paths.ALIVE + name)]))

    async def _all_see(self, revision: int) -> None:
        for member in self.members:
            async with asyncio.timeout(WAIT):
                await member.view.reached(revision)

    async def forward(self, seconds: float) -> None:
        """Time goes by for everybody."""
        self.clock.forward(seconds)
        for member in self.members:
            member.replicator.look_again()

    async def stop(self) -> None:
        for member in self.members:
            await member.stop()


@asynccontextmanager
async def key_cluster(
    directory: Path, count: int, *, seconds: float = WAIT
) -> AsyncIterator[KeyCluster]:
    """`count` members that run."""
    async with AsyncExitStack() as stack:
        base = Members(directory, stack)
        stack.push_async_callback(base.catalogue.close)
        cluster = KeyCluster(base, seconds)
        try:
            for _ in range(count):
                await cluster.add()
            yield cluster
        finally:
            await cluster.stop()
