"""The fingerprint of a public key, as two people compare it over the telephone."""

from __future__ import annotations

import hmac
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_GROUP = 4
_SEPARATORS = str.maketrans("", "", " :-\t\r\n")


def key_fingerprint(public: CertificatePublicKeyTypes) -> str:
    """SHA-256 of the SubjectPublicKeyInfo (DER), 64 hexadecimal digits."""
    encoded = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return sha256(encoded).hexdigest()


def grouped(fingerprint: str) -> str:
    """In groups of four digits, for reading."""
    starts = range(0, len(fingerprint), _GROUP)
    return " ".join(fingerprint[start : start + _GROUP] for start in starts)


def same(fingerprint: str, typed: str) -> bool:
    """Whether somebody typed that fingerprint, grouped in any way; in constant time."""
    digits = typed.translate(_SEPARATORS).lower()
    return hmac.compare_digest(fingerprint.encode(), digits.encode(errors="replace"))
