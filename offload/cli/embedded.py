"""Acts performed in this process, with the files of a worker: no server has to run.

One may run beside it: catalogue, token and audit log are made for several processes. Who may read
the worker's files has its keys anyway, so he is officer, key user and auditor here; what needs
approvals needs them all the same.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import pwd
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from random import SystemRandom

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from offload.admin.opening import Opened, opened
from offload.admin.replica import ReplicaFile
from offload.admin.services import Services
from offload.audit.log import AuditLog
from offload.catalogue.base import CatalogueError
from offload.catalogue.envelope import Signer
from offload.cli.client_file import ClientFile
from offload.cli.failure import Failure
from offload.cli.refusal import refused
from offload.cli.session import Transport, V
from offload.cluster.actor import Actor
from offload.cluster.acts import Act
from offload.cluster.failures import ManagementError
from offload.cluster.management import Management
from offload.cluster.node import Node
from offload.cluster.roles import MATRIX
from offload.config import Worker, WorkerCluster
from offload.keys.role import Role
from offload.observe import log
from offload.token.base import ReplicatedToken, TokenError
from offload.token.opening import open_token

# What no act is whole without. Rotations go on where workers run, for front-ends ask these.
_TASK = "replication"
_LOADING_SECONDS = 60.0
_ROLES = (Role.KEY_USER, Role.OFFICER, Role.AUDITOR)


class Embedded:
    """Acts as a user of the cluster if there is one, else as whoever runs the command."""

    def __init__(self, management: Management, node: Node, user: Actor | None) -> None:
        self._management, self._node, self._user = management, node, user

    @classmethod
    @asynccontextmanager
    async def open(cls, worker: Worker, client: ClientFile | None) -> AsyncIterator[Embedded]:
        """Closed at the end. client: who acts. Raises Failure."""
        if worker.cluster is None:
            raise ValueError("the worker is no member of a cluster")
        _require_owner(worker.cluster)
        log.configure("error", "text")
        async with AsyncExitStack() as stack:
            node = await _node(worker, worker.cluster, stack)
            audit = node.audit
            assert isinstance(audit, AuditLog)
            services = Services.of(node, audit)
            task = asyncio.create_task(services.tasks[_TASK](), name=_TASK)
            stack.push_async_callback(_end, task)
            user = None if client is None else _user(node, client)
            yield cls(services.management, node, user)

    async def perform(self, act: Act, view: type[V], *, approval: str | None = None) -> V:
        """See Session."""
        try:
            answer = await self._management.perform(self._actor(act), act, approval=approval)
        except ManagementError as error:
            raise refused(error) from error
        assert isinstance(answer, view)
        return answer

    async def transport(self) -> Transport:
        """See Session."""
        try:
            keys = await self._node.in_thread(lambda: self._node.token.transport)
        except TokenError as error:
            raise Failure(str(error)) from error
        return Transport(self._node.name, keys.rsa)

    def _actor(self, act: Act) -> Actor:
        if self._user is not None:
            return self._user
        allowed = MATRIX[type(act)]
        role = next(role for role in _ROLES if role in allowed)
        # No user of the cluster can have this name.
        return Actor(f"local:{getpass.getuser()}", role, "local")


def _require_owner(cluster: WorkerCluster) -> None:
    owner = cluster.state.stat().st_uid
    if owner != os.geteuid():
        # Files that root makes there could not be written by the worker any more.
        try:
            name = pwd.getpwuid(owner).pw_name
        except KeyError:
            name = f"#{owner}"
        raise Failure(
            f"{cluster.state} is {name!r}'s: what another user writes there the worker cannot use",
            f"run it as that user, as with 'sudo -u {name}', or ask a running worker ('--client')",
        )


async def _node(worker: Worker, cluster: WorkerCluster, stack: AsyncExitStack) -> Node:
    token = await _token(worker, stack)
    found = await _found(worker, cluster)
    stack.push_async_callback(found.close)
    # What is not there yet would look as if it were not at all.
    found.view.proceed()
    try:
        async with asyncio.timeout(_LOADING_SECONDS):
            await found.view.complete()
    except TimeoutError:
        raise Failure("the catalogue cannot be read now", "try again in a moment") from None
    audit = AuditLog(cluster.audit, worker.name, _now, cluster=found.view.cluster.name)
    stack.callback(audit.close)
    node = Node(
        name=worker.name,
        catalogue=found.catalogue,
        view=found.view,
        signer=Signer(worker.name, _key(worker)),
        token=token,
        audit=audit,
        clock=_now,
        random=SystemRandom(),
    )
    stack.push_async_callback(node.close)
    return node


async def _token(worker: Worker, stack: AsyncExitStack) -> ReplicatedToken:
    try:
        token = await asyncio.to_thread(open_token, worker.token)
    except TokenError as error:
        raise Failure(str(error)) from error
    stack.callback(token.close)
    return token


async def _found(worker: Worker, cluster: WorkerCluster) -> Opened:
    authority = x509.load_pem_x509_certificate(worker.trust.read_bytes())

    def told(error: CatalogueError | None) -> None:
        # A server waits for it; who types a command does not.
        if error is not None:
            raise Failure(f"the catalogue cannot be opened: {error}") from error

    seen, revoked = await asyncio.to_thread(_seen, cluster)
    return await opened(
        cluster.catalogue, authority, seen, SystemRandom(), revoked=revoked, told=told
    )


def _seen(cluster: WorkerCluster) -> tuple[dict[str, int], frozenset[str]]:
    """What the worker has seen: an older record is refused here too, and who was removed."""
    if not cluster.replica.exists():
        return {}, frozenset()
    file = ReplicaFile(cluster.replica)
    try:
        return file.seen(), file.revoked()
    finally:
        file.close()


def _key(worker: Worker) -> ec.EllipticCurvePrivateKey:
    path = worker.identity.key
    key = load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Failure(f"{path} is no P-256 key", "name the key that the member was admitted with")
    return key


def _user(node: Node, client: ClientFile) -> Actor:
    mine = client.fingerprint()
    for user in node.view.users.values():
        if user.fingerprint == mine:
            return Actor(user.name, Role(user.role))
    raise Failure(
        f"{client.certificate} is not the certificate of a user of this cluster",
        "ask an officer for one: 'offload user create'",
    )


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    # What went wrong there, the act that waited for it has told.
    await asyncio.gather(task, return_exceptions=True)


def _now() -> datetime:
    return datetime.now(UTC)
