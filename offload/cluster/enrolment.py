"""Newcomers: they ask, an officer compares fingerprints, and they become members or do not.

    invited -> asked (enrolments/<name>, pending) -> approved (members/<name>, present)
                                                 `-> rejected (gone, and its invitation too)

A newcomer has no certificate yet: it is let in by an invitation's secret, and gets to see nothing
but the state of its own application and, in the end, its certificate.
"""

from __future__ import annotations

import base64
import hmac
from datetime import datetime
from typing import Literal

from cryptography import x509
from pydantic import ValidationError

from offload.audit.sink import AuditUnavailable
from offload.catalogue import paths
from offload.catalogue.base import Conflict, Put, Unchanged
from offload.catalogue.records import MemberRecord, Record
from offload.cluster.application import Application
from offload.cluster.authority import pem
from offload.cluster.failures import Invalid, NotAllowed, NotFound, Taken, Unavailable
from offload.cluster.fingerprint import key_fingerprint, same
from offload.cluster.invitation import Invitations, digest
from offload.cluster.node import Node
from offload.cluster.rolling import behind
from offload.cluster.token_authority import TokenAuthority
from offload.cluster.transport import usable
from offload.cluster.view import View
from offload.cluster.views import EnrolmentView
from offload.token.base import ClusterKeyMissing

_ATTEMPTS = 5


class EnrolmentRecord(Record):
    """enrolments/<member>, signed by the member that was asked. secret: the SHA-256 of that of the
    invitation, in hexadecimal.
    """

    application: Application
    fingerprint: str
    secret: str
    asked: datetime


