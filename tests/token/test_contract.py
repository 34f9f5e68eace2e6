"""What every token keeps to; add another implementation to `support.tokens`."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.x509 import SubjectKeyIdentifier
from support.tokens import MAKERS, Maker

from offload.keys.algorithm import Algorithm, PublicKey
from offload.keys.record import KeyRecord
from offload.keys.scheme import SignatureScheme
from offload.token.base import (
    KeyNotFound,
    LabelTaken,
    NotExtractable,
    ReplicatedToken,
    SchemeNotAllowed,
    TokenError,
)

CONTENT = b"the whole to-be-signed"
HASHES = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}


@pytest.fixture(params=MAKERS, scope="module")
def maker(request: pytest.FixtureRequest) -> Maker:
    made: Maker = request.param
    return made


@pytest.fixture(scope="module")
def token(maker: Maker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicatedToken]:
    made = maker.make(tmp_path_factory.mktemp("contract"))
    yield made
    made.close()


Keys = dict[Algorithm, KeyRecord]


@pytest.fixture(scope="module")
def keys(maker: Maker, token: ReplicatedToken) -> Keys:
    return {
        each: token.generate(f"contract {each}", each, extractable=each in maker.moving)
        for each in maker.algorithms
    }


@pytest.fixture
def key(keys: Keys, algorithm: Algorithm) -> KeyRecord | None:
    """None where the token holds no such keys, which a test of its own looks at."""
    return keys.get(algorithm)


def verify(record: KeyRecord, scheme: SignatureScheme, signature: bytes, content: bytes) -> None:
    check(record, scheme, signature, content, HASHES.get(scheme.hash_name or ""))


def check(
    record: KeyRecord,
    scheme: SignatureScheme,
    signature: bytes,
    content: bytes,
    hashing: hashes.HashAlgorithm | Prehashed | None,
) -> None:
    """Raises InvalidSignature."""
    key = load_der_public_key(record.public_key)
    if isinstance(key, rsa.RSAPublicKey):
        assert hashing is not None
        pad: padding.AsymmetricPadding = padding.PKCS1v15()
        if scheme.padding == "pss":
            digest = HASHES[scheme.hash_name or ""]
            pad = padding.PSS(padding.MGF1(digest), digest.digest_size)
        key.verify(signature, content, pad, hashing)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        assert hashing is not None
        key.verify(signature, content, ec.ECDSA(hashing))
    else:
        cast(ed25519.Ed25519PublicKey, key).verify(signature, content)


def cases() -> list[tuple[Algorithm, SignatureScheme]]:
    return [
        (algorithm, scheme)
        for algorithm in Algorithm
        for scheme in sorted(algorithm.schemes | algorithm.schemes_tls12)
    ]


@pytest.mark.parametrize(("algorithm", "scheme"), cases())
def test_signs_with_every_scheme_of_every_algorithm(
    token: ReplicatedToken, key: KeyRecord | None, scheme: SignatureScheme
) -> None:
    if key is not None:
        verify(key, scheme, token.sign(key.ski, scheme, CONTENT), CONTENT)


@pytest.mark.parametrize(("algorithm", "scheme"), cases())
def test_signs_digests_for_schemes_with_a_hash(
    token: ReplicatedToken, key: KeyRecord | None, scheme: SignatureScheme
) -> None:
    if key is None:
        return
    if scheme.hash_name is None:
        with pytest.raises(SchemeNotAllowed):
            token.sign_digest(key.ski, scheme, bytes(32))
        return
    digest = hashlib.new(scheme.hash_name, CONTENT).digest()
    signature = token.sign_digest(key.ski, scheme, digest)
    check(key, scheme, signature, digest, Prehashed(HASHES[scheme.hash_name]))
    with pytest.raises(SchemeNotAllowed):
        token.sign_digest(key.ski, scheme, digest[:-1])


@pytest.mark.parametrize("algorithm", Algorithm)
def test_refuses_keys_that_it_cannot_hold(
    token: ReplicatedToken, maker: Maker, algorithm: Algorithm
) -> None:
    if algorithm in maker.others:
        with pytest.raises(SchemeNotAllowed, match="software token"):
            token.generate("not here", algorithm)


@pytest.mark.parametrize("algorithm", Algorithm)
def test_refuses_schemes_of_other_algorithms(
    token: ReplicatedToken, key: KeyRecord | None, algorithm: Algorithm
) -> None:
    if key is None:
        return
    for scheme in set(SignatureScheme) - algorithm.schemes - algorithm.schemes_tls12:
        with pytest.raises(SchemeNotAllowed):
            token.sign(key.ski, scheme, CONTENT)


def test_records_describe_the_keys(token: ReplicatedToken, keys: Keys) -> None:
    listed = token.keys()
    assert [record.label for record in listed] == sorted(record.label for record in listed)
    for algorithm, record in keys.items():
        assert record in listed
        assert record.algorithm is algorithm
        public = cast(PublicKey, load_der_public_key(record.public_key))
        assert record.ski == SubjectKeyIdentifier.from_public_key(public).digest
        assert record.created.tzinfo is not None


def test_a_reload_finds_what_is_held_already(token: ReplicatedToken, keys: Keys) -> None:
    before = token.keys()
    assert not token.reload()
    assert token.keys() == before


def test_a_label_is_used_once(token: ReplicatedToken, keys: Keys) -> None:
    before = token.keys()
    with pytest.raises(LabelTaken, match="choose another label"):
        token.generate(keys[Algorithm.P_256].label, Algorithm.P_256)
    assert token.keys() == before


@pytest.mark.parametrize("label", ["", "*", "ab" * 20, "a\nb"])
def test_labels_that_mean_something_else_are_refused(token: ReplicatedToken, label: str) -> None:
    with pytest.raises(TokenError, match="choose another"):
        token.generate(label, Algorithm.P_256)


def test_an_unknown_key_is_not_found(token: ReplicatedToken) -> None:
    token.generate_cluster_key(900)
    with pytest.raises(KeyNotFound):
        token.sign(bytes(20), SignatureScheme.ED25519, CONTENT)
    with pytest.raises(KeyNotFound):
        token.sign_digest(bytes(20), SignatureScheme.ECDSA_SECP256R1_SHA256, bytes(32))
    with pytest.raises(KeyNotFound):
        token.wrap(bytes(20), 900)
    with pytest.raises(KeyNotFound):
        token.export(bytes(20), token.transport.rsa)
    with pytest.raises(KeyNotFound):
        token.destroy(bytes(20))
    token.destroy_cluster_key(900)


def test_a_key_that_was_made_to_stay_does_not_leave(token: ReplicatedToken) -> None:
    token.generate_cluster_key(901)
    record = token.generate("stays", Algorithm.P_256, extractable=False)
    with pytest.raises(NotExtractable, match="make another"):
        token.wrap(record.ski, 901)
    with pytest.raises(NotExtractable, match="make another"):
        token.export(record.ski, token.transport.rsa)
    token.destroy(record.ski)
    token.destroy_cluster_key(901)


def test_a_destroyed_key_is_gone(token: ReplicatedToken) -> None:
    record = token.generate("goes", Algorithm.P_256)
    token.destroy(record.ski)
    assert record not in token.keys()
    token.reload()
    assert record not in token.keys()
    with pytest.raises(KeyNotFound):
        token.sign(record.ski, SignatureScheme.ECDSA_SECP256R1_SHA256, CONTENT)
    with pytest.raises(KeyNotFound):
        token.destroy(record.ski)
    token.destroy(token.generate("goes", Algorithm.P_256).ski)


def test_the_same_recipient_stays(token: ReplicatedToken) -> None:
    assert token.transport == token.transport
    recipient = load_der_public_key(token.transport.rsa)
    assert isinstance(recipient, rsa.RSAPublicKey)
    assert recipient.key_size == 3072


@pytest.mark.parametrize("recipient", [b"", b"no key", None])
def test_nothing_is_enclosed_to_what_is_no_rsa_key(
    token: ReplicatedToken, keys: Keys, recipient: bytes | None
) -> None:
    curve = keys[Algorithm.P_256].public_key
    with pytest.raises(TokenError, match="RSA key"):
        token.export(keys[Algorithm.P_256].ski, curve if recipient is None else recipient)


def test_a_closed_token_signs_no_more(maker: Maker, tmp_path: Path) -> None:
    token = maker.make(tmp_path)
    record = token.generate("one", Algorithm.P_256)
    token.close()
    with pytest.raises(KeyNotFound):
        token.sign(record.ski, SignatureScheme.ECDSA_SECP256R1_SHA256, CONTENT)
    with pytest.raises(TokenError):
        token.generate("two", Algorithm.P_256)
    token.close()
