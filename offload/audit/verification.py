"""Following a chain record by record, in one pass and constant memory, to its first bad record."""

from __future__ import annotations

from collections import defaultdict

from offload.audit.checkpoint import Checkpoint, Evidence, newest
from offload.audit.record import NOTHING, AuditRecord, BadRecord, Head, parse
from offload.audit.report import Finding, Report
from offload.catalogue.envelope import Untrusted

_MOST_WARNINGS = 100


class Verification:
    """Feed it lines with `take` until it says False, then `finish`."""

    def __init__(self, evidence: Evidence, worker: str = "", first: int = 1) -> None:
        """worker: whose chain it must be, '' for whoever's it says; first: the record that it must
        begin with. One that begins later than with 1 is not checked against what came before.
        """
        self.report = Report(worker=worker, first=first)
        self._evidence = evidence
        self._expected = first
        self._head = NOTHING if first == 1 else None
        self._time = ""
        self._place = ("", 0)
        self._claims: defaultdict[int, list[Checkpoint]] = defaultdict(list)
        if worker:
            self._know(worker)

    def take(self, file: str, line: int, content: bytes) -> bool:
        """The next line; False if it is bad, or one before it was."""
        if self.report.bad is not None:
            return False
        self._place = (file, line)
        try:
            record = parse(content)
        except BadRecord as error:
            return self._accuse(str(error))
        problem = self._out_of_place(record) or self._contradicted(record)
        if problem:
            return self._accuse(problem)
        self._warn(record)
        self._expected += 1
        self._head, self._time = record.head, record.time
        self.report.last, self.report.last_hash = record.head
        return True

    def finish(self) -> Report:
        """What came of it: after the last line it can be said that the tail is cut."""
        report = self.report
        if report.bad is None:
            missing = [claims for seq, claims in self._claims.items() if seq >= self._expected]
            if missing:
                furthest = max(missing, key=lambda claims: claims[0].head.seq)
                self._accuse(_cut(self._expected, furthest))
            elif report.last == 0:
                self._accuse("there are no records")
        return report

    def _know(self, worker: str) -> None:
        """From now on the checkpoints of that worker count."""
        self.report.worker = worker
        checkpoints = self._evidence.of(worker)
        for one in checkpoints:
            # One of before the chain's part that is here can still tell about its beginning.
            self._claims[one.head.seq].append(one)
        for by, one in newest(checkpoints).items():
            self.report.checkpoints[by] = one.head.seq
        if self._head is None and self._expected - 1 in self._claims:
            self._head = self._claims[self._expected - 1][0].head

    def _accuse(self, text: str) -> bool:
        self.report.bad = Finding(*self._place, self._expected, text)
        return False

    def _out_of_place(self, record: AuditRecord) -> str:
        """Why it cannot follow the records before it; '' if it can."""
        report = self.report
        if record.seq != self._expected:
            return (
                f"record {record.seq} stands where {self._expected} should: a record was"
                f" {'taken out, or moved' if record.seq > self._expected else 'put in, or moved'}"
            )
        if not report.worker:
            self._know(record.worker)
        if record.worker != report.worker:
            return f"it is of worker {record.worker!r}, but the log is that of {report.worker!r}"
        if self._head is not None and record.prev != self._head.hash:
            return f"it does not continue record {self._head.seq}: one of them was replaced"
        if record.seq == 1:
            return self._first(record)
        return ""

    def _first(self, record: AuditRecord) -> str:
        values = record.fields
        if values.get("event") != "chain begun" or values.get("worker") != record.worker:
            return "it is not the beginning of a worker's chain"
        self.report.cluster = str(values.get("cluster"))
        return ""

    def _contradicted(self, record: AuditRecord) -> str:
        """Which checkpoint says otherwise; '' if none does."""
        for claim in self._claims.get(record.seq, ()):
            if claim.head != record.head:
                return (
                    f"the checkpoint of {claim.time:%Y-%m-%d %H:%M:%S} signed by {claim.by!r} has"
                    " another record: this one or some before it were replaced"
                )
        try:
            claimed = self._evidence.recorded(record)
        except Untrusted as error:
            return f"a checkpoint that is not signed as it should be: {error}"
        if claimed is None:
            return ""
        if claimed.by != record.worker or claimed.worker != record.worker:
            return f"a checkpoint of {claimed.worker!r} signed by {claimed.by!r}"
        before = Head(record.seq - 1, record.prev)
        if claimed.head != before:
            return "its checkpoint is of another record than the one before it"
        self.report.checkpoints[claimed.by] = max(
            claimed.head.seq, self.report.checkpoints.get(claimed.by, 0)
        )
        return ""

    def _warn(self, record: AuditRecord) -> None:
        if record.time < self._time:
            self._warning(f"the clock went back from {self._time} to {record.time}")
        if record.kind == "system" and record.fields.get("event") == "torn record cut":
            self._warning(
                f"{record.fields.get('bytes')} bytes that an interrupted write left were cut off"
                " before it"
            )

    def _warning(self, text: str) -> None:
        if len(self.report.warnings) < _MOST_WARNINGS:
            self.report.warnings.append(Finding(*self._place, self._expected, text))


def _cut(expected: int, claims: list[Checkpoint]) -> str:
    last = claims[0].head.seq
    by = ", ".join(sorted(repr(claim.by) for claim in claims))
    return (
        f"the log ends here, but the checkpoint of {claims[0].time:%Y-%m-%d %H:%M:%S} signed by"
        f" {by} covers record {last}: records {expected} to {last} were cut off"
    )
