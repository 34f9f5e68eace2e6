"""What enters the picture: what members signed, nothing older, nothing moved."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
from frontend.directory.conftest import Members
from support.catalogue_writer import certificate, member, sealed, ski
from support.pki import PKI

from offload.config.address import Address
from offload.frontend.directory.picture import Picture
from offload.pool.spec import WorkerSpec


def names(picture: Picture) -> list[str]:
    return [worker.name for worker in picture.workers()]


def test_members_that_signed_each_other_are_the_workers(members: Members) -> None:
    picture = members.picture()
    alpha = members.record("alpha", address="127.0.0.1:7", zone="a", capacity=2.0)
    assert picture.take({**members.all(), **members.sealed(alpha, by="beta")})
    picture.set_alive(["alpha", "beta", "stranger"])
    assert picture.workers()[0] == WorkerSpec("alpha", Address.parse("127.0.0.1:7"), "a", 2.0)
    assert names(picture) == ["alpha", "beta"]
    assert not picture.refused


def test_only_who_is_alive_is_a_worker_unless_nobody_is(members: Members) -> None:
    picture = members.picture()
    picture.take(members.all())
    assert names(picture) == ["alpha", "beta"]
    assert picture.set_alive(["beta"])
    assert names(picture) == ["beta"]
    assert not picture.set_alive(["beta"])
    assert picture.set_alive([])
    assert names(picture) == ["alpha", "beta"]


def test_order_does_not_matter(members: Members) -> None:
    values = list(members.all(members.web()).items())
    for order in permutations(values):
        picture = members.picture()
        for path, value in order:
            picture.take({path: value})
        assert picture.certificates["web"].generation == 1
        assert not picture.refused


def test_what_came_before_its_signer_enters_with_him(members: Members) -> None:
    picture = members.picture()
    picture.take(members.sealed(members.record("alpha")))
    gammas = members.sealed(members.web(), by="gamma")
    assert not picture.take(gammas)
    assert "no member" in picture.refused["certificates/web"]
    assert picture.take(members.sealed(members.record("gamma")))
    assert picture.certificates["web"].generation == 1
    assert not picture.refused


def test_who_has_no_certificate_of_the_authority_is_no_member(
    members: Members, tmp_path: Path
) -> None:
    picture = members.picture()
    outsider = PKI(tmp_path, "other root").identity("mallory")
    forged = sealed(members.signers["alpha"], member("mallory", outsider.certificate_path))
    picture.take({**members.all(), **forged})
    assert names(picture) == ["alpha", "beta"]
    assert "no certificate of this cluster" in picture.refused["members/mallory"]


def test_a_self_made_member_vouches_for_nobody(members: Members) -> None:
    """gamma has a certificate of the authority, but alpha's record of it is a forgery."""
    picture = members.picture()
    true = members.sealed(members.record("alpha"))
    picture.take(true)
    forged = {
        "members/gamma": members.sealed(members.record("gamma"))["members/gamma"][:-9] + b'x"}'
    }
    assert not picture.take(forged)
    assert names(picture) == ["alpha"]
    assert not picture.take(members.sealed(members.web(), by="gamma"))


def test_a_bad_record_of_a_member_takes_no_trust_away(members: Members) -> None:
    picture = members.picture()
    picture.take(members.all())
    bad = members.sealed(members.record("beta", version=9))["members/beta"].replace(b"127", b"128")
    assert not picture.take({"members/beta": bad})
    assert picture.members["beta"].version == 1
    assert picture.take(members.sealed(members.web(), by="beta"))


def test_an_older_version_never_comes_back(members: Members) -> None:
    picture = members.picture()
    picture.take(members.all(members.web(0, 1)))
    picture.take(members.sealed(members.web(1, 2)))
    assert not picture.take(members.sealed(members.web(0, 1)))
    assert picture.certificates["web"].generation == 2
    assert "version 1, but 2 was seen" in picture.refused["certificates/web"]
    assert picture.take(members.sealed(members.web(2, 3)))
    assert not picture.refused


