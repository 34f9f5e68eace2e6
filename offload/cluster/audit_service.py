"""Acts on the audit log: a page of it, whether it is whole, and all of it to take away."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from offload.audit.checkpoint import Checkpoint, Evidence, newest, sealed, statement
from offload.audit.export import ExportHeader, records
from offload.audit.log import AuditLog
from offload.audit.record import BadRecord, Head, parse
from offload.audit.report import Report
from offload.audit.segment import first_records, lines_from
from offload.audit.sink import AuditUnavailable
from offload.audit.verify import verify_directory
from offload.catalogue import paths
from offload.catalogue.base import CatalogueError, Entry
from offload.catalogue.envelope import Untrusted
from offload.catalogue.records import CheckpointRecord
from offload.cluster.actor import Actor, Handlers
from offload.cluster.acts import ExportAudit, ShowAudit, VerifyAudit
from offload.cluster.checkpoints import Checkpoints, authority_of
from offload.cluster.failures import Unavailable
from offload.cluster.node import Node
from offload.cluster.views import (
    AuditExport,
    AuditPage,
    AuditRecordView,
    AuditVerification,
    ChainView,
)

MAX_EXPORT: Final = 16 << 20
"""Bytes of records in one answer; the rest is asked for with `after`."""


class AuditService:
    """Of one member: it shows and exports its own log, and tells of those of others what the
    checkpoints tell.
    """

    def __init__(self, node: Node, log: AuditLog, checkpoints: Checkpoints) -> None:
        self._node, self._log, self._checkpoints = node, log, checkpoints
        self._verifying = asyncio.Lock()

    @property
    def handlers(self) -> Handlers:
        """The acts done here."""
        return {ShowAudit: self._show, VerifyAudit: self._verify, ExportAudit: self._export}

    async def _show(self, _actor: Actor, act: ShowAudit) -> AuditPage:
        return await self._node.in_thread(self._page, act)

    def _page(self, act: ShowAudit) -> AuditPage:
        head = self._head()
        if act.after is not None:
            first, end = act.after + 1, head.seq + 1
        else:
            end = min(act.before or head.seq + 1, head.seq + 1)
            first = end - act.limit
        first = max(first, self._beginning())
        count = min(act.limit, max(0, end - first))
        shown = _shown(first, islice(lines_from(self._log.directory, first), count))
        return AuditPage(
            records=shown,
            older=first if count and first > self._beginning() else 0,
            newer=first + count - 1 if count and first + count <= head.seq else 0,
            last=head.seq,
        )

    def _beginning(self) -> int:
        """The first record that is here: older segments may have been taken away."""
        return next(iter(first_records(self._log.directory)), 1)

    def _head(self) -> Head:
        try:
            return self._log.head()
        except AuditUnavailable as error:
            raise Unavailable(str(error)) from error

    # Verification

    async def _verify(self, _actor: Actor, _act: VerifyAudit) -> AuditVerification:
        entries = await self._entries("")
        evidence, problems = self._evidence(entries)
        # One at a time: each keeps a core busy for as long as it reads.
        async with self._verifying:
            report = await self._node.in_thread(self._verify_own, evidence)
        problems |= dict(self._checkpoints.problems)
        workers = sorted({*self._node.view.members, *(_worker(one.key) for one in entries)})
        chains = tuple(
            _own(report, evidence.of(name), problems.get(name, ""))
            if name == self._node.name
            else _other(name, evidence.of(name), problems.get(name, ""))
            for name in workers
        )
        return AuditVerification(whole=not any(one.problem for one in chains), chains=chains)

    def _verify_own(self, evidence: Evidence) -> Report:
        # The head is read after the checkpoints: none can be beyond it.
        last = self._head().seq
        return verify_directory(
            self._log.directory, evidence, self._node.name, last, first=self._beginning()
        )

    async def _entries(self, below: str) -> Sequence[Entry]:
        try:
            return (await self._node.catalogue.list(paths.CHECKPOINTS + below)).entries
        except CatalogueError as error:
            raise Unavailable(f"the checkpoints cannot be read now: {error}") from error

    def _evidence(self, entries: Iterable[Entry]) -> tuple[Evidence, dict[str, str]]:
        """What is signed as it should be, and of each worker what is not."""
        evidence, problems = Evidence(authority_of(self._node)), {}
        for name, member in self._node.view.members.items():
            evidence.admit(name, member.certificate)
        for entry in entries:
            try:
                evidence.add(entry.key, entry.value)
            except Untrusted as error:
                problems[_worker(entry.key)] = str(error)
        return evidence, problems

    # Export

    async def _export(self, _actor: Actor, act: ExportAudit) -> AuditExport:
        node = self._node
        entries = [
            *await self._entries(node.name + "/"),
            *(entry for entry in await self._entries(node.name) if entry.key.count("/") == 1),
        ]
        envelopes = {
            one.key: one.value.decode() for one in entries if _worker(one.key) == node.name
        }
        certificates = {name: one.certificate for name, one in node.view.members.items()}
        return await node.in_thread(self._exported, act.after, envelopes, certificates)

    def _exported(
        self, after: int, envelopes: dict[str, str], certificates: dict[str, str]
    ) -> AuditExport:
        node, head = self._node, self._head()
        first = max(after + 1, self._beginning())
        path, envelope = sealed(node.signer, self._statement(head))
        header = ExportHeader(node.name, certificates, {**envelopes, path: envelope.decode()})
        content, left = records(self._log.directory, first, head.seq, MAX_EXPORT)
        count = content.count(b"\n")
        return AuditExport(
            worker=node.name,
            first=first,
            last=first + count - 1,
            next=left - 1 if left else 0,
            content=(header.line() + content).decode("utf-8", "backslashreplace"),
        )

    def _statement(self, head: Head) -> CheckpointRecord:
        """That the chain ends there now: so the export's own end is covered."""
        return statement(self._node.name, head, self._node.clock())


