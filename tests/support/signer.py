"""A signer beside the provider: keys are local, and what the hook is asked is kept."""

from typing import NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from support.pki import PrivateKey

PKCS1 = 1
PSS = 6

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "SHA2-256": hashes.SHA256(),
    "SHA2-384": hashes.SHA384(),
    "SHA2-512": hashes.SHA512(),
}


class Request(NamedTuple):
    """What the provider asked the hook for."""

    key_id: bytes
    digest: str
    padding: int
    content: bytes


class Signer:
    """Signs with one key as the provider asks: give it to `_native.set_sign`."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self.requests: list[Request] = []

    def __call__(self, key_id: bytes, digest: str, padding: int, content: bytes) -> bytes:
        self.requests.append(Request(key_id, digest, padding, content))
        return sign(self._key, digest, padding, content)


def sign(key: PrivateKey, digest: str, mode: int, content: bytes) -> bytes:
    """Sign `content` by the rules of TLS for the key's type."""
    if isinstance(key, rsa.RSAPrivateKey):
        algorithm = _HASHES[digest]
        if mode == PSS:
            salted = padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)
            return key.sign(content, salted, algorithm)
        return key.sign(content, padding.PKCS1v15(), algorithm)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(content, ec.ECDSA(_HASHES[digest]))
    return key.sign(content)
