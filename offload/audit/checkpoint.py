"""The head of a chain as members of the cluster signed it: what a cut tail does not go with.

A checkpoint is an envelope of the catalogue: at checkpoints/<worker> by the worker itself, and at
checkpoints/<worker>/<other> by another member that has seen it. The chain has the worker's own as
records too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from cryptography import x509

from offload.audit.record import AuditRecord, Head
from offload.catalogue import paths
from offload.catalogue.envelope import Signer, Untrusted, Verifier
from offload.catalogue.records import CheckpointRecord

CHECKPOINT: Final = "checkpoint"
"""`event` of a record that holds one."""


class Checkpoint(NamedTuple):
    """A statement on a worker's chain and the member that signed it."""

    worker: str
    head: Head
    time: datetime
    by: str


def statement(worker: str, head: Head, time: datetime) -> CheckpointRecord:
    """What is signed of a chain."""
    return CheckpointRecord(worker=worker, seq=head.seq, hash=head.hash, time=time)


def sealed(signer: Signer, record: CheckpointRecord) -> tuple[str, bytes]:
    """The path and the envelope of a worker's checkpoint of its own chain."""
    path = paths.CHECKPOINTS + record.worker
    return path, signer.seal(path, record.body())


def fields(signer: Signer, record: CheckpointRecord, certificate: str) -> dict[str, Any]:
    """The fields of the record with it; `certificate` (PEM) is the signer's, so that the chain can
    be verified by who has the authority's alone.
    """
    path, envelope = sealed(signer, record)
    return {
        "event": CHECKPOINT,
        "path": path,
        "envelope": envelope.decode(),
        "certificate": certificate,
    }


class Evidence:
    """Checkpoints whose signatures are right, and who may sign them."""

    def __init__(self, authority: x509.Certificate) -> None:
        """`authority` issued the certificates of all members."""
        self._authority = authority
        self._verifier = Verifier(authority)
        self._found: list[Checkpoint] = []

    def admit(self, name: str, certificate: str) -> None:
        """Take the signatures of a member, by its certificate (PEM); raises Untrusted."""
        _admit(self._verifier, name, certificate)

    def add(self, path: str, value: bytes) -> Checkpoint:
        """Take in an envelope found at a path of the catalogue; raises Untrusted."""
        found = _opened(self._verifier, path, value)
        self._found.append(found)
        return found

    def of(self, worker: str) -> tuple[Checkpoint, ...]:
        """All checkpoints of a worker's chain, the earliest first."""
        return tuple(sorted((one for one in self._found if one.worker == worker), key=_place))

    def recorded(self, record: AuditRecord) -> Checkpoint | None:
        """The checkpoint that a record of the chain holds, if it is one; raises Untrusted."""
        values = record.fields
        if record.kind != "system" or values.get("event") != CHECKPOINT:
            return None
        # Its signer may have had another certificate then than it has now.
        verifier = Verifier(self._authority)
        _admit(verifier, record.worker, str(values.get("certificate")))
        path, envelope = str(values.get("path")), str(values.get("envelope"))
        return _opened(verifier, path, envelope.encode())


def newest(checkpoints: Iterable[Checkpoint]) -> Mapping[str, Checkpoint]:
    """The last one of each signer, by its name; they come in order."""
    return {one.by: one for one in checkpoints}


def contradiction(earlier: CheckpointRecord, later: CheckpointRecord) -> str:
    """Why a chain of which `earlier` was true cannot have become that of `later`; '' if it can."""
    if later.seq < earlier.seq:
        return f"it ends at record {later.seq}, but had {earlier.seq}"
    if later.seq == earlier.seq and later.hash != earlier.hash:
        return f"its record {later.seq} is not the one that it was"
    return ""


def _place(checkpoint: Checkpoint) -> tuple[int, str]:
    return checkpoint.head.seq, checkpoint.by


def _admit(verifier: Verifier, name: str, certificate: str) -> None:
    try:
        verifier.admit(name, x509.load_pem_x509_certificate(certificate.encode()))
    except ValueError:
        raise Untrusted(f"the certificate of {name!r} cannot be read") from None


def _opened(verifier: Verifier, path: str, value: bytes) -> Checkpoint:
    by, body = verifier.open_signed(path, value)
    try:
        record = CheckpointRecord.model_validate_json(body)
    except ValueError:
        raise Untrusted(f"{path} is no checkpoint") from None
    if path.removeprefix(paths.CHECKPOINTS).partition("/")[0] != record.worker:
        raise Untrusted(f"{path} holds the checkpoint of {record.worker!r}")
    return Checkpoint(record.worker, Head(record.seq, record.hash), record.time, by)
