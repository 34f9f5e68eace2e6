"""What writes to the audit log, as its users see it, and a fake of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class AuditUnavailable(Exception):
    """The log cannot be written: nothing that must be recorded may be done now."""


class AuditSink(Protocol):
    """Appends records; durable when `append` returns. Blocks for the time of one fsync.

    kind: 'management', 'signature' or 'system'; `fields` are JSON values: who, act, target,
    outcome, and what else belongs to the kind. Never a secret.
    """

    def append(self, kind: str, *records: Mapping[str, Any]) -> None:
        """Add one record for each mapping; raises AuditUnavailable."""

    def check(self) -> None:
        """Raise AuditUnavailable if nothing could be appended now."""


class FakeAuditSink:
    """Keeps records in memory; `broken` makes it refuse."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.broken = False

    def append(self, kind: str, *records: Mapping[str, Any]) -> None:
        self.check()
        self.records.extend({"kind": kind, **record} for record in records)

    def check(self) -> None:
        if self.broken:
            raise AuditUnavailable("the audit log cannot be written: see that its disk has room")
