"""Values of the catalogue as they are opened."""

from __future__ import annotations

import pytest
from cryptography import x509
from support.cluster import identity, member_record, signer, verifier

from offload.catalogue.envelope import Untrusted, Verifier
from offload.cluster.opened import claimed_member, is_versioned, open_value, removal


def trusting() -> Verifier:
    trusting = verifier()
    trusting.admit("a", x509.load_pem_x509_certificate(identity("a").certificate))
    return trusting


def seal(path: str, body: bytes) -> bytes:
    return signer("a").seal(path, body)


def test_a_record_has_its_version_and_signer() -> None:
    opened = open_value(trusting(), "members/b", seal("members/b", member_record("b").body()))
    assert opened == ("members/b", member_record("b"), 1, "a")


def test_the_mark_of_a_removal_is_no_value() -> None:
    opened = open_value(trusting(), "users/o", seal("users/o", removal(7)))
    assert (opened.value, opened.version) == (None, 7)


@pytest.mark.parametrize(
    ("body", "version"),
    [
        (b'{"version":4}', 4),
        (b'{"version":true}', 0),
        (b"{}", 0),
        (b"[]", 0),
        (b"plain", 0),
    ],
)
def test_what_has_no_record_here_may_have_a_version(body: bytes, version: int) -> None:
    opened = open_value(trusting(), "rotations/www", seal("rotations/www", body))
    assert (opened.value, opened.version) == (body, version)


def test_a_claim_is_read_before_it_is_believed() -> None:
    value = signer("stranger").seal("members/b", member_record("b").body())
    assert claimed_member(value) == member_record("b")
    for odd in (b"", b"[]", b"{}", b'{"body":"{}"}', b'{"body":1}'):
        with pytest.raises(Untrusted):
            claimed_member(odd)


def test_a_value_nested_without_end_is_no_members_record() -> None:
    endless = b'{"by":"w1","signature":"","body":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(Untrusted):
        claimed_member(endless)


def test_versions_grow_where_a_removal_leaves_a_mark() -> None:
    assert all(map(is_versioned, ("cluster", "members/a", "keys/00", "approvals/1")))
    assert not any(map(is_versioned, ("cluster-keys/1/a", "cluster-key-holders/1/a", "alive/a")))
