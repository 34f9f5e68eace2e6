"""The SignatureScheme codepoints of TLS that a worker may be asked for (RFC 8446 4.2.3)."""

from enum import IntEnum
from functools import cached_property
from typing import Literal


class SignatureScheme(IntEnum):
    """A TLS SignatureScheme; ML-DSA as draft-ietf-tls-mldsa registers it with IANA.

    In TLS 1.3 an ECDSA codepoint names hash and curve. In TLS 1.2 its two bytes are read as hash
    and signature algorithm and leave the curve free (RFC 5246 7.4.1.4.1): `Algorithm` knows.
    """

    RSA_PKCS1_SHA256 = 0x0401
    RSA_PKCS1_SHA384 = 0x0501
    RSA_PKCS1_SHA512 = 0x0601
    ECDSA_SECP256R1_SHA256 = 0x0403
    ECDSA_SECP384R1_SHA384 = 0x0503
    ECDSA_SECP521R1_SHA512 = 0x0603
    RSA_PSS_RSAE_SHA256 = 0x0804
    RSA_PSS_RSAE_SHA384 = 0x0805
    RSA_PSS_RSAE_SHA512 = 0x0806
    ED25519 = 0x0807
    MLDSA44 = 0x0904
    MLDSA65 = 0x0905
    MLDSA87 = 0x0906

    @cached_property
    def hash_name(self) -> str | None:
        """The hash as hashlib names it; None where the algorithm hashes by itself."""
        suffix = self.name.rpartition("_")[2].lower()
        return suffix if suffix in _DIGEST_LENGTHS else None

    @cached_property
    def padding(self) -> Literal["pkcs1", "pss"] | None:
        """The RSA padding; None where there is no RSA."""
        if self.name.startswith("RSA_PKCS1"):
            return "pkcs1"
        return "pss" if self.name.startswith("RSA_PSS") else None

    @cached_property
    def digest_length(self) -> int | None:
        """Bytes in the hash; None without one. A PSS salt is as long (RFC 8446 4.2.3)."""
        return None if self.hash_name is None else _DIGEST_LENGTHS[self.hash_name]


_DIGEST_LENGTHS = {"sha256": 32, "sha384": 48, "sha512": 64}
