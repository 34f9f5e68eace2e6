"""Key references as bytes: what is in them, and for which keys there are none."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from support.pki import ALGORITHMS, generate_key, shared_key

from offload.keys.identifier import subject_key_identifier
from offload.provider import key_reference


def _body(reference: bytes) -> bytes:
    lines = reference.splitlines()
    assert lines[0] == b"-----BEGIN OFFLOAD KEY REFERENCE-----"
    assert lines[-1] == b"-----END OFFLOAD KEY REFERENCE-----"
    return base64.b64decode(b"".join(lines[1:-1]), validate=True)


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if not name.startswith("rsa")])
def test_a_reference_has_the_key_id_and_the_public_key(algorithm: str) -> None:
    public = shared_key(algorithm).public_key()

    body = _body(key_reference(public))

    assert body[0] == 1
    assert body[2:22] == subject_key_identifier(public)
    length = int.from_bytes(body[22:24], "big")
    assert body[24 + length :] == b"\0"


def test_an_rsa_reference_has_modulus_and_exponent() -> None:
    key = shared_key("rsa-2048")
    assert isinstance(key, rsa.RSAPrivateKey)
    numbers = key.public_key().public_numbers()

    body = _body(key_reference(key.public_key()))

    assert body[:2] == b"\1\1"
    assert body[22:24] == (256).to_bytes(2, "big")
    assert body[24:280] == numbers.n.to_bytes(256, "big")
    assert body[280:] == b"\3" + (65537).to_bytes(3, "big")


def test_nothing_of_the_private_key_is_in_a_reference() -> None:
    key = generate_key("p-256")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    secret = key.private_numbers().private_value.to_bytes(32, "big")

    assert secret not in _body(key_reference(key.public_key()))


def test_keys_that_the_provider_does_not_know_are_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match="the curve secp256k1 is not supported: use P-256"):
        key_reference(ec.generate_private_key(ec.SECP256K1()).public_key())
    with pytest.raises(ValueError, match="an RSA key of 1024 bits is not supported: use 2048"):
        key_reference(_rsa(1024))
    with pytest.raises(ValueError, match="an RSA key of 2052 bits is not supported"):
        key_reference(_rsa(2052))
    with pytest.raises(ValueError, match="public exponent over 64 bits"):
        key_reference(_rsa(2048, exponent=(1 << 64) + 1))
    with pytest.raises(ValueError, match="X25519PublicKey is not supported: use RSA"):
        key_reference(x25519.X25519PrivateKey.generate().public_key())  # type: ignore[arg-type]


def _rsa(bits: int, exponent: int = 65537) -> rsa.RSAPublicKey:
    modulus = (1 << (bits - 1)) + 1
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()
