"""Keys come to all members, go from all, and survive whatever fails on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from support.cluster import NOW
from support.key_cluster import KeyCluster, KeyMember, eventually, key_cluster

from offload.audit.sink import FakeAuditSink
from offload.catalogue import paths
from offload.catalogue.fake import FakeCatalogue
from offload.cluster.acts import DestroyKey
from offload.cluster.failures import Unavailable
from offload.cluster.replication import Replicator
from offload.keys.record import KeyRecord
from offload.keys.state import State
from offload.token.base import ReplicatedToken, TokenUnavailable, WrappedKeyInvalid


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[KeyCluster]:
    async with key_cluster(tmp_path, 2) as cluster:
        yield cluster


async def everywhere(cluster: KeyCluster, ski: bytes, state: str = "held") -> None:
    names = {member.name for member in cluster.members}
    for member in cluster.members:
        await member.until(
            lambda view: (
                {name for name, one in view.holdings[ski].items() if one.state == state} == names
            )
        )


async def in_state(cluster: KeyCluster, ski: bytes, state: State) -> None:
    for member in cluster.members:
        await member.until(lambda view: view.keys[ski].state is state)


async def test_a_key_made_on_one_is_on_all(cluster: KeyCluster) -> None:
    third = await cluster.add()
    made = await cluster.members[1].create("www", sites=("www.example.org",))
    ski = bytes.fromhex(made.ski)
    assert (made.state, made.current) == ("active", True)
    assert len(made.copies) >= made.copies_needed == 2
    await everywhere(cluster, ski)
    for member in cluster.members:
        assert member.in_token()["www@1"] == ski
        assert member.view.keys[ski].state is State.ACTIVE
    assert third.view.holdings[ski][third.name].lag_seconds >= 0


async def test_a_newcomer_takes_in_all_that_there_is(cluster: KeyCluster) -> None:
    for number in range(40):
        await cluster.members[0].create(f"key-{number}", algorithm="ed25519")
    newcomer = await cluster.add()
    await newcomer.until(lambda view: all(newcomer.name in view.holdings[ski] for ski in view.keys))
    assert len(newcomer.in_token()) == 41  # and the authority's


async def test_dates_come_about(cluster: KeyCluster) -> None:
    made = await cluster.members[0].create(
        "www", activates=NOW + timedelta(hours=1), deactivates=NOW + timedelta(hours=2)
    )
    ski = bytes.fromhex(made.ski)
    assert made.state == "pre-active"
    assert len(made.copies) == 2
    await cluster.forward(3600)
    await in_state(cluster, ski, State.ACTIVE)
    assert cluster.members[0].view.labels["www"].current == made.ski
    await cluster.forward(3600)
    await in_state(cluster, ski, State.DEACTIVATED)
    audit = cluster.members[0].node.audit
    assert isinstance(audit, FakeAuditSink)
    told = [record for record in audit.records if record.get("act") == "key.deactivate"]
    assert [record["target"] for record in told] == ["www@1"]


async def test_what_is_destroyed_is_gone_everywhere(cluster: KeyCluster) -> None:
    first, second = cluster.members
    made = await first.create("www")
    ski = bytes.fromhex(made.ski)
    await everywhere(cluster, ski)
    shown = await second.do(DestroyKey(key="www", wait_seconds=60))
    assert shown.state == "suspended"
    await cluster.forward(59)
    assert second.key("www").state is State.SUSPENDED
    await cluster.forward(2)
    await everywhere(cluster, ski, "erased")
    assert first.key("www").state is State.DESTROYED
    assert first.key("www").wrapped == b""
    for member in cluster.members:
        assert "www@1" not in member.in_token()


async def test_a_key_waits_for_enough_copies_and_says_so(tmp_path: Path) -> None:
    async with key_cluster(tmp_path, 2, seconds=0.2) as cluster:
        first, second = cluster.members
        await second.stop()
        with pytest.raises(Unavailable, match=r"1 of 2 workers hold it \(not yet: worker-2\)"):
            await first.create("www")
        assert first.key("www").state is State.PRE_ACTIVE
        second.start()
        await in_state(cluster, first.key("www").ski, State.ACTIVE)


async def test_another_goes_on_where_the_maker_stopped(tmp_path: Path) -> None:
    async with key_cluster(tmp_path, 2) as cluster:
        first, second = cluster.members
        await first.stop()
        making = asyncio.create_task(first.create("www"))
        await second.until(lambda view: "www" in view.labels)
        making.cancel()
        await asyncio.gather(making, return_exceptions=True)
        await cluster.dead(first.name)
        await in_state(cluster, second.key("www").ski, State.ACTIVE)


async def test_a_key_that_stays_on_its_token(cluster: KeyCluster) -> None:
    first, second = cluster.members
    made = await first.create("local", replicated=False)
    assert (made.state, made.replicated, made.home) == ("active", False, first.name)
    assert made.copies_needed == 1
    assert first.key("local").wrapped == b""
    after = await first.create("other")
    await everywhere(cluster, bytes.fromhex(after.ski))
    assert "local@1" not in second.in_token()
    assert [copy.member for copy in made.copies] == [first.name]


class Breaking:
    """A token of which some calls fail."""

    def __init__(self, member: KeyMember, name: str, error: Exception, times: int) -> None:
        self._token, self._name, self._error, self.times = member.node.token, name, error, times
        member.node.token = cast(ReplicatedToken, self)

    def __getattr__(self, name: str) -> Any:
        if name == self._name and self.times:
            return self._fail
        return getattr(self._token, name)

    def _fail(self, *arguments: Any) -> KeyRecord:
        self.times -= 1
        raise self._error


async def test_a_token_that_is_away_is_tried_again(cluster: KeyCluster) -> None:
    first, second = cluster.members
    breaking = Breaking(second, "unwrap", TokenUnavailable("the HSM does not answer"), 2)
    made = await first.create("www")
    await everywhere(cluster, bytes.fromhex(made.ski))
    assert breaking.times == 0


async def test_a_key_that_the_token_refuses_is_told_and_tried_later(cluster: KeyCluster) -> None:
    first, second = cluster.members
    made = await first.create("www")
    ski = bytes.fromhex(made.ski)
    await everywhere(cluster, ski)
    # The token loses the key, and does not take it back at once.
    second.node.token.destroy(ski)
    Breaking(second, "unwrap", WrappedKeyInvalid("altered"), 1)
    await second.replicator.inventory.refresh()
    second.replicator.look_again()
    await first.until(lambda view: second.name not in view.holdings[ski])
    assert second.replicator.failures == {ski: "altered"}
    await cluster.forward(11)
    await everywhere(cluster, ski)
    assert second.replicator.failures == {}


async def test_goes_on_when_the_catalogue_is_back(cluster: KeyCluster) -> None:
    first, second = cluster.members
    catalogue = second.node.catalogue
    assert isinstance(catalogue, FakeCatalogue)
    catalogue.down = True
    making = asyncio.create_task(first.create("www"))
    await first.until(lambda view: "www" in view.labels)
    assert first.key("www").state is State.PRE_ACTIVE
    catalogue.down = False
    made = await making
    assert made.state == "active"


async def test_nothing_is_erased_that_the_audit_log_cannot_tell_of(cluster: KeyCluster) -> None:
    first, second = cluster.members
    made = await first.create("www")
    ski = bytes.fromhex(made.ski)
    await everywhere(cluster, ski)
    audit = second.node.audit
    assert isinstance(audit, FakeAuditSink)
    audit.broken = True
    await first.do(DestroyKey(key="www", wait_seconds=0))
    await first.until(lambda view: view.holdings[ski][first.name].state == "erased")
    assert "www@1" in second.in_token()
    audit.broken = False
    await everywhere(cluster, ski, "erased")


async def test_a_record_with_the_identifier_of_another_key_is_not_taken_in(
    cluster: KeyCluster,
) -> None:
    first, second = cluster.members
    await first.create("www")
    key = first.key("www")
    forged = replace(key, ski=bytes(20), label="forged", state=State.PRE_ACTIVE)
    await first.node.write({paths.KEYS + forged.ski.hex(): forged})
    await second.until(lambda view: forged.ski in view.keys)
    await eventually(lambda: forged.ski in second.replicator.failures)
    assert "identifier" in second.replicator.failures[forged.ski]
    assert "forged@1" not in second.in_token()


async def test_is_settled_once_there_is_nothing_to_do(cluster: KeyCluster) -> None:
    await cluster.members[0].create("www")
    await eventually(lambda: all(member.replicator.settled for member in cluster.members))


async def test_ends_when_it_is_cancelled(cluster: KeyCluster) -> None:
    member = cluster.members[0]
    await member.stop()
    running = asyncio.create_task(Replicator(member.node).run())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
