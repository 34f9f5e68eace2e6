"""An audit log with checkpoints, signed by members of the test cluster, and its export."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from offload.audit.checkpoint import fields, sealed, statement
from offload.audit.export import ExportHeader, records
from offload.audit.log import AuditLog
from support.cluster import identity, signer

Clock = Callable[[], datetime]


def append_checkpoint(log: AuditLog, clock: Clock) -> None:
    """As the worker does from time to time."""
    certificate = identity(log.worker).certificate.decode()
    log.append_checkpoint(
        lambda head: fields(signer(log.worker), statement(log.worker, head, clock()), certificate)
    )


def countersigned(log: AuditLog, clock: Clock, by: str) -> tuple[str, str]:
    """The path and the envelope of another member's checkpoint of the chain as it is now."""
    path = f"checkpoints/{log.worker}/{by}"
    body = statement(log.worker, log.head(), clock()).body()
    return path, signer(by).seal(path, body).decode()


def exported(log: AuditLog, clock: Clock, *countersigners: str) -> bytes:
    """The whole log as a file, with its own checkpoint and those of others."""
    path, envelope = sealed(signer(log.worker), statement(log.worker, log.head(), clock()))
    header = ExportHeader(
        log.worker,
        {name: identity(name).certificate.decode() for name in (log.worker, *countersigners)},
        {path: envelope.decode(), **dict(countersigned(log, clock, by) for by in countersigners)},
    )
    return header.line() + records(log.directory, 1, log.head().seq, 1 << 30)[0]
