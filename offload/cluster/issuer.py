"""Issuing certificates with a CA's key, wherever that key is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from offload.cluster.certification import BadSignature
from offload.cluster.profile import CertificateProfile, as_leaf, dated, key_usage, subject
from offload.cluster.token_key import TokenKey

AUTHORITY_DAYS = 3650
IDENTITY_DAYS = 730
AUTHORITY_LABEL = "cluster-authority"
"""Of the CA's key, where that is one of the cluster's keys."""

IssuerKey = ec.EllipticCurvePrivateKey | TokenKey


class Issuer:
    """A CA that signs leaf certificates only (path length 0). Signing blocks where the key does."""

    __slots__ = ("_key", "certificate")

    def __init__(self, certificate: x509.Certificate, key: IssuerKey) -> None:
        """Raises ValueError if the key is not that of the certificate."""
        if certificate.public_key() != key.public_key():
            raise ValueError("the authority's key does not belong to its certificate")
        self.certificate, self._key = certificate, key

    def issue(
        self,
        public: CertificatePublicKeyTypes,
        names: Sequence[str],
        profile: CertificateProfile,
        now: datetime,
        days: int = IDENTITY_DAYS,
    ) -> x509.Certificate:
        """A leaf certificate for `public`, whose private key this process need not hold.

        The first of `names` (DNS names and addresses) is also its subject. Raises BadSignature.
        """
        identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
            self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        )
        builder = (
            as_leaf(dated(public, now, days), names, profile)
            .issuer_name(self.certificate.subject)
            .add_extension(identifier, critical=False)
        )
        return _signed(builder, self._key, self.certificate)


def root(name: str, key: IssuerKey, now: datetime, days: int = AUTHORITY_DAYS) -> x509.Certificate:
    """A certificate that `key` signs for itself, of a CA called `name`; raises BadSignature."""
    public = key.public_key()
    builder = (
        dated(public, now, days)
        .subject_name(subject(name))
        .issuer_name(subject(name))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(authority=True), critical=True)
    )
    return _signed(builder, key, None)


def _signed(
    builder: x509.CertificateBuilder, key: IssuerKey, issuer: x509.Certificate | None
) -> x509.Certificate:
    if isinstance(key, TokenKey):
        made = builder.sign(*key.for_builder())
    else:
        made = builder.sign(key, hashes.SHA256())
    try:
        made.verify_directly_issued_by(issuer or made)
    except InvalidSignature:
        raise BadSignature("the token's signature does not verify") from None
    return made
