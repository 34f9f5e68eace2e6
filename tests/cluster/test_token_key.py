import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from support.pki import shared_key

from offload.cluster.token_key import token_key
from offload.keys.algorithm import UnsupportedKey
from offload.keys.scheme import SignatureScheme


@pytest.mark.parametrize(
    ("algorithm", "scheme", "hash_name"),
    [
        ("rsa-2048", SignatureScheme.RSA_PKCS1_SHA256, "sha256"),
        ("p-256", SignatureScheme.ECDSA_SECP256R1_SHA256, "sha256"),
        ("p-384", SignatureScheme.ECDSA_SECP384R1_SHA384, "sha384"),
        ("p-521", SignatureScheme.ECDSA_SECP521R1_SHA512, "sha512"),
        ("ed25519", SignatureScheme.ED25519, None),
        ("ml-dsa-65", SignatureScheme.MLDSA65, None),
    ],
)
def test_the_key_decides_how_it_signs(
    algorithm: str, scheme: SignatureScheme, hash_name: str | None
) -> None:
    asked: list[tuple[SignatureScheme, bytes]] = []

    def sign(scheme: SignatureScheme, content: bytes) -> bytes:
        asked.append((scheme, content))
        return b"signature"

    key = token_key(shared_key(algorithm).public_key(), sign)
    assert (key.hash.name if key.hash else None) == hash_name
    assert key.sign(b"content", "a padding that is not heeded") == b"signature"
    assert asked == [(scheme, b"content")]


def test_there_is_no_way_to_the_secret() -> None:
    key = token_key(shared_key("rsa-2048").public_key(), lambda scheme, content: b"")
    for name in ("private_bytes", "private_numbers", "decrypt"):
        assert not hasattr(key, name)


@pytest.mark.parametrize(
    "public",
    [
        x25519.X25519PrivateKey.generate().public_key(),
        ec.generate_private_key(ec.SECP256K1()).public_key(),
    ],
    ids=["x25519", "secp256k1"],
)
def test_a_key_that_no_certificate_takes_is_refused(public: object) -> None:
    with pytest.raises(UnsupportedKey):
        token_key(public, lambda scheme, content: b"")