class Enrolment:
    """Takes applications, for `POST /v1/enrolments` and `GET /v1/enrolments/<id>`, and decides them
    as officers say. All raise ManagementError and CatalogueError.
    """

    def __init__(self, node: Node, authority: TokenAuthority, invitations: Invitations) -> None:
        self._node, self._authority, self._invitations = node, authority, invitations

    # For the newcomer

    async def ask(self, application: Application, secret: str) -> EnrolmentView:
        """Take the application of who has the invitation's secret, and let it wait for an officer.

        The same application again gets the same answer; another one under the same invitation, or
        a name that is taken, raises Taken. NotAllowed: no such invitation. Invalid: what it says
        of itself cannot be.
        """
        for _ in range(_ATTEMPTS):
            held = await self._invitations.find(application.invitation, secret)
            if held.record.member != application.member:
                raise NotAllowed(
                    f"the invitation is for {held.record.member!r}: ask under that name"
                )
            application.verified()
            require_own_names(self._node.view, application)
            record = EnrolmentRecord(
                application=application,
                fingerprint=application.fingerprint,
                secret=held.record.secret,
                asked=self._node.clock(),
            )
            try:
                if not self._waits(application):
                    await self._take(record, held.check)
            except Conflict:
                await behind(self._node.view)
            else:
                return self._view(record.fingerprint, application.member, "pending")
        raise _contended()

    async def collect(self, identifier: str, secret: str) -> EnrolmentView:
        """How it stands with the application of that fingerprint; the certificate once approved.

        Raises NotFound if it was rejected, or never made.
        """
        for record in self.pending().values():
            if record.fingerprint == identifier and hmac.compare_digest(
                record.secret, digest(secret)
            ):
                return self._view(identifier, record.application.member, "pending")
        for name in self._node.view.present:
            member = self._node.view.members[name]
            if identifier == member_fingerprint(member):
                # No secret is left to ask for, nor is one told: a member shows its certificate to
                # whoever connects.
                return self._view(identifier, name, "present", member.certificate)
        raise NotFound("no such application waits: it was rejected, or made under another secret")

    def _waits(self, application: Application) -> bool:
        """Whether just that waits already; raises Taken if the name is not free."""
        name = application.member
        if name in self._node.view.present:
            raise Taken(
                f"there is a member {name!r} already: ask for an invitation to another name"
            )
        pending = self.pending().get(name)
        if pending is None:
            return False
        if pending.application == application:
            return True
        raise Taken(
            f"somebody else asked to join as {name!r} before: tell the officer to reject that, and "
            "to invite anew"
        )

    async def _take(self, record: EnrolmentRecord, invited: Unchanged) -> None:
        node = self._node
        application = record.application
        seen = self._seen(paths.MEMBERS + application.member, paths.ENROLMENTS + application.member)
        fields = {
            "act": "enrolment.ask",
            "target": application.member,
            "fingerprint": record.fingerprint,
            "address": application.standing.address,
            "outcome": "done",
        }
        try:
            await node.in_thread(node.audit.append, "management", fields)
        except AuditUnavailable as error:
            raise Unavailable(f"nothing may be done that cannot be recorded: {error}") from error
        changes = {paths.ENROLMENTS + application.member: record}
        await node.write(changes, checks=[invited, *seen])

    def _seen(self, *places: str) -> list[Unchanged]:
        """What a decision is made on now must not have changed when it is written."""
        return [Unchanged(path, self._node.view.revision_of(path)) for path in places]

    # For officers

    def pending(self) -> dict[str, EnrolmentRecord]:
        """The applications that wait, by name."""
        found = {}
        for path, body in self._node.view.raw(paths.ENROLMENTS).items():
            try:
                record = EnrolmentRecord.model_validate_json(body)
            except ValidationError:
                continue
            if path == paths.ENROLMENTS + record.application.member:
                found[record.application.member] = record
        return found

    async def approve(self, name: str, fingerprint: str) -> MemberRecord:
        """Make the newcomer a member, if the fingerprint is that of its application.

        Raises NotFound, Invalid, Unavailable.
        """
        for _ in range(_ATTEMPTS):
            record = self._pending(name)
            if not same(record.application.fingerprint, fingerprint):
                raise Invalid(
                    f"that is not the fingerprint of who asked to join as {name!r}: compare it "
                    "with what the new machine shows; if it differs, reject the application"
                )
            try:
                return await self._admit(record)
            except Conflict:
                await behind(self._node.view)
        raise _contended()

    async def reject(self, name: str) -> None:
        """Forget the application and every invitation to that name; raises NotFound."""
        self._pending(name)
        place = paths.ENROLMENTS + name
        seen = self._seen(place)
        withdrawal = await self._invitations.withdrawal(name)
        await self._node.write({place: None}, also=withdrawal, checks=seen)

    def _pending(self, name: str) -> EnrolmentRecord:
        record = self.pending().get(name)
        if record is None:
            raise NotFound(f"nobody waits to join as {name!r}: see the list of members")
        return record

    async def _admit(self, record: EnrolmentRecord) -> MemberRecord:
        node = self._node
        application = record.application
        name = application.member
        public = application.verified()
        if name in node.view.present:
            raise Taken(f"there is a member {name!r} already: reject the application")
        require_own_names(node.view, application)
        cluster = node.view.cluster
        seen = self._seen(paths.CLUSTER, paths.MEMBERS + name, paths.ENROLMENTS + name)
        keys = await self._enclosed(application)
        hosts = application.standing.hosts
        certificate = await self._authority.issue_member(name, hosts, public)
        member = MemberRecord(
            name=name,
            state="present",
            **application.standing.model_dump(),
            token=application.token,
            certificate=pem(certificate).decode(),
            transport=application.transport,
            joined=node.clock(),
        )
        withdrawal = await self._invitations.withdrawal(name)
        # The cluster's record is written with every change of members, and read with every new
        # cluster key: a newcomer cannot slip past a key that is enclosed to the others meanwhile.
        changes = {paths.MEMBERS + name: member, paths.ENROLMENTS + name: None}
        await node.write(
            {**changes, paths.CLUSTER: cluster}, also=[*keys, *withdrawal], checks=seen
        )
        return member

    async def _enclosed(self, application: Application) -> list[Put]:
        """The cluster key for the newcomer: all generations, for a roll may be under way."""
        node = self._node
        recipient = usable(application.transport)
        generations = sorted(await node.in_thread(node.token.cluster_keys))
        if node.view.cluster.cluster_key not in generations:
            raise Unavailable(f"{node.name} does not hold the cluster key yet: ask another worker")
        puts = []
        for generation in generations:
            try:
                enclosed = await node.in_thread(
                    node.token.enclose_cluster_key, generation, recipient
                )
            except ClusterKeyMissing:
                continue
            path = f"{paths.CLUSTER_KEYS}{generation}/{application.member}"
            puts.append(Put(path, node.signer.seal(path, base64.b64encode(enclosed))))
        return puts

    def _view(
        self,
        identifier: str,
        member: str,
        state: Literal["pending", "present"],
        certificate: str = "",
    ) -> EnrolmentView:
        cluster = self._node.view.cluster.name
        return EnrolmentView(
            id=identifier, member=member, state=state, cluster=cluster, certificate=certificate
        )


def require_own_names(view: View, application: Application) -> None:
    """Raise Invalid or Taken if a certificate for the newcomer would also do for another member.

    It is issued for the hosts of the addresses that the newcomer gives, and members are told apart
    by the names in their certificates, which outlive a removal (no I/O).
    """
    name = application.member.lower()
    others = {other.lower(): other for other in view.members if other.lower() != name}
    for host in application.standing.hosts:
        if host.lower() in others:
            raise Invalid(
                f"{others[host.lower()]!r} is a member's name: give addresses by IP or another host"
            )
    for other in others.values():
        if name in _names(view.members[other]):
            raise Taken(
                f"{other!r} has a certificate for the name {application.member!r}: join under"
                " another name"
            )


def _names(member: MemberRecord) -> set[str]:
    certificate = x509.load_pem_x509_certificate(member.certificate.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {name.lower() for name in names.get_values_for_type(x509.DNSName)}


def member_fingerprint(member: MemberRecord) -> str:
    """Of the member's public key: what an officer compared when it joined."""
    certificate = x509.load_pem_x509_certificate(member.certificate.encode())
    return key_fingerprint(certificate.public_key())


def _contended() -> Unavailable:
    return Unavailable("others change the members at the same moment: try again")
