"""Writes into a catalogue what members of a cluster would, sealed with their identities."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from offload.catalogue import paths
from offload.catalogue.base import Catalogue, Delete, Put, Write
from offload.catalogue.envelope import Signer
from offload.catalogue.records import (
    AliveRecord,
    CertificateRecord,
    FrontendRecord,
    MemberRecord,
    Record,
    TransportKeys,
)
from offload.catalogue.sqlite import SqliteCatalogue
from offload.keys.identifier import subject_key_identifier

T = TypeVar("T")
JOINED = datetime(2026, 1, 1, tzinfo=UTC)
_HOUR = 3600.0


def signer(name: str, key: Path) -> Signer:
    """That of a member's identity."""
    private = load_pem_private_key(key.read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    return Signer(name, private)


def ski(chain: bytes) -> str:
    """Of the key that a chain's leaf certifies."""
    key: Any = x509.load_pem_x509_certificate(chain).public_key()
    return subject_key_identifier(key).hex()


def member(name: str, certificate: Path, address: str = "127.0.0.1:1", **changes: Any) -> Record:
    """A present member's record."""
    values = {
        "name": name,
        "state": "present",
        "address": address,
        "api": "127.0.0.1:1",
        "token": "software",
        "certificate": certificate.read_text(),
        "transport": TransportKeys(rsa=""),
        "joined": JOINED,
    }
    return MemberRecord.model_validate({**values, **changes})


def certificate(label: str, chain: bytes, generation: int = 1, **changes: Any) -> Record:
    """What front-ends serve with; `canary` is a chain too."""
    canary: bytes | None = changes.pop("canary", None)
    if canary is not None:
        changes |= {"canary_chain": canary.decode(), "canary_ski": ski(canary)}
    values = {
        "label": label,
        "ski": ski(chain) if chain else "",
        "generation": generation,
        "chain": chain.decode(),
        "version": generation,
    }
    return CertificateRecord.model_validate({**values, **changes})


def path_of(record: Record) -> str:
    """Where it stands."""
    if isinstance(record, MemberRecord):
        return paths.MEMBERS + record.name
    assert isinstance(record, CertificateRecord)
    return paths.CERTIFICATES + record.label


def sealed(by: Signer, *records: Record) -> dict[str, bytes]:
    """Values by path."""
    return {path_of(one): by.seal(path_of(one), one.body()) for one in records}


class CatalogueWriter:
    """A SQLite catalogue at `path`; every call opens and closes it."""

    def __init__(self, path: Path, by: Signer) -> None:
        self._path, self._by = path, by

    def put(self, *records: Record) -> None:
        """Write records, signed."""
        self._commit([Put(*item) for item in sealed(self._by, *records).items()])

    def alive(self, *names: str) -> None:
        """Let members be alive, for as long as a test may take."""

        async def write(catalogue: Catalogue) -> None:
            lease = await catalogue.lease(_HOUR)
            bodies = [AliveRecord(name=name, since=JOINED) for name in names]
            await catalogue.commit(
                [Put(paths.ALIVE + each.name, each.body(), lease) for each in bodies]
            )

        self._run(write)

    def dead(self, *names: str) -> None:
        """Let members be alive no more."""
        self._commit([Delete(paths.ALIVE + name) for name in names])

    def frontend(self, name: str) -> FrontendRecord | None:
        """What a front-end says of itself; None while it says nothing."""

        async def read(catalogue: Catalogue) -> FrontendRecord | None:
            entry = await catalogue.get(paths.FRONTENDS + name)
            return None if entry is None else FrontendRecord.model_validate_json(entry.value)

        return self._run(read)

    def _commit(self, writes: list[Write]) -> None:
        async def write(catalogue: Catalogue) -> None:
            await catalogue.commit(writes)

        self._run(write)

    def _run(self, work: Callable[[Catalogue], Awaitable[T]]) -> T:
        async def run() -> T:
            catalogue = await SqliteCatalogue.open(self._path)
            try:
                return await work(catalogue)
            finally:
                await catalogue.close()

        return asyncio.run(run())
