from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from support.pki import shared_key

from offload.cluster.profile import alternative_names, dated, key_usage, subject


def test_names_and_addresses_are_told_apart() -> None:
    names = alternative_names(["www.example.org", "::1", "10.0.0.1"])
    assert names.get_values_for_type(x509.DNSName) == ["www.example.org"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["::1", "10.0.0.1"]


def test_no_name_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one name"):
        alternative_names([])


def test_a_long_name_still_makes_a_subject() -> None:
    name = "a" * 60 + ".example.org"
    assert subject(name).rfc4514_string() == f"CN={name[:64]}"


def test_a_certificate_is_valid_on_clocks_that_are_slow() -> None:
    now = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    key = shared_key("p-256")
    name = subject("x")
    builder = dated(key.public_key(), now, 5).subject_name(name).issuer_name(name)
    made = builder.sign(key, hashes.SHA256())
    assert made.not_valid_before_utc == now - timedelta(hours=1)
    assert made.not_valid_after_utc == now + timedelta(days=5)


@pytest.mark.parametrize("authority", [True, False])
def test_only_authorities_sign_certificates(authority: bool) -> None:
    usage = key_usage(authority=authority)
    assert usage.key_cert_sign is authority
    assert usage.digital_signature is not authority
