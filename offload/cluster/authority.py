"""The private CA of a cluster: it issues the identities of mutual TLS.

Keys are P-256: their signatures are the cheapest that every TLS stack verifies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from offload.cluster.profile import CertificateProfile, as_leaf, dated, key_usage, subject

AUTHORITY_DAYS = 3650
IDENTITY_DAYS = 730


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER certificate in hexadecimal: how a worker knows a front-end."""
        return fingerprint(x509.load_pem_x509_certificate(self.certificate))


class Authority:
    """A CA that signs leaf certificates only (path length 0)."""

    __slots__ = ("_key", "certificate")

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        if certificate.public_key() != key.public_key():
            raise ValueError("the authority's key does not belong to its certificate")
        self.certificate, self._key = certificate, key

    @classmethod
    def create(cls, name: str, now: datetime, days: int = AUTHORITY_DAYS) -> Authority:
        """A new authority called `name`, valid for `days` from `now` (aware, UTC)."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            dated(key.public_key(), now, days)
            .subject_name(subject(name))
            .issuer_name(subject(name))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(key_usage(authority=True), critical=True)
        )
        return cls(builder.sign(key, hashes.SHA256()), key)

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
        return _key_pem(self._key)

    def issue_worker(self, name: str, now: datetime, days: int = IDENTITY_DAYS) -> Identity:
        """The identity of a worker: a TLS server that front-ends reach as `name`."""
        return self._issue_identity(name, CertificateProfile.SERVER, now, days)

    def issue_frontend(self, name: str, now: datetime, days: int = IDENTITY_DAYS) -> Identity:
        """The identity of a front-end: a TLS client of the workers."""
        return self._issue_identity(name, CertificateProfile.CLIENT, now, days)

    def issue(
        self,
        public: CertificatePublicKeyTypes,
        names: Sequence[str],
        profile: CertificateProfile,
        now: datetime,
        days: int,
    ) -> x509.Certificate:
        """A leaf certificate for `public`, whose private key this process need not hold."""
        identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
            self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        )
        return (
            as_leaf(dated(public, now, days), names, profile)
            .issuer_name(self.certificate.subject)
            .add_extension(identifier, critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _issue_identity(
        self, name: str, profile: CertificateProfile, now: datetime, days: int
    ) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.issue(key.public_key(), [name], profile, now, days)
        return Identity(pem(certificate), _key_pem(key))


def pem(certificate: x509.Certificate) -> bytes:
    """`certificate` as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the DER encoding, 64 hexadecimal digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
