"""What front-ends may use, by the records of the catalogue."""

from hashlib import sha256

import pytest
from support.managed_keys import appliance, cluster_record, key_record, managed_key

from offload.catalogue.base import Event
from offload.catalogue.records import ApplianceRecord
from offload.keys.managed import KeyPolicy, ManagedKey, Purpose
from offload.keys.scheme import SignatureScheme
from offload.keys.state import State
from offload.wire.message import PlainSign, TlsSign
from offload.wire.opcode import Opcode
from offload.worker.entitlements import Entitlements
from offload.worker.order import Order
from offload.worker.policy import Policy
from offload.worker.use import TLS_1_2, TLS_1_3

SHOP = key_record("shop")
FRONT_END = appliance("front-end", sha256(b"certificate").hexdigest())
PARAMS = b"\x03\x00\x1d\x20" + bytes(32)


def of(key: ManagedKey) -> Event:
    return Event(f"keys/{key.ski.hex()}", key.body(), 1)


def registered(record: ApplianceRecord) -> Event:
    return Event(f"appliances/{record.name}", record.body(), 1)


def policy_for(*keys: ManagedKey, plain_digests: bool = False) -> Policy:
    entitlements = Entitlements(plain_digests=plain_digests)
    entitlements.take([registered(FRONT_END), *map(of, keys)])
    policy = entitlements.policy_of(b"certificate")
    assert policy is not None
    return policy


def tls_sign(server_name: str = "", ski: bytes = SHOP.ski) -> TlsSign:
    scheme = SignatureScheme.ECDSA_SECP256R1_SHA256
    return TlsSign(1, ski, scheme, TLS_1_3, bytes(32), server_name)


def reason(policy: Policy, request: TlsSign | None = None) -> str:
    decision = policy.decide(request or tls_sign())
    return "" if isinstance(decision, Order) else decision.reason


@pytest.mark.parametrize("state", State)
def test_a_key_signs_while_it_is_active(state: State) -> None:
    expected = "" if state is State.ACTIVE else str(state).replace("-", "_")
    assert reason(policy_for(managed_key(SHOP, state=state))) == expected


def test_the_authority_s_key_signs_no_handshake() -> None:
    assert reason(policy_for(managed_key(SHOP, purpose=Purpose.AUTHORITY))) == "purpose"


@pytest.mark.parametrize(
    ("frontends", "expected"),
    [(("*",), ""), (("front-end",), ""), (("other", "front-end"), ""), (("other",), "not_granted"),
     ((), "not_granted")],
)  # fmt: skip
def test_a_key_names_the_front_ends_that_may_use_it(
    frontends: tuple[str, ...], expected: str
) -> None:
    assert reason(policy_for(managed_key(SHOP, KeyPolicy(frontends=frontends)))) == expected


def test_a_front_end_that_may_not_use_a_key_is_not_told_its_state() -> None:
    key = managed_key(SHOP, KeyPolicy(frontends=("other",)), state=State.SUSPENDED)
    assert reason(policy_for(key)) == "not_granted"


@pytest.mark.parametrize(
    ("server_name", "expected"),
    [("www.example.org", ""), ("a.example.com", ""), ("example.org", "server_name"),
     ("", "server_name")],
)  # fmt: skip
def test_a_key_with_sites_serves_those(server_name: str, expected: str) -> None:
    policy = policy_for(managed_key(SHOP, KeyPolicy(sites=("www.example.org", "*.example.com"))))
    assert reason(policy, tls_sign(server_name)) == expected


def test_an_unknown_key_is_unknown() -> None:
    assert reason(policy_for()) == "unknown_key"


def test_changes_reach_a_policy_in_use() -> None:
    entitlements = Entitlements()
    entitlements.take([registered(FRONT_END), of(managed_key(SHOP))])
    policy = entitlements.policy_of(b"certificate")
    assert policy is not None
    assert reason(policy) == ""
    entitlements.take([of(managed_key(SHOP, state=State.SUSPENDED))])
    assert reason(policy) == "suspended"
    entitlements.take([of(managed_key(SHOP))])
    assert reason(policy) == ""
    entitlements.take([Event(f"keys/{SHOP.ski.hex()}", None, 2)])
    assert reason(policy) == "unknown_key"


