"""Records of keys and front-ends of a cluster, as tests need them."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from offload.catalogue.records import ApplianceRecord, ClusterRecord
from offload.keys.algorithm import Algorithm
from offload.keys.managed import KeyPolicy, ManagedKey, Purpose
from offload.keys.record import KeyRecord
from offload.keys.state import State

THEN = datetime(2026, 1, 1, tzinfo=UTC)


def managed_key(record: KeyRecord, policy: KeyPolicy | None = None, **changes: Any) -> ManagedKey:
    """An active key of the cluster for a key of a token."""
    made = ManagedKey(
        ski=record.ski,
        label=record.label,
        generation=1,
        algorithm=record.algorithm,
        public_key=record.public_key or b"public",
        state=State.ACTIVE,
        created=THEN,
        changed=THEN,
        home="worker-1",
        purpose=Purpose.TLS,
        policy=policy or KeyPolicy(),
        wrapped=b"wrapped",
        wrapped_under=1,
    )
    if changes.get("state") is State.DESTROYED:
        changes = {"wrapped": b"", "wrapped_under": 0, **changes}
    return replace(made, **changes)


def key_record(label: str, algorithm: Algorithm = Algorithm.P_256) -> KeyRecord:
    """A key of a token; the identifier is made of the label."""
    return KeyRecord(label.encode().ljust(20, b"-"), label, algorithm, b"public", THEN)


def appliance(name: str, fingerprint: str) -> ApplianceRecord:
    """A front-end registered."""
    return ApplianceRecord(name=name, fingerprint=fingerprint, registered=THEN)


def cluster_record() -> ClusterRecord:
    """A cluster that nobody founded."""
    return ClusterRecord(name="example", authority="", authority_ski="00", created=THEN)
