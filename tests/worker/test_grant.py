"""Grants: whose certificate, which keys."""

from datetime import UTC, datetime
from hashlib import sha256

from offload.config import FrontendGrant
from offload.keys.algorithm import Algorithm
from offload.keys.record import KeyRecord
from offload.worker.grant import Grant, Grants

SKI = bytes(range(0xA0, 0xB4))


def record(label: str, ski: bytes = SKI) -> KeyRecord:
    return KeyRecord(ski, label, Algorithm.P_256, b"", datetime.now(UTC))


def test_keys_are_granted_by_label_identifier_or_all() -> None:
    assert Grant("f", "", ["shop"]).covers(record("shop"))
    assert not Grant("f", "", ["shop"]).covers(record("Shop"))
    assert not Grant("f", "", ["shop"]).covers(record("shop2"))
    assert Grant("f", "", [SKI.hex()]).covers(record("shop"))
    assert Grant("f", "", [SKI.hex().upper()]).covers(record("shop"))
    assert not Grant("f", "", [SKI.hex()]).covers(record("shop", bytes(20)))
    assert Grant("f", "", ["*"]).covers(record("shop"))
    assert not Grant("f", "", []).covers(record("shop"))


def test_a_front_end_is_known_by_its_certificate() -> None:
    known = FrontendGrant(name="f", fingerprint=sha256(b"certificate").hexdigest(), keys=("*",))
    grants = Grants([known])
    found = grants.of(b"certificate")
    assert found is not None
    assert found.name == "f"
    assert grants.of(b"another") is None
    assert grants.of(b"") is None
    assert [grant.name for grant in grants] == ["f"]
