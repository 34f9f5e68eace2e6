"""Short-lived bearer tokens: who has one acts as its user, with the role the user has by then.

A token is 256 random bits. The catalogue keeps its SHA-256 alone, from which nobody finds the
token, signed as everything there is: who runs the store can neither use nor invent one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final, NamedTuple

from offload.catalogue import paths
from offload.catalogue.base import Put, Unchanged
from offload.catalogue.envelope import Untrusted
from offload.catalogue.records import Record, UserRecord
from offload.cluster.node import Node

PREFIX: Final = "offload_"
"""Begins each token, for those who search what was published by mistake."""


class BearerRecord(Record):
    """tokens/<SHA-256 of the token>. fingerprint: of the user's certificate then."""

    user: str
    fingerprint: str
    expires: datetime


class Bearer(NamedTuple):
    """A new token, which nobody can read again."""

    token: str
    expires: datetime

    def __repr__(self) -> str:
        return f"<Bearer until {self.expires.isoformat()}>"


class Bearers:
    """Makes tokens and recognises them."""

    def __init__(
        self, node: Node, *, make_secret: Callable[[], str] = lambda: secrets.token_urlsafe(32)
    ) -> None:
        self._node, self._make_secret = node, make_secret

    async def mint(self, user: UserRecord, seconds: float) -> Bearer:
        """A token for the user; raises CatalogueError."""
        node = self._node
        token = PREFIX + self._make_secret()
        expires = node.clock() + timedelta(seconds=seconds)
        record = BearerRecord(user=user.name, fingerprint=user.fingerprint, expires=expires)
        path = _path(token)
        lease = await node.catalogue.lease(max(seconds, 1.0))
        value = node.signer.seal(path, record.body())
        await node.write({}, also=[Put(path, value, lease)], checks=[Unchanged(path, 0)])
        return Bearer(token, expires)

    def seen(self, token: str) -> bool:
        """Whether there may be such a token, as far as our view has come; one that another member
        made a moment ago is not seen yet.
        """
        return bool(self._node.view.revision_of(_path(token)))

    async def user(self, token: str) -> UserRecord | None:
        """Whose token it is; None if it is over, its user is gone or it never was one.

        Raises CatalogueError.
        """
        if not token.startswith(PREFIX):
            return None
        path = _path(token)
        entry = await self._node.catalogue.get(path)
        if entry is None:
            return None
        try:
            record = BearerRecord.model_validate_json(self._node.view.opened(path, entry.value))
        except (Untrusted, ValueError):
            return None
        user = self._node.view.users.get(record.user)
        # Somebody else may bear the name by now.
        if user is None or user.fingerprint != record.fingerprint:
            return None
        return user if self._node.clock() < record.expires else None


def _path(token: str) -> str:
    return paths.TOKENS + sha256(token.encode(errors="replace")).hexdigest()