def test_a_front_end_removed_or_with_another_certificate_is_a_stranger() -> None:
    entitlements = Entitlements()
    entitlements.take([registered(FRONT_END)])
    policy = entitlements.policy_of(b"certificate")
    assert policy in entitlements.policies
    entitlements.take([registered(FRONT_END.model_copy(update={"zone": "b"}))])
    assert entitlements.policy_of(b"certificate") is policy
    entitlements.take([registered(appliance("front-end", sha256(b"new").hexdigest()))])
    assert entitlements.policy_of(b"certificate") is None
    assert policy not in entitlements.policies
    assert entitlements.policy_of(b"new") is not None
    entitlements.take([Event("appliances/front-end", None, 3)])
    assert not entitlements.policies


def test_the_cluster_s_name_is_known() -> None:
    entitlements = Entitlements()
    assert entitlements.cluster == ""
    entitlements.take([Event("cluster", cluster_record().body(), 1)])
    assert entitlements.cluster == "example"


def test_a_record_that_cannot_be_read_gives_nothing() -> None:
    entitlements = Entitlements()
    entitlements.take([registered(FRONT_END), of(managed_key(SHOP))])
    entitlements.take([Event(f"keys/{SHOP.ski.hex()}", b"{}", 2), Event("keys/zz", b"", 2)])
    policy = entitlements.policy_of(b"certificate")
    assert policy is not None
    assert reason(policy) == "unknown_key"


def test_keys_that_the_token_may_lack_are_said() -> None:
    entitlements = Entitlements()

    def lacking(*keys: ManagedKey) -> bool:
        entitlements.take(map(of, keys))
        return entitlements.lacking

    assert not lacking(managed_key(SHOP, state=State.PRE_ACTIVE))
    assert lacking(managed_key(SHOP))
    entitlements.take_keys([SHOP])
    assert not lacking()
    assert not lacking(managed_key(SHOP, version=2))


AUDITED = managed_key(SHOP, KeyPolicy(audit_signatures=True), generation=3)


def test_what_is_recorded_of_a_signature() -> None:
    decision = policy_for(AUDITED).decide(tls_sign("www.example.org"))
    assert isinstance(decision, Order)
    assert decision.record == {
        "frontend": "front-end",
        "site": "www.example.org",
        "ski": SHOP.ski.hex(),
        "generation": 3,
        "scheme": "ecdsa_secp256r1_sha256",
        "transcript_hash": "00" * 32,
    }


def test_of_tls_1_3_the_front_end_tells_the_client_random() -> None:
    request = tls_sign("www.example.org")._replace(client_random=b"c" * 32)
    decision = policy_for(AUDITED).decide(request)
    assert isinstance(decision, Order)
    assert decision.record is not None
    assert decision.record["client_random"] == (b"c" * 32).hex()


def test_tls_1_2_shows_the_client_random() -> None:
    payload = b"c" * 32 + b"s" * 32 + PARAMS
    request = TlsSign(1, SHOP.ski, SignatureScheme.ECDSA_SECP256R1_SHA256, TLS_1_2, payload)
    decision = policy_for(AUDITED).decide(request)
    assert isinstance(decision, Order)
    assert decision.record is not None
    assert decision.record["client_random"] == (b"c" * 32).hex()
    assert "transcript_hash" not in decision.record


def test_plain_digests_are_held_to_the_same() -> None:
    request = PlainSign(1, Opcode.ECDSA_SIGN_SHA256, SHOP.ski, bytes(32), "www.example.org")
    decision = policy_for(AUDITED, plain_digests=True).decide(request)
    assert isinstance(decision, Order)
    assert decision.record is not None
    assert decision.record["digest"] == "00" * 32
    suspended = managed_key(SHOP, state=State.SUSPENDED)
    refused = policy_for(suspended, plain_digests=True).decide(request)
    assert not isinstance(refused, Order)
    assert refused.reason == "suspended"
