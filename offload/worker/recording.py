"""The audit log as a serving process writes it: opened when there is a signature to record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from offload.audit.log import AuditLog


class Recording:
    """An AuditSink; most keys ask for no record, and then there is no log to open."""

    def __init__(self, make: Callable[[], AuditLog]) -> None:
        """`make` is called at the first use: until then it need not be known what to make."""
        self._make = make
        self._log: AuditLog | None = None

    def append(self, kind: str, *records: Mapping[str, Any]) -> None:
        """As AuditSink."""
        self._opened().append(kind, *records)

    def check(self) -> None:
        """As AuditSink."""
        self._opened().check()

    def close(self) -> None:
        """Close the log, if it was ever used."""
        if self._log is not None:
            self._log.close()

    def _opened(self) -> AuditLog:
        if self._log is None:
            self._log = self._make()
        return self._log
