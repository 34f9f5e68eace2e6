from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from offload.cluster.authority import Authority, pem
from offload.cluster.failures import Invalid
from offload.cluster.invitation import Invitation, Reachable
from offload.cluster.joining import accepted, authorization
from offload.cluster.profile import CertificateProfile
from offload.cluster.views import EnrolmentView

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AUTHORITY = Authority.create("cluster", NOW)
OTHER = Authority.create("cluster", NOW)
PUBLIC = ec.generate_private_key(ec.SECP256R1()).public_key()
INVITATION = Invitation(
    cluster="example",
    authority=AUTHORITY.certificate_pem().decode(),
    members=(Reachable(name="worker-1", api="127.0.0.1:8443"),),
    id="0" * 32,
    secret="s3cret",
    member="worker-2",
    expires=NOW,
)


def answer(authority: Authority = AUTHORITY, name: str = "worker-2") -> EnrolmentView:
    certificate = authority.issue(PUBLIC, [name], CertificateProfile.SERVER, NOW)
    return EnrolmentView(
        id="f",
        member=name,
        state="present",
        cluster="example",
        certificate=pem(certificate).decode(),
    )


def test_the_secret_goes_in_a_header() -> None:
    assert authorization("s3cret") == "Bearer s3cret"


def test_a_certificate_of_the_cluster_for_our_key_and_name_is_accepted() -> None:
    given = answer()
    assert accepted(INVITATION, given, PUBLIC) == given.certificate.encode()


def test_there_is_none_while_we_wait() -> None:
    waiting = answer().model_copy(update={"state": "pending", "certificate": ""})
    assert accepted(INVITATION, waiting, PUBLIC) is None


@pytest.mark.parametrize(
    "given",
    [
        answer(OTHER),
        answer(name="worker-3"),
        answer().model_copy(update={"certificate": ""}),
        answer().model_copy(update={"state": "something", "certificate": "x"}),
    ],
    ids=["authority", "name", "none", "broken"],
)
def test_any_other_certificate_is_not(given: EnrolmentView) -> None:
    with pytest.raises(Invalid, match="not of the cluster"):
        accepted(INVITATION, given, PUBLIC)


def test_a_certificate_for_another_key_is_not() -> None:
    with pytest.raises(Invalid, match="another key"):
        accepted(INVITATION, answer(), ec.generate_private_key(ec.SECP256R1()).public_key())
