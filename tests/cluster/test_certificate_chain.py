"""Chains, checked against the key that they are for."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support.cluster import NOW

from offload.cluster.authority import Authority, pem
from offload.cluster.certificate_chain import checked
from offload.cluster.failures import Invalid
from offload.cluster.profile import CertificateProfile, dated, key_usage, subject

KEY = ec.generate_private_key(ec.SECP256R1())
SPKI = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
AUTHORITY = Authority.create("root", NOW, days=1000)
OTHER = Authority.create("root", NOW)


def leaf(
    profile: CertificateProfile = CertificateProfile.SERVER,
    days: int = 90,
    authority: Authority = AUTHORITY,
) -> str:
    return pem(authority.issue(KEY.public_key(), ["www.example.org"], profile, NOW, days)).decode()


def test_the_leaf_alone_or_with_its_issuers() -> None:
    alone = leaf()
    assert checked(alone, SPKI, NOW) == alone
    chain = alone + AUTHORITY.certificate_pem().decode()
    assert checked("some text before\n" + chain + "\n\n", SPKI, NOW) == chain


def test_a_leaf_without_uses_named_is_taken() -> None:
    plain = dated(KEY.public_key(), NOW, 90).subject_name(subject("x")).issuer_name(subject("x"))
    names = x509.SubjectAlternativeName([x509.DNSName("www.example.org")])
    made = plain.add_extension(names, critical=False).sign(KEY, hashes.SHA256())
    assert checked(pem(made).decode(), SPKI, NOW) == pem(made).decode()
    bare = plain.add_extension(key_usage(authority=False), critical=True).sign(KEY, hashes.SHA256())
    with pytest.raises(Invalid, match="no subject alternative names"):
        checked(pem(bare).decode(), SPKI, NOW)


def test_each_fault_is_named() -> None:
    root, other = AUTHORITY.certificate_pem().decode(), OTHER.certificate_pem().decode()
    for text, days, reason in (
        ("", 0, "not readable"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 0, "not readable"),
        ("x" * 100_001, 0, "longer than"),
        (leaf() * 11, 0, "more than 10"),
        (root, 0, "not for this key"),
        (root + leaf(), 0, "leaf comes first"),
        (leaf(CertificateProfile.CLIENT), 0, "not for TLS servers"),
        (leaf() + other, 0, "was not issued by"),
        (leaf(), 91, "expired on"),
        (leaf(), -1, "not valid before"),
        (leaf(days=2000) + root, 1001, "'CN=root' expired"),
    ):
        with pytest.raises(Invalid, match=reason):
            checked(text, SPKI, NOW + timedelta(days=days))


def test_an_issuer_must_be_an_authority() -> None:
    between = ec.generate_private_key(ec.SECP256R1())
    no_authority = AUTHORITY.issue(
        between.public_key(), ["issuer.example"], CertificateProfile.SERVER, NOW, 90
    )
    builder = dated(KEY.public_key(), NOW, 30).subject_name(subject("x"))
    made = (
        builder.issuer_name(no_authority.subject)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("a.example")]), critical=False)
        .sign(between, hashes.SHA256())
    )
    with pytest.raises(Invalid, match="is no authority"):
        checked(pem(made).decode() + pem(no_authority).decode(), SPKI, NOW)
