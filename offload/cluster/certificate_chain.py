"""A certificate chain, checked against the key that it is for (RFC 5280 6, without an anchor).

What a chain ends in is for clients to judge: a front-end serves what its owner installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from offload.cluster.failures import Invalid

_FOR_SERVERS = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
_MAX_CERTIFICATES = 10
_MAX_PEM = 100_000


def checked(text: str, public_key: bytes, now: datetime) -> str:
    """The chain as PEM, the leaf first, nothing else in it; raises Invalid.

    public_key: SubjectPublicKeyInfo (DER) that the leaf must have.
    """
    chain = _parsed(text)
    leaf = chain[0]
    if (
        leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        != public_key
    ):
        raise Invalid(
            "the first certificate is not for this key: the leaf comes first, and the request must"
            " be this generation's"
        )
    for certificate in chain:
        _check_dates(certificate, now)
    _check_leaf(leaf)
    for below, above in pairwise(chain):
        _check_issued(below, above)
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in chain)


def _parsed(text: str) -> Sequence[x509.Certificate]:
    if len(text) > _MAX_PEM:
        raise Invalid(f"the chain is longer than {_MAX_PEM} characters")
    try:
        chain = x509.load_pem_x509_certificates(text.encode())
        _ = [one.extensions for one in chain]
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Invalid("the chain is not readable: it is to be certificates in PEM") from error
    if len(chain) > _MAX_CERTIFICATES:
        raise Invalid(f"the chain has more than {_MAX_CERTIFICATES} certificates")
    return chain


def _check_dates(certificate: x509.Certificate, now: datetime) -> None:
    name = certificate.subject.rfc4514_string()
    if now < certificate.not_valid_before_utc:
        raise Invalid(f"{name!r} is not valid before {certificate.not_valid_before_utc}")
    if now > certificate.not_valid_after_utc:
        raise Invalid(f"{name!r} expired on {certificate.not_valid_after_utc}: have it renewed")


def _check_leaf(leaf: x509.Certificate) -> None:
    try:
        leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        raise Invalid(
            "the certificate has no subject alternative names: no client takes it"
        ) from None
    try:
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(
        usage
    ):
        raise Invalid("the certificate is not for TLS servers (extended key usage)")


def _check_issued(below: x509.Certificate, above: x509.Certificate) -> None:
    name, issuer = below.subject.rfc4514_string(), above.subject.rfc4514_string()
    try:
        below.verify_directly_issued_by(above)
        ca = above.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        raise Invalid(
            f"{name!r} was not issued by {issuer!r}, which follows it: each certificate is to be"
            " followed by its issuer's"
        ) from None
    except x509.ExtensionNotFound:
        ca = False
    if not ca:
        raise Invalid(f"{issuer!r} is no authority (basic constraints)")
