"""A cluster whose members are real processes, on one machine, with SQLite or etcd.

`found` makes everything in a directory, in this process: keys, certificates, configuration files.
Then each member is started, killed, stopped and asked by name.
"""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom
from typing import Any

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import TypeAdapter

from offload.audit.sink import FakeAuditSink
from offload.catalogue.base import Catalogue
from offload.catalogue.envelope import Signer, Verifier
from offload.catalogue.opening import open_catalogue
from offload.cli.toml import dumps
from offload.cluster.actor import Actor
from offload.cluster.acts import CreateUser
from offload.cluster.application import Application
from offload.cluster.authority import Identity, key_pem
from offload.cluster.bearer import Bearers
from offload.cluster.enrolment import Enrolment
from offload.cluster.founding import Founded, Plan, prepare, publish
from offload.cluster.invitation import Invitations
from offload.cluster.joining import accepted
from offload.cluster.node import Node
from offload.cluster.request import make_request
from offload.cluster.standing import Standing
from offload.cluster.token_authority import TokenAuthority
from offload.cluster.transport import published
from offload.cluster.user_service import UserService
from offload.cluster.view import View
from offload.cluster.views import UserView
from offload.config import CatalogueSettings
from offload.keys.role import Role
from offload.token.sealing import Cost
from offload.token.software import SoftwareToken
from support.chain import Endpoint, offload, until
from support.front_end import FrontEnd
from support.ports import free_ports
from support.processes import Spawned, Spawner

OFFICER, KEY_USER, AUDITOR = "olivia", "kim", "audrey"
FRONT_END = "front-end"
_PASSPHRASE = "open sesame"
_WAIT_SECONDS = 30.0


@dataclass
class Member:
    """One worker: where its files are, where it listens."""

    name: str
    directory: Path
    zone: str
    ports: Sequence[int]
    environment: Mapping[str, str] = field(default_factory=dict)
    process: Spawned | None = field(default=None, repr=False)

    @property
    def file(self) -> Path:
        return self.directory / "worker.toml"

    @property
    def admin(self) -> Endpoint:
        return Endpoint(self.ports[1])

    @property
    def standing(self) -> Standing:
        address, _, api = self.ports
        return Standing(zone=self.zone, address=f"127.0.0.1:{address}", api=f"127.0.0.1:{api}")


