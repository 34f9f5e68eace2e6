"""An approval is for one act, one person and one use."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.pki import PKI
from support.rest import Rest, managed

from offload.catalogue import paths
from offload.catalogue.base import Put
from offload.cluster.acts import DestroyKey, ListApprovals, RemoveUser, SetRole
from offload.cluster.approval_gate import ApprovalGate
from offload.cluster.failures import ApprovalNeeded, NotAllowed, NotFound, WrongState
from offload.cluster.views import ApprovalList

DESTROY = DestroyKey(key="www")


@pytest.fixture
async def rest(pki: PKI) -> AsyncIterator[Rest]:
    async with managed(pki) as made:
        await made.policy(key_destroy=2)
        yield made


async def needed(rest: Rest, act: DestroyKey = DESTROY, user: str = "kim") -> str:
    with pytest.raises(ApprovalNeeded) as caught:
        await rest.management.perform(rest.actor(user), act)
    return caught.value.approval


async def destroy(rest: Rest, approval: str, act: DestroyKey = DESTROY, user: str = "kim") -> None:
    await rest.management.perform(rest.actor(user), act, approval=approval)


async def test_enough_officers_let_the_act_through_once(rest: Rest) -> None:
    approval = await needed(rest)
    await rest.sign("olga", approval)
    with pytest.raises(ApprovalNeeded, match="1 of 2"):
        await destroy(rest, approval)
    await rest.sign("otto", approval)
    await destroy(rest, approval)
    assert rest.done == [DESTROY]
    with pytest.raises(NotFound):
        await destroy(rest, approval)
    assert rest.done == [DESTROY]


async def test_asking_again_waits_for_the_same_approval(rest: Rest) -> None:
    assert await needed(rest) == await needed(rest)
    assert await needed(rest, DestroyKey(key="other")) != await needed(rest)


async def test_one_officer_who_signs_twice_is_one(rest: Rest) -> None:
    approval = await needed(rest)
    for _ in range(2):
        await rest.sign("olga", approval)
    with pytest.raises(ApprovalNeeded):
        await destroy(rest, approval)


async def test_another_act_is_not_approved(rest: Rest) -> None:
    approval = await approved(rest)
    with pytest.raises(WrongState, match="another act"):
        await destroy(rest, approval, DestroyKey(key="www", wait_seconds=0))
    await destroy(rest, approval)


async def test_nobody_else_may_use_it(rest: Rest) -> None:
    approval = await approved(rest)
    await rest.node.write(
        {paths.USERS + "kit": rest.node.view.users["kim"].model_copy(update={"name": "kit"})}
    )
    kit = rest.actor("kim")._replace(name="kit")
    with pytest.raises(NotAllowed, match="'kim'"):
        await rest.management.perform(kit, DESTROY, approval=approval)


async def test_it_ends(rest: Rest) -> None:
    approval = await approved(rest)
    rest.clock.forward(86400)
    with pytest.raises(WrongState, match="over"):
        await destroy(rest, approval)
    later = await needed(rest)
    assert later != approval
    assert paths.APPROVALS + approval not in rest.node.view.raw(paths.APPROVALS)


async def test_an_officer_who_was_removed_counts_no_more(rest: Rest) -> None:
    approval = await approved(rest)
    await rest.node.write({paths.USERS + "otto": None})
    with pytest.raises(ApprovalNeeded, match="1 of 2"):
        await destroy(rest, approval)


async def test_a_stricter_policy_counts_at_once(rest: Rest) -> None:
    approval = await approved(rest)
    await rest.policy(key_destroy=3)
    with pytest.raises(ApprovalNeeded, match="2 of 3"):
        await destroy(rest, approval)


async def test_two_who_use_it_at_once_do_the_act_once(rest: Rest) -> None:
    approval = await approved(rest)
    results = await asyncio.gather(
        *(destroy(rest, approval) for _ in range(3)), return_exceptions=True
    )
    assert rest.done == [DESTROY]
    refused = [one for one in results if isinstance(one, WrongState | NotFound)]
    assert len(refused) == 2


async def test_it_is_used_once_however_late_a_lease_comes(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    approval = await approved(rest)
    asked, go = asyncio.Event(), asyncio.Event()
    lease = rest.node.catalogue.lease

    async def late(seconds: float) -> int:
        if not asked.is_set():
            asked.set()
            await go.wait()
        return await lease(seconds)

    monkeypatch.setattr(rest.node.catalogue, "lease", late)
    slow = asyncio.create_task(destroy(rest, approval))
    await asked.wait()
    await destroy(rest, approval)
    go.set()
    with pytest.raises(NotFound):
        await slow
    assert rest.done == [DESTROY]


async def test_what_was_used_cannot_be_put_back(rest: Rest) -> None:
    approval = await approved(rest)
    path = paths.APPROVALS + approval
    entry = await rest.catalogue.get(path)
    assert entry is not None
    await destroy(rest, approval)
    revision = await rest.catalogue.commit([Put(path, entry.value)])
    await rest.node.view.reached(revision)
    with pytest.raises(NotFound):
        await destroy(rest, approval)
    assert path in rest.node.view.untrusted


async def test_the_requester_can_be_one_of_the_officers(rest: Rest) -> None:
    await rest.policy(user_remove=1)
    await rest.node.write(
        {paths.USERS + "uma": rest.node.view.users["ada"].model_copy(update={"name": "uma"})}
    )
    act = RemoveUser(user="uma")
    with pytest.raises(ApprovalNeeded) as caught:
        await rest.management.perform(rest.actor("olga"), act)
    await rest.sign("olga", caught.value.approval)
    await rest.management.perform(rest.actor("olga"), act, approval=caught.value.approval)
    assert "uma" not in rest.node.view.users


async def test_making_an_officer_needs_as_many_as_the_strictest(rest: Rest) -> None:
    with pytest.raises(ApprovalNeeded, match="2 officers"):
        await rest.management.perform(rest.actor("olga"), SetRole(user="kim", role="officer"))


async def test_nobody_fills_the_catalogue_with_approvals(rest: Rest) -> None:
    for number in range(50):
        await needed(rest, DestroyKey(key=f"key-{number}"))
    with pytest.raises(WrongState, match="50"):
        await rest.management.perform(rest.actor("kim"), DESTROY)


async def test_an_approval_is_found_by_a_member_that_has_not_seen_it_yet(rest: Rest) -> None:
    approval = await needed(rest)
    assert (await ApprovalGate(rest.node).find(approval)).requested_by == "kim"
    listed = await rest.management.perform(rest.actor("ada"), ListApprovals())
    assert isinstance(listed, ApprovalList)
    assert [one.id for one in listed.approvals] == [approval]


async def approved(rest: Rest) -> str:
    approval = await needed(rest)
    for officer in ("olga", "otto"):
        await rest.sign(officer, approval)
    return approval


async def test_it_is_used_once_on_all_members_together(rest: Rest, pki: PKI) -> None:
    approval = await approved(rest)
    async with managed(pki, rest) as other:
        results = await asyncio.gather(
            destroy(rest, approval), destroy(other, approval), return_exceptions=True
        )
        assert len([one for one in results if isinstance(one, NotFound)]) == 1
        assert [*rest.done, *other.done] == [DESTROY]


async def test_a_change_of_the_cluster_meanwhile_does_not_matter(rest: Rest, pki: PKI) -> None:
    approval = await approved(rest)
    async with managed(pki, rest) as other:
        await asyncio.gather(other.policy(key_destroy=2), destroy(rest, approval))
    assert rest.done == [DESTROY]
