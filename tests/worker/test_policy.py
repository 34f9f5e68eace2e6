"""What is signed for a front-end, case by case."""

import os
from datetime import UTC, datetime
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from offload.keys.algorithm import Algorithm
from offload.keys.record import KeyRecord
from offload.keys.scheme import SignatureScheme
from offload.wire.error import ErrorCode
from offload.wire.message import Decrypt, PlainSign, TlsSign, Unknown
from offload.wire.opcode import DECRYPT, PLAIN_SIGN, Opcode
from offload.worker.grant import Grant
from offload.worker.order import Order, Refusal
from offload.worker.policy import Policy
from offload.worker.use import TLS_1_2, TLS_1_3

# RFC 8446 4.4.3, spelled out once more.
SERVER = b"\x20" * 64 + b"TLS 1.3, server CertificateVerify" + b"\x00"
CLIENT = b"\x20" * 64 + b"TLS 1.3, client CertificateVerify" + b"\x00"

X25519_PARAMS = b"\x03\x00\x1d\x20" + bytes(range(32))
KEY_EXCHANGE = b"C" * 32 + b"S" * 32 + X25519_PARAMS


def record(algorithm: Algorithm) -> KeyRecord:
    ski = str(algorithm).encode().ljust(20, b"-")
    return KeyRecord(ski, str(algorithm), algorithm, b"", datetime.now(UTC))


RECORDS = {algorithm: record(algorithm) for algorithm in Algorithm}


def allowing(keys: list[str], *, plain_digests: bool) -> Policy:
    uses = Grant("f", "", keys).uses(RECORDS.values())
    return Policy("f", uses, plain_digests=plain_digests)


ALL = allowing(["*"], plain_digests=False)
PLAIN = allowing(["*"], plain_digests=True)


def tls(
    algorithm: Algorithm, scheme: int, version: int = TLS_1_3, payload: bytes = bytes(32)
) -> TlsSign:
    return TlsSign(7, RECORDS[algorithm].ski, scheme, version, payload, "", b"")


def refused(decision: Order | Refusal) -> tuple[ErrorCode, str]:
    assert isinstance(decision, Refusal)
    return decision.code, decision.reason


@pytest.mark.parametrize(("algorithm", "scheme"), list(product(Algorithm, SignatureScheme)))
@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
def test_the_scheme_fits_the_key_and_the_version(
    algorithm: Algorithm, scheme: SignatureScheme, version: int
) -> None:
    legal = algorithm.schemes if version == TLS_1_3 else algorithm.schemes_tls12
    payload = bytes(32) if version == TLS_1_3 else KEY_EXCHANGE
    decision = ALL.decide(tls(algorithm, scheme, version, payload))
    if scheme in legal:
        content = SERVER + payload if version == TLS_1_3 else payload
        expected = Order(RECORDS[algorithm].ski, algorithm, scheme, content, False)
        assert decision == expected
    else:
        assert refused(decision) == (ErrorCode.FORMAT, "scheme")


@pytest.mark.parametrize("scheme", [0, 0x0201, 0x0203, 0x0401, 0x0808, 0x0809, 0xFFFF])
def test_unknown_and_weak_schemes_are_refused_in_tls_1_3(scheme: int) -> None:
    for algorithm in Algorithm:
        assert refused(ALL.decide(tls(algorithm, scheme))) == (ErrorCode.FORMAT, "scheme")


@pytest.mark.parametrize("version", [0, 0x0200, 0x0300, 0x0301, 0x0302, 0x0305, 0xFEFD, 0xFFFF])
def test_only_tls_1_2_and_1_3(version: int) -> None:
    request = tls(Algorithm.P_256, SignatureScheme.ECDSA_SECP256R1_SHA256, version)
    assert refused(ALL.decide(request)) == (ErrorCode.FORMAT, "version")


