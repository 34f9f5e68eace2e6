from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.members import Members, enrolment_of, members_in

from offload.catalogue import paths
from offload.cluster.failures import Invalid, NotAllowed
from offload.cluster.invitation import Invitation, Invitations


@pytest.fixture
async def members(tmp_path: Path) -> AsyncIterator[Members]:
    async with members_in(tmp_path) as made:
        await made.found()
        yield made


@pytest.fixture
def invitations(members: Members) -> Invitations:
    return enrolment_of(members.nodes["worker-1"])[1]


async def test_it_goes_through_a_letter(invitations: Invitations) -> None:
    invitation = await invitations.invite("worker-2", 60, "alice")
    text = invitation.encode()
    assert len(text) < 2000
    halves = text[:100] + "\r\n  " + text[100:] + "\n"
    assert Invitation.decode(halves) == invitation
    assert [(one.name, one.api) for one in invitation.members] == [("worker-1", "127.0.0.1:8443")]


async def test_what_is_cut_or_altered_is_refused_without_showing_it(
    invitations: Invitations,
) -> None:
    text = (await invitations.invite("worker-2", 60, "alice")).encode()
    for broken in ("", text[:-10], text[10:], "?", "e30", "x" * 100_000, "\u00e9"):
        with pytest.raises(Invalid) as caught:
            Invitation.decode(broken)
        assert not broken or broken not in str(caught.value)


async def test_no_secret_shows_in_a_repr(invitations: Invitations) -> None:
    invitation = await invitations.invite("worker-2", 60, "alice")
    assert invitation.secret not in repr(invitation)


async def test_it_is_found_by_its_secret_until_its_time_is_over(
    members: Members, invitations: Invitations
) -> None:
    invitation = await invitations.invite("worker-2", 60, "alice")
    held = await invitations.find(invitation.id, invitation.secret)
    assert (held.record.member, held.record.invited_by) == ("worker-2", "alice")
    for secret in ("", "wrong", invitation.secret[:-1], "\ud800"):
        with pytest.raises(NotAllowed):
            await invitations.find(invitation.id, secret)
    members.clock.forward(61)
    with pytest.raises(NotAllowed):
        await invitations.find(invitation.id, invitation.secret)


async def test_all_invitations_to_a_name_end_together(
    members: Members, invitations: Invitations
) -> None:
    for name in ("worker-2", "worker-2", "worker-3"):
        await invitations.invite(name, 60, "alice")
    await members.catalogue.commit(await invitations.withdrawal("worker-2"))
    assert len((await members.catalogue.list(paths.INVITATIONS)).entries) == 1