def test_a_removed_member_is_no_worker_and_signs_nothing_more(members: Members) -> None:
    picture = members.picture()
    picture.take(members.all())
    picture.take(members.sealed(members.web(), by="beta"))
    assert picture.take(members.sealed(members.record("beta", state="removed", version=2)))
    assert names(picture) == ["alpha"]
    assert not picture.take(members.sealed(members.web(1, 2), by="beta"))
    # What it had signed before stands, until somebody else signs it.
    assert picture.certificates["web"].generation == 1
    assert not picture.take(members.sealed(members.record("beta")))


def test_a_removed_member_does_not_bring_itself_back(members: Members) -> None:
    # Who runs the catalogue puts there what a removed member signs for itself.
    picture = members.picture()
    picture.take(members.sealed(members.record("alpha"), members.record("beta")))
    picture.take(members.sealed(members.record("beta", state="removed", version=2)))
    again = members.picture()
    again.take(picture.values)
    for each in (picture, again):
        returned = members.sealed(members.record("beta", version=9), by="beta")
        assert not each.take({**returned, **members.sealed(members.web(1, 2), by="beta")})
        assert names(each) == ["alpha"]
        assert "web" not in each.certificates


def test_a_value_at_another_path_is_refused(members: Members) -> None:
    picture = members.picture()
    picture.take(members.all())
    value = members.sealed(members.web())["certificates/web"]
    assert not picture.take({"certificates/other": value})
    moved = members.signers["alpha"].seal("certificates/other", members.web().body())
    assert not picture.take({"certificates/other": moved})
    assert "belongs to 'web'" in picture.refused["certificates/other"]


def test_a_certificate_of_another_key_is_refused(members: Members) -> None:
    picture = members.picture()
    wrong = members.web(0, 1, ski=ski(members.chains[1]))
    picture.take(members.all(wrong))
    assert "not one of the key" in picture.refused["certificates/web"]


@pytest.mark.parametrize("chain", [b"", b"no PEM"])
def test_a_label_may_have_no_certificate_but_not_a_broken_one(
    members: Members, chain: bytes
) -> None:
    picture = members.picture()
    record = certificate("web", b"", 1).model_copy(update={"chain": chain.decode()})
    picture.take(members.all(record))
    assert ("certificates/web" in picture.refused) == bool(chain)


def test_a_signed_removal_is_a_removal(members: Members) -> None:
    picture = members.picture()
    picture.take(members.all(members.web()))
    mark = members.signers["alpha"].seal("certificates/web", b'{"removed": true, "version": 2}')
    assert picture.take({"certificates/web": mark})
    assert not picture.certificates
    assert not picture.take(members.sealed(members.web()))
    gone = members.signers["alpha"].seal("members/beta", b'{"removed": true, "version": 2}')
    assert picture.take({"members/beta": gone})
    assert names(picture) == ["alpha"]


@pytest.mark.parametrize("body", [b"{}", b"[]", b"text", b'{"version": "1"}', b'{"version": 1}'])
@pytest.mark.parametrize("path", ["members/beta", "certificates/web"])
def test_what_is_not_readable_is_refused(members: Members, path: str, body: bytes) -> None:
    picture = members.picture()
    picture.take(members.all())
    assert not picture.take({path: members.signers["alpha"].seal(path, body)})
    assert path in picture.refused
    assert names(picture) == ["alpha", "beta"]


def test_a_value_nested_without_end_is_refused(members: Members) -> None:
    picture = members.picture()
    endless = b'{"by":"alpha","body":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert picture.take({**members.all(), "members/gamma": endless})
    assert names(picture) == ["alpha", "beta"]
    assert "members/gamma" in picture.refused


def test_the_same_again_is_no_news(members: Members) -> None:
    picture = members.picture()
    values = members.all(members.web())
    assert picture.take(values)
    assert not picture.take(values)
    assert picture.values == values


def test_other_paths_are_none_of_its_business(members: Members) -> None:
    picture = members.picture()
    assert not picture.take({"keys/00": b"", "cluster": b""})
    assert not picture.refused
