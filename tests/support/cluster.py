"""A cluster in one process: members with identities of one authority, on one catalogue."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from offload.catalogue import paths
from offload.catalogue.base import Catalogue, Put
from offload.catalogue.envelope import Signer, Verifier
from offload.catalogue.records import ClusterRecord, MemberRecord, Record, TransportKeys
from offload.cluster.authority import Authority, Identity
from offload.keys.managed import ManagedKey

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@cache
def authority() -> Authority:
    """The CA of all clusters of a test run."""
    return Authority.create("cluster", NOW)


@cache
def identity(name: str) -> Identity:
    """A worker's identity, always the same for a name."""
    return authority().issue_worker(name, NOW)


def signer(name: str) -> Signer:
    """Signs as that member."""
    key = load_pem_private_key(identity(name).key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return Signer(name, key)


def verifier(revoked: Collection[str] = ()) -> Verifier:
    """Trusts nobody yet but the authority."""
    return Verifier(authority().certificate, revoked)


def cluster_record(**changes: object) -> ClusterRecord:
    """The record of a cluster `test`."""
    record = ClusterRecord(
        name="test",
        authority=authority().certificate_pem().decode(),
        authority_ski="00" * 20,
        created=NOW,
    )
    return record.model_copy(update=changes)


def member_record(name: str, **changes: object) -> MemberRecord:
    """A present member."""
    record = MemberRecord(
        name=name,
        state="present",
        address="127.0.0.1:1",
        api="127.0.0.1:2",
        token="software",
        certificate=identity(name).certificate.decode(),
        transport=TransportKeys(rsa=""),
        joined=NOW,
    )
    return record.model_copy(update=changes)


async def put(
    catalogue: Catalogue, by: str, changes: dict[str, Record | ManagedKey | bytes]
) -> int:
    """Write values as that member signs them, with no checks."""
    signs = signer(by)
    return await catalogue.commit(
        [
            Put(path, signs.seal(path, value if isinstance(value, bytes) else value.body()))
            for path, value in changes.items()
        ]
    )


async def found(catalogue: Catalogue, *names: str) -> None:
    """Write the cluster's record and its members, signed by the first."""
    changes: dict[str, Record | ManagedKey | bytes] = {paths.CLUSTER: cluster_record()}
    for name in names:
        changes[paths.MEMBERS + name] = member_record(name)
    await put(catalogue, names[0], changes)
