"""An invitation: what somebody needs in order to ask to join, once, under one name.

It has a secret of 256 random bits, of which the catalogue keeps the SHA-256 alone, signed as
everything there is. The secret lets its bearer ask; an officer decides.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final, NamedTuple

from pydantic import Field, ValidationError

from offload.catalogue import paths
from offload.catalogue.base import Delete, Entry, Put, Unchanged
from offload.catalogue.envelope import Untrusted
from offload.catalogue.records import Record
from offload.cluster.failures import Invalid, NotAllowed
from offload.cluster.node import Node

MAX_TEXT: Final = 65_536
"""Characters of an invitation as text; one has 1,500 and 100 more for each member."""

_ID_BYTES = 16


class Reachable(Record):
    """A present member: its certificate is valid for `name`; api: HOST:PORT."""

    name: str
    api: str


class Invitation(Record):
    """authority: the certificate (PEM) that the members' own are verified with."""

    cluster: str
    authority: str
    members: tuple[Reachable, ...] = Field(min_length=1)
    id: str
    secret: str = Field(repr=False)
    member: str
    expires: datetime

    def encode(self) -> str:
        """As one line of text; keep it secret."""
        return base64.urlsafe_b64encode(self.body()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Invitation:
        """Of `encode`, white space around it or not; raises Invalid."""
        text = "".join(text.split())
        try:
            if len(text) > MAX_TEXT:
                raise ValueError
            content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            return cls.model_validate_json(content)
        except (ValueError, binascii.Error, ValidationError):
            # Not a word of the text itself: it may be most of a secret.
            raise Invalid("this is no whole invitation: copy it again") from None


class InvitationRecord(Record):
    """invitations/<id>, bound to a lease too. secret: its SHA-256 in hexadecimal."""

    id: str
    member: str
    secret: str
    expires: datetime
    invited_by: str


class Held(NamedTuple):
    """An invitation of the catalogue, and a check that it is still there."""

    record: InvitationRecord
    check: Unchanged


class Invitations:
    """Those of the catalogue, as one member writes and reads them. All raise CatalogueError."""

    def __init__(
        self, node: Node, *, make_secret: Callable[[], str] = lambda: secrets.token_urlsafe(32)
    ) -> None:
        self._node, self._make_secret = node, make_secret

    async def invite(self, member: str, seconds: float, invited_by: str) -> Invitation:
        """Make an invitation for that name."""
        node = self._node
        secret, expires = self._make_secret(), node.clock() + timedelta(seconds=seconds)
        record = InvitationRecord(
            id=secrets.token_hex(_ID_BYTES),
            member=member,
            secret=digest(secret),
            expires=expires,
            invited_by=invited_by,
        )
        path = paths.INVITATIONS + record.id
        lease = await node.catalogue.lease(max(seconds, 1.0))
        value = node.signer.seal(path, record.body())
        await node.write({}, also=[Put(path, value, lease)], checks=[Unchanged(path, 0)])
        view = node.view
        return Invitation(
            cluster=view.cluster.name,
            authority=view.cluster.authority,
            members=tuple(Reachable(name=one, api=view.members[one].api) for one in view.present),
            id=record.id,
            secret=secret,
            member=member,
            expires=expires,
        )

    async def find(self, identifier: str, secret: str) -> Held:
        """The invitation, if the secret is its own and its time is not over; raises NotAllowed."""
        held = await self._read(identifier)
        known = held.record.secret if held is not None else digest("")
        # Compared in any case: how long it takes says nothing of whether there is one.
        right = hmac.compare_digest(known, digest(secret))
        if held is None or not right or held.record.expires <= self._node.clock():
            raise NotAllowed(
                "there is no such invitation, or its time is over: ask an officer for a new one"
            )
        return held

    async def withdrawal(self, member: str) -> list[Delete]:
        """What ends all invitations for that name."""
        entries = (await self._node.catalogue.list(paths.INVITATIONS)).entries
        found = [(entry.key, self._open(entry)) for entry in entries]
        return [Delete(path) for path, one in found if one is not None and one.member == member]

    async def _read(self, identifier: str) -> Held | None:
        if not _is_id(identifier):
            return None
        entry = await self._node.catalogue.get(paths.INVITATIONS + identifier)
        record = self._open(entry) if entry is not None else None
        if entry is None or record is None or record.id != identifier:
            return None
        return Held(record, Unchanged(entry.key, entry.revision))

    def _open(self, entry: Entry) -> InvitationRecord | None:
        try:
            body = self._node.view.opened(entry.key, entry.value)
            return InvitationRecord.model_validate_json(body)
        except (Untrusted, ValidationError):
            return None


def digest(secret: str) -> str:
    """SHA-256 of a secret, in hexadecimal. It is random: there is nothing to guess."""
    return sha256(secret.encode(errors="replace")).hexdigest()


def _is_id(text: str) -> bool:
    return len(text) == 2 * _ID_BYTES and set(text) <= set("0123456789abcdef")
