"""Lets an act through once enough officers have signed it, and each approval only once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

from offload.catalogue import paths
from offload.catalogue.base import Conflict, Delete, Put, Unchanged
from offload.cluster.actor import Actor
from offload.cluster.acts import Act
from offload.cluster.approval import ApprovalRecord, approvers, officers_needed
from offload.cluster.failures import (
    ApprovalNeeded,
    NotAllowed,
    NotFound,
    Unavailable,
    WrongState,
)
from offload.cluster.node import Node
from offload.cluster.opened import removal
from offload.cluster.persistence import catch_up

APPROVAL_LASTS: Final = timedelta(hours=24)
_OPEN_LIMIT: Final = 50
_ATTEMPTS: Final = 5
# Of one commit: those past their time are cleared away by and by.
_CLEARED: Final = 20
_CATCH_UP_SECONDS: Final = 10.0
_CLOCKS_DIFFER: Final = 3600.0


class ApprovalGate:
    """Makes, finds and uses up approvals."""

    def __init__(
        self, node: Node, *, make_id: Callable[[], str] = lambda: secrets.token_hex(16)
    ) -> None:
        self._node, self._make_id = node, make_id

    async def pass_through(self, actor: Actor, act: Act, approval: str | None) -> bool:
        """Return True if the approval was used up for the act, False if the act needs none.

        Raises ApprovalNeeded, NotFound, NotAllowed, WrongState, Unavailable, CatalogueError.
        """
        for _ in range(_ATTEMPTS):
            needed = officers_needed(self._node.view.cluster, act)
            if not needed:
                return False
            if approval is None:
                raise await self._ask(actor, act, needed)
            record = await self.find(approval)
            self._check(record, actor, act)
            try:
                await self._use(record, needed)
            except Conflict:
                await catch_up(self._node)
            else:
                return True
        raise Unavailable("others change the same all the time: try again later")

    async def find(self, approval: str) -> ApprovalRecord:
        """The approval as it stands, even if another member wrote it a moment ago."""
        path = paths.APPROVALS + approval
        entry = await self._node.catalogue.get(path)
        if entry is not None:
            # To be read through the view, which knows whom to trust.
            async with asyncio.timeout(_CATCH_UP_SECONDS):
                await self._node.view.reached(entry.revision)
        return self.seen(approval)

    def seen(self, approval: str) -> ApprovalRecord:
        """The approval as our view has it; raises NotFound."""
        path = paths.APPROVALS + approval
        body = self._node.view.raw(path).get(path)
        if body is None:
            raise NotFound(f"there is no approval {approval}; it was used, rejected or is over")
        return ApprovalRecord.model_validate_json(body)

    def records(self) -> Iterator[ApprovalRecord]:
        """All there are, those that are over too."""
        for body in self._node.view.raw(paths.APPROVALS).values():
            yield ApprovalRecord.model_validate_json(body)

    def _check(self, record: ApprovalRecord, actor: Actor, act: Act) -> None:
        if record.digest != act.digest():
            raise WrongState(
                f"approval {record.id} is for another act: repeat exactly what was approved"
            )
        if record.requested_by != actor.name:
            raise NotAllowed(
                f"approval {record.id} is {record.requested_by!r}'s, who asked for the act"
            )
        if record.expires <= self._node.clock():
            raise WrongState(f"approval {record.id} is over: ask for the act again")

    async def _ask(self, actor: Actor, act: Act, needed: int) -> ApprovalNeeded:
        now = self._node.clock()
        mine = [one for one in self.records() if one.requested_by == actor.name]
        waiting = [one for one in mine if one.expires > now]
        for one in waiting:
            if one.digest == act.digest():
                return _needed(one)
        if len(waiting) >= _OPEN_LIMIT:
            raise WrongState(
                f"{actor.name} waits for {len(waiting)} approvals already: reject some"
            )
        record = ApprovalRecord(
            id=self._make_id(),
            name=act.name,
            act=act.canonical().decode(),
            digest=act.digest(),
            requested_by=actor.name,
            created=now,
            expires=now + APPROVAL_LASTS,
            needed=needed,
        )
        # What is over can be used no more, even if it is put back: it needs no mark of a removal.
        over = [paths.APPROVALS + one.id for one in mine if one.expires <= now][:_CLEARED]
        await self._node.write(
            {paths.APPROVALS + record.id: record},
            also=[Delete(path) for path in over],
        )
        return _needed(record)

    async def _use(self, record: ApprovalRecord, needed: int) -> None:
        """Use it up. Raises ApprovalNeeded, and Conflict if somebody else does, an officer leaves
        or the policy changes in this very moment.
        """
        signers = approvers(record, self._node.view.users)
        wanted = max(needed, record.needed)
        if len(signers) < wanted:
            raise ApprovalNeeded(
                f"{len(signers)} of {wanted} officers have signed approval {record.id}", record.id
            )
        await self.end(record, paths.CLUSTER, *(paths.USERS + name for name in signers))

    async def end(self, record: ApprovalRecord, *depends: str) -> None:
        """Remove the approval, if the paths it depends on are unchanged; raises Conflict.

        A signed mark of the removal stays until the approval would be over, so that who runs the
        store cannot put it back to be used again.
        """
        node, path = self._node, paths.APPROVALS + record.id
        # What was decided on: our view may have gone on by the time there is a lease.
        checks = [Unchanged(each, node.view.revision_of(each)) for each in (path, *depends)]
        version = node.view.version_of(path) + 1
        seconds = (record.expires - node.clock()).total_seconds() + _CLOCKS_DIFFER
        lease = await node.catalogue.lease(max(seconds, _CLOCKS_DIFFER))
        mark = node.signer.seal(path, removal(version))
        await node.write({}, also=[Put(path, mark, lease)], checks=checks)


def _needed(record: ApprovalRecord) -> ApprovalNeeded:
    officers = "one officer" if record.needed == 1 else f"{record.needed} officers"
    return ApprovalNeeded(
        f"{record.name} needs {officers}: have approval {record.id} signed, then repeat the act "
        "with it",
        record.id,
    )
