"""A private key that stays in its token, in the shape that cryptography's builders take.

The builders of `cryptography.x509` ask two things of a private key: its `public_key()`, and
`sign()` over the finished structure. `TokenKey` has these two and nothing else: it is
registered as a virtual subclass of the library's abstract key classes, so that no method that
would need the secret (`private_bytes`, `decrypt`) exists even as a name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
    CertificatePublicKeyTypes,
)

from offload.keys.algorithm import UnsupportedKey
from offload.keys.scheme import SignatureScheme
from offload.token.base import Token

Sign = Callable[[SignatureScheme, bytes], bytes]
"""Signs the whole content with a key in a token; blocking."""

# RFC 8446 4.2.3 binds the hash to the curve; certificates follow the same pairs (RFC 5480 4).
_CURVES: dict[str, tuple[SignatureScheme, hashes.HashAlgorithm]] = {
    "secp256r1": (SignatureScheme.ECDSA_SECP256R1_SHA256, hashes.SHA256()),
    "secp384r1": (SignatureScheme.ECDSA_SECP384R1_SHA384, hashes.SHA384()),
    "secp521r1": (SignatureScheme.ECDSA_SECP521R1_SHA512, hashes.SHA512()),
}
_HASHLESS: dict[type, tuple[SignatureScheme, type]] = {
    ed25519.Ed25519PublicKey: (SignatureScheme.ED25519, ed25519.Ed25519PrivateKey),
    mldsa.MLDSA44PublicKey: (SignatureScheme.MLDSA44, mldsa.MLDSA44PrivateKey),
    mldsa.MLDSA65PublicKey: (SignatureScheme.MLDSA65, mldsa.MLDSA65PrivateKey),
    mldsa.MLDSA87PublicKey: (SignatureScheme.MLDSA87, mldsa.MLDSA87PrivateKey),
}


class TokenKey:
    """A key in a token: `sign` asks the token, `hash` is what a builder's `sign()` takes."""

    __slots__ = ("_public", "_scheme", "_sign", "hash")

    def __init__(
        self,
        public: CertificatePublicKeyTypes,
        scheme: SignatureScheme,
        hash_algorithm: hashes.HashAlgorithm | None,
        sign: Sign,
    ) -> None:
        self._public, self._scheme, self._sign = public, scheme, sign
        self.hash = hash_algorithm

    def public_key(self) -> CertificatePublicKeyTypes:
        """The public half."""
        return self._public

    def sign(self, data: bytes, *_parameters: object) -> bytes:
        """The signature over `data`; padding and hash follow from the key, not from the caller."""
        return self._sign(self._scheme, data)

    def for_builder(self) -> tuple[CertificateIssuerPrivateKeyTypes, Any]:
        """The two arguments of a builder's `sign()`: this key, and its hash algorithm."""
        return cast(CertificateIssuerPrivateKeyTypes, self), self.hash


class _RSATokenKey(TokenKey):
    __slots__ = ()


class _CurveTokenKey(TokenKey):
    __slots__ = ()


rsa.RSAPrivateKey.register(_RSATokenKey)
ec.EllipticCurvePrivateKey.register(_CurveTokenKey)


def _hashless(public: type, scheme: SignatureScheme, private: Any) -> type[TokenKey]:
    kind = type(f"_{scheme.name}TokenKey", (TokenKey,), {"__slots__": ()})
    private.register(kind)
    return kind


_HASHLESS_KEYS = {
    public: _hashless(public, scheme, private) for public, (scheme, private) in _HASHLESS.items()
}


def token_key(public: object, sign: Sign) -> TokenKey:
    """The key of `public` whose signatures come from `sign`; raises UnsupportedKey."""
    if isinstance(public, rsa.RSAPublicKey):
        # PKCS#1 v1.5 is what every client accepts in a certificate (RFC 8446 4.2.3).
        return _RSATokenKey(public, SignatureScheme.RSA_PKCS1_SHA256, hashes.SHA256(), sign)
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in _CURVES:
        return _CurveTokenKey(public, *_CURVES[public.curve.name], sign)
    for kind, (scheme, _) in _HASHLESS.items():
        if isinstance(public, kind):
            return _HASHLESS_KEYS[kind](cast(CertificatePublicKeyTypes, public), scheme, None, sign)
    raise UnsupportedKey(f"{type(public).__name__} cannot be put into a certificate")


def signing(token: Token, ski: bytes) -> Sign:
    """Signs with that key of the token."""

    def sign(scheme: SignatureScheme, content: bytes) -> bytes:
        return token.sign(ski, scheme, content)

    return sign
