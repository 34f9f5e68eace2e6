"""The management process of a cluster's member: catalogue, replication, REST, a sign of life.

The worker serves without it, from the local copy of the catalogue that it writes. The worker's
supervisor starts it again when it dies, which is its answer to what it cannot mend.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from random import SystemRandom
from typing import Any

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from offload.admin import tls
from offload.admin.application import application
from offload.admin.authentication import NetworkAuthenticator
from offload.admin.opening import Opened, opened
from offload.admin.replica import Mirror, ReplicaFile
from offload.admin.services import Services
from offload.admin.serving import serve
from offload.admin.verified import VerifiedFile
from offload.admin.waiting import waiting_application
from offload.audit.log import AuditLog
from offload.catalogue.envelope import Signer
from offload.cluster.declaration import declare
from offload.cluster.node import Node
from offload.cluster.presence import MemberPresence
from offload.cluster.usage import Ledger, UsagePublisher
from offload.config import Identity, Worker
from offload.observe.flusher import Flusher
from offload.observe.log import get_logger
from offload.token.base import ReplicatedToken

PATIENCE_SECONDS = 1.0
"""What the opening of the catalogue may take before clients of REST are told to come later."""
READY_SECONDS = 0.1
"""Between two looks whether the worker's other processes serve."""

_log = get_logger(__name__)


class IdentityUnusable(Exception):
    """The worker's certificate or key is not that of a member; the text says why."""


def manage(
    worker: Worker,
    token: ReplicatedToken,
    api: socket.socket | None,
    ready: Callable[[], bool],
) -> None:
    """Manage until TERM. api: listens for REST, None for none; ready: whether the worker serves."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_until_term(worker, token, api, ready))


async def _until_term(
    worker: Worker,
    token: ReplicatedToken,
    api: socket.socket | None,
    ready: Callable[[], bool],
) -> None:
    loop = asyncio.get_running_loop()
    managing = loop.create_task(Manager(worker, token, api, ready).run())
    loop.add_signal_handler(signal.SIGTERM, managing.cancel)
    flusher = Flusher(loop)
    flusher.start()
    try:
        with suppress(asyncio.CancelledError):
            await managing
    finally:
        flusher.stop()


class Manager:
    """One run, of a worker with a [worker.cluster] table."""

    def __init__(
        self,
        worker: Worker,
        token: ReplicatedToken,
        api: socket.socket | None,
        ready: Callable[[], bool],
    ) -> None:
        """As `manage`; raises IdentityUnusable."""
        if worker.cluster is None:
            raise ValueError("no [worker.cluster] table: the worker is no member of a cluster")
        self._worker, self._cluster = worker, worker.cluster
        self._token, self._api, self._ready = token, api, ready
        self._key = _member_key(worker.identity)
        self._random = SystemRandom()

    async def run(self) -> None:
        """Manage until cancelled; then leave the cluster's sight first, and end what is under way.

        Raises CatalogueError, OSError, and ExceptionGroup for a task that failed.
        """
        async with AsyncExitStack() as stack:
            file = await asyncio.to_thread(ReplicaFile, self._cluster.replica)
            stack.callback(file.close)
            verified = await asyncio.to_thread(VerifiedFile, self._cluster.verified)
            found = await self._opened(file, verified, stack)
            stack.callback(verified.write)
            log = self._audit(found, stack)
            node = self._node(found, log, stack)
            services = Services.of(node, log)
            tasks = self._tasks(node, file, services, stack)
            tasks["verified"] = partial(verified.run, node.view)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            for name, task in tasks.items():
                group.create_task(task(), name=name)
            await self._serve_rest(node, services, stack)
            group.create_task(declare(node, self._worker), name="declaration")
            presence = MemberPresence(node, self._cluster.lease)
            stack.push_async_callback(presence.withdraw)
            await self._show(presence)

    async def _opened(
        self, file: ReplicaFile, verified: VerifiedFile, stack: AsyncExitStack
    ) -> Opened:
        authority = x509.load_pem_x509_certificate(self._worker.trust.read_bytes())
        excuse = asyncio.create_task(self._excuse())
        try:
            found = await opened(
                self._cluster.catalogue,
                authority,
                file.seen(),
                self._random,
                revoked=file.revoked(),
                verified=verified.verified,
            )
        finally:
            excuse.cancel()
            await asyncio.wait([excuse])
        stack.push_async_callback(found.close)
        return found

    async def _excuse(self) -> None:
        """Tell clients of REST to come later, if opening takes long; until cancelled."""
        await asyncio.sleep(PATIENCE_SECONDS)
        if self._api is not None:
            serving = await serve(waiting_application(), self._api.dup(), self._tls())
            try:
                await asyncio.Event().wait()
            finally:
                await serving.close()

    def _tls(self) -> ssl.SSLContext:
        identity = self._worker.identity
        return tls.server_context(identity.certificate, identity.key, self._worker.trust)

    def _node(self, found: Opened, log: AuditLog, stack: AsyncExitStack) -> Node:
        node = Node(
            name=self._worker.name,
            catalogue=found.catalogue,
            view=found.view,
            signer=Signer(self._worker.name, self._key),
            token=self._token,
            audit=log,
            clock=_now,
            random=self._random,
        )
        stack.push_async_callback(node.close)
        _log.info("member of a cluster", cluster=found.view.cluster.name, worker=node.name)
        return node

    def _audit(self, found: Opened, stack: AsyncExitStack) -> AuditLog:
        cluster = found.view.cluster.name
        log = AuditLog(self._cluster.audit, self._worker.name, _now, cluster=cluster)
        stack.callback(log.close)
        return log

    def _tasks(
        self, node: Node, file: ReplicaFile, services: Services, stack: AsyncExitStack
    ) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
        ledger = Ledger(self._cluster.usage)
        stack.callback(ledger.close)
        held = [record.ski for record in node.token.keys()]
        return {
            "local copy": Mirror(node.view, file, node.name, held).run,
            "usage": UsagePublisher(node, ledger).run,
            **services.tasks,
        }

    async def _serve_rest(self, node: Node, services: Services, stack: AsyncExitStack) -> None:
        if self._api is None:
            return
        authenticator = NetworkAuthenticator(node.view, services.bearers)
        app = application(services.management, node, authenticator, enrolment=services.enrolment)
        # Serving closes its socket, and the process that follows this one needs it.
        serving = await serve(app, self._api.dup(), self._tls())
        stack.push_async_callback(serving.close)

    async def _show(self, presence: MemberPresence) -> None:
        """Say that we are here from when the worker serves, and whether it does; for ever."""
        shown = False
        while True:
            ready = self._ready()
            presence.set_ready(ready)
            if ready and not shown:
                shown = True
                presence.start()
            await asyncio.sleep(READY_SECONDS)


def _member_key(identity: Identity) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(identity.key.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise IdentityUnusable(f"{identity.key} is no P-256 key: a member's identity has one")
    return key


def _now() -> datetime:
    return datetime.now(UTC)
