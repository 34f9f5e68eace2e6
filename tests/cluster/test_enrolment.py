import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from support.cluster import NOW
from support.members import Members, enrolment_of, members_in

from offload.audit.sink import FakeAuditSink
from offload.catalogue import paths
from offload.catalogue.base import Put
from offload.cluster.authority import key_pem
from offload.cluster.enrolment import Enrolment, member_fingerprint
from offload.cluster.failures import Invalid, NotAllowed, NotFound, Taken, Unavailable
from offload.cluster.fingerprint import grouped
from offload.cluster.invitation import InvitationRecord, Invitations, digest
from offload.cluster.joining import accepted
from offload.cluster.node import Node

NAME = "worker-2"


@pytest.fixture
async def members(tmp_path: Path) -> AsyncIterator[Members]:
    async with members_in(tmp_path) as made:
        await made.found()
        yield made


@pytest.fixture
def founder(members: Members) -> Node:
    return members.nodes["worker-1"]


@pytest.fixture
def enrolment(founder: Node) -> Enrolment:
    return enrolment_of(founder)[0]


@pytest.fixture
def invitations(founder: Node) -> Invitations:
    return enrolment_of(founder)[1]


async def test_from_the_invitation_to_a_member_that_others_believe(
    members: Members, founder: Node, enrolment: Enrolment, invitations: Invitations
) -> None:
    invitation = await invitations.invite(NAME, 60, "alice")
    newcomer = members.newcomer(NAME)
    asked = await enrolment.ask(newcomer.application(invitation), invitation.secret)
    assert asked.state == "pending"
    waiting = await enrolment.collect(asked.id, invitation.secret)
    assert accepted(invitation, waiting, newcomer.key.public_key()) is None

    await enrolment.approve(NAME, grouped(asked.id).upper())
    collected = await enrolment.collect(asked.id, invitation.secret)
    assert accepted(invitation, collected, newcomer.key.public_key())

    node = await members.start(NAME, key_pem(newcomer.key), newcomer.token)
    assert node.view.present == ("worker-1", NAME)
    enclosed = node.view.raw(f"{paths.CLUSTER_KEYS}1/")[f"{paths.CLUSTER_KEYS}1/{NAME}"]
    node.token.accept_cluster_key(1, base64.b64decode(enclosed))
    assert node.token.cluster_keys() == {1}
    revision = await node.write({paths.CLUSTER: node.view.cluster})
    await founder.view.reached(revision)
    assert not founder.view.untrusted


async def test_nothing_of_the_way_in_stays_behind(members: Members, founder: Node) -> None:
    await enrolment_of(founder)[1].invite(NAME, 3600, "alice")  # one that was lost
    await members.join(NAME)
    left = {entry.key for entry in (await members.catalogue.list("")).entries}
    assert not [key for key in left if key.startswith((paths.INVITATIONS, paths.ENROLMENTS))]


async def test_the_catalogue_has_no_secret(members: Members, invitations: Invitations) -> None:
    invitation = await invitations.invite(NAME, 60, "alice")
    everything = b"".join(entry.value for entry in (await members.catalogue.list("")).entries)
    assert invitation.id.encode() in everything
    assert invitation.secret.encode() not in everything


@pytest.mark.parametrize(
    ("identifier", "secret"), [("..", None), ("0" * 32, None), (None, "wrong")]
)
async def test_without_a_right_invitation_nobody_may_ask(
    members: Members,
    enrolment: Enrolment,
    invitations: Invitations,
    identifier: str | None,
    secret: str | None,
) -> None:
    invitation = await invitations.invite(NAME, 60, "alice")
    forged = invitation.model_copy(update={"id": identifier or invitation.id})
    application = members.newcomer(NAME).application(forged)
    with pytest.raises(NotAllowed, match="no such invitation"):
        await enrolment.ask(application, secret or invitation.secret)
    assert enrolment.pending() == {}


async def test_an_invitation_has_its_time(
    members: Members, enrolment: Enrolment, invitations: Invitations
) -> None:
    invitation = await invitations.invite(NAME, 60, "alice")
    application = members.newcomer(NAME).application(invitation)
    members.clock.forward(60)
    with pytest.raises(NotAllowed, match="its time is over"):
        await enrolment.ask(application, invitation.secret)


async def test_an_invitation_that_no_member_signed_is_none(
    members: Members, founder: Node, enrolment: Enrolment, invitations: Invitations
) -> None:
    invitation = await invitations.invite(NAME, 60, "alice")
    path = paths.INVITATIONS + invitation.id
    entry = await members.catalogue.get(path)
    assert entry is not None
    await members.catalogue.commit([Put(path, entry.value.replace(b"worker-2", b"worker-3"))])
    stolen = invitation.model_copy(update={"member": "worker-3"})
    with pytest.raises(NotAllowed):
        await enrolment.ask(members.newcomer("x").application(stolen), invitation.secret)


