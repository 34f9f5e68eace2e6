"""The kinds of key that the product knows, the schemes each may serve and what each costs."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa

from offload.keys.scheme import SignatureScheme


class UnsupportedKey(ValueError):
    """A public key of a kind or size that the product does not serve."""


class Algorithm(StrEnum):
    """The kind of a key; the value is its name in configuration, logs and metrics."""

    RSA_2048 = "rsa-2048"
    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"
    P_256 = "p-256"
    P_384 = "p-384"
    P_521 = "p-521"
    ED25519 = "ed25519"
    ML_DSA_44 = "ml-dsa-44"
    ML_DSA_65 = "ml-dsa-65"
    ML_DSA_87 = "ml-dsa-87"

    @property
    def schemes(self) -> frozenset[SignatureScheme]:
        """What such a key may sign in TLS 1.3; never PKCS#1 v1.5 (RFC 8446 4.2.3)."""
        return _TLS_1_3[self]

    @property
    def schemes_tls12(self) -> frozenset[SignatureScheme]:
        """What such a key may sign in TLS 1.2: any hash on any curve (RFC 5246, RFC 8422 5.10)."""
        return _TLS_1_2[self]

    @property
    def cost(self) -> float:
        """CPU-µs of one signature on the machine it was measured on; a weight, not a promise."""
        return _COST[self]


PublicKey = (
    rsa.RSAPublicKey
    | ec.EllipticCurvePublicKey
    | ed25519.Ed25519PublicKey
    | mldsa.MLDSA44PublicKey
    | mldsa.MLDSA65PublicKey
    | mldsa.MLDSA87PublicKey
)

_PKCS1 = frozenset(scheme for scheme in SignatureScheme if scheme.padding == "pkcs1")
_PSS = frozenset(scheme for scheme in SignatureScheme if scheme.padding == "pss")
_ECDSA = frozenset(scheme for scheme in SignatureScheme if scheme.name.startswith("ECDSA"))
_RSA: Final = (Algorithm.RSA_2048, Algorithm.RSA_3072, Algorithm.RSA_4096)

_TLS_1_3: Mapping[Algorithm, frozenset[SignatureScheme]] = {
    **dict.fromkeys(_RSA, _PSS),
    Algorithm.P_256: frozenset({SignatureScheme.ECDSA_SECP256R1_SHA256}),
    Algorithm.P_384: frozenset({SignatureScheme.ECDSA_SECP384R1_SHA384}),
    Algorithm.P_521: frozenset({SignatureScheme.ECDSA_SECP521R1_SHA512}),
    Algorithm.ED25519: frozenset({SignatureScheme.ED25519}),
    Algorithm.ML_DSA_44: frozenset({SignatureScheme.MLDSA44}),
    Algorithm.ML_DSA_65: frozenset({SignatureScheme.MLDSA65}),
    Algorithm.ML_DSA_87: frozenset({SignatureScheme.MLDSA87}),
}

# ML-DSA is defined for TLS 1.3 alone.
_TLS_1_2: Mapping[Algorithm, frozenset[SignatureScheme]] = {
    **dict.fromkeys(_RSA, _PKCS1 | _PSS),
    **dict.fromkeys((Algorithm.P_256, Algorithm.P_384, Algorithm.P_521), _ECDSA),
    Algorithm.ED25519: frozenset({SignatureScheme.ED25519}),
    **dict.fromkeys((Algorithm.ML_DSA_44, Algorithm.ML_DSA_65, Algorithm.ML_DSA_87), frozenset()),
}

# Measured with cryptography 50 (OpenSSL 4.0) on an AMD EPYC with AVX-512 IFMA.
_COST: Mapping[Algorithm, float] = {
    Algorithm.RSA_2048: 275.0,
    Algorithm.RSA_3072: 752.0,
    Algorithm.RSA_4096: 1501.0,
    Algorithm.P_256: 22.0,
    Algorithm.P_384: 200.0,
    Algorithm.P_521: 300.0,
    Algorithm.ED25519: 33.0,
    Algorithm.ML_DSA_44: 700.0,
    Algorithm.ML_DSA_65: 1200.0,
    Algorithm.ML_DSA_87: 1500.0,
}

_CURVES: Mapping[str, Algorithm] = {
    "secp256r1": Algorithm.P_256,
    "secp384r1": Algorithm.P_384,
    "secp521r1": Algorithm.P_521,
}

_OTHERS: tuple[tuple[type, Algorithm], ...] = (
    (ed25519.Ed25519PublicKey, Algorithm.ED25519),
    (mldsa.MLDSA44PublicKey, Algorithm.ML_DSA_44),
    (mldsa.MLDSA65PublicKey, Algorithm.ML_DSA_65),
    (mldsa.MLDSA87PublicKey, Algorithm.ML_DSA_87),
)


def algorithm_of(public_key: object) -> Algorithm:
    """The kind of `public_key`, one of cryptography's public key objects.

    Raises UnsupportedKey for a kind, curve or modulus that the product does not serve.
    """
    found: Algorithm | None = None
    what = type(public_key).__name__
    if isinstance(public_key, rsa.RSAPublicKey):
        what = f"RSA with {public_key.key_size} bits"
        found = next((one for one in _RSA if one == f"rsa-{public_key.key_size}"), None)
    elif isinstance(public_key, ec.EllipticCurvePublicKey):
        what = f"curve {public_key.curve.name}"
        found = _CURVES.get(public_key.curve.name)
    else:
        found = next((one for kind, one in _OTHERS if isinstance(public_key, kind)), None)
    if found is None:
        raise UnsupportedKey(f"{what} is not supported; use a key of {', '.join(Algorithm)}")
    return found
