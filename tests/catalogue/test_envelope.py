"""Values signed by members: who is believed, and what is found out."""

import json
from datetime import timedelta

import pytest
from cryptography import x509
from support.cluster import NOW, authority, identity, signer, verifier

from offload.catalogue.envelope import Untrusted, Verifier
from offload.cluster.authority import Authority, Identity

PATH = "keys/aa"
BODY = '{"state": "é"}'.encode()


def certificate(of: Identity) -> x509.Certificate:
    return x509.load_pem_x509_certificate(of.certificate)


def admitting(*names: str) -> Verifier:
    made = verifier()
    for name in names:
        made.admit(name, certificate(identity(name)))
    return made


def test_what_a_member_sealed_is_opened() -> None:
    value = signer("w1").seal(PATH, BODY)

    assert admitting("w1").open(PATH, value) == BODY
    assert admitting("w1").signer(value) == "w1"


def test_a_value_cannot_be_moved_or_changed() -> None:
    value = signer("w1").seal(PATH, BODY)
    trusting = admitting("w1", "w2")

    with pytest.raises(Untrusted, match="as it stands"):
        trusting.open("keys/ab", value)
    for field, other in (("body", "{}"), ("by", "w2")):
        altered = json.dumps({**json.loads(value), field: other}).encode()
        with pytest.raises(Untrusted):
            trusting.open(PATH, altered)


def test_only_who_was_admitted_is_believed() -> None:
    value = signer("w1").seal(PATH, BODY)
    trusting = admitting("w2")
    with pytest.raises(Untrusted, match="no member"):
        trusting.open(PATH, value)

    trusting.admit("w1", certificate(identity("w1")))
    assert trusting.open(PATH, value) == BODY
    trusting.dismiss("w1")
    with pytest.raises(Untrusted):
        trusting.open(PATH, value)
    trusting.dismiss("w1")


def test_a_member_with_a_new_certificate_signs_with_its_key() -> None:
    trusting = admitting("w1")
    renewed = authority().issue_worker("w1", NOW + timedelta(days=1))
    trusting.admit("w1", certificate(renewed))

    with pytest.raises(Untrusted):
        trusting.open(PATH, signer("w1").seal(PATH, BODY))


def test_a_revoked_certificate_is_never_admitted_again() -> None:
    trusting = admitting("w1")
    trusting.revoke(certificate(identity("w1")))
    with pytest.raises(Untrusted, match="no member"):
        trusting.open(PATH, signer("w1").seal(PATH, BODY))
    with pytest.raises(Untrusted, match="was removed"):
        trusting.admit("w1", certificate(identity("w1")))
    trusting.admit("w1", certificate(authority().issue_worker("w1", NOW)))
    later = verifier(trusting.revoked)
    with pytest.raises(Untrusted, match="was removed"):
        later.admit("w1", certificate(identity("w1")))


def test_nobody_else_is_admitted() -> None:
    trusting = verifier()
    for other in (
        certificate(Authority.create("cluster", NOW).issue_worker("w1", NOW)),
        certificate(authority().issue_worker("w2", NOW)),
        certificate(authority().issue_frontend("w1", NOW)),
        authority().certificate,
    ):
        with pytest.raises(Untrusted):
            trusting.admit("w1", other)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b'{"by": "w1", "signature": "=", "body": ""}',
        b'{"by": "w1", "signature": 1, "body": ""}',
    ],
)
def test_what_is_no_envelope_is_refused(value: bytes) -> None:
    with pytest.raises(Untrusted):
        admitting("w1").open(PATH, value)


def test_a_signature_is_written_in_one_way() -> None:
    envelope = json.loads(signer("w1").seal(PATH, BODY))
    for text in "AA==", "AB==":
        value = json.dumps({**envelope, "signature": text}).encode()
        with pytest.raises(Untrusted, match="not signed" if text == "AB==" else "as it stands"):
            admitting("w1").open(PATH, value)
