"""A member that manages a cluster over real mutual TLS, and users of every role who ask it."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from offload.admin.application import application
from offload.admin.authentication import NetworkAuthenticator
from offload.admin.serving import serve
from offload.admin.tls import server_context
from offload.audit.sink import FakeAuditSink
from offload.catalogue import paths
from offload.catalogue.fake import FakeCatalogue
from offload.catalogue.records import ApplianceRecord, Record, UserRecord
from offload.cluster.actor import Actor, Handlers
from offload.cluster.acts import Act, ShowApproval, SignApproval
from offload.cluster.approval import sign
from offload.cluster.approval_service import ApprovalService
from offload.cluster.bearer import Bearers
from offload.cluster.cluster_service import ClusterService
from offload.cluster.management import Management
from offload.cluster.node import Node
from offload.cluster.profile import CertificateProfile
from offload.cluster.request import RequestedKey
from offload.cluster.roles import MATRIX
from offload.cluster.user_service import UserService
from offload.cluster.view import View
from offload.cluster.views import ApprovalView, Done
from offload.keys.managed import ManagedKey
from offload.keys.role import Role
from offload.token.base import ReplicatedToken, TransportKeys
from support.cluster import NOW, authority, found, signer, verifier
from support.pki import PKI, Issued, shared_key

USERS: Mapping[str, Role] = {
    "olga": Role.OFFICER,
    "otto": Role.OFFICER,
    "kim": Role.KEY_USER,
    "ada": Role.AUDITOR,
    "front": Role.APPLIANCE,
}
"""Two officers, and one of each other role."""


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Doer:
    """Handlers that note what they are asked to do; while held, they wait."""

    def __init__(self) -> None:
        self.done: list[Act] = []
        self.begun = asyncio.Event()
        self._free = asyncio.Event()
        self.release()

    def hold(self) -> None:
        self._free.clear()

    def release(self) -> None:
        self._free.set()

    def handlers(self, acts: Iterable[type[Act]]) -> Handlers:
        return dict.fromkeys(acts, self._handle)

    async def _handle(self, _actor: Actor, act: Act) -> Done:
        self.begun.set()
        await self._free.wait()
        self.done.append(act)
        return Done()


class Answer:
    """A response whose body has been read."""

    def __init__(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        self.status, self.headers = response.status, response.headers
        self.content_type = response.content_type
        self.body = body

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Rest:
    """What is served at `url`; `done` has the acts that fakes were asked to do."""

    node: Node
    catalogue: FakeCatalogue
    audit: FakeAuditSink
    clock: Clock
    pki: PKI
    management: Management
    identities: dict[str, Issued]
    doer: Doer
    url: str = ""
    sessions: dict[str, aiohttp.ClientSession] = field(default_factory=dict)

    @property
    def done(self) -> list[Act]:
        return self.doer.done

    @property
    def begun(self) -> asyncio.Event:
        """Set once a fake is asked to do something."""
        return self.doer.begun

    def hold(self) -> None:
        """Let fakes wait."""
        self.doer.hold()

    def release(self) -> None:
        self.doer.release()

    async def ask(
        self,
        user: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> Answer:
        """Make a request with the certificate of that user; '' for none."""
        if body is not None:
            data = json.dumps(body).encode()
        sent = {**({"Content-Type": "application/json"} if data else {}), **(headers or {})}
        async with self.session(user).request(
            method, self.url + path, data=data, headers=sent
        ) as response:
            return Answer(response, await response.read())

    def session(self, user: str) -> aiohttp.ClientSession:
        if user not in self.sessions:
            connector = aiohttp.TCPConnector(ssl=self.client_context(user))
            self.sessions[user] = aiohttp.ClientSession(connector=connector)
        return self.sessions[user]

    def client_context(self, user: str = "") -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.pki.root_path))
        if user:
            mine = self.identities[user]
            context.load_cert_chain(mine.certificate_path, mine.key_path)
        return context

    def actor(self, user: str) -> Actor:
        return Actor(user, USERS[user])

    def signature(self, user: str, statement: str) -> str:
        """What the officer signs an approval with."""
        key = self.identities[user].key
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return sign(key, statement.encode())

    async def sign(self, user: str, approval: str) -> None:
        """The officer signs that approval."""
        shown = await self.management.perform(self.actor(user), ShowApproval(approval=approval))
        assert isinstance(shown, ApprovalView)
        signature = self.signature(user, shown.statement)
        act = SignApproval(approval=approval, signature=signature)
        await self.management.perform(self.actor(user), act)

    async def policy(self, **approvals: int) -> None:
        """Let acts need approvals; '_' stands for '.' in their names."""
        named = {name.replace("_", "."): needed for name, needed in approvals.items()}
        record = self.node.view.cluster.model_copy(update={"approvals": named})
        await self.node.write({paths.CLUSTER: record})

    def outcomes(self) -> list[tuple[str, str, str]]:
        """Of the audit log: who, what, and what came of it."""
        return [(one["actor"], one["act"], one["outcome"]) for one in self.audit.records]


@asynccontextmanager
async def managed(pki: PKI, beside: Rest | None = None) -> AsyncIterator[Rest]:
    """A member with a catalogue and users, behind no server yet; `beside`: on that one's."""
    catalogue = FakeCatalogue() if beside is None else beside.catalogue.another()
    if beside is None:
        await found(catalogue, "worker-1")
    clock, audit, doer = Clock(), FakeAuditSink(), Doer()
    node = Node(
        name="worker-1",
        catalogue=catalogue,
        view=await View.open(catalogue, verifier()),
        signer=signer("worker-1"),
        token=cast(ReplicatedToken, SimpleNamespace(transport=TransportKeys(rsa=_transport()))),
        audit=audit,
        clock=clock,
        random=Random(1),
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(catalogue.close)
        stack.push_async_callback(node.view.close)
        stack.push_async_callback(node.close)
        if beside is None:
            identities = {name: pki.identity(name) for name in USERS}
            await node.write(_records(identities))
        else:
            identities = beside.identities
        management = _management(node, doer)
        yield Rest(node, catalogue, audit, clock, pki, management, identities, doer)


@asynccontextmanager
async def serving(rest: Rest) -> AsyncIterator[Rest]:
    """Serves it over TLS at `url`."""
    mine = rest.pki.identity("worker-1")
    context = server_context(mine.certificate_path, mine.key_path, rest.pki.root_path)
    authenticator = NetworkAuthenticator(rest.node.view, Bearers(rest.node))
    app = application(rest.management, rest.node, authenticator)
    served = await serve(app, ("127.0.0.1", 0), context)
    rest.url = f"https://127.0.0.1:{served.addresses[0][1]}"
    try:
        yield rest
    finally:
        for session in rest.sessions.values():
            await session.close()
        await served.close()


@asynccontextmanager
async def served(pki: PKI) -> AsyncIterator[Rest]:
    """`managed` and `serving`."""
    async with managed(pki) as rest, serving(rest):
        yield rest


def _management(node: Node, doer: Doer) -> Management:
    real: list[Handlers] = [
        ApprovalService(node).handlers,
        UserService(node, _issue, Bearers(node)).handlers,
        ClusterService(node).handlers,
    ]
    rest = [act for act in MATRIX if not any(act in handlers for handlers in real)]
    return Management(node, [*real, doer.handlers(rest)])


async def _issue(name: str, public: RequestedKey) -> x509.Certificate:
    return authority().issue(public, [name], CertificateProfile.CLIENT, NOW, 30)


def _records(identities: Mapping[str, Issued]) -> dict[str, Record | ManagedKey | None]:
    changes: dict[str, Record | ManagedKey | None] = {}
    for name, role in USERS.items():
        mine = identities[name]
        if role is Role.APPLIANCE:
            changes[paths.APPLIANCES + name] = ApplianceRecord(
                name=name, fingerprint=mine.fingerprint, registered=NOW
            )
        else:
            changes[paths.USERS + name] = UserRecord(
                name=name,
                role=role.value,
                fingerprint=mine.fingerprint,
                public_key=_public(mine),
                created=NOW,
            )
    return changes


def _public(identity: Issued) -> str:
    key = identity.certificate.public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _transport() -> bytes:
    key = shared_key("rsa-3072")
    assert isinstance(key, rsa.RSAPrivateKey)
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
