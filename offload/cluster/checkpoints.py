"""Keeps the heads of all members' audit chains in the catalogue, each signed by who has seen it.

A member says from time to time where its chain ends, and the others sign that they saw it: who
cuts off a tail, or writes a chain anew, would have to change what others signed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from offload.audit.checkpoint import Evidence, contradiction, fields, statement
from offload.audit.log import AuditLog
from offload.audit.record import BadRecord, Head, parse
from offload.audit.segment import lines_from
from offload.audit.sink import AuditUnavailable
from offload.catalogue import paths
from offload.catalogue.base import CatalogueError
from offload.catalogue.envelope import Untrusted
from offload.catalogue.records import CheckpointRecord
from offload.cluster.node import Node
from offload.observe import metrics
from offload.observe.log import get_logger

EVERY_SECONDS: Final = 10.0
EVERY_RECORDS: Final = 10_000
_TURN_SECONDS = 1.0

_log = get_logger("cluster.checkpoints")


class Checkpoints:
    """A member's own checkpoints, and its signatures under those of others."""

    def __init__(
        self,
        node: Node,
        log: AuditLog,
        *,
        seconds: float = EVERY_SECONDS,
        records: int = EVERY_RECORDS,
    ) -> None:
        """One is made when there are new records and either `seconds` have gone by since the last,
        or `records` have come.
        """
        self._node, self._log = node, log
        self._period, self._records = timedelta(seconds=seconds), records
        self._made: CheckpointRecord | None = None
        self._signed: dict[str, CheckpointRecord] = {}
        self._problems: dict[str, str] = {}
        self._compared = False

    @property
    def problems(self) -> Mapping[str, str]:
        """Why the last checkpoint of a member, by its name, was not signed."""
        return self._problems

    async def run(self) -> None:
        """Go on until cancelled; what cannot be done now is tried again."""
        while True:
            await self.turn()
            await asyncio.sleep(_TURN_SECONDS)

    async def turn(self) -> None:
        """Publish our own checkpoint if it is due, and sign those of others that are new."""
        try:
            await self._publish()
            await self._countersign()
        except (CatalogueError, AuditUnavailable) as error:
            _log.warning("audit checkpoints have to wait", reason=str(error))
        self._measure()

    # Our own

    async def _publish(self) -> None:
        node = self._node
        head = await node.in_thread(self._log.head)
        published = self._found(node.name)
        if published is not None and not await self._continues(published, head):
            return
        if self._made is None or self._made.seq != head.seq:
            if not _due(head, self._last(published), node.clock(), self._period, self._records):
                return
            self._made = await node.in_thread(self._append, self._certificate())
        if published is None or published.seq < self._made.seq:
            await node.write({paths.CHECKPOINTS + node.name: self._made})

    def _last(self, published: CheckpointRecord | None) -> CheckpointRecord | None:
        """The last one that was made, whether the catalogue took it or not."""
        return self._made or published

    def _certificate(self) -> str:
        return self._node.view.members[self._node.name].certificate

    def _append(self, certificate: str) -> CheckpointRecord:
        """Record a checkpoint in the chain; what the catalogue gets covers that record too."""
        node = self._node

        def _made(head: Head) -> Mapping[str, object]:
            return fields(node.signer, statement(node.name, head, node.clock()), certificate)

        return statement(node.name, self._log.append_checkpoint(_made), node.clock())

    async def _continues(self, published: CheckpointRecord, head: Head) -> bool:
        """Whether the chain here is still the one of which we said so."""
        why = ""
        if head.seq < published.seq:
            why = f"it ends at record {head.seq}, but had {published.seq}"
        elif not self._compared:
            if await self._node.in_thread(self._hash_of, published.seq) == published.hash:
                self._compared = True
            else:
                why = f"its record {published.seq} is not the one that it was"
        await self._note(published, why)
        return not why

    def _hash_of(self, seq: int) -> str:
        for content in lines_from(self._log.directory, seq):
            try:
                record = parse(content)
            except BadRecord:
                return ""
            return record.hash if record.seq == seq else ""
        return ""

    # Those of others

    async def _countersign(self) -> None:
        node, changes = self._node, {}
        for worker in node.view.present:
            theirs = self._found(worker)
            if worker == node.name or theirs is None:
                continue
            path = f"{worker}/{node.name}"
            standing = self._found(path)
            # What stands there may have been changed since; what we remember was not.
            ours = self._signed.get(worker) or standing
            why = contradiction(ours, theirs) if ours is not None else ""
            fresh = standing is None or (standing.seq, standing.hash) != (theirs.seq, theirs.hash)
            if fresh and not why:
                why = await self._forged(worker, theirs)
            await self._note(theirs, why)
            if fresh and not why:
                changes[paths.CHECKPOINTS + path] = theirs
        if changes:
            await node.write(changes)
            self._signed.update({record.worker: record for record in changes.values()})

    async def _forged(self, worker: str, theirs: CheckpointRecord) -> str:
        """Why it is not the worker's own; '' if it is."""
        node, path = self._node, paths.CHECKPOINTS + worker
        entry = await node.catalogue.get(path)
        evidence = Evidence(authority_of(node))
        try:
            evidence.admit(worker, node.view.members[worker].certificate)
            found = evidence.add(path, entry.value if entry else b"")
        except Untrusted as error:
            return f"it is not signed by {worker!r}: {error}"
        if found.head != (theirs.seq, theirs.hash):
            # There is a newer one, which comes with the next turn.
            return contradiction(theirs, statement(worker, found.head, found.time))
        return ""

    async def _note(self, record: CheckpointRecord, why: str) -> None:
        """Remember, and record once, that a chain is not what it was."""
        worker = record.worker
        if not why:
            self._problems.pop(worker, None)
            return
        known = worker in self._problems
        self._problems[worker] = why
        if known:
            return
        metrics.AUDIT_CHECKPOINTS_REFUSED.labels().inc()
        _log.error("the audit log of a member is not what it was", member=worker, reason=why)
        values = {
            "event": "checkpoint refused",
            "member": worker,
            "seq": record.seq,
            "hash": record.hash,
            "reason": why,
        }
        await self._node.in_thread(self._log.append, "system", values)

    def _found(self, place: str) -> CheckpointRecord | None:
        """The checkpoint below checkpoints/ as our view has it."""
        path = paths.CHECKPOINTS + place
        body = self._node.view.raw(path).get(path)
        if body is None:
            return None
        try:
            return CheckpointRecord.model_validate_json(body)
        except ValueError:
            return None

    def _measure(self) -> None:
        own = self._found(self._node.name)
        if own is None:
            return
        metrics.AUDIT_CHECKPOINT_SEQUENCE.labels().set(own.seq)
        metrics.AUDIT_CHECKPOINT_TIME.labels().set(own.time.timestamp())
        others = [name for name in self._node.view.present if name != self._node.name]
        signed = [self._found(f"{self._node.name}/{name}") for name in others]
        count = sum(one is not None and one.seq >= own.seq for one in signed)
        metrics.AUDIT_COUNTERSIGNERS.labels().set(count)


def authority_of(node: Node) -> x509.Certificate:
    """The certificate of the cluster's authority."""
    return x509.load_pem_x509_certificate(node.view.cluster.authority.encode())


def _due(
    head: Head, last: CheckpointRecord | None, now: datetime, period: timedelta, records: int
) -> bool:
    if last is None:
        return head.seq > 0
    new = head.seq - last.seq
    return new >= records or (new > 0 and now - last.time >= period)
