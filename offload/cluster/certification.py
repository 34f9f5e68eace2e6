"""Certificates and certification requests signed by a key that stays in its token."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from offload.cluster.profile import (
    CertificateProfile,
    alternative_names,
    as_leaf,
    dated,
    subject,
)
from offload.cluster.token_key import TokenKey


class BadSignature(Exception):
    """The token gave a signature that its own public key does not verify."""


def self_signed(key: TokenKey, names: Sequence[str], now: datetime, days: int) -> x509.Certificate:
    """A server certificate for `names` that `key` signs itself; raises BadSignature."""
    builder = as_leaf(dated(key.public_key(), now, days), names, CertificateProfile.SERVER)
    certificate: x509.Certificate = _built(builder.issuer_name(subject(names[0])), key)
    try:
        certificate.verify_directly_issued_by(certificate)
    except InvalidSignature:
        raise BadSignature("the token's signature does not verify") from None
    return certificate


def request(key: TokenKey, names: Sequence[str]) -> x509.CertificateSigningRequest:
    """A certification request (RFC 2986) for `names`; raises BadSignature."""
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject(names[0]))
        .add_extension(alternative_names(names), critical=False)
    )
    made: x509.CertificateSigningRequest = _built(builder, key)
    if not made.is_signature_valid:
        raise BadSignature("the token's signature does not verify")
    return made


def _built(builder: Any, key: TokenKey) -> Any:
    private, hash_algorithm = key.for_builder()
    return builder.sign(private, hash_algorithm)
