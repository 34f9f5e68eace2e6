from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.members import Members, enrolment_of, members_in

from offload.catalogue import paths
from offload.catalogue.base import Put
from offload.catalogue.records import AliveRecord
from offload.cluster.actor import Actor
from offload.cluster.acts import Act, Approve, Invite, ListMembers, Reject, RemoveMember
from offload.cluster.failures import Invalid, NotFound, Taken
from offload.cluster.fingerprint import grouped
from offload.cluster.invitation import Invitation
from offload.cluster.member_service import MemberService
from offload.cluster.node import Node
from offload.keys.role import Role

OFFICER = Actor("alice", Role.OFFICER)


@pytest.fixture
async def members(tmp_path: Path) -> AsyncIterator[Members]:
    async with members_in(tmp_path) as made:
        await made.found()
        yield made


@pytest.fixture
def founder(members: Members) -> Node:
    return members.nodes["worker-1"]


async def do(node: Node, act: Act) -> Any:
    service = MemberService(node, *enrolment_of(node))
    return await service.handlers[type(act)](OFFICER, act)


async def ask(members: Members, node: Node, name: str = "worker-2") -> str:
    """Have somebody ask under that name; returns the fingerprint."""
    letter = (await do(node, Invite(member=name))).invitation
    invitation = Invitation.decode(letter)
    application = members.newcomer(name).application(invitation)
    return (await enrolment_of(node)[0].ask(application, invitation.secret)).id


async def test_an_officer_sees_who_waits_and_lets_them_in(members: Members, founder: Node) -> None:
    fingerprint = await ask(members, founder)
    first, second = (await do(founder, ListMembers())).members
    assert (first.name, first.state) == ("worker-1", "present")
    assert (second.name, second.state, second.fingerprint) == ("worker-2", "pending", fingerprint)
    assert (second.zone, second.address, second.joined) == ("b", "127.0.0.2:2407", None)
    answer = await do(founder, Approve(member="worker-2", fingerprint=grouped(fingerprint)))
    assert (answer.state, answer.fingerprint, answer.keys_missing) == ("present", fingerprint, 1)


async def test_keys_and_signs_of_life_are_counted(members: Members, founder: Node) -> None:
    (one,) = (await do(founder, ListMembers())).members
    assert (one.alive, one.keys_held, one.keys_missing) == (False, 1, 0)
    record = AliveRecord(name="worker-1", since=members.clock())
    revision = await members.catalogue.commit([Put(paths.ALIVE + "worker-1", record.body())])
    await founder.view.reached(revision)
    (one,) = (await do(founder, ListMembers())).members
    assert one.alive


async def test_who_is_turned_away_is_not_seen_any_more(members: Members, founder: Node) -> None:
    await ask(members, founder)
    await do(founder, Reject(member="worker-2"))
    assert len((await do(founder, ListMembers())).members) == 1


async def test_nobody_is_invited_under_a_name_that_is_taken(
    members: Members, founder: Node
) -> None:
    with pytest.raises(Taken, match="already"):
        await do(founder, Invite(member="worker-1"))
    with pytest.raises(Invalid, match="address"):
        await do(founder, Invite(member="10.0.0.1"))
    await ask(members, founder)
    with pytest.raises(Taken, match="waits"):
        await do(founder, Invite(member="worker-2"))


async def test_an_invitation_does_not_show_in_a_repr(founder: Node) -> None:
    answer = await do(founder, Invite(member="worker-2"))
    assert answer.invitation not in repr(answer)


async def test_who_waits_is_rejected_not_removed(members: Members, founder: Node) -> None:
    await ask(members, founder)
    with pytest.raises(NotFound, match="reject"):
        await do(founder, RemoveMember(member="worker-2"))


async def test_a_removed_member_is_shown_as_one(members: Members, founder: Node) -> None:
    await members.join("worker-2")
    answer = await do(founder, RemoveMember(member="worker-2"))
    assert (answer.name, answer.state, answer.alive) == ("worker-2", "removed", False)
    states = [(one.name, one.state) for one in (await do(founder, ListMembers())).members]
    assert states == [("worker-1", "present"), ("worker-2", "removed")]
