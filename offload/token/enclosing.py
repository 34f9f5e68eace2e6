"""Keys on their way from token to token, for tokens whose keys are in this process's memory.

Three forms. *Wrapped*: a PKCS #8 key under an AES-256 key (RFC 5649). *Enclosed* to an RSA key:
RSA-OAEP of a fresh AES-256 key, then the PKCS #8 key wrapped under that; what CKM_RSA_AES_KEY_WRAP
makes with a hash of SHA-1, which is the one hash that every PKCS#11 module knows for OAEP and of
whose collisions OAEP needs no resistance. A *cluster key* is enclosed by HPKE (RFC 9180) where the
receiver can, by RSA-OAEP where an HSM has to open it; its first byte says which.
"""

import json
import os
from collections.abc import Callable
from typing import Self

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap_with_padding,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from offload.token.base import TokenError, TransportKeys, WrappedKeyInvalid
from offload.token.sealing import decode, encode

AES_KEY = 32
"""Bytes of every AES key here."""

BY_HPKE = b"\x01"
BY_RSA = b"\x02"

TRANSPORT_BITS = 3072
_LEAST_BITS = 2048

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_HPKE_FAILURES = (InvalidTag, ValueError)


def oaep() -> padding.OAEP:
    """RSA-OAEP as all sides do it (RFC 8017 7.1): SHA-1, MGF1 with SHA-1, no label."""
    sha1 = hashes.SHA1()  # noqa: S303 - for OAEP, see the module
    return padding.OAEP(padding.MGF1(sha1), sha1, None)


def wrap(key: bytes, plain: bytes) -> bytes:
    """`plain` under the AES key `key` (RFC 5649)."""
    return aes_key_wrap_with_padding(key, plain)


def unwrap(key: bytes, wrapped: bytes) -> bytes:
    """What `wrap` wrapped; raises WrappedKeyInvalid."""
    try:
        return aes_key_unwrap_with_padding(key, wrapped)
    except (InvalidUnwrap, ValueError):
        raise WrappedKeyInvalid("the wrapped key was altered or is of another cluster") from None


def unwrap_pkcs8(key: bytes, wrapped: bytes) -> bytes:
    """The PKCS #8 key (DER) that a token wrapped; raises WrappedKeyInvalid."""
    plain = unwrap(key, wrapped)
    # SoftHSM 2.6 fills up the key with zeros to whole blocks of eight, which RFC 5649 then counts.
    size = _der_size(plain)
    if not 0 <= len(plain) - size < 8 or any(plain[size:]):
        raise WrappedKeyInvalid("what was wrapped is no private key")
    return plain[:size]


def _der_size(encoded: bytes) -> int:
    """Bytes of the one element that `encoded` begins with (X.690 8.1.3)."""
    first = encoded[1] if len(encoded) > 1 else 0
    if first < 0x80:
        return 2 + first
    count = first & 0x7F
    return 2 + count + int.from_bytes(encoded[2 : 2 + count])


def rsa_recipient(public_key: bytes) -> rsa.RSAPublicKey:
    """The RSA key of an SPKI (DER) that something is enclosed to; raises TokenError."""
    try:
        key = load_der_public_key(public_key)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TokenError("the recipient is no public key: give an RSA key, SPKI in DER") from error
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < _LEAST_BITS:
        raise TokenError(f"the recipient is no RSA key of {_LEAST_BITS} bits or more: give one")
    return key


def enclose(plain: bytes, recipient: bytes) -> bytes:
    """A PKCS #8 key enclosed to an RSA public key (SPKI, DER); raises TokenError."""
    key = os.urandom(AES_KEY)
    return rsa_recipient(recipient).encrypt(key, oaep()) + wrap(key, plain)


def enclose_cluster_key(key: bytes, generation: int, recipient: TransportKeys) -> bytes:
    """A cluster key for another token; raises TokenError if the recipient's keys are none."""
    if recipient.hpke is None:
        return BY_RSA + rsa_recipient(recipient.rsa).encrypt(key, oaep())
    try:
        public = X25519PublicKey.from_public_bytes(recipient.hpke)
        return BY_HPKE + _SUITE.encrypt(key, public, info=_info(generation))
    except ValueError as error:
        raise TokenError("the recipient has no X25519 key: let it send its keys again") from error


class TransportSecrets:
    """The private keys that open what was enclosed to a token."""

    __slots__ = ("_hpke", "_rsa")

    def __init__(self, rsa_key: rsa.RSAPrivateKey, hpke_key: X25519PrivateKey) -> None:
        self._rsa, self._hpke = rsa_key, hpke_key

    @classmethod
    def generate(cls) -> Self:
        """New ones."""
        return cls(rsa.generate_private_key(65537, TRANSPORT_BITS), X25519PrivateKey.generate())

    @classmethod
    def load(cls, encoded: bytes) -> Self:
        """Those of `encode()`, from where nobody can have changed them; raises ValueError."""
        fields = json.loads(encoded)
        key = load_der_private_key(decode(fields["rsa"]), None, unsafe_skip_rsa_key_validation=True)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ValueError("not an RSA key")
        return cls(key, X25519PrivateKey.from_private_bytes(decode(fields["hpke"])))

    def encode(self) -> bytes:
        """Both keys, not encrypted."""
        plain = (Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        fields = {
            "rsa": encode(self._rsa.private_bytes(*plain)),
            "hpke": encode(self._hpke.private_bytes_raw()),
        }
        return json.dumps(fields).encode()

    @property
    def public(self) -> TransportKeys:
        """What others enclose to."""
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        public = self._hpke.public_key().public_bytes_raw()
        return TransportKeys(self._rsa.public_key().public_bytes(*form), public)

    def open(self, enclosed: bytes) -> bytes:
        """The PKCS #8 key of `enclose`; raises WrappedKeyInvalid."""
        size = self._rsa.key_size // 8
        return unwrap_pkcs8(self._decrypted(enclosed[:size]), enclosed[size:])

    def open_cluster_key(self, enclosed: bytes, generation: int) -> bytes:
        """The AES-256 key of `enclose_cluster_key`; raises WrappedKeyInvalid."""
        form, content = enclosed[:1], enclosed[1:]
        openers: dict[bytes, Callable[[], bytes]] = {
            BY_HPKE: lambda: self._decapsulated(content, generation),
            BY_RSA: lambda: self._decrypted(content),
        }
        if form not in openers:
            raise WrappedKeyInvalid("not an enclosed cluster key that this version can open")
        return openers[form]()

    def _decapsulated(self, content: bytes, generation: int) -> bytes:
        try:
            return _sized(_SUITE.decrypt(content, self._hpke, info=_info(generation)))
        except _HPKE_FAILURES:
            raise WrappedKeyInvalid(
                "the enclosed cluster key was altered or is another's"
            ) from None

    def _decrypted(self, content: bytes) -> bytes:
        try:
            return _sized(self._rsa.decrypt(content, oaep()))
        except ValueError:
            raise WrappedKeyInvalid("the enclosed key was altered or is another's") from None


def _sized(key: bytes) -> bytes:
    if len(key) != AES_KEY:
        raise ValueError("not an AES-256 key")
    return key


def _info(generation: int) -> bytes:
    return b"offload cluster key %d" % generation
