"""What a worker is asked to sign for a handshake, and the check of what it answered."""

from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from offload.keys.algorithm import Algorithm
from offload.keys.scheme import SignatureScheme
from offload.tls.suspension import KeyOperation

TLS_1_2 = 0x0303
TLS_1_3 = 0x0304

_TLS_1_3_PREFIX = b" " * 64 + b"TLS 1.3, server CertificateVerify\0"
"""What stands before the transcript hash in a server's CertificateVerify (RFC 8446, 4.4.3)."""

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "SHA2-256": hashes.SHA256(),
    "SHA2-384": hashes.SHA384(),
    "SHA2-512": hashes.SHA512(),
}
_PKCS1, _PSS = 1, 6
_RSA_SCHEMES = {
    (_PKCS1, "SHA2-256"): SignatureScheme.RSA_PKCS1_SHA256,
    (_PKCS1, "SHA2-384"): SignatureScheme.RSA_PKCS1_SHA384,
    (_PKCS1, "SHA2-512"): SignatureScheme.RSA_PKCS1_SHA512,
    (_PSS, "SHA2-256"): SignatureScheme.RSA_PSS_RSAE_SHA256,
    (_PSS, "SHA2-384"): SignatureScheme.RSA_PSS_RSAE_SHA384,
    (_PSS, "SHA2-512"): SignatureScheme.RSA_PSS_RSAE_SHA512,
}
_ECDSA_SCHEMES = {
    "SHA2-256": SignatureScheme.ECDSA_SECP256R1_SHA256,
    "SHA2-384": SignatureScheme.ECDSA_SECP384R1_SHA384,
    "SHA2-512": SignatureScheme.ECDSA_SECP521R1_SHA512,
}
_OWN_HASH = {
    Algorithm.ED25519: SignatureScheme.ED25519,
    Algorithm.ML_DSA_44: SignatureScheme.MLDSA44,
    Algorithm.ML_DSA_65: SignatureScheme.MLDSA65,
    Algorithm.ML_DSA_87: SignatureScheme.MLDSA87,
}
_PSS_PADDING = {
    name: padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)
    for name, algorithm in _HASHES.items()
}
_PKCS1_PADDING = padding.PKCS1v15()
_ECDSA = {name: ec.ECDSA(algorithm) for name, algorithm in _HASHES.items()}


class UnexpectedOperation(Exception):
    """OpenSSL asked for a signature that no TLS scheme of the key describes."""


class SiteKey(NamedTuple):
    """The public half of a key that a site's certificate certifies."""

    ski: bytes
    algorithm: Algorithm
    public_key: Any


class SignatureRequest(NamedTuple):
    """One signature that a handshake waits for.

    version: the TLS version's number, 0x0303 or 0x0304.
    payload: what goes to the worker: the transcript hash alone (TLS 1.3: the worker builds what
    stands before it), or client random, server random and ECDH parameters (TLS 1.2).
    operation: OpenSSL's own words, kept for the check.
    """

    key: SiteKey
    scheme: SignatureScheme
    version: int
    payload: bytes
    operation: KeyOperation

    def is_answered_by(self, signature: bytes) -> bool:
        """Whether `signature` is one of the certificate's key over what was to be signed."""
        key, operation = self.key.public_key, self.operation
        try:
            if isinstance(key, rsa.RSAPublicKey):
                digest = operation.digest
                pad = _PSS_PADDING[digest] if operation.padding == _PSS else _PKCS1_PADDING
                key.verify(signature, operation.content, pad, _HASHES[digest])
            elif isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(signature, operation.content, _ECDSA[operation.digest])
            else:
                key.verify(signature, operation.content)
        except InvalidSignature:
            return False
        return True


def signature_request(key: SiteKey, operation: KeyOperation) -> SignatureRequest:
    """Say in TLS's terms what OpenSSL asked for. Raises UnexpectedOperation."""
    content = operation.content
    if content.startswith(_TLS_1_3_PREFIX):
        version, payload = TLS_1_3, content[len(_TLS_1_3_PREFIX) :]
    else:
        version, payload = TLS_1_2, content
    scheme = _scheme(key.algorithm, operation)
    if scheme is None:
        raise UnexpectedOperation(
            f"no signature scheme of {key.algorithm} keys has digest {operation.digest!r}"
            f" and padding {operation.padding}"
        )
    return SignatureRequest(key, scheme, version, payload, operation)


def _scheme(algorithm: Algorithm, operation: KeyOperation) -> SignatureScheme | None:
    if operation.padding:
        return _RSA_SCHEMES.get((operation.padding, operation.digest))
    return _OWN_HASH.get(algorithm) or _ECDSA_SCHEMES.get(operation.digest)
