"""The private CA of a cluster: it issues the identities of mutual TLS.

Keys are P-256: their signatures are the cheapest that every TLS stack verifies.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from offload.cluster.issuer import AUTHORITY_DAYS, IDENTITY_DAYS, Issuer, root
from offload.cluster.profile import CertificateProfile


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER certificate in hexadecimal: how a worker knows a front-end."""
        return fingerprint(x509.load_pem_x509_certificate(self.certificate))


class Authority(Issuer):
    """A CA whose key is in memory, and in a file that its owner keeps off-line."""

    __slots__ = ("_private",)

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        super().__init__(certificate, key)
        self._private = key

    @classmethod
    def create(cls, name: str, now: datetime, days: int = AUTHORITY_DAYS) -> Authority:
        """A new authority called `name`, valid for `days` from `now` (aware, UTC)."""
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(root(name, key, now, days), key)

    @classmethod
    def from_pem(cls, certificate: bytes, key: bytes) -> Authority:
        """The authority of two PEM files; raises ValueError on any other key than an EC one."""
        private = serialization.load_pem_private_key(key, password=None)
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise ValueError("the authority's key is not an elliptic-curve key")
        return cls(x509.load_pem_x509_certificate(certificate), private)

    def certificate_pem(self) -> bytes:
        """The authority's own certificate, for others' trust files."""
        return pem(self.certificate)

    def key_pem(self) -> bytes:
        """The authority's private key, unencrypted: keep it off-line."""
        return key_pem(self._private)

    def issue_worker(self, name: str, now: datetime, days: int = IDENTITY_DAYS) -> Identity:
        """The identity of a worker: a TLS server that front-ends reach as `name`."""
        return self._issue_identity(name, CertificateProfile.SERVER, now, days)

    def issue_frontend(self, name: str, now: datetime, days: int = IDENTITY_DAYS) -> Identity:
        """The identity of a front-end: a TLS client of the workers."""
        return self._issue_identity(name, CertificateProfile.CLIENT, now, days)

    def _issue_identity(
        self, name: str, profile: CertificateProfile, now: datetime, days: int
    ) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.issue(key.public_key(), [name], profile, now, days)
        return Identity(pem(certificate), key_pem(key))


def pem(certificate: x509.Certificate) -> bytes:
    """`certificate` as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the DER encoding, 64 hexadecimal digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """`key` as PEM (PKCS #8), unencrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
