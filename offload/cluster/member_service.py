"""Members: who is one, who waits to be one, who is let in and who has to leave."""

from __future__ import annotations

from collections import Counter

from offload.catalogue.records import MemberRecord
from offload.cluster.actor import Actor, Handlers
from offload.cluster.acts import Approve, Invite, ListMembers, Reject, RemoveMember
from offload.cluster.copies import expected
from offload.cluster.enrolment import Enrolment, EnrolmentRecord, member_fingerprint
from offload.cluster.failures import NotFound, Taken
from offload.cluster.invitation import Invitations
from offload.cluster.node import Node
from offload.cluster.removal import remove
from offload.cluster.standing import member_name
from offload.cluster.view import View
from offload.cluster.views import Done, InvitationView, MemberList, MemberView


class MemberService:
    """Belongs to one member."""

    def __init__(self, node: Node, enrolment: Enrolment, invitations: Invitations) -> None:
        self._node, self._enrolment, self._invitations = node, enrolment, invitations

    @property
    def handlers(self) -> Handlers:
        """The acts done here."""
        return {
            ListMembers: self._list,
            Invite: self._invite,
            Approve: self._approve,
            Reject: self._reject,
            RemoveMember: self._remove,
        }

    async def _list(self, _actor: Actor, _act: ListMembers) -> MemberList:
        view = self._node.view
        held, missing = _held(view), _missing(view)
        members = [_member(view, one, held, missing) for one in view.members.values()]
        # Somebody who was removed may ask to come back: then both are shown.
        members += [_pending(one) for one in self._enrolment.pending().values()]
        return MemberList(members=tuple(sorted(members, key=lambda one: (one.name, one.state))))

    async def _invite(self, actor: Actor, act: Invite) -> InvitationView:
        name = member_name(act.member)
        if name in self._node.view.present:
            raise Taken(f"there is a member {name!r} already: take another name, or remove it")
        if name in self._enrolment.pending():
            raise Taken(f"somebody waits to join as {name!r}: approve or reject that first")
        invitation = await self._invitations.invite(name, act.seconds, actor.name)
        return InvitationView(
            member=name, expires=invitation.expires, invitation=invitation.encode()
        )

    async def _approve(self, _actor: Actor, act: Approve) -> MemberView:
        member = await self._enrolment.approve(act.member, act.fingerprint)
        return self._shown(member.name)

    async def _reject(self, _actor: Actor, act: Reject) -> Done:
        await self._enrolment.reject(act.member)
        return Done()

    async def _remove(self, _actor: Actor, act: RemoveMember) -> MemberView:
        pending = self._enrolment.pending()
        if act.member in pending and act.member not in self._node.view.members:
            raise NotFound(f"{act.member!r} is no member yet: reject who asks to join so")
        await remove(self._node, act.member)
        return self._shown(act.member)

    def _shown(self, name: str) -> MemberView:
        view = self._node.view
        return _member(view, view.members[name], _held(view), _missing(view))


def _held(view: View) -> Counter[str]:
    """How many keys each member says it holds."""
    return Counter(
        member
        for holdings in view.holdings.values()
        for member, holding in holdings.items()
        if holding.state == "held"
    )


def _missing(view: View) -> Counter[str]:
    """How many keys each member ought to hold but does not."""
    missing: Counter[str] = Counter()
    for key in view.keys.values():
        holdings = view.holdings.get(key.ski, {})
        for name in expected(view, key):
            holding = holdings.get(name)
            if holding is None or holding.state != "held":
                missing[name] += 1
    return missing


def _member(
    view: View, member: MemberRecord, held: Counter[str], missing: Counter[str]
) -> MemberView:
    return MemberView(
        name=member.name,
        state=member.state,
        alive=member.state == "present" and member.name in view.alive,
        zone=member.zone,
        capacity=member.capacity,
        address=member.address,
        api=member.api,
        token=member.token,
        fingerprint=member_fingerprint(member),
        joined=member.joined,
        keys_held=held[member.name],
        keys_missing=missing[member.name],
    )


def _pending(record: EnrolmentRecord) -> MemberView:
    application = record.application
    standing = application.standing
    return MemberView(
        name=application.member,
        state="pending",
        alive=False,
        zone=standing.zone,
        capacity=standing.capacity,
        address=standing.address,
        api=standing.api,
        token=application.token,
        fingerprint=record.fingerprint,
        joined=None,
        keys_held=0,
        keys_missing=0,
    )
