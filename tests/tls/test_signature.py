"""What goes to a worker for a key operation of OpenSSL's, and the check of its answer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.handshakes import sign
from support.pki import shared_key

from offload.keys.algorithm import Algorithm
from offload.keys.identifier import subject_key_identifier
from offload.keys.scheme import SignatureScheme
from offload.tls.signature import (
    TLS_1_2,
    TLS_1_3,
    SignatureRequest,
    SiteKey,
    UnexpectedOperation,
    signature_request,
)
from offload.tls.suspension import KeyOperation

PKCS1, PSS = 1, 6
PREFIX = b" " * 64 + b"TLS 1.3, server CertificateVerify\0"  # RFC 8446, 4.4.3
HASH = bytes(range(32))
ASKED = [
    ("rsa-2048", PKCS1, "SHA2-256", SignatureScheme.RSA_PKCS1_SHA256),
    ("rsa-2048", PKCS1, "SHA2-384", SignatureScheme.RSA_PKCS1_SHA384),
    ("rsa-2048", PKCS1, "SHA2-512", SignatureScheme.RSA_PKCS1_SHA512),
    ("rsa-2048", PSS, "SHA2-256", SignatureScheme.RSA_PSS_RSAE_SHA256),
    ("rsa-2048", PSS, "SHA2-384", SignatureScheme.RSA_PSS_RSAE_SHA384),
    ("rsa-2048", PSS, "SHA2-512", SignatureScheme.RSA_PSS_RSAE_SHA512),
    ("p-256", 0, "SHA2-256", SignatureScheme.ECDSA_SECP256R1_SHA256),
    ("p-384", 0, "SHA2-384", SignatureScheme.ECDSA_SECP384R1_SHA384),
    ("p-521", 0, "SHA2-512", SignatureScheme.ECDSA_SECP521R1_SHA512),
    ("p-256", 0, "SHA2-384", SignatureScheme.ECDSA_SECP384R1_SHA384),  # legal in TLS 1.2
    ("ed25519", 0, "", SignatureScheme.ED25519),
    ("ml-dsa-44", 0, "", SignatureScheme.MLDSA44),
    ("ml-dsa-65", 0, "", SignatureScheme.MLDSA65),
    ("ml-dsa-87", 0, "", SignatureScheme.MLDSA87),
]
CHECKED = [
    ("rsa-2048", PKCS1, "SHA2-256"),
    ("rsa-2048", PSS, "SHA2-512"),
    ("p-256", 0, "SHA2-256"),
    ("ed25519", 0, ""),
    ("ml-dsa-65", 0, ""),
]


def request(name: str, padding: int, digest: str, content: bytes = PREFIX + HASH) -> Any:
    public: Any = shared_key(name).public_key()
    key = SiteKey(subject_key_identifier(public), Algorithm(name), public)
    return signature_request(key, KeyOperation(key.ski, digest, padding, content))


@pytest.mark.parametrize(("name", "padding", "digest", "scheme"), ASKED)
def test_scheme_follows_key_padding_and_digest(
    name: str, padding: int, digest: str, scheme: SignatureScheme
) -> None:
    made: SignatureRequest = request(name, padding, digest)
    assert made.scheme is scheme
    assert made.is_answered_by(sign(shared_key(name), made))


def test_tls_1_3_sends_the_transcript_hash_alone() -> None:
    made = request("p-256", 0, "SHA2-256")
    assert (made.version, made.payload) == (TLS_1_3, HASH)
    assert made.operation.content == PREFIX + HASH


def test_tls_1_2_sends_everything() -> None:
    content = bytes(64) + b"\x03\x00\x1d\x20" + bytes(32)
    made = request("p-256", 0, "SHA2-256", content)
    assert (made.version, made.payload) == (TLS_1_2, content)


def test_client_certificate_verify_is_not_taken_for_the_server_s() -> None:
    content = PREFIX.replace(b"server", b"client") + HASH
    assert request("p-256", 0, "SHA2-256", content).version == TLS_1_2


@pytest.mark.parametrize(
    ("name", "padding", "digest"),
    [
        ("rsa-2048", PKCS1, "SHA1"),
        ("rsa-2048", PSS, ""),
        ("rsa-2048", 3, "SHA2-256"),
        ("rsa-2048", 0, ""),
        ("p-256", 0, "SHA1"),
        ("p-256", 0, ""),
    ],
)
def test_operation_that_is_no_scheme_is_refused(name: str, padding: int, digest: str) -> None:
    with pytest.raises(UnexpectedOperation, match=name):
        request(name, padding, digest)


@pytest.mark.parametrize(("name", "padding", "digest"), CHECKED)
def test_signature_of_another_key_or_content_is_no_answer(
    name: str, padding: int, digest: str
) -> None:
    made = request(name, padding, digest)
    other = request(name, padding, digest, PREFIX + bytes(32))
    assert not made.is_answered_by(sign(shared_key(name, 1), made))
    assert not made.is_answered_by(sign(shared_key(name), other))


@pytest.mark.parametrize(("name", "padding", "digest"), CHECKED)
@given(garbage=st.binary(max_size=300))
def test_any_bytes_are_no_answer(name: str, padding: int, digest: str, garbage: bytes) -> None:
    assert not request(name, padding, digest).is_answered_by(garbage)


def test_other_padding_is_no_answer() -> None:
    pkcs1 = request("rsa-2048", PKCS1, "SHA2-256")
    pss = request("rsa-2048", PSS, "SHA2-256")
    assert not pss.is_answered_by(sign(shared_key("rsa-2048"), pkcs1))
    assert not pkcs1.is_answered_by(sign(shared_key("rsa-2048"), pss))
