"""Private keys are shown to be those of their public keys."""

import pytest
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from offload.keys.algorithm import Algorithm
from offload.token.base import WrappedKeyInvalid
from offload.token.private_key import PrivateKey
from offload.token.proof import identify, prove


@pytest.mark.parametrize("algorithm", [each for each in Algorithm if each != "rsa-4096"])
def test_a_key_proves_itself_and_no_other(algorithm: Algorithm) -> None:
    key, other = PrivateKey.generate(algorithm), PrivateKey.generate(algorithm)
    assert identify(key.public_key) == (algorithm, key.ski)
    prove(key.public_key, lambda scheme, content: key.sign[scheme](content))
    with pytest.raises(WrappedKeyInvalid, match="not the one of the public key"):
        prove(other.public_key, lambda scheme, content: key.sign[scheme](content))


def test_what_cannot_be_served_is_not_identified() -> None:
    exchange = x25519.X25519PrivateKey.generate().public_key()
    encoded = exchange.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for public_key in (b"", b"no key", encoded):
        with pytest.raises(WrappedKeyInvalid, match="not a public key"):
            identify(public_key)
