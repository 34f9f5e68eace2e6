"""A member that takes newcomers over TLS, as its REST does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from offload.admin.enrolments import Enrolments
from offload.admin.observation import observed
from offload.admin.serving import serve
from offload.admin.tls import server_context
from offload.cluster.enrolment import Enrolment
from offload.cluster.invitation import Invitation, Invitations, Reachable
from offload.cluster.node import Node
from support.members import Members, enrolment_of, members_in


class Inviting:
    """`port` is where the founder takes applications."""

    def __init__(self, members: Members, node: Node, port: int) -> None:
        self.members, self.node, self.port = members, node, port
        self.enrolment: Enrolment
        self.invitations: Invitations
        self.enrolment, self.invitations = enrolment_of(node)

    async def invite(self, name: str = "worker-2") -> Invitation:
        made = await self.invitations.invite(name, 3600, "alice")
        here = Reachable(name="worker-1", api=f"127.0.0.1:{self.port}")
        return made.model_copy(update={"members": (here,)})

    async def asked(self, name: str = "worker-2") -> str:
        """The fingerprint of who asks under that name, once somebody does."""
        await self.node.view.until(lambda _: name in self.enrolment.pending())
        return self.enrolment.pending()[name].fingerprint


@asynccontextmanager
async def inviting(directory: Path) -> AsyncIterator[Inviting]:
    """A founded cluster of one member."""
    async with members_in(directory) as members:
        node = await members.found(now=datetime.now(UTC))
        assert members.founded is not None
        certificate, key, trust = (directory / name for name in ("a.pem", "a.key", "trust.pem"))
        certificate.write_bytes(members.founded.member.certificate)
        key.write_bytes(members.founded.member.key)
        trust.write_bytes(members.founded.authority)
        app = web.Application(middlewares=[observed])
        Enrolments(enrolment_of(node)[0]).add_to(app)
        served = await serve(app, ("127.0.0.1", 0), server_context(certificate, key, trust))
        try:
            yield Inviting(members, node, int(served.addresses[0][1]))
        finally:
            await served.close()
