"""A copy of the catalogue in one file: consistent, signed by a member, taken back whole or not.

JSON lines: a head with the signer's certificate, an entry for each value in the order of keys, and
a seal, which is an envelope over the SHA-256 of everything before it. The values are what the
catalogue has, so keys are wrapped under the cluster key, which is in no backup: to use one, a token
of a member is needed.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final, Literal, NamedTuple

from cryptography import x509
from pydantic import BaseModel, ConfigDict, ValidationError

from offload.catalogue import paths
from offload.catalogue.base import (
    MAX_COMMIT,
    MAX_WRITES,
    Catalogue,
    CatalogueUnavailable,
    Conflict,
    Delete,
    Put,
    Unchanged,
    Write,
)
from offload.catalogue.envelope import Signer, Untrusted, Verifier
from offload.catalogue.rules import check_commit

_PAGE: Final = 500
_SEAL: Final = "backup"
_TRANSIENT: Final = (
    paths.ALIVE,
    paths.FRONTENDS,
    paths.TOKENS,
    paths.IDEMPOTENCY,
    paths.INTENTS,
    paths.INVITATIONS,
    paths.ENROLMENTS,
    paths.APPROVALS,
)
"""Not in a backup: bound to a lease, or a permission that would be good a second time."""


class BackupRefused(Exception):
    """The file or the catalogue does not do; nothing of a cluster was written."""


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def line(self) -> bytes:
        return self.model_dump_json().encode() + b"\n"


class Head(_Line):
    """`revision` is the catalogue's; `certificate` is that of the member `by`, PEM."""

    format: Literal["offload backup 1"] = "offload backup 1"
    by: str
    certificate: str
    made: datetime
    revision: int


class Checksum(_Line):
    """What the seal signs: SHA-256 in hexadecimal of all bytes before the seal."""

    sha256: str
    entries: int


class Backup(NamedTuple):
    """A backup that was found authentic and whole; `entries` are in the order of their keys."""

    head: Head
    entries: Sequence[tuple[str, bytes]]
    digest: str


async def back_up(
    catalogue: Catalogue, signer: Signer, certificate: str, now: datetime
) -> AsyncIterator[bytes]:
    """The file's lines, as of one revision; `certificate` (PEM) is the signer's.

    Raises CatalogueUnavailable, and Compacted if reading took longer than history is kept.
    """
    page = await catalogue.list("", limit=_PAGE)
    head = Head(by=signer.name, certificate=certificate, made=now, revision=page.revision)
    line, digest, count = head.line(), sha256(), 0
    digest.update(line)
    yield line
    while True:
        for entry in page.entries:
            if not entry.key.startswith(_TRANSIENT):
                line, count = _entry_line(entry.key, entry.value), count + 1
                digest.update(line)
                yield line
        if not page.more:
            break
        after = page.entries[-1].key
        page = await catalogue.list("", after=after, limit=_PAGE, revision=page.revision)
    summary = Checksum(sha256=digest.hexdigest(), entries=count)
    yield signer.seal(_SEAL, summary.model_dump_json().encode()) + b"\n"


def read(content: bytes, authority: x509.Certificate) -> Backup:
    """Verify the whole file; raises BackupRefused.

    authority: the certificate of the cluster's CA, from elsewhere than the file.
    """
    *lines, seal = content.splitlines(keepends=True) or [b""]
    if len(lines) < 1 or not seal.endswith(b"\n"):
        raise BackupRefused("the backup is cut off: take another copy of it")
    try:
        head = Head.model_validate_json(lines[0])
        digest = sha256(b"".join(lines)).hexdigest()
        summary = Checksum.model_validate_json(_opened(head, seal, authority))
        entries = [_entry(line) for line in lines[1:]]
    except (ValidationError, ValueError, Untrusted) as error:
        reason = str(error) if isinstance(error, Untrusted) else "it is no backup, or is altered"
        raise BackupRefused(f"the backup is refused: {reason}: take another copy of it") from None
    if summary != Checksum(sha256=digest, entries=len(entries)):
        raise BackupRefused("the backup was altered: take another copy of it")
    return Backup(head, entries, digest)


async def restore(catalogue: Catalogue, content: bytes, authority: x509.Certificate) -> int:
    """Write a backup into an empty catalogue; how many values that were.

    All or nothing, though it takes many commits: the first one takes the catalogue for this backup
    with a note, and the last one writes the cluster's record and removes the note. Before that
    nobody finds a cluster there. What was cut off goes on when the same backup is restored again.

    Raises BackupRefused, CatalogueUnavailable and CatalogueDenied.
    """
    backup = read(content, authority)
    values = dict(backup.entries)
    if paths.CLUSTER not in values:
        raise BackupRefused("the backup has no cluster: take another one")
    last = Put(paths.CLUSTER, values.pop(paths.CLUSTER))
    try:
        note = await _begin(catalogue, backup.digest)
        for batch in _batches(values):
            await catalogue.commit(batch, [note])
        await catalogue.commit([last, Delete(note.key)], [note, Unchanged(last.key, 0)])
    except Conflict:
        raise BackupRefused(
            "somebody else writes to the catalogue: stop all workers and restore again"
        ) from None
    except CatalogueUnavailable:
        if not await _finished(catalogue, last):
            raise
    return len(backup.entries)


async def _begin(catalogue: Catalogue, digest: str) -> Unchanged:
    """Take the catalogue, or find it taken for this very backup."""
    note = await catalogue.get(paths.RESTORING)
    if note is not None and note.value == digest.encode():
        return Unchanged(note.key, note.revision)
    if note is not None or (await catalogue.list("", limit=1)).entries:
        raise BackupRefused(
            "the catalogue is not empty: name another prefix or file, or empty it first"
        )
    free = Unchanged(paths.RESTORING, 0)
    revision = await catalogue.commit([Put(paths.RESTORING, digest.encode())], [free])
    return Unchanged(paths.RESTORING, revision)


async def _finished(catalogue: Catalogue, last: Put) -> bool:
    """Whether the last commit was carried out although its answer was lost."""
    entry = await catalogue.get(last.key)
    return entry is not None and entry.value == last.value


def _batches(values: Mapping[str, bytes]) -> Iterator[list[Write]]:
    batch: list[Write] = []
    size = 0
    for key, value in values.items():
        length = len(key.encode()) + len(value)
        if batch and (len(batch) == MAX_WRITES or size + length > MAX_COMMIT):
            yield batch
            batch, size = [], 0
        batch.append(Put(key, value))
        size += length
    if batch:
        yield batch


def _opened(head: Head, seal: bytes, authority: x509.Certificate) -> bytes:
    verifier = Verifier(authority)
    verifier.admit(head.by, x509.load_pem_x509_certificate(head.certificate.encode()))
    return verifier.open(_SEAL, seal)


def _entry_line(key: str, value: bytes) -> bytes:
    # Values are text as a rule; what is not stays what it is.
    entry = {"key": key, "value": value.decode(errors="surrogateescape")}
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"


def _entry(line: bytes) -> tuple[str, bytes]:
    """Raises ValueError for anything but an entry as it is written here."""
    entry = json.loads(line)
    if not isinstance(entry, dict) or entry.keys() != {"key", "value"}:
        raise ValueError("no entry")
    key, value = entry["key"], entry["value"]
    if not isinstance(key, str) or not isinstance(value, str):
        raise ValueError("no entry")
    encoded = value.encode(errors="surrogateescape")
    check_commit([Put(key, encoded)], [])
    return key, encoded