def _worker(path: str) -> str:
    return path.removeprefix(paths.CHECKPOINTS).partition("/")[0]


def _shown(first: int, lines: Iterable[bytes]) -> tuple[AuditRecordView, ...]:
    shown = []
    for seq, content in enumerate(lines, first):
        try:
            record = parse(content)
        except BadRecord as error:
            shown.append(AuditRecordView(seq=seq, damage=str(error)))
        else:
            shown.append(AuditRecordView(**record._asdict()))
    return tuple(shown)


def _chain(
    worker: str, state: str, checkpoints: Sequence[Checkpoint], problem: str, report: Report
) -> ChainView:
    signed = newest(checkpoints)
    latest = deque(checkpoints, maxlen=1)
    return ChainView(
        worker=worker,
        state="bad" if problem else state,
        last=report.last,
        covered=latest[0].head.seq if latest else 0,
        covered_at=latest[0].time if latest else None,
        countersigned={by: one.head.seq for by, one in signed.items() if by != worker},
        problem=problem,
        warnings=tuple(map(str, report.warnings)),
    )


def _own(report: Report, checkpoints: Sequence[Checkpoint], problem: str) -> ChainView:
    problem = str(report.bad) if report.bad else problem
    return _chain(report.worker, "verified", checkpoints, problem, report)


def _other(worker: str, checkpoints: Sequence[Checkpoint], problem: str) -> ChainView:
    """What checkpoints alone tell: whether they go with each other."""
    hashes: dict[int, Checkpoint] = {}
    own = newest(checkpoints).get(worker)
    for one in checkpoints:
        same = hashes.setdefault(one.head.seq, one)
        if same.head != one.head:
            problem = problem or (
                f"{same.by!r} and {one.by!r} signed different records {one.head.seq}"
            )
        if own is not None and one.head.seq > own.head.seq:
            problem = problem or (
                f"{one.by!r} saw record {one.head.seq}, but the worker says that it ends at"
                f" {own.head.seq}"
            )
    state = "countersigned" if any(one.by != worker for one in checkpoints) else "alone"
    return _chain(worker, state if checkpoints else "unknown", checkpoints, problem, Report(worker))