async def test_an_invitation_is_for_one_name(
    members: Members, enrolment: Enrolment, invitations: Invitations
) -> None:
    invitation = await invitations.invite(NAME, 60, "alice")
    other = invitation.model_copy(update={"member": "worker-9"})
    with pytest.raises(NotAllowed, match="worker-2"):
        await enrolment.ask(members.newcomer("x").application(other), invitation.secret)


async def test_an_application_altered_on_its_way_is_refused(
    members: Members, enrolment: Enrolment, invitations: Invitations
) -> None:
    invitation = await invitations.invite(NAME, 60, "alice")
    mine, other = members.newcomer(NAME), members.newcomer("other")
    good = mine.application(invitation)
    altered = [
        good.model_copy(update={"transport": other.application(invitation).transport}),
        good.model_copy(update={"request": other.application(invitation).request}),
        good.model_copy(update={"standing": mine.application(invitation, port=1).standing}),
        good.model_copy(update={"proof": "?"}),
    ]
    for application in altered:
        with pytest.raises(Invalid, match="not signed"):
            await enrolment.ask(application, invitation.secret)
    assert enrolment.pending() == {}


async def test_the_same_application_again_gets_the_same_answer(
    members: Members, founder: Node, enrolment: Enrolment, invitations: Invitations
) -> None:
    invitation = await invitations.invite(NAME, 60, "alice")
    application = members.newcomer(NAME).application(invitation)
    first = await enrolment.ask(application, invitation.secret)
    assert await enrolment.ask(application, invitation.secret) == first
    assert isinstance(founder.audit, FakeAuditSink)
    assert [record["act"] for record in founder.audit.records] == ["enrolment.ask"]


async def test_whoever_comes_second_is_told(
    members: Members, enrolment: Enrolment, invitations: Invitations
) -> None:
    invitation = await invitations.invite(NAME, 60, "alice")
    await enrolment.ask(members.newcomer("thief").application(invitation), invitation.secret)
    with pytest.raises(Taken, match="somebody else asked"):
        await enrolment.ask(members.newcomer(NAME).application(invitation), invitation.secret)


async def test_another_fingerprint_is_not_approved(
    members: Members, enrolment: Enrolment, invitations: Invitations
) -> None:
    invitation = await invitations.invite(NAME, 60, "alice")
    asked = await enrolment.ask(members.newcomer(NAME).application(invitation), invitation.secret)
    for typed in ("", asked.id[:32], "0" * 64):
        with pytest.raises(Invalid, match="not the fingerprint"):
            await enrolment.approve(NAME, typed)
    with pytest.raises(NotFound):
        await enrolment.approve("worker-9", asked.id)
    assert NAME in enrolment.pending()


async def test_a_secret_does_not_work_twice(
    members: Members, founder: Node, enrolment: Enrolment, invitations: Invitations
) -> None:
    invitation = await invitations.invite(NAME, 3600, "alice")
    newcomer = members.newcomer(NAME)
    application = newcomer.application(invitation)
    asked = await enrolment.ask(application, invitation.secret)
    await enrolment.approve(NAME, asked.id)
    with pytest.raises(NotAllowed):
        await enrolment.ask(application, invitation.secret)
    with pytest.raises(NotFound):
        await enrolment.approve(NAME, asked.id)


async def test_who_was_rejected_needs_a_new_invitation(
    members: Members, enrolment: Enrolment, invitations: Invitations
) -> None:
    invitation = await invitations.invite(NAME, 60, "alice")
    application = members.newcomer(NAME).application(invitation)
    asked = await enrolment.ask(application, invitation.secret)
    await enrolment.reject(NAME)
    with pytest.raises(NotFound):
        await enrolment.collect(asked.id, invitation.secret)
    with pytest.raises(NotAllowed):
        await enrolment.ask(application, invitation.secret)
    with pytest.raises(NotFound):
        await enrolment.reject(NAME)


async def test_an_application_is_told_of_under_its_secret_alone(
    members: Members, enrolment: Enrolment, invitations: Invitations
) -> None:
    invitation = await invitations.invite(NAME, 60, "alice")
    asked = await enrolment.ask(members.newcomer(NAME).application(invitation), invitation.secret)
    with pytest.raises(NotFound):
        await enrolment.collect(asked.id, "wrong")