@pytest.mark.parametrize("length", range(200))
def test_a_transcript_hash_is_of_sha_256_or_sha_384(length: int) -> None:
    scheme = SignatureScheme.ECDSA_SECP256R1_SHA256
    decision = ALL.decide(tls(Algorithm.P_256, scheme, TLS_1_3, os.urandom(length)))
    if length in (32, 48):
        assert isinstance(decision, Order)
    else:
        assert refused(decision) == (ErrorCode.FORMAT, "payload")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        KEY_EXCHANGE[:-1],
        KEY_EXCHANGE[1:],
        KEY_EXCHANGE + b"\0",
        KEY_EXCHANGE[:64],
        KEY_EXCHANGE[:64] + b"\x01" + KEY_EXCHANGE[65:],
        SERVER + bytes(32),
        CLIENT + bytes(32),
        # The first bytes of a certificate and of a JSON Web Signature.
        b"\x30\x82\x01\x0a" + bytes(266),
        b"eyJhbGciOiJFUzI1NiJ9." + b"a" * 79,
    ],
)
def test_a_tls_1_2_payload_is_a_key_exchange(payload: bytes) -> None:
    scheme = SignatureScheme.RSA_PKCS1_SHA256
    decision = ALL.decide(tls(Algorithm.RSA_2048, scheme, TLS_1_2, payload))
    assert refused(decision) == (ErrorCode.FORMAT, "payload")


def is_key_exchange(content: bytes) -> bool:
    return content[64:65] == b"\3" and len(content) in {64 + 4 + n for n in (32, 56, 65, 97, 133)}


mutations = st.one_of(
    st.binary(max_size=300),
    st.builds(
        lambda content, position, byte: (
            content[: position % len(content)] + byte + content[position % len(content) + 1 :]
        ),
        st.sampled_from([KEY_EXCHANGE, SERVER + bytes(32), CLIENT + bytes(48), CLIENT]),
        st.integers(0, 400),
        st.binary(max_size=3),
    ),
)


@example(Algorithm.ED25519, 0x0807, TLS_1_2, CLIENT + bytes(32), None)
@example(Algorithm.ED25519, 0x0807, TLS_1_3, CLIENT + bytes(32), Opcode.ED25519_SIGN)
@given(
    algorithm=st.sampled_from(Algorithm),
    scheme=st.one_of(st.sampled_from(SignatureScheme), st.integers(0, 0xFFFF)),
    version=st.one_of(st.sampled_from([TLS_1_2, TLS_1_3]), st.integers(0, 0xFFFF)),
    payload=mutations,
    opcode=st.none(),
)
def test_nothing_but_a_server_handshake_is_ever_signed(
    algorithm: Algorithm, scheme: int, version: int, payload: bytes, opcode: Opcode | None
) -> None:
    if opcode is None:
        decision = ALL.decide(tls(algorithm, scheme, version, payload))
    else:
        decision = PLAIN.decide(PlainSign(1, opcode, RECORDS[algorithm].ski, payload))
    if isinstance(decision, Refusal):
        return
    content = decision.content
    assert not decision.prehashed
    assert not content.startswith(CLIENT)
    if content.startswith(SERVER):
        assert version == TLS_1_3
        assert len(content) - len(SERVER) in (32, 48)
    else:
        assert version == TLS_1_2
        assert is_key_exchange(content)


def test_a_key_that_is_not_granted_looks_like_one_that_is_not_there() -> None:
    policy = allowing([str(Algorithm.P_256)], plain_digests=True)
    for algorithm in set(Algorithm) - {Algorithm.P_256}:
        scheme = min(algorithm.schemes)
        expected = (ErrorCode.KEY_NOT_FOUND, "not_granted")
        assert refused(policy.decide(tls(algorithm, scheme))) == expected
        plain = PlainSign(1, Opcode.RSA_SIGN_SHA256, RECORDS[algorithm].ski, bytes(32))
        assert refused(policy.decide(plain)) == expected
    scheme = SignatureScheme.ECDSA_SECP256R1_SHA256
    assert isinstance(policy.decide(tls(Algorithm.P_256, scheme)), Order)
    for ski in (b"", bytes(19), bytes(20), bytes(21)):
        unknown = TlsSign(1, ski, scheme, TLS_1_3, bytes(32))
        assert refused(policy.decide(unknown)) == (ErrorCode.KEY_NOT_FOUND, "unknown_key")


