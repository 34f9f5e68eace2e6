"""Keys on their way in and out of a cluster, as files.

In: a private key as people have it (PEM or PKCS #12, encrypted or not), enclosed here to the RSA
key of a member's token: nobody else can open it, and no clear key leaves this process. Out: a key
that a token enclosed to an RSA key, or PKCS #8 under a passphrase.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
    load_pem_public_key,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from offload.cli.failure import Failure
from offload.cli.session import Transport
from offload.cluster.views import ExportView
from offload.keys.algorithm import UnsupportedKey, algorithm_of
from offload.token.base import TokenError, WrappedKeyInvalid
from offload.token.enclosing import TRANSPORT_BITS, TransportSecrets, enclose

_LEAST_BITS = 3072
_PEM = b"-----BEGIN"


class Enclosed(BaseModel):
    """A file with an enclosed key, as `key export` writes it. member: the one that can open it, ''
    if that is not known; public_key: PEM; enclosed: base64.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    member: str = ""
    public_key: str
    enclosed: str = Field(repr=False)

    @classmethod
    def read(cls, content: bytes) -> Enclosed:
        """Raises Failure."""
        try:
            return cls.model_validate_json(content)
        except ValidationError:
            raise Failure(
                "the file has no enclosed key", "name one that 'offload key export' wrote"
            ) from None


def private_key(content: bytes, passphrase: Callable[[], bytes]) -> Any:
    """The private key in a file, PEM or PKCS #12; `passphrase` is called if it needs one.

    Raises Failure.
    """
    try:
        key = _pem(content, passphrase) if _PEM in content else _pkcs12(content, passphrase)
        algorithm_of(key.public_key())
    except UnsupportedKey as error:
        raise Failure(f"the key cannot be used here: {error}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm, AttributeError):
        raise Failure(
            "the file has no private key that can be read, or the passphrase is another",
            "name a file in PEM or PKCS #12, and the right '--passphrase-file'",
        ) from None
    return key


def enclosed_to(transport: Transport, key: Any) -> Enclosed:
    """The key for that member alone; raises Failure."""
    plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    try:
        made = enclose(plain, transport.rsa)
    except TokenError as error:
        raise Failure(str(error)) from error
    return Enclosed(
        member=transport.member,
        public_key=public.decode(),
        enclosed=base64.b64encode(made).decode(),
    )


def recipient(content: bytes) -> str:
    """The RSA public key in a file, as PEM; raises Failure."""
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < _LEAST_BITS:
        raise Failure(
            f"the recipient is no RSA public key (PEM) of {_LEAST_BITS} bits or more",
            "name one that 'offload key transport' or 'openssl pkey -pubout' wrote",
        )
    return public_pem(key)


def ephemeral() -> rsa.RSAPrivateKey:
    """A key for one export."""
    return rsa.generate_private_key(65537, TRANSPORT_BITS)


def public_pem(key: rsa.RSAPublicKey) -> str:
    """Its SubjectPublicKeyInfo."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def under_passphrase(key: Any, passphrase: bytes) -> bytes:
    """A private key as encrypted PKCS #8, PEM (RFC 5958)."""
    made: bytes = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase)
    )
    return made


def opened(key: rsa.RSAPrivateKey, export: ExportView) -> Any:
    """The private key that was exported to `key`; raises Failure."""
    secrets = TransportSecrets(key, X25519PrivateKey.generate())
    try:
        plain = secrets.open(base64.b64decode(export.enclosed, validate=True))
        return load_der_private_key(plain, None)
    except (WrappedKeyInvalid, ValueError, UnsupportedAlgorithm, binascii.Error):
        raise Failure(
            "what the cluster exported cannot be opened", "export it again with '--recipient'"
        ) from None


def _pem(content: bytes, passphrase: Callable[[], bytes]) -> Any:
    # A file may have certificates before the key.
    start = max(content.find(b"-----BEGIN " + name) for name in _KEYS)
    content = content[max(start, 0) :]
    try:
        return load_pem_private_key(content, None)
    except TypeError:
        return load_pem_private_key(content, passphrase())


_KEYS = (b"PRIVATE KEY", b"ENCRYPTED PRIVATE KEY", b"RSA PRIVATE KEY", b"EC PRIVATE KEY")


def _pkcs12(content: bytes, passphrase: Callable[[], bytes]) -> Any:
    try:
        return load_key_and_certificates(content, None)[0]
    except ValueError:
        return load_key_and_certificates(content, passphrase())[0]
