"""Grants: whose certificate, which keys."""

from datetime import UTC, datetime
from hashlib import sha256

from offload.config import FrontendGrant
from offload.keys.algorithm import Algorithm
from offload.keys.record import KeyRecord
from offload.worker.grant import Grant, Grants
from offload.worker.use import NOT_GRANTED

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
    found = grants.policy_of(b"certificate")
    assert found is not None
    assert found.frontend == "f"
    assert grants.policy_of(b"another") is None
    assert grants.policy_of(b"") is None


def test_keys_are_taken_in_by_policies_that_are_in_use() -> None:
    known = FrontendGrant(name="f", fingerprint=sha256(b"certificate").hexdigest(), keys=("shop",))
    grants = Grants([known])
    policy = grants.policy_of(b"certificate")
    assert policy is not None
    assert policy.uses == {}
    other = bytes(20)
    grants.take_keys([record("shop"), record("other", other)])
    assert policy.uses[SKI].limits is None
    limits = policy.uses[other].limits
    assert limits is not None
    assert limits.refuse("f", "") == NOT_GRANTED
