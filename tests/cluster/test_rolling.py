"""The cluster key: how the next one takes the place of that of today."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.cluster import member_record
from support.key_cluster import KeyCluster, KeyMember, eventually, key_cluster
from support.still_view import StillView, managed

from offload.catalogue import paths
from offload.cluster.acts import RollClusterKey
from offload.cluster.failures import Unavailable
from offload.cluster.rolling import Do, Step, accepted, begin_roll, pending, plan, resign
from offload.cluster.view import View
from offload.keys.state import State


def still(enclosed: dict[int, str], said: dict[int, str], **cluster: Any) -> StillView:
    made = StillView([managed(wrapped_under=cluster.get("cluster_key", 1))], **cluster)
    for prefix, table in ((paths.CLUSTER_KEYS, enclosed), (paths.CLUSTER_KEY_HOLDERS, said)):
        for generation, names in table.items():
            for name in names:
                made.put(f"{prefix}{generation}/{name}", b"{}")
    return made


def test_a_member_accepts_what_is_enclosed_to_it_and_says_so() -> None:
    view = still({2: "abc"}, {1: "abc"}).view
    assert plan(view, "b", {1}) == [Step(Do.ACCEPT, 2)]
    assert plan(view, "b", {1, 2}) == [Step(Do.ACCEPT, 2)]
    assert plan(still({2: "abc"}, {1: "abc", 2: "b"}).view, "b", {1, 2}) == []


def test_who_lost_a_cluster_key_takes_it_again() -> None:
    assert plan(still({1: "b"}, {1: "abc"}).view, "b", set()) == [Step(Do.ACCEPT, 1)]


def test_it_is_of_today_once_all_who_are_alive_have_it() -> None:
    some = still({2: "abc"}, {1: "abc", 2: "ab"})
    assert plan(some.view, "a", {1, 2}) == []
    del some.alive["c"]
    assert plan(some.view, "a", {1, 2}) == [Step(Do.ADVANCE, 2)]
    assert plan(some.view, "b", {1, 2}) == []
    assert plan(
        still(
            {2: "abc"},
            {1: "abc"},
        ).view,
        "a",
        {1, 2},
    ) == [Step(Do.ACCEPT, 2)]


def test_who_came_meanwhile_gets_it_too() -> None:
    view = still({2: "ab"}, {1: "abc", 2: "ab"}).view
    assert plan(view, "a", {1, 2}) == [Step(Do.ENCLOSE, 2, "c")]


def test_what_a_removed_member_has_got_never_becomes_that_of_today() -> None:
    tainted = still({2: "abc", 3: "ab"}, {1: "abc", 2: "ab", 3: "ab"})
    assert pending(tainted.view) == 3
    tainted.put("members/c", member_record("c", state="removed"))
    assert pending(tainted.view) == 3
    del tainted.others[paths.CLUSTER_KEYS][f"{paths.CLUSTER_KEYS}3/a"]
    del tainted.others[paths.CLUSTER_KEYS][f"{paths.CLUSTER_KEYS}3/b"]
    assert pending(tainted.view) is None


def test_an_old_one_goes_once_nothing_is_wrapped_under_it() -> None:
    done = still({1: "b", 2: "abc"}, {1: "b", 2: "abc"}, cluster_key=2)
    assert plan(done.view, "b", {1, 2}) == [Step(Do.DROP, 1)]
    done.put(f"keys/{managed(2).ski.hex()}", managed(2, wrapped_under=1))
    assert plan(done.view, "b", {1, 2}) == []
    done.put(f"keys/{managed(2).ski.hex()}", managed(2, state=State.DESTROYED))
    done.untrusted[f"keys/{managed(3).ski.hex()}"] = "who knows"
    assert plan(done.view, "b", {1, 2}) == []
    done.untrusted.clear()
    assert plan(done.view, "b", {1}) == [Step(Do.ACCEPT, 2)]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[KeyCluster]:
    async with key_cluster(tmp_path, 3) as cluster:
        yield cluster


def rolled(member: KeyMember, generation: int) -> bool:
    view = member.view
    return (
        member.node.token.cluster_keys() == {generation}
        and {key.wrapped_under for key in view.keys.values()} == {generation}
        and set(accepted(view)) == {generation}
    )


async def all_rolled(cluster: KeyCluster, generation: int) -> None:
    await eventually(lambda: all(rolled(member, generation) for member in cluster.members))


async def test_a_roll_wraps_every_key_anew(cluster: KeyCluster) -> None:
    first, second, third = cluster.members
    for number in range(5):
        await first.create(f"key-{number}", algorithm="ed25519")
    before = {key.ski: key.wrapped for key in first.view.keys.values()}
    answer = await second.do(RollClusterKey())
    assert answer.cluster_key == 2
    await all_rolled(cluster, 2)
    assert all(key.wrapped != before[key.ski] for key in first.view.keys.values())
    made = await third.create("after")
    assert made.state == "active"


async def test_who_was_away_accepts_when_it_is_back(cluster: KeyCluster) -> None:
    first, _, third = cluster.members
    await first.create("www")
    await third.stop()
    await cluster.dead(third.name)
    await first.do(RollClusterKey())
    await eventually(lambda: rolled_keys(first.view) == {2})
    later = await first.create("later")
    await cluster.awake(third.name)
    third.start()
    await all_rolled(cluster, 2)
    ski = bytes.fromhex(later.ski)
    await third.until(lambda view: third.name in view.holdings[ski])


def rolled_keys(view: View) -> set[int]:
    return {key.wrapped_under for key in view.keys.values()}


async def test_says_who_is_waited_for(tmp_path: Path) -> None:
    async with key_cluster(tmp_path, 2, seconds=0.3) as cluster:
        first, second = cluster.members
        await second.stop()
        with pytest.raises(Unavailable, match="worker-2 has not taken it yet"):
            await first.do(RollClusterKey())
        second.start()
        await all_rolled(cluster, 2)


async def test_a_roll_goes_on_after_who_began_it_stopped(cluster: KeyCluster) -> None:
    first, second, _ = cluster.members
    await first.create("www")
    # It stops after it made a key that it never published: another begins, with the same number.
    await first.stop()
    await first.node.in_thread(first.node.token.generate_cluster_key, 2)
    assert await begin_roll(second.node) == 2
    assert await begin_roll(second.node) == 2
    first.start()
    await all_rolled(cluster, 2)


async def test_two_who_begin_at_once_make_one(cluster: KeyCluster) -> None:
    first, second, _ = cluster.members
    # The view of the second has had no turn of the loop to see what the first did.
    for member in cluster.members:
        await member.stop()
    generations = {await begin_roll(first.node), await begin_roll(second.node)}
    assert generations == {2}
    for member in cluster.members:
        member.start()
    await all_rolled(cluster, 2)


async def test_a_removed_member_gets_none_and_signs_nothing(cluster: KeyCluster) -> None:
    first, _, third = cluster.members
    made = await third.create("www")
    ski = bytes.fromhex(made.ski)
    await first.until(lambda view: len(view.holdings[ski]) == 3)
    # A roll that third has its part in is under way: that one will not do.
    await third.stop()
    assert await begin_roll(first.node) == 2
    assert await resign(first.node, third.name) > 0
    removed = first.view.members[third.name].model_copy(update={"state": "removed"})
    await first.node.write({paths.MEMBERS + third.name: removed, paths.CLUSTER: first.view.cluster})
    generation = await begin_roll(first.node, frozenset({third.name}))
    assert generation == 3
    cluster.members.remove(third)
    await all_rolled(cluster, 3)
    await eventually(lambda: not first.view.signed_by(third.name))
    assert third.name not in first.view.holdings[ski]
    assert first.view.keys[ski].state is State.ACTIVE
    assert f"{paths.CLUSTER_KEYS}3/{third.name}" not in first.view.raw(paths.CLUSTER_KEYS)
