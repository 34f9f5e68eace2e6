"""A private key in memory and what it can sign."""

from collections.abc import Callable
from functools import partial

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from offload.keys.algorithm import Algorithm, algorithm_of
from offload.keys.identifier import subject_key_identifier
from offload.keys.scheme import SignatureScheme
from offload.token.base import TokenError

Sign = Callable[[bytes], bytes]

_SelfHashing = (
    ed25519.Ed25519PrivateKey
    | mldsa.MLDSA44PrivateKey
    | mldsa.MLDSA65PrivateKey
    | mldsa.MLDSA87PrivateKey
)
_Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | _SelfHashing

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}

_GENERATE: dict[Algorithm, Callable[[], _Key]] = {
    Algorithm("rsa-2048"): partial(rsa.generate_private_key, 65537, 2048),
    Algorithm("rsa-3072"): partial(rsa.generate_private_key, 65537, 3072),
    Algorithm("rsa-4096"): partial(rsa.generate_private_key, 65537, 4096),
    Algorithm("p-256"): partial(ec.generate_private_key, ec.SECP256R1()),
    Algorithm("p-384"): partial(ec.generate_private_key, ec.SECP384R1()),
    Algorithm("p-521"): partial(ec.generate_private_key, ec.SECP521R1()),
    Algorithm("ed25519"): ed25519.Ed25519PrivateKey.generate,
    Algorithm("ml-dsa-44"): mldsa.MLDSA44PrivateKey.generate,
    Algorithm("ml-dsa-65"): mldsa.MLDSA65PrivateKey.generate,
    Algorithm("ml-dsa-87"): mldsa.MLDSA87PrivateKey.generate,
}


class PrivateKey:
    """One key; `sign` and `sign_digest` map each scheme it may sign with to the ready call.

    The calls are made once, so that a signature costs two look-ups and the signature itself.
    """

    __slots__ = ("_key", "algorithm", "public_key", "sign", "sign_digest", "ski")

    def __init__(self, key: _Key) -> None:
        """Raises UnsupportedKey if we have no use for such a key."""
        self._key = key
        public_key = key.public_key()
        self.algorithm = algorithm_of(public_key)
        self.ski = subject_key_identifier(public_key)
        self.public_key = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        schemes = self.algorithm.schemes | self.algorithm.schemes_tls12
        self.sign = {int(scheme): _signer(key, scheme) for scheme in schemes}
        self.sign_digest = {
            int(scheme): _signer(key, scheme, prehashed=True)
            for scheme in schemes
            if scheme.hash_name is not None
        }

    @classmethod
    def generate(cls, algorithm: Algorithm) -> "PrivateKey":
        """A new key; raises TokenError if the library cannot make one of that algorithm."""
        try:
            return cls(_GENERATE[algorithm]())
        except UnsupportedAlgorithm as error:
            raise TokenError(f"the loaded OpenSSL makes no {algorithm} keys") from error

    @classmethod
    def load(cls, encoded: bytes, *, strange: bool = False) -> "PrivateKey":
        """The key of `encode()`; `strange` if it does not come from where we, or a token of our
        cluster, put it.

        Raises ValueError, UnsupportedAlgorithm or UnsupportedKey.
        """
        # The library would prove an RSA key's primes anew, up to half a second for each. What is
        # not strange was checked when it was made, and its encryption vouches that it is the same.
        key = load_der_private_key(
            encoded, password=None, unsafe_skip_rsa_key_validation=not strange
        )
        if not isinstance(key, _Key):
            raise ValueError("a key that signs no TLS handshake")
        return cls(key)

    def encode(self) -> bytes:
        """PKCS #8 DER, not encrypted."""
        return self._key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _signer(key: _Key, scheme: SignatureScheme, *, prehashed: bool = False) -> Sign:
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        return key.sign
    hash_algorithm = _HASHES[scheme.hash_name or "sha256"]
    hashing = Prehashed(hash_algorithm) if prehashed else hash_algorithm
    if isinstance(key, ec.EllipticCurvePrivateKey):
        ecdsa = ec.ECDSA(hashing)
        return lambda content: key.sign(content, ecdsa)
    pad = _padding(scheme, hash_algorithm)
    return lambda content: key.sign(content, pad, hashing)


def _padding(
    scheme: SignatureScheme, hash_algorithm: hashes.HashAlgorithm
) -> padding.AsymmetricPadding:
    if scheme.padding == "pss":
        # RFC 8446 4.2.3: the salt is as long as the digest.
        return padding.PSS(padding.MGF1(hash_algorithm), hash_algorithm.digest_size)
    return padding.PKCS1v15()
