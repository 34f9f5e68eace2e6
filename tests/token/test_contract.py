"""What every token keeps to; add another implementation to `MAKERS` to hold it to the same."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.x509 import SubjectKeyIdentifier

from offload.keys.algorithm import Algorithm, PublicKey
from offload.keys.record import KeyRecord
from offload.keys.scheme import SignatureScheme
from offload.token.base import KeyNotFound, LabelTaken, SchemeNotAllowed, Token
from offload.token.sealing import Cost
from offload.token.software import SoftwareToken

CHEAP = Cost(memory_kib=64, iterations=1, lanes=1)
CONTENT = b"the whole to-be-signed"
HASHES = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}

Maker = Callable[[Path], Token]


def make_software(directory: Path) -> Token:
    return SoftwareToken.create(directory / "token", b"passphrase", CHEAP)


MAKERS: dict[str, Maker] = {"software": make_software}


@pytest.fixture(params=list(MAKERS.values()), ids=list(MAKERS), scope="module")
def token(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Token:
    maker: Maker = request.param
    return maker(tmp_path_factory.mktemp("contract"))


@pytest.fixture(scope="module")
def keys(token: Token) -> dict[Algorithm, KeyRecord]:
    return {each: token.generate(f"contract {each}", each) for each in Algorithm}


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
    token: Token, keys: dict[Algorithm, KeyRecord], algorithm: Algorithm, scheme: SignatureScheme
) -> None:
    signature = token.sign(keys[algorithm].ski, scheme, CONTENT)
    verify(keys[algorithm], scheme, signature, CONTENT)


@pytest.mark.parametrize(("algorithm", "scheme"), cases())
def test_signs_digests_for_schemes_with_a_hash(
    token: Token, keys: dict[Algorithm, KeyRecord], algorithm: Algorithm, scheme: SignatureScheme
) -> None:
    record = keys[algorithm]
    if scheme.hash_name is None:
        with pytest.raises(SchemeNotAllowed):
            token.sign_digest(record.ski, scheme, bytes(32))
        return
    hashing = HASHES[scheme.hash_name]
    digest = hashes.Hash(hashing)
    digest.update(CONTENT)
    value = digest.finalize()
    signature = token.sign_digest(record.ski, scheme, value)
    check(record, scheme, signature, value, Prehashed(hashing))
    with pytest.raises(SchemeNotAllowed):
        token.sign_digest(record.ski, scheme, value[:-1])


@pytest.mark.parametrize("algorithm", Algorithm)
def test_refuses_schemes_of_other_algorithms(
    token: Token, keys: dict[Algorithm, KeyRecord], algorithm: Algorithm
) -> None:
    for scheme in set(SignatureScheme) - algorithm.schemes - algorithm.schemes_tls12:
        with pytest.raises(SchemeNotAllowed):
            token.sign(keys[algorithm].ski, scheme, CONTENT)


def test_records_describe_the_keys(token: Token, keys: dict[Algorithm, KeyRecord]) -> None:
    listed = token.keys()
    assert [record.label for record in listed] == sorted(record.label for record in listed)
    for algorithm, record in keys.items():
        assert record in listed
        assert record.algorithm is algorithm
        public = cast(PublicKey, load_der_public_key(record.public_key))
        assert record.ski == SubjectKeyIdentifier.from_public_key(public).digest
        assert record.created.tzinfo is not None


def test_a_label_is_used_once(token: Token, keys: dict[Algorithm, KeyRecord]) -> None:
    before = token.keys()
    with pytest.raises(LabelTaken, match="choose another label"):
        token.generate(keys[Algorithm.P_256].label, Algorithm.P_256)
    assert token.keys() == before


def test_an_unknown_key_is_not_found(token: Token) -> None:
    with pytest.raises(KeyNotFound):
        token.sign(bytes(20), SignatureScheme.ED25519, CONTENT)
    with pytest.raises(KeyNotFound):
        token.sign_digest(bytes(20), SignatureScheme.ECDSA_SECP256R1_SHA256, bytes(32))


@pytest.mark.parametrize("maker", list(MAKERS.values()), ids=list(MAKERS))
def test_a_closed_token_signs_no_more(maker: Maker, tmp_path: Path) -> None:
    token = maker(tmp_path)
    record = token.generate("one", Algorithm.ED25519)
    token.close()
    with pytest.raises(KeyNotFound):
        token.sign(record.ski, SignatureScheme.ED25519, CONTENT)