@pytest.mark.parametrize("opcode", sorted(DECRYPT))
@pytest.mark.parametrize("policy", [ALL, PLAIN])
def test_decryption_is_always_refused(opcode: Opcode, policy: Policy) -> None:
    assert refused(policy.decide(Decrypt(1, opcode))) == (ErrorCode.BAD_OPCODE, "decryption")


def test_unknown_opcodes_are_refused() -> None:
    assert refused(PLAIN.decide(Unknown(1, 0x24))) == (ErrorCode.BAD_OPCODE, "opcode")


@pytest.mark.parametrize(("opcode", "algorithm"), list(product(sorted(PLAIN_SIGN), Algorithm)))
def test_plain_digests_need_the_configuration(opcode: Opcode, algorithm: Algorithm) -> None:
    for length in (0, 20, 28, 32, 36, 48, 64, 100):
        request = PlainSign(1, opcode, RECORDS[algorithm].ski, bytes(length))
        assert refused(ALL.decide(request)) == (ErrorCode.BAD_OPCODE, "plain_digest")


PLAIN_CASES = {
    **{(Opcode[f"RSA_SIGN_SHA{n}"], f"rsa-{size}"): f"RSA_PKCS1_SHA{n}"
       for n in (256, 384, 512) for size in (2048, 3072, 4096)},
    **{(Opcode[f"RSA_PSS_SIGN_SHA{n}"], f"rsa-{size}"): f"RSA_PSS_RSAE_SHA{n}"
       for n in (256, 384, 512) for size in (2048, 3072, 4096)},
    **{(Opcode[f"ECDSA_SIGN_SHA{n}"], curve): f"ECDSA_SECP{bits}R1_SHA{n}"
       for n, bits in ((256, 256), (384, 384), (512, 521))
       for curve in ("p-256", "p-384", "p-521")},
}  # fmt: skip


@pytest.mark.parametrize(
    ("opcode", "algorithm"),
    list(product(sorted(PLAIN_SIGN - {Opcode.ED25519_SIGN}), Algorithm)),
)
@pytest.mark.parametrize("length", [0, 20, 28, 32, 36, 48, 64, 100])
def test_plain_digests_fit_opcode_and_key(
    opcode: Opcode, algorithm: Algorithm, length: int
) -> None:
    request = PlainSign(1, opcode, RECORDS[algorithm].ski, bytes(length))
    decision = PLAIN.decide(request)
    name = PLAIN_CASES.get((opcode, str(algorithm)))
    bits = opcode.name.rpartition("SHA")[2]
    if name is not None and length * 8 == int(bits):
        scheme = SignatureScheme[name]
        assert decision == Order(request.ski, algorithm, scheme, bytes(length), True)
    else:
        assert isinstance(decision, Refusal)


@pytest.mark.parametrize(
    ("payload", "signed"),
    [
        (SERVER + bytes(32), True),
        (SERVER + bytes(48), True),
        (KEY_EXCHANGE, True),
        (SERVER + bytes(33), False),
        (CLIENT + bytes(32), False),
        (b"anything else", False),
    ],
)
def test_plain_ed25519_is_held_to_tls(payload: bytes, signed: bool) -> None:
    ski = RECORDS[Algorithm.ED25519].ski
    decision = PLAIN.decide(PlainSign(1, Opcode.ED25519_SIGN, ski, payload))
    if signed:
        assert decision == Order(ski, Algorithm.ED25519, SignatureScheme.ED25519, payload, False)
    else:
        assert refused(decision) == (ErrorCode.FORMAT, "payload")
