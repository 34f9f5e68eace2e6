"""Members in one process that audit: each with a log of its own, all on one catalogue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import cast

from offload.audit.log import AuditLog
from offload.catalogue.base import Catalogue
from offload.catalogue.fake import FakeCatalogue
from offload.cluster.audit_service import AuditService
from offload.cluster.checkpoints import Checkpoints
from offload.cluster.node import Node
from offload.cluster.view import View
from offload.token.base import ReplicatedToken
from support.cluster import NOW, found, signer, verifier


class SteadyClock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Auditor:
    """A member, as far as it audits."""

    node: Node
    log: AuditLog
    checkpoints: Checkpoints
    service: AuditService


@dataclass
class Auditors:
    """All members, by name."""

    catalogue: Catalogue
    clock: SteadyClock
    members: dict[str, Auditor]

    async def turn(self) -> None:
        """Everybody looks twice: at its own log, and at what others then said."""
        for _ in range(2):
            for member in self.members.values():
                await member.checkpoints.turn()
                for other in self.members.values():
                    await other.node.view.reached(member.node.view.revision)


@asynccontextmanager
async def auditors(directory: Path, *names: str) -> AsyncIterator[Auditors]:
    """A cluster of these members."""
    clock, catalogue = SteadyClock(), FakeCatalogue()
    await found(catalogue, *names)
    made = Auditors(catalogue, clock, {})
    async with AsyncExitStack() as stack:
        for name in names:
            view = await View.open(catalogue, verifier())
            stack.push_async_callback(view.close)
            log = AuditLog(directory / name, name, clock, cluster="test", segment_bytes=4000)
            stack.callback(log.close)
            node = Node(
                name=name,
                catalogue=catalogue,
                view=view,
                signer=signer(name),
                token=cast(ReplicatedToken, None),
                audit=log,
                clock=clock,
                random=Random(1),
            )
            stack.push_async_callback(node.close)
            checkpoints = Checkpoints(node, log)
            service = AuditService(node, log, checkpoints)
            made.members[name] = Auditor(node, log, checkpoints, service)
        yield made
