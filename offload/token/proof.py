"""That a private key belongs to a public key, shown by a signature over a fresh challenge."""

import os
from collections.abc import Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from offload.keys.algorithm import Algorithm, PublicKey, UnsupportedKey, algorithm_of
from offload.keys.identifier import subject_key_identifier
from offload.keys.scheme import SignatureScheme
from offload.token.base import WrappedKeyInvalid

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


def identify(public_key: bytes) -> tuple[Algorithm, bytes]:
    """Algorithm and subject key identifier of a public key (SPKI, DER).

    Raises WrappedKeyInvalid if it is none, or none that we serve.
    """
    try:
        key = load_der_public_key(public_key)
        algorithm = algorithm_of(key)
        assert isinstance(key, PublicKey)
    except (ValueError, UnsupportedKey) as error:
        raise WrappedKeyInvalid(f"not a public key that a token can serve: {error}") from error
    return algorithm, subject_key_identifier(key)


def prove(public_key: bytes, sign: Callable[[SignatureScheme, bytes], bytes]) -> None:
    """Raise WrappedKeyInvalid unless what `sign` makes is good under `public_key` (SPKI, DER)."""
    key = load_der_public_key(public_key)
    scheme = min(algorithm_of(key).schemes)
    challenge = b"offload proof of possession" + os.urandom(32)
    signature = sign(scheme, challenge)
    hashing = _HASHES.get(scheme.hash_name or "")
    try:
        if isinstance(key, rsa.RSAPublicKey):
            assert hashing is not None
            pad = padding.PSS(padding.MGF1(hashing), hashing.digest_size)
            key.verify(signature, challenge, pad, hashing)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            assert hashing is not None
            key.verify(signature, challenge, ec.ECDSA(hashing))
        else:
            assert isinstance(key, PublicKey)
            key.verify(signature, challenge)
    except InvalidSignature:
        raise WrappedKeyInvalid("the private key is not the one of the public key") from None
