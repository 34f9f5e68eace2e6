"""Officers list, sign and reject what waits for them."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.pki import PKI
from support.rest import Rest, managed

from offload.cluster.acts import (
    DestroyKey,
    ListApprovals,
    RejectApproval,
    ShowApproval,
    SignApproval,
)
from offload.cluster.approval import statement
from offload.cluster.failures import ApprovalNeeded, Invalid, NotAllowed, NotFound, WrongState
from offload.cluster.views import ApprovalList, ApprovalView, Done

DESTROY = DestroyKey(key="www")


@pytest.fixture
async def rest(pki: PKI) -> AsyncIterator[Rest]:
    async with managed(pki) as made:
        await made.policy(key_destroy=2)
        yield made


async def needed(rest: Rest, act: DestroyKey = DESTROY) -> str:
    with pytest.raises(ApprovalNeeded) as caught:
        await rest.management.perform(rest.actor("kim"), act)
    return caught.value.approval


async def shown(rest: Rest, approval: str) -> ApprovalView:
    view = await rest.management.perform(rest.actor("olga"), ShowApproval(approval=approval))
    assert isinstance(view, ApprovalView)
    return view


async def test_what_waits_can_be_checked_before_it_is_signed(rest: Rest) -> None:
    view = await shown(rest, await needed(rest))
    assert view.act == DESTROY.canonical().decode()
    assert view.digest == DESTROY.digest()
    assert view.requested_by == "kim"
    expected = statement(view.id, DESTROY.digest(), "kim", view.expires)
    assert view.statement.encode() == expected


async def test_who_has_signed_is_shown(rest: Rest) -> None:
    approval = await needed(rest)
    await rest.sign("otto", approval)
    assert (await shown(rest, approval)).signed_by == ("otto",)


async def test_another_officers_signature_is_refused(rest: Rest) -> None:
    view = await shown(rest, await needed(rest))
    act = SignApproval(approval=view.id, signature=rest.signature("otto", view.statement))
    with pytest.raises(Invalid, match="'olga'"):
        await rest.management.perform(rest.actor("olga"), act)
    assert (await shown(rest, view.id)).signed_by == ()


async def test_a_signature_of_another_approval_is_refused(rest: Rest) -> None:
    one = await shown(rest, await needed(rest))
    other = await needed(rest, DestroyKey(key="other"))
    act = SignApproval(approval=other, signature=rest.signature("olga", one.statement))
    with pytest.raises(Invalid):
        await rest.management.perform(rest.actor("olga"), act)


async def test_only_registered_officers_sign(rest: Rest) -> None:
    view = await shown(rest, await needed(rest))
    act = SignApproval(approval=view.id, signature=rest.signature("olga", view.statement))
    with pytest.raises(NotAllowed):
        await rest.management.perform(rest.actor("kim"), act)
    stranger = rest.actor("olga")._replace(name="root", via="local")
    with pytest.raises(NotFound, match="'root'"):
        await rest.management.perform(stranger, act)


async def test_a_rejected_approval_is_gone(rest: Rest) -> None:
    approval = await needed(rest)
    answer = await rest.management.perform(rest.actor("otto"), RejectApproval(approval=approval))
    assert answer == Done()
    with pytest.raises(NotFound):
        await rest.sign("olga", approval)
    with pytest.raises(NotFound):
        await rest.management.perform(rest.actor("kim"), DESTROY, approval=approval)


async def test_what_is_over_is_neither_listed_nor_signed(rest: Rest) -> None:
    approval = await needed(rest)
    rest.clock.forward(86400)
    with pytest.raises(WrongState, match="over"):
        await rest.sign("olga", approval)
    listed = await rest.management.perform(rest.actor("olga"), ListApprovals())
    assert listed == ApprovalList(approvals=())


async def test_the_oldest_is_listed_first(rest: Rest) -> None:
    made = []
    for number in range(3):
        made.append(await needed(rest, DestroyKey(key=f"key-{number}")))
        rest.clock.forward(1)
    listed = await rest.management.perform(rest.actor("olga"), ListApprovals())
    assert isinstance(listed, ApprovalList)
    assert [one.id for one in listed.approvals] == made


async def test_officers_sign_at_the_same_moment_on_different_members(rest: Rest, pki: PKI) -> None:
    approval = await needed(rest)
    async with managed(pki, rest) as other:
        await asyncio.gather(rest.sign("olga", approval), other.sign("otto", approval))
        assert (await shown(other, approval)).signed_by == ("olga", "otto")
        await other.management.perform(rest.actor("kim"), DESTROY, approval=approval)
    assert other.done == [DESTROY]


async def test_a_signature_may_be_sent_again(rest: Rest) -> None:
    view = await shown(rest, await needed(rest))
    act = SignApproval(approval=view.id, signature=rest.signature("olga", view.statement))
    for _ in range(2):
        signed = await rest.management.perform(rest.actor("olga"), act)
        assert isinstance(signed, ApprovalView)
        assert signed.signed_by == ("olga",)
