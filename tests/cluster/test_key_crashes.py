"""Keys are made while members stop and the catalogue fails, at random: what was promised holds.

The whole history of the catalogue is looked at afterwards: at no moment was a key active on fewer
members than the policy says, and no key that was acknowledged is gone.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from pathlib import Path
from random import Random

import pytest
from support.key_cluster import KeyCluster, KeyMember, eventually, key_cluster

from offload.catalogue import paths
from offload.catalogue.base import Batch, CatalogueUnavailable, Event, Unchanged, Write
from offload.catalogue.fake import FakeCatalogue
from offload.cluster.failures import ManagementError
from offload.keys.managed import ManagedKey
from offload.keys.state import State

KEYS = 25
COPIES = 2


class Unreliable(FakeCatalogue):
    """Some commits fail before they are applied, some after; nobody can tell which."""

    random = Random()
    failing = 0.0

    def another(self) -> Unreliable:
        made = Unreliable(store=self._store)
        made.random, made.failing = self.random, self.failing
        return made

    async def commit(self, writes: Sequence[Write], checks: Sequence[Unchanged] = ()) -> int:
        await asyncio.sleep(0)
        if self.random.random() < self.failing:
            raise CatalogueUnavailable("it was not applied")
        revision = await super().commit(writes, checks)
        if self.random.random() < self.failing:
            raise CatalogueUnavailable("it was applied")
        return revision

    async def watch(self, prefix: str, after: int) -> AsyncGenerator[Batch, None]:
        async for batch in super().watch(prefix, after):
            for _ in range(self.random.randrange(3)):
                await asyncio.sleep(0)  # members see things at different times
            yield batch

    @property
    def history(self) -> list[Event]:
        return self._store.history


async def trouble(cluster: KeyCluster, random: Random) -> None:
    """Stop a member wherever it is, and start it again a little later; for ever."""
    while True:
        member = random.choice(cluster.members)
        for _ in range(random.randrange(40)):
            await asyncio.sleep(0)
        await member.stop()
        await asyncio.sleep(random.random() * 0.01)
        member.start()
        cluster.clock.forward(1)
        member.replicator.look_again()


async def ask(member: KeyMember, label: str, random: Random) -> str | None:
    """The key acknowledged to a client that may go away."""
    patience = 30 if random.random() < 0.8 else random.random() * 0.02
    try:
        async with asyncio.timeout(patience):
            return (await member.create(label, algorithm="ed25519")).ski
    except (TimeoutError, ManagementError, CatalogueUnavailable):
        return None


def check_history(catalogue: Unreliable, cluster: KeyCluster) -> None:
    """At every revision: what is active is on enough members."""
    verifier = cluster.members[0].node.view._verifier
    holders: dict[str, set[str]] = {}
    states: dict[str, State] = {}
    for revision in sorted({event.revision for event in catalogue.history}):
        events = [event for event in catalogue.history if event.revision == revision]
        for path, value, _ in events:
            kind, _, rest = path.partition("/")
            if kind == "holdings":
                ski, _, member = rest.partition("/")
                names = holders.setdefault(ski, set())
                (names.discard if value is None else names.add)(member)
            elif kind == "keys":
                assert value is not None
                key = ManagedKey.from_json(json.loads(verifier.open(path, value)))
                before = states.get(rest)
                if key.state is State.ACTIVE and before is State.PRE_ACTIVE:
                    assert len(holders[rest]) >= COPIES, f"{key.label} at {revision}"
                states[rest] = key.state
    assert all(state in (State.PRE_ACTIVE, State.ACTIVE) for state in states.values())


@pytest.mark.parametrize("seed", range(4))
async def test_what_is_acknowledged_stays_and_what_is_active_is_on_enough(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(seed)
    monkeypatch.setattr("support.members.FakeCatalogue", Unreliable)
    monkeypatch.setattr(Unreliable, "random", random)
    async with key_cluster(tmp_path, 3) as cluster:
        catalogue = cluster.catalogue
        assert isinstance(catalogue, Unreliable)
        for member in cluster.members:
            assert isinstance(member.node.catalogue, Unreliable)
            member.node.catalogue.failing = 0.1
        troubling = asyncio.create_task(trouble(cluster, random))
        acknowledged = await asyncio.gather(
            *(
                ask(random.choice(cluster.members), f"key-{number}", random)
                for number in range(KEYS)
            )
        )
        troubling.cancel()
        await asyncio.gather(troubling, return_exceptions=True)
        for member in cluster.members:
            assert isinstance(member.node.catalogue, Unreliable)
            member.node.catalogue.failing = 0.0
            await member.stop()
            member.start()
        await check_outcome(cluster, [ski for ski in acknowledged if ski])
        check_history(catalogue, cluster)


async def check_outcome(cluster: KeyCluster, acknowledged: list[str]) -> None:
    assert len(acknowledged) > KEYS // 3
    await eventually(lambda: all(_is_whole(member) for member in cluster.members))
    # What was made and never published is cleared away, and nothing else.
    await cluster.forward(400)
    for member in cluster.members:
        await member.stop()
        member.start()
        await eventually(partial(_has_no_intents, member))
        assert set(member.in_token().values()) == set(member.view.keys)
        for ski in acknowledged:
            assert member.view.keys[bytes.fromhex(ski)].state is State.ACTIVE


def _has_no_intents(member: KeyMember) -> bool:
    return not member.view.raw(f"{paths.INTENTS}{member.name}/")


def _is_whole(member: KeyMember) -> bool:
    view = member.view
    return all(
        key.state is State.ACTIVE and len(view.holdings.get(ski, {})) == 3
        for ski, key in view.keys.items()
    )
