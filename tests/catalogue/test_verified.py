"""What was verified once is not verified again; what was not, is."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from support.cluster import authority, identity, signer

from offload.catalogue.envelope import Untrusted, Verifier
from offload.catalogue.verified import DIGEST, Verified

PATH, BODY = "keys/aa", b'{"a": 1}'
CERTIFICATE = bytes(32)


def verifier(verified: Verified) -> Verifier:
    made = Verifier(authority().certificate, verified=verified)
    made.admit("w1", x509.load_pem_x509_certificate(identity("w1").certificate))
    return made


def test_what_was_found_good_is_known_in_the_next_run() -> None:
    first = Verified()
    first.add(PATH, b"value", CERTIFICATE)
    assert [len(digest) for digest in first.digests] == [DIGEST]

    next_run = Verified(first.digests)
    assert next_run.holds(PATH, b"value", CERTIFICATE)
    assert not next_run.holds(PATH, b"other", CERTIFICATE)
    assert not next_run.holds("keys/ab", b"value", CERTIFICATE)
    assert not next_run.holds(PATH, b"value", bytes(31) + b"1")
    next_run.forget()
    assert not next_run.holds(PATH, b"value", CERTIFICATE)


def test_one_value_of_a_path_is_remembered() -> None:
    verified = Verified()
    verified.add(PATH, b"old", CERTIFICATE)
    verified.add(PATH, b"new", CERTIFICATE)
    assert len(verified.digests) == 1
    assert Verified(verified.digests).holds(PATH, b"new", CERTIFICATE)


@pytest.mark.parametrize("path", ["members/w1", "cluster", "usage/w1/aa", "users/eve"])
def test_what_decides_on_trust_is_verified_each_time(path: str) -> None:
    verified = Verified()
    verified.add(path, b"value", CERTIFICATE)
    assert verified.digests == []


def test_no_signature_is_verified_twice() -> None:
    value = signer("w1").seal(PATH, BODY)
    first = Verified()
    assert verifier(first).open(PATH, value) == BODY
    # No signature of another value would do here.
    forged = signer("w2").seal(PATH, BODY).replace(b'"w2"', b'"w1"')

    known = verifier(Verified(first.digests))
    assert known.open(PATH, value) == BODY
    with pytest.raises(Untrusted, match="as it stands"):
        known.open(PATH, forged)
    assert verifier(Verified([*first.digests, _of(forged)])).open(PATH, forged) == BODY


def _of(value: bytes) -> bytes:
    """The digest as though it had been found good."""
    verified = Verified()
    certificate = x509.load_pem_x509_certificate(identity("w1").certificate)
    verified.add(PATH, value, certificate.fingerprint(hashes.SHA256()))
    return verified.digests[0]


def test_a_signer_who_is_no_member_any_more_is_not_believed() -> None:
    value = signer("w1").seal(PATH, BODY)
    first = Verified()
    verifier(first).open(PATH, value)
    known = verifier(Verified(first.digests))
    known.dismiss("w1")
    with pytest.raises(Untrusted, match="no member"):
        known.open(PATH, value)
