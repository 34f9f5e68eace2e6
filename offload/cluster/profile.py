"""What a certificate is for, and the extensions that say so (RFC 5280 4.2)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Clocks of different machines differ: a certificate made here must be valid there at once.
_SKEW = timedelta(hours=1)

# RFC 5280 appendix A, ub-common-name.
_COMMON_NAME_LIMIT = 64


class CertificateProfile(Enum):
    """The use of a leaf certificate, as its extended key usage."""

    SERVER = ExtendedKeyUsageOID.SERVER_AUTH
    CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


def subject(name: str) -> x509.Name:
    """A subject of one common name, cut off where RFC 5280 ends one."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:_COMMON_NAME_LIMIT])])


def alternative_names(names: Sequence[str]) -> x509.SubjectAlternativeName:
    """`names` as DNS names, or as IP addresses where they are some."""
    if not names:
        raise ValueError("a certificate needs at least one name")
    return x509.SubjectAlternativeName([_general_name(name) for name in names])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def dated(public: CertificatePublicKeyTypes, now: datetime, days: int) -> x509.CertificateBuilder:
    """A builder with key, random serial number, dates and subject key identifier set."""
    return (
        x509.CertificateBuilder()
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def as_leaf(
    builder: x509.CertificateBuilder, names: Sequence[str], profile: CertificateProfile
) -> x509.CertificateBuilder:
    """`builder` with the subject and the extensions of a leaf for `names`."""
    usage = x509.ExtendedKeyUsage([profile.value])
    return (
        builder.subject_name(subject(names[0]))
        .add_extension(alternative_names(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(authority=False), critical=True)
        .add_extension(usage, critical=False)
    )


def key_usage(*, authority: bool) -> x509.KeyUsage:
    """Signing certificates for an authority, signing handshakes for all others."""
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
