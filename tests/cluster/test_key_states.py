"""A key's life, act by act."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.cluster import NOW
from support.key_cluster import KeyCluster, KeyMember, key_cluster

from offload.cluster import acts
from offload.cluster.failures import Invalid, NotFound, Unavailable, WrongState
from offload.keys.state import IllegalStep, State


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[KeyCluster]:
    async with key_cluster(tmp_path, 2, seconds=0.5) as cluster:
        yield cluster


@pytest.fixture
async def member(cluster: KeyCluster) -> KeyMember:
    member = cluster.members[0]
    await member.create("www")
    return member


async def test_suspended_and_resumed(member: KeyMember) -> None:
    assert (await member.do(acts.SuspendKey(key="www"))).state == "suspended"
    with pytest.raises(IllegalStep, match="a suspended key cannot be moved by suspend"):
        await member.do(acts.SuspendKey(key="www"))
    assert (await member.do(acts.ResumeKey(key="www@1"))).state == "active"


async def test_deactivated_for_good(member: KeyMember) -> None:
    assert (await member.do(acts.DeactivateKey(key="www"))).state == "deactivated"
    with pytest.raises(IllegalStep):
        await member.do(acts.ResumeKey(key="www"))


async def test_compromised_for_good(member: KeyMember) -> None:
    shown = await member.do(acts.CompromiseKey(key="www", reason="found on a disk"))
    assert shown.state == "compromised"
    for act in (acts.ResumeKey(key="www"), acts.ActivateKey(key="www")):
        with pytest.raises(IllegalStep):
            await member.do(act)


async def test_a_destruction_can_be_cancelled_until_it_is_due(
    member: KeyMember, cluster: KeyCluster
) -> None:
    shown = await member.do(acts.DestroyKey(key="www"))
    assert shown.state == "suspended"
    assert shown.destroy_at == NOW + timedelta(days=7)
    with pytest.raises(WrongState, match="keep it first"):
        await member.do(acts.ResumeKey(key="www"))
    kept = await member.do(acts.KeepKey(key="www"))
    assert (kept.state, kept.destroy_at) == ("suspended", None)
    with pytest.raises(WrongState, match="not to be destroyed"):
        await member.do(acts.KeepKey(key="www"))
    await member.do(acts.ResumeKey(key="www"))
    await member.do(acts.DestroyKey(key="www", wait_seconds=0))
    await member.until(lambda view: member.key("www").state is State.DESTROYED)
    for act in (acts.KeepKey(key="www"), acts.SetKeyPolicy(key="www")):
        with pytest.raises(WrongState, match="is destroyed"):
            await member.do(act)
    with pytest.raises(IllegalStep):
        await member.do(acts.DestroyKey(key="www"))


async def test_a_key_is_activated_before_its_date(member: KeyMember, cluster: KeyCluster) -> None:
    later = NOW + timedelta(days=1)
    await member.create("early", activates=later)
    shown = await member.do(acts.ActivateKey(key="early"))
    assert (shown.state, shown.activates) == ("active", None)
    await member.create("doomed", activates=later)
    await member.do(acts.DestroyKey(key="doomed"))
    with pytest.raises(WrongState, match="keep it first"):
        await member.do(acts.ActivateKey(key="doomed"))
    await member.create("past", activates=later, deactivates=later + timedelta(days=1))
    cluster.clock.forward(3 * 86400)
    with pytest.raises(WrongState, match="was to be deactivated by now"):
        await member.do(acts.ActivateKey(key="past"))


async def test_an_early_activation_waits_for_copies(cluster: KeyCluster) -> None:
    first, second = cluster.members
    await second.stop()
    with pytest.raises(Unavailable):
        await first.create("www", activates=NOW + timedelta(days=1))
    with pytest.raises(Unavailable, match="1 of 2 workers"):
        await first.do(acts.ActivateKey(key="www"))
    second.start()
    await first.until(lambda view: first.key("www").state is State.ACTIVE)


async def test_a_policy_is_changed_in_parts(member: KeyMember) -> None:
    shown = await member.do(acts.SetKeyPolicy(key="www", sites=("WWW.example.org",)))
    assert (shown.sites, shown.frontends) == (("www.example.org",), ("*",))
    shown = await member.do(acts.SetKeyPolicy(key="www", frontends=("f1",), audit_signatures=True))
    assert (shown.sites, shown.frontends) == (("www.example.org",), ("f1",))
    assert shown.audit_signatures
    with pytest.raises(Invalid):
        await member.do(acts.SetKeyPolicy(key="www", sites=("a..b",)))


@pytest.mark.parametrize(
    "act", [acts.SuspendKey, acts.DestroyKey, acts.SetKeyPolicy, acts.CompromiseKey]
)
async def test_the_authoritys_key_is_out_of_reach(
    member: KeyMember, act: type[acts.SuspendKey]
) -> None:
    with pytest.raises(WrongState, match="the cluster alone"):
        await member.do(act(key=member.view.cluster.authority_ski))
    with pytest.raises(NotFound):
        await member.do(act(key="none"))
