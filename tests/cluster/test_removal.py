import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from support.cluster import NOW
from support.members import Members, members_in

from offload.catalogue import paths
from offload.catalogue.base import CatalogueDenied, Put
from offload.catalogue.envelope import Verifier
from offload.catalogue.records import AliveRecord, HoldingRecord
from offload.cluster import removal
from offload.cluster.failures import NotFound, WrongState
from offload.cluster.node import Node
from offload.cluster.removal import remove
from offload.cluster.replication import Replicator
from offload.cluster.view import View
from offload.keys.managed import ManagedKey
from offload.keys.state import State


@pytest.fixture
async def members(tmp_path: Path) -> AsyncIterator[Members]:
    async with members_in(tmp_path) as made:
        await made.found()
        yield made


@pytest.fixture
def founder(members: Members) -> Node:
    return members.nodes["worker-1"]


@asynccontextmanager
async def replicating(*nodes: Node) -> AsyncIterator[None]:
    """Let members do what they do by themselves."""
    tasks = [asyncio.create_task(Replicator(node).run()) for node in nodes]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def show_alive(members: Members) -> None:
    """As presences would, all at once."""
    await members.catalogue.commit(
        [
            Put(paths.ALIVE + name, AliveRecord(name=name, since=NOW).body())
            for name in members.nodes
        ]
    )


def authority_key(node: Node) -> ManagedKey:
    return node.view.keys[bytes.fromhex(node.view.cluster.authority_ski)]


async def test_a_removed_member_can_read_nothing_new(members: Members, founder: Node) -> None:
    second, third = await members.join("worker-2"), await members.join("worker-3")
    await show_alive(members)
    staying = (founder, third)
    async with asyncio.timeout(30), replicating(founder, second, third):
        for node in members.nodes.values():
            await node.view.until(lambda view: len(view.holdings[authority_key(founder).ski]) == 3)
        await remove(founder, "worker-2")
        for node in staying:
            await node.view.until(
                lambda view: (
                    view.cluster.cluster_key == 2
                    and all(key.wrapped_under == 2 for key in view.keys.values())
                )
            )
        assert 2 in third.token.cluster_keys()
        assert 2 not in second.token.cluster_keys()
    view = founder.view
    assert view.present == ("worker-1", "worker-3")
    assert "worker-2" not in view.alive
    assert f"{paths.CLUSTER_KEYS}2/worker-2" not in view.raw(paths.CLUSTER_KEYS)
    assert "worker-2" not in view.holdings[authority_key(founder).ski]


async def test_nothing_that_it_signed_is_lost_and_nothing_new_is_believed(
    members: Members, founder: Node
) -> None:
    second = await members.join("worker-2")
    cluster = second.view.cluster.model_copy(update={"copies": 7})
    revision = await second.write({paths.CLUSTER: cluster})
    await founder.view.reached(revision)
    await remove(founder, "worker-2")
    assert founder.view.signed_by("worker-2") == ()
    assert members.founded is not None
    verifier = Verifier(x509.load_pem_x509_certificate(members.founded.authority))
    fresh = await View.open(founder.catalogue, verifier)
    assert fresh.cluster.copies == 7
    assert not fresh.untrusted
    path = paths.USERS + "mallory"
    sealed = second.signer.seal(path, founder.view.users["alice"].body())
    revision = await members.catalogue.commit([Put(path, sealed)])
    for view in (fresh, founder.view):
        await view.reached(revision)
        assert "mallory" not in view.users
        assert path in view.untrusted
    await fresh.close()


async def test_what_it_writes_at_the_last_moment_is_not_lost_either(
    members: Members, founder: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = await members.join("worker-2")
    await founder.view.until(lambda view: "worker-2" in view.present)
    exclude = removal._exclude

    async def after_a_last_word(node: Node, name: str) -> None:
        user = second.view.users["alice"].model_copy(update={"role": "auditor"})
        await node.view.reached(await second.write({paths.USERS + "alice": user}))
        await exclude(node, name)

    monkeypatch.setattr(removal, "_exclude", after_a_last_word)
    await remove(founder, "worker-2")
    assert founder.view.users["alice"].role == "auditor"
    assert founder.view.signed_by("worker-2") == ()


async def test_the_last_one_stays(members: Members, founder: Node) -> None:
    with pytest.raises(WrongState, match="the last one stays"):
        await remove(founder, "worker-1")
    with pytest.raises(NotFound):
        await remove(founder, "worker-9")
    assert founder.view.present == ("worker-1",)


async def test_who_is_removed_removes_nobody(members: Members, founder: Node) -> None:
    second = await members.join("worker-2")
    await founder.view.until(lambda view: "worker-2" in view.present)
    await remove(founder, "worker-2")
    await second.view.until(lambda view: "worker-2" not in view.present)
    with pytest.raises(WrongState, match="no member any more"):
        await remove(second, "worker-1")
    with pytest.raises(CatalogueDenied, match="was removed"):
        await second.write({paths.CLUSTER: second.view.cluster})


async def test_keys_that_can_be_nowhere_else_are_named(members: Members, founder: Node) -> None:
    await members.join("worker-2")
    await founder.view.until(lambda view: "worker-2" in view.present)
    key = replace(
        authority_key(founder),
        ski=b"\1" * 20,
        label="www",
        replicated=False,
        home="worker-2",
        wrapped=b"",
        wrapped_under=0,
    )
    path = paths.KEYS + key.ski.hex()
    await founder.write({path: key})
    with pytest.raises(WrongState, match="key www@1 can be nowhere else"):
        await remove(founder, "worker-2")
    await founder.write({path: replace(key, state=State.DESTROYED)})
    await remove(founder, "worker-2")


async def test_keys_that_only_it_holds_so_far_are_waited_for(
    members: Members, founder: Node
) -> None:
    second = await members.join("worker-2")
    ski = authority_key(founder).ski.hex()
    holding = HoldingRecord(member="worker-2", ski=ski, state="held")
    revision = await second.write({f"{paths.HOLDINGS}{ski}/worker-2": holding})
    await founder.view.reached(revision)
    await founder.write({f"{paths.HOLDINGS}{ski}/worker-1": None})
    with pytest.raises(WrongState, match="alone so far"):
        await remove(founder, "worker-2")


async def test_a_removal_that_was_cut_off_is_finished_by_asking_again(
    members: Members, founder: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    await members.join("worker-2")
    await founder.view.until(lambda view: "worker-2" in view.present)

    async def die(*_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr("offload.cluster.removal.begin_roll", die)
        with pytest.raises(asyncio.CancelledError):
            await remove(founder, "worker-2")
    assert f"{paths.CLUSTER_KEYS}2/worker-1" not in founder.view.raw(paths.CLUSTER_KEYS)
    await remove(founder, "worker-2")
    assert f"{paths.CLUSTER_KEYS}2/worker-1" in founder.view.raw(paths.CLUSTER_KEYS)


async def test_somebody_who_was_removed_may_be_invited_again(
    members: Members, founder: Node
) -> None:
    await members.join("worker-2")
    await founder.view.until(lambda view: "worker-2" in view.present)
    await remove(founder, "worker-2")
    members.directory = members.directory / "again"
    again = await members.join("worker-2")
    assert again.view.present == ("worker-1", "worker-2")
    revision = await again.write({paths.CLUSTER: again.view.cluster})
    await founder.view.reached(revision)
    assert not founder.view.untrusted
