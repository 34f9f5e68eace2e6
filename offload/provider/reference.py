"""Key references: which key signs, without the key.

The format is told in keyref.h, whose parser is the only reader.
"""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from offload.keys.algorithm import PublicKey
from offload.keys.identifier import subject_key_identifier

_VERSION = 1
_RSA = 1
_CURVES = {"secp256r1": 2, "secp384r1": 3, "secp521r1": 4}
_RAW: dict[type, int] = {
    ed25519.Ed25519PublicKey: 5,
    mldsa.MLDSA44PublicKey: 6,
    mldsa.MLDSA65PublicKey: 7,
    mldsa.MLDSA87PublicKey: 8,
}
# The bounds of keyref.h: whole bytes, and what TLS clients and OpenSSL's servers take.
_RSA_BITS = range(2048, 8192 + 1, 8)


def key_reference(public_key: PublicKey) -> bytes:
    """PEM of a key reference to the private half of `public_key`; it holds no secret.

    `OpenSSL.crypto.load_privatekey(FILETYPE_PEM, ...)` makes it a PKey where the provider is
    loaded. The key id is the subject key identifier (RFC 5280 4.2.1.2, method 1).

    Raises ValueError for a key that the provider does not support.
    """
    algorithm, public, exponent = _parts(public_key)
    body = b"".join(
        (
            bytes((_VERSION, algorithm)),
            subject_key_identifier(public_key),
            len(public).to_bytes(2, "big"),
            public,
            bytes((len(exponent),)),
            exponent,
        )
    )
    encoded = base64.encodebytes(body)
    return (
        b"-----BEGIN OFFLOAD KEY REFERENCE-----\n"
        + encoded
        + b"-----END OFFLOAD KEY REFERENCE-----\n"
    )


def _parts(key: PublicKey) -> tuple[int, bytes, bytes]:
    """Algorithm number, public key and RSA's public exponent, as keyref.h has them."""
    if isinstance(key, rsa.RSAPublicKey):
        return _rsa_parts(key)
    if isinstance(key, ec.EllipticCurvePublicKey):
        algorithm = _CURVES.get(key.curve.name)
        if algorithm is None:
            raise ValueError(f"the curve {key.curve.name} is not supported: use P-256 or P-384")
        return algorithm, key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint), b""
    for kind, algorithm in _RAW.items():
        if isinstance(key, kind):
            return algorithm, key.public_bytes_raw(), b""
    raise ValueError(f"{type(key).__name__} is not supported: use RSA, EC, Ed25519 or ML-DSA")


def _rsa_parts(key: rsa.RSAPublicKey) -> tuple[int, bytes, bytes]:
    if key.key_size not in _RSA_BITS:
        raise ValueError(f"an RSA key of {key.key_size} bits is not supported: use 2048 to 8192")
    numbers = key.public_numbers()
    exponent = numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8, "big")
    if len(exponent) > 8:
        raise ValueError("an RSA public exponent over 64 bits is not supported: use 65537")
    return _RSA, numbers.n.to_bytes(key.key_size // 8, "big"), exponent
