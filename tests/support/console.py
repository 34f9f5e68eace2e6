"""A cluster with everything that the console shows: real services, real REST, one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from offload.admin.application import application
from offload.admin.authentication import Authenticator, NetworkAuthenticator
from offload.admin.services import Services
from offload.admin.serving import serve
from offload.admin.tls import server_context
from offload.audit.log import AuditLog
from offload.catalogue import paths
from offload.catalogue.base import Put
from offload.catalogue.records import AliveRecord, UserRecord
from offload.cluster import acts
from offload.cluster.actor import Actor
from offload.cluster.acts import Act
from offload.cluster.approval import sign
from offload.cluster.invitation import Invitation
from offload.cluster.node import Node
from offload.cluster.view import View
from offload.cluster.views import ApprovalView
from offload.keys.managed import ManagedKey
from offload.keys.role import Role
from support.cluster import NOW
from support.members import Members
from support.pki import PKI, Issued

SECONDS = 20.0
HOSTILE = "<img src=x onerror=alert(1)>\u202egpj"
"""Markup, and a sign that turns the direction of writing."""


@dataclass
class Running:
    """A member with its services, and the tasks of those."""

    node: Node
    services: Services
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        self.tasks[name] = asyncio.create_task(self.services.tasks[name]())

    async def stop(self, name: str) -> None:
        task = self.tasks.pop(name)
        task.cancel()
        await asyncio.wait({task})


class ConsoleCluster:
    """Three members in two zones, users of three roles; `members[0]` serves at `url`."""

    def __init__(self, directory: Path, pki: PKI, stack: AsyncExitStack) -> None:
        self._directory, self._pki, self._stack = directory, pki, stack
        self.base = Members(directory, stack)
        self.members: list[Running] = []
        self.users: dict[str, Issued] = {}
        self.url = ""

    @property
    def node(self) -> Node:
        return self.members[0].node

    @property
    def view(self) -> View:
        return self.node.view

    async def grow(self) -> None:
        """Found it, and let two more join."""
        for number in range(1, 4):
            name = f"worker-{number}"
            node = await (self.base.join(name) if self.members else self.base.found(name))
            log = AuditLog(self._directory / f"{name}-audit", name, node.clock, cluster="example")
            self._stack.callback(log.close)
            node.audit = log
            running = Running(node, Services.of(node, log))
            self.members.append(running)
            self._stack.push_async_callback(self._stop, running)
            await self.alive(name)
            running.start("replication")
            running.start("checkpoints")
            await self._holds_cluster_key(name)
        await self._register_users()

    async def _holds_cluster_key(self, name: str) -> None:
        said = f"{paths.CLUSTER_KEY_HOLDERS}1/{name}"
        await self.until(lambda view: view.revision_of(said) > 0)

    async def alive(self, name: str) -> None:
        body = AliveRecord(name=name, since=NOW).body()
        revision = await self.node.catalogue.commit([Put(paths.ALIVE + name, body)])
        await self.view.reached(revision)

    async def _stop(self, running: Running) -> None:
        for name in list(running.tasks):
            await running.stop(name)

    async def _register_users(self) -> None:
        roles = {"olga": "officer", "otto": "officer", "kim": "key-user", "ada": "auditor"}
        for name, role in roles.items():
            mine = self.users[name] = self._pki.identity(name)
            public = mine.certificate.public_key()
            record = UserRecord.model_validate(
                {
                    "name": name,
                    "role": role,
                    "fingerprint": mine.fingerprint,
                    "public_key": public.public_bytes(
                        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
                    ).decode(),
                    "created": NOW,
                }
            )
            await self.node.write({paths.USERS + name: record})

    async def until(self, predicate: Callable[[View], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            await self.view.until(predicate)

    def actor(self, user: str) -> Actor:
        return Actor(user, Role(self.view.users[user].role))

    async def do(self, user: str, act: Act) -> Any:
        return await self.members[0].services.management.perform(self.actor(user), act)

    async def token(self, user: str) -> str:
        bearer = await self.members[0].services.bearers.mint(self.view.users[user], 900)
        return bearer.token

    def key(self, label: str, generation: int = 1) -> ManagedKey:
        return self.view.keys[bytes.fromhex(self.view.labels[label].generations[generation - 1])]

    async def sign(self, user: str, approval: str) -> None:
        """The officer signs, as the command line does."""
        shown = await self.do(user, acts.ShowApproval(approval=approval))
        assert isinstance(shown, ApprovalView)
        key: Any = self.users[user].key
        signature = sign(key, shown.statement.encode())
        await self.do(user, acts.SignApproval(approval=approval, signature=signature))

    async def fill(self) -> None:
        """Keys in several states, one short of workers, one member gone, one that asks to join."""
        create = acts.CreateKey
        await self.do("kim", create(label="www", sites=("www.example.org", "example.org")))
        await self.do("kim", create(label="api", algorithm="ed25519", sites=("api.example.org",)))
        await self.do("kim", create(label="shop", algorithm="p-384", audit_signatures=True))
        await self.do("kim", create(label="mail", replicated=False, sites=("mail.example.org",)))
        await self.do(
            "kim", create(label="next", sites=("next.example.org",), activates=NOW + timedelta(90))
        )
        await self.do("kim", create(label="old"))
        for running in self.members:
            await self.everywhere(running.node.name, "www", "api", "shop", "next", "old")
        await self.do("kim", acts.SuspendKey(key="api"))
        await self.do("kim", acts.DeactivateKey(key="old"))
        await self.members[2].stop("replication")
        await self.do("kim", acts.RotateKey(label="www"))
        await self.do("olga", acts.SetPolicy(copies=3))
        await self._describe("worker-2", "zone-b")
        await self._describe("worker-3", HOSTILE)
        await self.do("olga", acts.Invite(member="worker-4"))
        await self._ask_to_join("worker-5")
        await self.do("olga", acts.SetPolicy(approvals={"key.compromise": 2, "key.suspend": 1}))

    async def everywhere(self, member: str, *labels: str) -> None:
        """Return once the member holds them."""
        await self.until(
            lambda view: all(member in view.holdings.get(self.key(one).ski, {}) for one in labels)
        )

    async def _describe(self, member: str, zone: str) -> None:
        record = self.view.members[member].model_copy(update={"zone": zone})
        await self.node.write({paths.MEMBERS + member: record})

    async def _ask_to_join(self, name: str) -> None:
        services = self.members[0].services
        invitation_view = await self.do("olga", acts.Invite(member=name))
        invitation = Invitation.decode(invitation_view.invitation)
        newcomer = self.base.newcomer(name)
        self._stack.callback(newcomer.token.close)
        await services.enrolment.ask(newcomer.application(invitation), invitation.secret)

    async def serve(self, authenticator: Authenticator | None = None) -> None:
        """At `url`; who asks is known by `authenticator`, else as on the network."""
        mine = self._pki.identity("worker-1")
        context = server_context(mine.certificate_path, mine.key_path, self._pki.root_path)
        services = self.members[0].services
        known = authenticator or NetworkAuthenticator(self.view, services.bearers)
        app = application(services.management, self.node, known, enrolment=services.enrolment)
        served = await serve(app, ("127.0.0.1", 0), context)
        self._stack.push_async_callback(served.close)
        self.url = f"https://127.0.0.1:{served.addresses[0][1]}"


@asynccontextmanager
async def console_cluster(directory: Path, pki: PKI) -> AsyncIterator[ConsoleCluster]:
    """It has grown, but is empty and serves nothing yet."""
    async with AsyncExitStack() as stack:
        cluster = ConsoleCluster(directory, pki, stack)
        stack.push_async_callback(cluster.base.catalogue.close)
        await cluster.grow()
        yield cluster
