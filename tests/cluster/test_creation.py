"""Keys that are made, and what hinders it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, timedelta, timezone
from pathlib import Path
from typing import Any, cast

import pytest
from support.cluster import NOW
from support.key_cluster import KeyCluster, KeyMember, key_cluster

from offload.cluster.acts import DestroyKey
from offload.cluster.creation import NewKey
from offload.cluster.failures import Invalid, Taken, Unavailable
from offload.keys.algorithm import Algorithm
from offload.keys.record import KeyRecord
from offload.keys.state import State
from offload.token.base import ReplicatedToken, TokenError

HOUR = timedelta(hours=1)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[KeyCluster]:
    async with key_cluster(tmp_path, 2, seconds=5.0) as cluster:
        yield cluster


def intents(member: KeyMember) -> list[str]:
    return list(member.view.raw("intents/"))


async def test_a_label_is_used_once_and_its_key_is_told_of(cluster: KeyCluster) -> None:
    first, second = cluster.members
    await first.create("www")
    await second.until(lambda view: view.labels["www"].current != "")
    with pytest.raises(Taken, match="www@1 is active; choose another label, or rotate it"):
        await second.create("www")
    assert intents(second) == []


async def test_of_two_who_ask_at_once_one_gets_it(cluster: KeyCluster) -> None:
    results = await asyncio.gather(
        *(member.create("www") for member in cluster.members * 2), return_exceptions=True
    )
    made = [one for one in results if not isinstance(one, BaseException)]
    assert len(made) == 1
    assert all(isinstance(one, Taken) for one in results if isinstance(one, BaseException))
    await cluster.members[0].until(lambda view: not view.raw("intents/"))
    held = {member.in_token().get("www@1") for member in cluster.members} - {None}
    assert held == {bytes.fromhex(made[0].ski)}


async def test_a_label_is_free_again_once_all_is_destroyed(cluster: KeyCluster) -> None:
    first, _ = cluster.members
    old = await first.create("www")
    await first.do(DestroyKey(key="www", wait_seconds=0))
    await first.until(lambda view: view.keys[bytes.fromhex(old.ski)].state is State.DESTROYED)
    made = await first.create("www")
    assert (made.generation, made.current) == (2, True)


async def test_a_further_generation_stands_beside_the_first(cluster: KeyCluster) -> None:
    first, _ = cluster.members
    old = await first.create("www")
    key = await first.service.creation.generate(NewKey(label="www", beside=True), Algorithm.ED25519)
    assert (key.generation, key.state) == (2, State.ACTIVE)
    assert first.view.labels["www"].generations == (old.ski, key.ski.hex())
    assert first.view.labels["www"].current == old.ski


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"deactivates": NOW}, "before it is active"),
        ({"activates": NOW + HOUR, "deactivates": NOW + HOUR}, "before it is active"),
        ({"exportable": True, "replicated": False}, "never leaves its token"),
    ],
)
async def test_what_cannot_be_is_refused(
    cluster: KeyCluster, fields: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Invalid, match=reason):
        await cluster.members[0].create("www", **fields)
    assert "www" not in cluster.members[0].view.labels


async def test_dates_are_kept_in_utc(cluster: KeyCluster) -> None:
    first, second = cluster.members
    there = timezone(2 * HOUR)
    made = await first.create("www", activates=(NOW + HOUR).astimezone(there))
    await second.until(lambda view: "www" in view.labels)
    kept = second.view.keys[bytes.fromhex(made.ski)].activates
    assert kept == NOW + HOUR
    assert kept.tzinfo is UTC


async def test_needs_the_cluster_key(cluster: KeyCluster) -> None:
    first, _ = cluster.members
    await first.stop()
    first.node.token.destroy_cluster_key(1)
    with pytest.raises(Unavailable, match="ask another worker"):
        await first.create("www")
    assert intents(first) == []


async def test_a_key_of_that_name_in_the_token_stands_in_the_way(cluster: KeyCluster) -> None:
    first, _ = cluster.members
    first.node.token.generate("www@1", Algorithm.ED25519)
    with pytest.raises(Taken, match="that the cluster does not know"):
        await first.create("www")
    assert intents(first) == []
    assert "www@1" in first.in_token()


class Half:
    """A token that makes keys and wraps none."""

    def __init__(self, token: ReplicatedToken) -> None:
        self._token = token

    def wrap(self, ski: bytes, generation: int) -> bytes:
        raise TokenError("the HSM is of another opinion")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._token, name)


async def test_what_fails_half_way_leaves_nothing(cluster: KeyCluster) -> None:
    first, _ = cluster.members
    token = first.node.token
    first.node.token = cast(ReplicatedToken, Half(token))
    with pytest.raises(TokenError, match="opinion"):
        await first.create("www")
    first.node.token = token
    assert "www@1" not in first.in_token()
    assert intents(first) == []
    assert (await first.create("www")).state == "active"


class Rolling(Half):
    """A token whose cluster rolls its key just when one has been wrapped."""

    def __init__(self, member: KeyMember) -> None:
        super().__init__(member.node.token)
        self._member, self._loop = member, asyncio.get_running_loop()
        self.wrapped: list[int] = []

    def wrap(self, ski: bytes, generation: int) -> bytes:
        made = self._token.wrap(ski, generation)
        if not self.wrapped:
            self._token.generate_cluster_key(2)
            node = self._member.node
            changed = node.view.cluster.model_copy(update={"cluster_key": 2})
            asyncio.run_coroutine_threadsafe(node.write({"cluster": changed}), self._loop).result(
                10
            )
        self.wrapped.append(generation)
        return made


async def test_is_wrapped_under_the_cluster_key_of_today(tmp_path: Path) -> None:
    async with key_cluster(tmp_path, 1) as cluster:
        (only,) = cluster.members
        rolling = Rolling(only)
        only.node.token = cast(ReplicatedToken, rolling)
        made = await only.create("www")
        assert rolling.wrapped[:2] == [1, 2]
        assert only.view.keys[bytes.fromhex(made.ski)].wrapped_under == 2


async def test_a_client_that_leaves_leaves_a_key_that_goes_on(cluster: KeyCluster) -> None:
    first, second = cluster.members
    await second.stop()
    making = asyncio.create_task(first.create("www"))
    await first.until(lambda view: "www" in view.labels)
    making.cancel()
    await asyncio.wait({making})
    second.start()
    await first.until(lambda view: first.key("www").state is State.ACTIVE)


async def test_an_imported_key_is_not_taken_twice(cluster: KeyCluster) -> None:
    first, _ = cluster.members
    made = await first.create("www")
    key = first.key("www")
    with pytest.raises(Taken, match="this very key is in the cluster already, as www@1"):
        await first.service.creation.take_in(NewKey(label="copy"), key.public_key, b"")
    assert made.ski == key.ski.hex()
    assert isinstance(key.record, KeyRecord)
