"""Private keys in memory; what they sign is tested in test_contract.py."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from offload.keys.algorithm import Algorithm, UnsupportedKey
from offload.keys.scheme import SignatureScheme
from offload.token.private_key import PrivateKey


@pytest.mark.parametrize("algorithm", Algorithm)
def test_keys_are_encoded_and_loaded(algorithm: Algorithm) -> None:
    key = PrivateKey.generate(algorithm)
    again = PrivateKey.load(key.encode())
    assert (again.algorithm, again.ski, again.public_key) == (algorithm, key.ski, key.public_key)
    assert again.sign.keys() == algorithm.schemes | algorithm.schemes_tls12
    assert again.sign_digest.keys() == {
        scheme for scheme in SignatureScheme if scheme in again.sign and scheme.hash_name
    }


def test_keys_of_no_use_in_tls_are_refused() -> None:
    exchange = x25519.X25519PrivateKey.generate()
    plain = (Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValueError, match="signs no TLS handshake"):
        PrivateKey.load(exchange.private_bytes(*plain))
    with pytest.raises(UnsupportedKey):
        PrivateKey.load(ec.generate_private_key(ec.SECP256K1()).private_bytes(*plain))
    with pytest.raises(ValueError, match="Could not deserialize"):
        PrivateKey.load(b"no key")