async def test_a_name_that_is_taken_is_refused(
    members: Members, enrolment: Enrolment, invitations: Invitations
) -> None:
    invitation = await invitations.invite("worker-1", 60, "alice")
    with pytest.raises(Taken, match="already"):
        await enrolment.ask(members.newcomer("x").application(invitation), invitation.secret)


async def test_nobody_gets_a_certificate_for_another_members_name(
    members: Members, founder: Node, enrolment: Enrolment, invitations: Invitations
) -> None:
    # The hosts of the addresses that it gives are names of its certificate.
    invitation = await invitations.invite(NAME, 60, "alice")
    newcomer = members.newcomer(NAME)
    borrowed = newcomer.application(invitation, host="Worker-1")
    with pytest.raises(Invalid, match="'worker-1' is a member's name"):
        await enrolment.ask(borrowed, invitation.secret)
    own = newcomer.application(invitation, host=NAME)
    asked = await enrolment.ask(own, invitation.secret)
    await enrolment.approve(NAME, asked.id)


async def test_nobody_takes_a_name_that_another_members_certificate_has(
    members: Members, founder: Node, enrolment: Enrolment, invitations: Invitations
) -> None:
    first = await invitations.invite(NAME, 60, "alice")
    asked = await enrolment.ask(
        members.newcomer(NAME).application(first, host="rack-7"), first.secret
    )
    # Decided on when it is approved too: until then both wait.
    second = await invitations.invite("rack-7", 60, "alice")
    other = await enrolment.ask(members.newcomer("rack-7").application(second), second.secret)
    await enrolment.approve(NAME, asked.id)
    with pytest.raises(Taken, match=f"{NAME!r} has a certificate for the name 'rack-7'"):
        await enrolment.approve("rack-7", other.id)


async def test_another_member_can_take_and_approve_it(members: Members, founder: Node) -> None:
    second = await members.join(NAME)
    enclosed = second.view.raw(paths.CLUSTER_KEYS)[f"{paths.CLUSTER_KEYS}1/{NAME}"]
    second.token.accept_cluster_key(1, base64.b64decode(enclosed))
    taker, invitations = enrolment_of(second)
    invitation = await invitations.invite("worker-3", 60, "alice")
    asked = await taker.ask(members.newcomer("worker-3").application(invitation), invitation.secret)
    with pytest.raises(Unavailable, match="does not hold the cluster's authority key"):
        await taker.approve("worker-3", asked.id)
    approver = enrolment_of(founder)[0]
    await founder.view.until(lambda view: "worker-3" in approver.pending())
    member = await approver.approve("worker-3", asked.id)
    assert member_fingerprint(member) == asked.id


async def test_without_an_audit_log_nobody_is_taken(
    members: Members, founder: Node, enrolment: Enrolment, invitations: Invitations
) -> None:
    invitation = await invitations.invite(NAME, 60, "alice")
    assert isinstance(founder.audit, FakeAuditSink)
    founder.audit.broken = True
    with pytest.raises(Unavailable, match="recorded"):
        await enrolment.ask(members.newcomer(NAME).application(invitation), invitation.secret)
    assert enrolment.pending() == {}


async def test_who_is_no_member_is_not_believed(members: Members, founder: Node) -> None:
    second = await members.join(NAME)
    removed = founder.view.members[NAME].model_copy(update={"state": "removed"})
    await founder.write({paths.MEMBERS + NAME: removed})
    secret, identifier = "secret", "0" * 32
    record = InvitationRecord(
        id=identifier,
        member="worker-9",
        secret=digest(secret),
        expires=NOW + timedelta(hours=1),
        invited_by="mallory",
    )
    path = paths.INVITATIONS + identifier
    await members.catalogue.commit([Put(path, second.signer.seal(path, record.body()))])
    own = await enrolment_of(founder)[1].invite("worker-9", 60, "alice")
    forged = own.model_copy(update={"id": identifier})
    with pytest.raises(NotAllowed):
        await enrolment_of(founder)[0].ask(members.newcomer("x").application(forged), secret)


async def test_a_certificate_for_another_key_is_not_accepted(
    members: Members, enrolment: Enrolment, invitations: Invitations
) -> None:
    invitation = await invitations.invite(NAME, 60, "alice")
    newcomer = members.newcomer(NAME)
    asked = await enrolment.ask(newcomer.application(invitation), invitation.secret)
    await enrolment.approve(NAME, asked.id)
    answer = await enrolment.collect(asked.id, invitation.secret)
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(Invalid, match="another key"):
        accepted(invitation, answer, other)
    other_name = invitation.model_copy(update={"member": "worker-3"})
    with pytest.raises(Invalid, match="not of the cluster"):
        accepted(other_name, answer, newcomer.key.public_key())