class Cluster:
    """A founded cluster; nothing runs yet. `identities`: of users and front-ends, by name."""

    def __init__(
        self, directory: Path, spawner: Spawner, catalogue: Mapping[str, Any] | None
    ) -> None:
        self.directory, self.spawn = directory, spawner
        self.members: dict[str, Member] = {}
        self.identities: dict[str, Identity] = {}
        store = directory / "catalogue"
        store.mkdir(0o700)
        self.catalogue_path = store / "catalogue.db"
        self.catalogue = dict(catalogue or {"kind": "sqlite", "path": str(self.catalogue_path)})
        self.authority = directory / "authority.pem"

    @staticmethod
    def now() -> datetime:
        """For what is issued."""
        return _now()

    async def open_catalogue(self) -> Catalogue:
        """To be closed."""
        adapter: TypeAdapter[CatalogueSettings] = TypeAdapter(CatalogueSettings)
        return await open_catalogue(adapter.validate_python(self.catalogue))

    # Files

    def add(self, name: str, zone: str) -> SoftwareToken:
        """A member's directory with its token, which is to be closed."""
        directory = self.directory / name
        (directory / "state").mkdir(0o700, parents=True)
        self.members[name] = Member(name, directory, zone, free_ports(3))
        _secret(directory / "passphrase", _PASSPHRASE.encode())
        return SoftwareToken.create(directory / "token", _PASSPHRASE.encode(), Cost(64, 1, 1))

    def write_member(self, name: str, identity: Identity, **settings: Any) -> None:
        """The member's identity and configuration; `settings` of [worker] beside the usual."""
        member = self.members[name]
        (member.directory / "identity.pem").write_bytes(identity.certificate)
        _secret(member.directory / "identity.key", identity.key)
        address, admin, api = member.ports
        worker = {
            "name": name,
            "listen": f"127.0.0.1:{address}",
            "admin": f"127.0.0.1:{admin}",
            "processes": 1,
            "drain_timeout": 5.0,
            "trust": str(self.authority),
            "identity": {"certificate": "identity.pem", "key": "identity.key"},
            "token": {"directory": "token", "passphrase_file": "passphrase"},
            "cluster": {
                "state": "state",
                "zone": member.zone,
                "api": f"127.0.0.1:{api}",
                "lease": 2.0,
                "catalogue": self.catalogue,
            },
            **settings,
        }
        member.file.write_text(dumps({"log": {"level": "info"}, "worker": worker}))

    def write_identity(self, name: str, identity: Identity) -> None:
        """Of a user or a front-end."""
        self.identities[name] = identity
        (self.directory / f"{name}.pem").write_bytes(identity.certificate)
        _secret(self.directory / f"{name}.key", identity.key)

    # Processes

    def start(self, *names: str) -> None:
        """Start members (all by default) and wait until they are ready."""
        names = names or tuple(self.members)
        for name in names:
            member = self.members[name]
            environment = {"OPENSSL_CONF": os.devnull, **member.environment}
            member.process = self.spawn(*offload("worker", "-c", member.file), env=environment)
        for name in names:
            until(self.members[name].admin.agrees, f"{name} ready")

    def start_what_is_dead(self) -> None:
        """Start members that were killed and not brought back, and wait until all are ready."""
        dead = [
            name
            for name, member in self.members.items()
            if member.process is None or member.process.process.poll() is not None
        ]
        if dead:
            self.start(*dead)
        for name, member in self.members.items():
            until(member.admin.agrees, f"{name} ready")

    def kill(self, name: str) -> None:
        """End the member at once, all its processes."""
        process = self._running(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def kill_manager(self, name: str) -> None:
        """End the member's management process alone."""
        (manager,) = (
            pid
            for pid in _children(self._running(name).pid)
            if Path(f"/proc/{pid}/comm").read_text().strip() == "offload-manager"
        )
        os.kill(manager, signal.SIGKILL)

    def stop(self, name: str) -> int:
        """Let the member drain; its exit status."""
        return self._running(name).stop()

    def _running(self, name: str) -> Spawned:
        process = self.members[name].process
        assert process is not None, f"{name} was never started"
        return process

    # Clients

    @asynccontextmanager
    async def rest(self, member: str, user: str = OFFICER) -> AsyncIterator[aiohttp.ClientSession]:
        """A client of the member's REST, as that user."""
        context = ssl.create_default_context(cafile=self.authority)
        context.load_cert_chain(self.directory / f"{user}.pem", self.directory / f"{user}.key")
        connector = aiohttp.TCPConnector(ssl=context)
        timeout = aiohttp.ClientTimeout(total=_WAIT_SECONDS)
        base = f"https://127.0.0.1:{self.members[member].ports[2]}"
        async with aiohttp.ClientSession(base, connector=connector, timeout=timeout) as session:
            yield session

    @asynccontextmanager
    async def link(self, member: str, front_end: str = FRONT_END) -> AsyncIterator[FrontEnd]:
        """A link to the member, as that front-end."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.authority)
        context.load_cert_chain(
            self.directory / f"{front_end}.pem", self.directory / f"{front_end}.key"
        )
        link = await FrontEnd.connect(self.members[member].ports[0], context)
        try:
            yield link
        finally:
            link.close()
            with suppress(OSError):
                await link.writer.wait_closed()


async def found(
    directory: Path,
    spawner: Spawner,
    names: Sequence[str] = ("worker-1", "worker-2"),
    *,
    zones: Sequence[str] = ("a", "b"),
    catalogue: Mapping[str, Any] | None = None,
    also: Callable[[Node], Awaitable[None]] | None = None,
    **settings: Any,
) -> Cluster:
    """A cluster of software tokens with those members, an officer, a key user, an auditor and a
    front-end. catalogue: its table in the configuration, SQLite by default. also: what the first
    member does before any starts. settings: of [worker].
    """
    cluster = Cluster(directory, spawner, catalogue)
    first, *others = names
    token = cluster.add(first, zones[0])
    plan = Plan("example", first, OFFICER, cluster.members[first].standing, (FRONT_END,))
    founded = await asyncio.to_thread(prepare, token, plan, _now())
    cluster.authority.write_bytes(founded.authority)
    cluster.write_member(first, founded.member, **settings)
    cluster.write_identity(OFFICER, founded.officer)
    for name, identity in founded.frontends.items():
        cluster.write_identity(name, identity)
    store = await cluster.open_catalogue()
    await publish(store, founded)
    node = await _node(first, store, founded, token)
    await _users(cluster, node)
    for number, name in enumerate(others, 1):
        identity = await _join(cluster, node, name, zones[number % len(zones)])
        cluster.write_member(name, identity, **settings)
    if also is not None:
        await also(node)
    await node.close()
    await node.view.close()
    await store.close()
    token.close()
    return cluster


async def join(
    cluster: Cluster,
    name: str,
    zone: str,
    via: str = "worker-1",
    *,
    token: Sequence[str | Path] = (),
    environment: Mapping[str, str] | None = None,
) -> None:
    """A further member of a running cluster, by its own command and an officer's approval.

    token: the command's options for an HSM's token; environment: of that command and its worker.
    """
    ports = free_ports(3)
    directory = cluster.directory / name
    invitation = cluster.directory / f"{name}.invitation"
    async with cluster.rest(via) as session:
        async with session.post("/v1/members", json={"member": name}) as answer:
            assert answer.status == 201, await answer.text()
            invitation.write_text((await answer.json())["invitation"])
        joining = cluster.spawn(
            *offload("cluster", "join", invitation, directory, "--zone", zone),
            *("--listen", f"127.0.0.1:{ports[0]}", "--admin", f"127.0.0.1:{ports[1]}"),
            *("--api", f"127.0.0.1:{ports[2]}", *_catalogue_options(cluster.catalogue), *token),
            env=environment,
        )
        await _approve(session, name)
    assert await asyncio.to_thread(joining.wait) == 0, joining.output
    cluster.members[name] = Member(name, directory, zone, ports, environment or {})


async def _approve(session: aiohttp.ClientSession, name: str) -> None:
    async with asyncio.timeout(_WAIT_SECONDS):
        fingerprint = ""
        while not fingerprint:
            async with session.get("/v1/members") as answer:
                members = {one["name"]: one for one in (await answer.json())["members"]}
            fingerprint = members.get(name, {}).get("fingerprint", "")
    path = f"/v1/members/{name}/approve"
    async with session.post(path, json={"fingerprint": fingerprint}) as answer:
        assert answer.status == 200, await answer.text()


def _catalogue_options(table: Mapping[str, Any]) -> list[str]:
    if table["kind"] == "sqlite":
        return ["--catalogue-file", table["path"]]
    options = [word for url in table["endpoints"] for word in ("--etcd", url)]
    for name in ("trust", "certificate", "key", "user", "password_file"):
        options += [f"--etcd-{name.replace('_', '-')}", table[name]]
    return options


async def _node(name: str, store: Catalogue, founded: Founded, token: SoftwareToken) -> Node:
    key = load_pem_private_key(founded.member.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    authority = x509.load_pem_x509_certificate(founded.authority)
    return Node(
        name=name,
        catalogue=store,
        view=await View.open(store, Verifier(authority)),
        signer=Signer(name, key),
        token=token,
        audit=FakeAuditSink(),
        clock=_now,
        random=SystemRandom(),
    )


async def _join(cluster: Cluster, node: Node, name: str, zone: str) -> Identity:
    """The whole way in, by invitation and approval."""
    token = cluster.add(name, zone)
    invitations = Invitations(node)
    enrolment = Enrolment(node, TokenAuthority(node), invitations)
    invitation = await invitations.invite(name, 3600, OFFICER)
    key = ec.generate_private_key(ec.SECP256R1())
    application = Application.make(
        key,
        invitation=invitation.id,
        member=name,
        token="software",
        transport=published(token.transport),
        standing=cluster.members[name].standing,
    )
    asked = await enrolment.ask(application, invitation.secret)
    await enrolment.approve(name, asked.id)
    answer = await enrolment.collect(asked.id, invitation.secret)
    certificate = accepted(invitation, answer, key.public_key())
    assert certificate is not None
    token.close()
    return Identity(certificate, key_pem(key))


async def _users(cluster: Cluster, node: Node) -> None:
    service = UserService(node, TokenAuthority(node).issue_client, Bearers(node))
    officer = Actor(OFFICER, Role.OFFICER)
    for name, role in ((KEY_USER, "key-user"), (AUDITOR, "auditor")):
        key = ec.generate_private_key(ec.SECP256R1())
        act = CreateUser.model_validate(
            {"user": name, "role": role, "request": make_request(name, key)}
        )
        made = await service.handlers[CreateUser](officer, act)
        assert isinstance(made, UserView)
        cluster.write_identity(name, Identity(made.certificate.encode(), key_pem(key)))


def _children(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def _secret(path: Path, content: bytes) -> None:
    path.touch(0o600)
    path.write_bytes(content)


def _now() -> datetime:
    return datetime.now(UTC)
