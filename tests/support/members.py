"""Members founded and enrolled as real ones are, in one process: software tokens, one catalogue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from offload.audit.sink import FakeAuditSink
from offload.catalogue.envelope import Signer, Verifier
from offload.catalogue.fake import FakeCatalogue
from offload.cluster.application import Application
from offload.cluster.authority import key_pem
from offload.cluster.enrolment import Enrolment
from offload.cluster.founding import Founded, Plan, prepare, publish
from offload.cluster.invitation import Invitation, Invitations
from offload.cluster.node import Node
from offload.cluster.standing import Standing
from offload.cluster.token_authority import TokenAuthority
from offload.cluster.transport import published
from offload.cluster.view import View
from offload.token.sealing import Cost
from offload.token.software import SoftwareToken
from support.cluster import NOW


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


_MADE: dict[str, dict[str, bytes]] = {}


def make_token(directory: Path) -> SoftwareToken:
    """A fresh token; one of that name is made once, for its RSA key takes a while, and copied."""
    files = _MADE.get(directory.name)
    if files is None:
        made = SoftwareToken.create(directory, b"passphrase", Cost(64, 1, 1))
        _ = made.transport
        _MADE[directory.name] = {one.name: one.read_bytes() for one in directory.iterdir()}
        return made
    directory.mkdir(mode=0o700, parents=True)
    for name, content in files.items():
        (directory / name).touch(mode=0o600)
        (directory / name).write_bytes(content)
    return SoftwareToken.open(directory, b"passphrase")


@dataclass
class Newcomer:
    """A machine that wants to join."""

    key: ec.EllipticCurvePrivateKey
    token: SoftwareToken

    def application(
        self, invitation: Invitation, *, port: int = 2407, host: str = "127.0.0.2"
    ) -> Application:
        return Application.make(
            self.key,
            invitation=invitation.id,
            member=invitation.member,
            token="software",
            transport=published(self.token.transport),
            standing=Standing(zone="b", address=f"{host}:{port}", api=f"{host}:8443"),
        )


class Members:
    """One founded cluster; `nodes` by name, the first of them the founder."""

    def __init__(self, directory: Path, stack: AsyncExitStack) -> None:
        self.directory, self._stack = directory, stack
        self.catalogue = FakeCatalogue()
        self.clock = Clock()
        self.nodes: dict[str, Node] = {}
        self.founded: Founded | None = None

    async def found(self, name: str = "worker-1", now: datetime = NOW) -> Node:
        token = make_token(self.directory / name)
        standing = Standing(zone="a", address="127.0.0.1:2407", api="127.0.0.1:8443")
        self.clock.now = now
        self.founded = prepare(token, Plan("example", name, "alice", standing), now)
        await publish(self.catalogue, self.founded)
        return await self.start(name, self.founded.member.key, token)

    async def start(self, name: str, key: bytes, token: SoftwareToken) -> Node:
        """A member that has its certificate in the catalogue."""
        assert self.founded is not None
        private = load_pem_private_key(key, None)
        assert isinstance(private, ec.EllipticCurvePrivateKey)
        authority = x509.load_pem_x509_certificate(self.founded.authority)
        catalogue = self.catalogue.another()
        view = await View.open(catalogue, Verifier(authority))
        node = Node(
            name=name,
            catalogue=catalogue,
            view=view,
            signer=Signer(name, private),
            token=token,
            audit=FakeAuditSink(),
            clock=self.clock,
            random=Random(1),
        )
        self._stack.callback(token.close)
        self._stack.push_async_callback(catalogue.close)
        self._stack.push_async_callback(view.close)
        self._stack.push_async_callback(node.close)
        self.nodes[name] = node
        return node

    def newcomer(self, name: str) -> Newcomer:
        token = make_token(self.directory / name)
        return Newcomer(ec.generate_private_key(ec.SECP256R1()), token)

    async def join(self, name: str, by: Node | None = None) -> Node:
        """The whole way in, through the member `by` (the founder)."""
        by = by or next(iter(self.nodes.values()))
        enrolment, invitations = enrolment_of(by)
        invitation = await invitations.invite(name, 3600, "alice")
        newcomer = self.newcomer(name)
        asked = await enrolment.ask(newcomer.application(invitation), invitation.secret)
        await enrolment.approve(name, asked.id)
        return await self.start(name, key_pem(newcomer.key), newcomer.token)


def enrolment_of(node: Node) -> tuple[Enrolment, Invitations]:
    """What a member needs to enrol others."""
    invitations = Invitations(node)
    return Enrolment(node, TokenAuthority(node), invitations), invitations


@asynccontextmanager
async def members_in(directory: Path) -> AsyncIterator[Members]:
    """A cluster to be founded; all is closed at the end."""
    async with AsyncExitStack() as stack:
        members = Members(directory, stack)
        stack.push_async_callback(members.catalogue.close)
        yield members
